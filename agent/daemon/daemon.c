/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The daemon's life: lock, read, listen, apply, tell, loop, hand over. The order matters: events are
 * listened to before the guard is applied, so that a change in between is seen; and the guard stands
 * before the service manager is told READY=1, so that what is ordered after us (Docker, the ECS
 * agent) starts behind it.
 */
#include "batten/daemon/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <time.h>
#include <unistd.h>

#include "batten/base/fd.h"
#include "batten/base/log.h"
#include "batten/base/parse.h"
#include "batten/daemon/control.h"
#include "batten/daemon/priorities.h"
#include "batten/daemon/settings.h"
#include "batten/daemon/status.h"
#include "daemon/audit-service.h"
#include "daemon/event-log.h"
#include "daemon/fix-watch.h"
#include "daemon/guard-service.h"
#include "daemon/host-service.h"
#include "daemon/loop.h"
#include "daemon/notify.h"
#include "daemon/strip-service.h"
#include "daemon/textfile.h"

static const struct log_message msg_ready = { "5d0c5bb6a2f84d0e9d2f9e1f64d0a0c1", "daemon ready" };
static const struct log_message msg_stopped = { "8f4c7c1a3f0b4a5fb7a85d6d2e3b9a02", "daemon stopped, guard stays" };
static const struct log_message msg_reloaded = { "0b1f6c0e7f0a4b6d8a4e9f4a7b6d1c03", "configuration read again" };
static const struct log_message msg_reload_failed = { "c7f2c3d4e5a64b0f9a1b2c3d4e5f6a04",
						       "configuration not taken, the old one holds" };

static const struct log_message msg_no_fixes = { "7e8490a1c56c47d95af51697b8e9eaee", "fixes cannot be watched" };

#define LISTEN_NAME "imds-owner"
#define STORE_TIMEOUT_MS 5000

struct daemon {
	const struct daemon_options *options;
	struct settings settings;
	sd_event *event;
	struct notifier *manager;
	int lock;
	struct guard_service *guard;
	struct event_log *events;
	struct audit_service *audit;
	struct host_service *host;
	struct control *control;
	struct textfile *textfile;
	struct strip_service *strip;
	struct fix_watch *fixes; /* NULL where they cannot be watched */
	struct loop_times times;
	time_t started;
};

static int take_lock(struct daemon *m, struct diag *d)
{
	const char *dir = m->options->runtime_dir;
	char path[512], pid[32] = "";
	ssize_t n;

	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return diag_errno(d, -errno, dir, "cannot make the runtime directory");
	(void)snprintf(path, sizeof(path), "%s/daemon.lock", dir);
	m->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (m->lock < 0)
		return diag_errno(d, -errno, path, "cannot open");
	if (flock(m->lock, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return diag_errno(d, -errno, path, "cannot lock");
		n = read(m->lock, pid, sizeof(pid) - 1);
		pid[MAX(n, (ssize_t)0)] = '\0';
		pid[strcspn(pid, "\n")] = '\0';
		return diag_fail(d, -EALREADY, dir, "another batten daemon%s%s runs here", pid[0] ? ", process " : "",
				 pid);
	}
	n = snprintf(pid, sizeof(pid), "%d\n", getpid());
	if (ftruncate(m->lock, 0) < 0 || pwrite(m->lock, pid, (size_t)n, 0) != n)
		return diag_errno(d, -errno, path, "cannot write");
	return 0;
}

/* The owner's socket that an earlier life of ours left with the service manager, or -1. */
static int kept_socket(void)
{
	char **names = NULL;
	int n, found = -1;

	n = sd_listen_fds_with_names(1, &names);
	for (int i = 0; i < n; i++) {
		int fd = SD_LISTEN_FDS_START + i;

		if (found < 0 && strcmp(names[i], LISTEN_NAME) == 0)
			found = fd;
		else
			(void)fd_close(fd);
		free(names[i]);
	}
	free(names);
	return found;
}

/*
 * Gives the owner's socket to the service manager, and waits until it says that it has read so.
 * systemd tells since 254 in $FDSTORE that it keeps any; for older ones the unit says so.
 */
static bool store_socket(struct daemon *m, int fd)
{
	const char *slots = getenv("FDSTORE");
	uint64_t n;

	if (!m->options->fd_store && (!slots || parse_u64(slice_of(slots), 1, UINT64_MAX, &n) < 0))
		return false;
	return notifier_store(m->manager, fd, LISTEN_NAME, STORE_TIMEOUT_MS);
}

static int on_stop(sd_event_source *source, const struct signalfd_siginfo *info, void *data)
{
	struct daemon *m = data;

	notifier_say(m->manager, "STOPPING=1");
	return sd_event_exit(m->event, 0);
}

static void reload(struct daemon *m)
{
	const struct daemon_options *o = m->options;
	struct settings fresh;
	struct diag d = { 0 };
	int r;

	r = settings_read(&fresh, o->config_path, o->config_optional, &d);
	if (r >= 0)
		r = guard_service_configure(m->guard, &fresh.imds, &d);
	if (r < 0) {
		log_event(LOG_ERR, &msg_reload_failed, "where", d.where, "reason",
			  d.what[0] ? d.what : strerror(-r));
		return;
	}
	m->settings = fresh;
	host_service_configure(m->host, &m->settings);
	audit_service_configure(m->audit, &m->settings);
	textfile_configure(m->textfile, &m->settings);
	log_set_level(o->verbose ? LOG_DEBUG : fresh.daemon.log_level);
	log_event(LOG_NOTICE, &msg_reloaded, "file", o->config_path);
}

static int on_reload(sd_event_source *source, const struct signalfd_siginfo *info, void *data)
{
	struct daemon *m = data;
	struct timespec now;
	char text[64];

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	(void)snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%llu",
		       (unsigned long long)now.tv_sec * 1000000ULL + (unsigned long long)now.tv_nsec / 1000);
	notifier_say(m->manager, text);
	reload(m);
	notifier_say(m->manager, "READY=1");
	return 0;
}

