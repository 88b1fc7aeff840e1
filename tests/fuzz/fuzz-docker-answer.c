/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Docker and the ECS agent as commands ask them: documents one by one and many at once, an image on
 * its way out and in, and the agent's introspection. Each connection's answer is a piece of the input.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "batten/host/docker.h"
#include "batten/host/introspect.h"
#include "batten/host/model.h"
#include "piece.h"

#define MAX_INPUT_BYTES 65536
#define MAX_CONNECTIONS 64
#define TIMEOUT_MS 20

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int connect(int fd, const struct sockaddr *to, socklen_t n_to);

static int peers[MAX_CONNECTIONS];
static size_t n_peers;

/* In the place of the C library's: whoever connects is answered by the next piece. */
int connect(int fd, const struct sockaddr *to, socklen_t n_to)
{
	int mine = n_peers < MAX_CONNECTIONS ? piece_connection(&peers[n_peers], true) : -1;

	if (mine < 0) {
		errno = ECONNREFUSED;
		return -1;
	}
	n_peers++;
	if (dup3(mine, fd, O_CLOEXEC) < 0)
		abort();
	(void)fd_close(mine);
	return 0;
}

static void check(int r, const json_t *j, const struct diag *d)
{
	if ((r < 0) != !j || (r < 0 && d->what[0] == '\0' && r != -ENOMEM))
		abort();
}

static void documents(struct docker *k)
{
	struct docker_question many[5] = { { .path = "/a" }, { .path = "/b" }, { .path = "/c" }, { .path = "/d" },
					   { .path = "/e" } };
	struct diag d = { 0 };
	json_t *j = NULL;
	int r = docker_get(k, "/info", 1 << 16, &j, &d);

	check(r, j, &d);
	json_decref(j);
	if (docker_get_many(k, many, ARRAY_SIZE(many), 1 << 16, &d) < 0)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(many); i++) {
		if ((many[i].error < 0) != !many[i].answer)
			abort();
		json_decref(many[i].answer);
	}
}

static void swarm(struct docker *k)
{
	struct docker_swarm s;
	struct diag d = { 0 };
	int r = docker_swarm(k, SWARM_ASK, NULL, &s, &d);

	if (r < 0 && r != -ENOMEM && !d.what[0])
		abort();
	if (r == 0 && (!s.member || !s.node[0]))
		abort();
}

static void images(struct docker *k)
{
	struct docker_stream *s;
	struct diag d = { 0 };
	char buf[512], *text;
	size_t n = 1;

	if (docker_download(&s, k, "/images/x/get", &d) == 0) {
		while (n > 0 && docker_download_read(s, buf, sizeof(buf), &n, &d) == 0)
			;
		docker_stream_free(s);
	}
	if (docker_upload(&s, k, "/images/load", "application/x-tar", &d) == 0) {
		if (docker_upload_write(s, buf, sizeof(buf), &d) == 0 && docker_upload_finish(s, &text, &d) == 0)
			free(text);
		docker_stream_free(s);
	}
}

static void introspection(void)
{
	struct host_model m;

	host_model_init(&m);
	(void)host_model_introspect(&m, TIMEOUT_MS, NULL);
	if (!memchr(m.agent_cluster, '\0', sizeof(m.agent_cluster)) ||
	    !memchr(m.agent_version, '\0', sizeof(m.agent_version)))
		abort();
	host_model_done(&m);
}

static void snapshot(struct docker *k)
{
	struct host_model m;

	host_model_init(&m);
	if (host_model_snapshot(&m, k, true, 0, NULL) == 0)
		host_model_each(at, &m)
			if (!container_id_ok(host_container(at)->id))
				abort();
	host_model_done(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct docker *k;

	if (n == 0 || n > MAX_INPUT_BYTES || docker_new(&k, "unix:///nowhere", NULL) < 0)
		return 0;
	docker_set_timeout(k, TIMEOUT_MS);
	piece_rest = (struct slice){ (const char *)data + 1, n - 1 };
	switch (data[0] % 4) {
	case 0:
		documents(k);
		swarm(k);
		break;
	case 1:
		images(k);
		break;
	case 2:
		snapshot(k);
		break;
	default:
		introspection();
	}
	while (n_peers > 0)
		(void)fd_close(peers[--n_peers]);
	docker_free(k);
	return 0;
}
