/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * As much of systemd's manager as batten asks of it, on a bus of its own: systemd-standin SOCKET SCRIPT.
 * The script does what there is to do (SCRIPT start|stop|restart|reload UNIT) and knows what is active
 * (SCRIPT is-active UNIT); its exit status is the job's result.
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "batten/base/macros.h"

#define PATH "/org/freedesktop/systemd1"
#define MANAGER "org.freedesktop.systemd1.Manager"

static const char *script;

static int run_script(const char *verb, const char *unit)
{
	pid_t pid = fork();
	int status = -1;

	if (pid == 0) {
		(void)execl(script, script, verb, unit, (char *)0);
		_exit(127);
	}
	return waitpid(pid, &status, 0) == pid ? status : -1;
}

/* Whoever asks gets the job's path first and its end as a signal. */
static int do_job(sd_bus_message *m, const char *verb)
{
	static uint32_t id;
	const char *unit, *mode, *result;
	sd_bus *bus = sd_bus_message_get_bus(m);
	sd_bus_message *signal = NULL;
	char path[64];
	int r = sd_bus_message_read(m, "ss", &unit, &mode);

	if (r < 0)
		return r;
	if (strncmp(unit, "nosuch", 6) == 0)
		return sd_bus_reply_method_errorf(m, "org.freedesktop.systemd1.NoSuchUnit", "Unit %s not found.", unit);
	(void)snprintf(path, sizeof(path), PATH "/job/%u", ++id);
	r = sd_bus_reply_method_return(m, "o", path);
	result = run_script(verb, unit) == 0 ? "done" : "failed";
	if (r >= 0)
		r = sd_bus_message_new_signal(bus, &signal, PATH, MANAGER, "JobRemoved");
	if (r >= 0)
		r = sd_bus_message_set_sender(signal, "org.freedesktop.systemd1");
	if (r >= 0)
		r = sd_bus_message_append(signal, "uoss", id, path, unit, result);
	if (r >= 0)
		r = sd_bus_send(bus, signal, NULL);
	(void)sd_bus_message_unref(signal);
	return r;
}

static int tell_path(sd_bus_message *m)
{
	const char *unit;
	char *path = NULL;
	int r = sd_bus_message_read(m, "s", &unit);

	if (r >= 0)
		r = sd_bus_path_encode(PATH "/unit", unit, &path);
	if (r >= 0)
		r = sd_bus_reply_method_return(m, "o", path);
	free(path);
	return r;
}

static int tell_state(sd_bus_message *m)
{
	char *unit = NULL;
	int r = sd_bus_path_decode(sd_bus_message_get_path(m), PATH "/unit", &unit);

	if (r >= 0)
		r = sd_bus_reply_method_return(m, "v", "s", run_script("is-active", unit) == 0 ? "active" : "inactive");
	free(unit);
	return r;
}

static int on_message(sd_bus_message *m, void *data, sd_bus_error *error)
{
	static const struct {
		const char *method, *verb;
	} jobs[] = { { "StartUnit", "start" }, { "StopUnit", "stop" }, { "RestartUnit", "restart" }, { "ReloadUnit", "reload" } };

	for (size_t i = 0; i < ARRAY_SIZE(jobs); i++)
		if (sd_bus_message_is_method_call(m, MANAGER, jobs[i].method))
			return do_job(m, jobs[i].verb) < 0 ? 0 : 1;
	if (sd_bus_message_is_method_call(m, "org.freedesktop.DBus", "Hello"))
		return sd_bus_reply_method_return(m, "s", ":1.1");
	if (sd_bus_message_is_method_call(m, MANAGER, "LoadUnit"))
		return tell_path(m) < 0 ? 0 : 1;
	if (sd_bus_message_is_method_call(m, "org.freedesktop.DBus.Properties", "Get"))
		return tell_state(m) < 0 ? 0 : 1;
	/* Subscribe, Reload, AddMatch, RemoveMatch. */
	return sd_bus_message_is_method_call(m, NULL, NULL) ? sd_bus_reply_method_return(m, "") : 0;
}

static void serve(int fd)
{
	sd_id128_t id = SD_ID128_NULL;
	sd_bus *bus = NULL;
	int r = sd_id128_randomize(&id);

	if (r >= 0)
		r = sd_bus_new(&bus);
	if (r >= 0)
		r = sd_bus_set_fd(bus, fd, fd);
	if (r >= 0)
		r = sd_bus_set_server(bus, 1, id);
	if (r >= 0)
		r = sd_bus_start(bus);
	if (r >= 0)
		r = sd_bus_add_filter(bus, NULL, on_message, NULL);
	while (r >= 0) {
		r = sd_bus_process(bus, NULL);
		if (r == 0)
			r = sd_bus_wait(bus, UINT64_MAX);
	}
	(void)sd_bus_flush_close_unref(bus);
}

int main(int argc, char **argv)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (argc != 3 || strlen(argv[1]) >= sizeof(a.sun_path))
		return 2;
	script = argv[2];
	memcpy(a.sun_path, argv[1], strlen(argv[1]));
	if (listener < 0 || bind(listener, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(listener, 8) < 0)
		return 1;
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0)
			return 1;
		serve(fd);
	}
}