static int make_loop(struct daemon *m)
{
	static const struct {
		int signal;
		sd_event_signal_handler_t handler;
	} signals[] = { { SIGTERM, on_stop }, { SIGINT, on_stop }, { SIGHUP, on_reload } };
	sigset_t mask;
	int r;

	r = sd_event_new(&m->event);
	if (r < 0)
		return r;
	(void)sigemptyset(&mask);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		(void)sigaddset(&mask, signals[i].signal);
	if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
		return -errno;
	(void)signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		sd_event_source *s;

		r = sd_event_add_signal(m->event, &s, signals[i].signal, signals[i].handler, m);
		if (r < 0)
			return r;
		r = sd_event_source_set_priority(s, PRIORITY_SIGNAL);
		(void)sd_event_source_set_floating(s, true);
		(void)sd_event_source_unref(s);
		if (r < 0)
			return r;
	}
	return notifier_new(&m->manager, m->event);
}

/* ---- control methods ------------------------------------------------------------------------- */

/* A string that the row demands. */
static const char *argument(const json_t *request, const char *name)
{
	return json_string_value(json_object_get(request, name));
}

static int call_block(void *data, const json_t *request, json_t **ret, struct diag *d)
{
	struct daemon *m = data;

	int r = guard_service_block(m->guard, d);

	if (r >= 0)
		host_service_configure(m->host, &m->settings);
	return r;
}

static int call_unblock(void *data, const json_t *request, json_t **ret, struct diag *d)
{
	struct daemon *m = data;
	int r = guard_service_unblock(m->guard, d);

	host_service_unblocked(m->host);
	return r;
}

static int call_status(void *data, const json_t *request, json_t **ret, struct diag *d)
{
	struct daemon *m = data;

	int r = guard_service_status(m->guard, ret, d);

	if (r >= 0)
		host_service_status(m->host, *ret);
	return r;
}

static int call_allow(void *data, const json_t *request, json_t **ret, struct diag *d)
{
	struct daemon *m = data;

	return host_service_allow(m->host, argument(request, "rule"), argument(request, "by"), d);
}

static int call_disallow(void *data, const json_t *request, json_t **ret, struct diag *d)
{
	struct daemon *m = data;

	return host_service_disallow(m->host, argument(request, "rule"), d);
}

