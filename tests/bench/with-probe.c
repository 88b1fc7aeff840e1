/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * with-probe OBJECT COMMAND...: runs a command while the programs of a BPF object are attached, and
 * reads its events, if it sends any, as their consumer would.
 */
#include <bpf/libbpf.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static int on_event(void *userdata, void *data, size_t size)
{
	return 0;
}

int main(int argc, char **argv)
{
	struct bpf_object *o = argc > 2 ? bpf_object__open_file(argv[1], NULL) : NULL;
	struct ring_buffer *ring;
	struct bpf_program *p;
	int status = 0;
	pid_t child;

	if (!o || bpf_object__load(o) < 0)
		return 125;
	bpf_object__for_each_program(p, o)
		if (!bpf_program__attach(p))
			return 125;
	child = fork();
	if (child == 0) {
		(void)execvp(argv[2], argv + 2);
		_exit(126);
	}
	ring = ring_buffer__new(bpf_object__find_map_fd_by_name(o, "events"), on_event, NULL, NULL);
	while (child > 0 && ring && waitpid(child, &status, WNOHANG) == 0)
		(void)ring_buffer__poll(ring, 50);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 125;
}