static int call_exceptions(void *data, const json_t *request, json_t **ret, struct diag *d)
{
	struct daemon *m = data;

	*ret = host_service_exceptions(m->host);
	return *ret ? 0 : -ENOMEM;
}

static int call_events(void *data, const json_t *request, json_t **ret, struct diag *d)
{
	json_int_t after = json_integer_value(json_object_get(request, "after"));
	struct daemon *m = data;

	if (json_is_true(json_object_get(request, "wait")) && (uint64_t)MAX(after, 0) >= event_log_next(m->events))
		return CONTROL_WAIT;
	*ret = event_log_since(m->events, after > 0 ? (uint64_t)after : 0);
	return *ret ? 0 : -ENOMEM;
}

static int call_shadow(void *data, const json_t *request, json_t **ret, struct diag *d)
{
	struct daemon *m = data;

	return host_service_shadow(m->host, ret, d);
}

static json_t *status(void *data)
{
	struct daemon *m = data;
	struct status_parts p = {
		.daemon = json_pack("{s:b, s:i, s:I, s:s}", "running", 1, "pid", (int)getpid(), "started",
				    (json_int_t)m->started, "version", BATTEN_VERSION),
		.audit = audit_service_status(m->audit),
		.docker = host_service_docker(m->host),
		.seccomp = host_service_seccomp(m->host),
		.process = process_json(),
		.loop = loop_times_json(&m->times),
		.attempts = event_log_attempts(m->events),
		.metrics = textfile_status(m->textfile),
	};
	struct diag d = { 0 };

	/* A guard that cannot be examined is left out, and the status says so. */
	if (guard_service_status(m->guard, &p.guard, &d) >= 0)
		host_service_status(m->host, p.guard);
	return status_assemble(&p);
}

static int call_whole_status(void *data, const json_t *request, json_t **ret, struct diag *d)
{
	*ret = status(data);
	return *ret ? 0 : -ENOMEM;
}

static int call_strip(void *data, const json_t *request, json_t **ret, struct diag *d)
{
	struct daemon *m = data;
	int r = strip_service_ask(m->strip, request, m->settings.daemon.docker, ret, d);

	return r > 0 ? CONTROL_WAIT : r;
}

static int call_store(void *data, const json_t *request, json_t **ret, struct diag *d)
{
	struct daemon *m = data;

	return host_service_store_observed(m->host, d);
}

static const struct control_method methods[] = {
	{ "events", call_events, CONTROL_LOOK, { { "after", JSON_INTEGER, false }, { "wait", JSON_TRUE, false } } },
	{ "image.strip", call_strip, CONTROL_CHANGE,
	  { { "token", JSON_STRING, true }, { "source", JSON_STRING, true }, { "destination", JSON_STRING, true },
	    { "rules", JSON_ARRAY, false } } },
	{ "imds.allow", call_allow, CONTROL_CHANGE, { { "rule", JSON_STRING, true }, { "by", JSON_STRING, true } } },
	{ "imds.disallow", call_disallow, CONTROL_CHANGE, { { "rule", JSON_STRING, true } } },
	{ "imds.exceptions", call_exceptions, CONTROL_LOOK, { { 0 } } },
	{ "imds.block", call_block, CONTROL_CHANGE, { { 0 } } },
	{ "imds.unblock", call_unblock, CONTROL_CHANGE, { { 0 } } },
	{ "imds.status", call_status, CONTROL_LOOK, { { 0 } } },
	{ "seccomp.shadow", call_shadow, CONTROL_LOOK, { { 0 } } },
	{ "seccomp.store", call_store, CONTROL_LOOK, { { 0 } } },
	{ "status", call_whole_status, CONTROL_LOOK, { { 0 } } },
	{ 0 },
};

/* Requests that wait may have their answer now. */
static void wake(void *data)
{
	struct daemon *m = data;

	control_wake(m->control);
}

static void daemon_done(struct daemon *m)
{
	m->fixes = fix_watch_free(m->fixes);
	m->strip = strip_service_free(m->strip);
	m->textfile = textfile_free(m->textfile);
	m->control = control_free(m->control);
	m->host = host_service_free(m->host);
	m->audit = audit_service_free(m->audit);
	m->guard = guard_service_free(m->guard);
	m->manager = notifier_free(m->manager);
	m->events = event_log_free(m->events);
	m->event = sd_event_unref(m->event);
	m->lock = fd_close(m->lock);
}

static int make_guard(struct daemon *m, struct diag *d)
{
	int r;

	r = guard_service_new(&m->guard, m->event, &m->options->assume, kept_socket(), m->options->runtime_dir, d);
	if (r < 0)
		return r;
	guard_service_set_log(m->guard, m->events);
	guard_service_set_kept(m->guard, store_socket(m, guard_service_socket_fd(m->guard)));
	return 0;
}

static void on_heal(void *user)
{
	struct daemon *m = user;

	host_service_changed(m->host);
}

/* The guard stands whether or not the rest can be had; what was open stays open with it. */
static int start_services(struct daemon *m, struct diag *d)
{
	int r, guarded;

	r = host_service_new(&m->host, m->event, &m->settings, m->guard, m->events, m->audit,
			     m->options->runtime_dir, d);
	guarded = guard_service_configure(m->guard, &m->settings.imds, r < 0 ? NULL : d);
	if (r < 0 || guarded < 0)
		return r < 0 ? r : guarded;
	guard_service_on_heal(m->guard, on_heal, m);
	host_service_configure(m->host, &m->settings);
	return 0;
}

/* An extra, as every event that is told to others: the guard does not hang on it. */
static void watch_fixes(struct daemon *m)
{
	struct diag d = { 0 };
	int r = fix_watch_new(&m->fixes, m->event, m->settings.daemon.state_dir, m->events, &d);

	if (r < 0)
		log_event(LOG_ERR, &msg_no_fixes, "where", d.where, "reason", d.what[0] ? d.what : strerror(-r));
}

/* Each container has one of its own. The 1,024 that are usual are for programs that call select(). */
static void take_descriptors(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) < 0)
		return;
	l.rlim_cur = l.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &l); /* refused: as many containers as there were */
}

static int run(struct daemon *m, struct diag *d)
{
	int r;

	take_descriptors();
	r = settings_read(&m->settings, m->options->config_path, m->options->config_optional, d);
	if (r < 0)
		return r;
	log_set_level(m->options->verbose ? LOG_DEBUG : m->settings.daemon.log_level);
	r = take_lock(m, d);
	if (r < 0)
		return r;
	r = make_loop(m);
	if (r < 0)
		return diag_errno(d, r, "event loop", "cannot be made");
	m->started = time(NULL);
	m->events = event_log_new();
	if (!m->events)
		return -ENOMEM;
	r = make_guard(m, d);
	if (r < 0)
		return r;
	r = audit_service_new(&m->audit, m->event, &m->settings, m->options->config_path, m->events);
	if (r < 0)
		return r;
	r = start_services(m, d);
	if (r < 0)
		return r;
	r = textfile_new(&m->textfile, m->event, status, m);
	if (r >= 0)
		r = strip_service_new(&m->strip, m->event, wake, m);
	if (r >= 0)
		r = control_new(&m->control, m->event, m->options->runtime_dir, methods, m, d);
	if (r < 0)
		return r;
	event_log_on_add(m->events, wake, m);
	watch_fixes(m);
	textfile_configure(m->textfile, &m->settings);
	notifier_say(m->manager, "READY=1\nSTATUS=Keeping the metadata service closed to containers.");
	log_event(LOG_NOTICE, &msg_ready, "table", guard_service_owner_text(m->guard));
	r = loop_run(m->event, &m->times);
	if (r < 0)
		return diag_errno(d, r, "event loop", "failed");
	r = guard_service_hand_over(m->guard, d);
	if (r < 0)
		return r;
	log_event(LOG_NOTICE, &msg_stopped);
	return 0;
}

int daemon_run(const struct daemon_options *o, struct diag *d)
{
	struct daemon m = { .options = o, .lock = -1 };
	int r;

	r = run(&m, d);
	/* Its socket may be the table's owner, and the manager's copy goes with a unit that fails for good. */
	if (r < 0 && m.guard)
		(void)!guard_service_hand_over(m.guard, NULL);
	daemon_done(&m);
	return r;
}
