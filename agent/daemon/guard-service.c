/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Watching and healing. An event that touches our table or rules leads to a look at the kernel, and
 * a difference to a new apply; an event alone proves nothing. While the guard cannot be applied
 * (another process owns the table, say) a timer tries again, for the kernel does not tell when an
 * owner goes away; while all is well there is no timer.
 */
#include "daemon/guard-service.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "batten/base/file.h"
#include "batten/base/log.h"
#include "batten/base/parse.h"
#include "batten/daemon/priorities.h"
#include "batten/imds/guard.h"
#include "batten/imds/watch.h"
#include "batten/kernel/cgroup.h"
#include "daemon/event-log.h"

#define RETRY_US 1000000ULL

static const struct log_message msg_healed = { "b6f0c3a1d2e54c7f8a9b0c1d2e3f4a11", "IMDS guard healed" };
static const struct log_message msg_heal_failed = { "e1a2b3c4d5f64a7b8c9d0e1f2a3b4c12",
						     "IMDS guard cannot be put back, trying again" };
static const struct log_message msg_recovered = { "f3b4c5d6e7a84b9c8d0e1f2a3b4c5d13", "IMDS guard stands again" };
static const struct log_message msg_old_pins = { "c7d8e9f0a1b24c3d8e4f5a6b7c8d9e16",
						  "programs pinned for an earlier configuration cannot be removed" };
static const struct log_message msg_unblocked = { "a4c5d6e7f8b94cad9e1f2a3b4c5d6e14", "IMDS unblocked by an operator" };
static const struct log_message msg_blocked = { "d5e6f7a8b9ca4dbe8f2a3b4c5d6e7f15", "IMDS blocked" };

struct guard_service {
	sd_event *event; /* referenced */
	struct imds_guard *guard;
	struct imds_watch *watch;
	sd_event_source *sources[_WATCH_MAX], *retry;
	struct imds_config config;
	struct imds_openings open; /* for containers that run; owned */
	sd_event_source *slices; /* of the directory that holds them */
	sd_event_source *pins;	 /* of the directory of pinned programs */
	bool kept, configured;
	bool unblocked;
	bool failing;
	uint64_t heals;
	void (*on_heal)(void *user);
	void *on_heal_user;
	struct log_limit limit;
	struct event_log *log; /* NULL: none */
	char unblocked_path[512];
	char pins_path[512]; /* a file that names the directory */
};

static uint64_t now_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000ULL + (uint64_t)t.tv_nsec / 1000;
}

/* ---- healing --------------------------------------------------------------------------------- */

static int on_retry(sd_event_source *source, uint64_t usec, void *data);

static void arm_retry(struct guard_service *s)
{
	int r;

	if (!s->retry) {
		r = sd_event_add_time_relative(s->event, &s->retry, CLOCK_MONOTONIC, RETRY_US, 0, on_retry, s);
		if (r >= 0)
			r = sd_event_source_set_priority(s->retry, PRIORITY_HEAL);
	} else {
		r = sd_event_source_set_time_relative(s->retry, RETRY_US);
		if (r >= 0)
			r = sd_event_source_set_enabled(s->retry, SD_EVENT_ONESHOT);
	}
	/* Without the timer a foreign event still leads here; nothing better can be done. */
	(void)r;
}

static void heal_failed(struct guard_service *s, int error, const struct diag *d)
{
	if (!s->failing)
		log_event(LOG_ERR, &msg_heal_failed, "where", d->where, "reason",
			  d->what[0] ? d->what : strerror(-error));
	s->failing = true;
	arm_retry(s);
}

static void tell_healed(struct guard_service *s, const char *what, const struct imds_change *c)
{
	const char *process = c && c->who.process[0] ? c->who.process : NULL;
	json_t *j;

	if (!s->log)
		return;
	j = json_pack("{s:s, s:i, s:s, s:o}", "kind", "imds.healed", "count", 1, "certainty", "certain", "message",
		      json_sprintf("the guard was put back: %.200s%s%.16s", what, process ? "; changed by " : "",
				   process ? process : ""));
	if (j && process)
		json_object_set_new(j, "process", json_string(process));
	event_log_add(s->log, j);
}

static void log_healed(struct guard_service *s, const char *what, const struct imds_change *c, uint64_t us)
{
	uint64_t held_back = 0;

	if (!log_limit_allow(&s->limit, now_us() / 1000, &held_back))
		return;
	tell_healed(s, what, c);
	log_event(LOG_WARNING, &msg_healed, "what", what, "process", c && c->who.process[0] ? c->who.process : NULL,
		  "pid", c && c->who.pid > 0 ? U64S(c->who.pid) : NULL, "netlink_port",
		  c && c->portid > 0 ? U64S(c->portid) : NULL, "elapsed_us", U64S(us), "held_back",
		  held_back > 0 ? U64S(held_back) : NULL);
}

static void heal(struct guard_service *s, struct imds_change *c, enum imds_watch_source source)
{
	uint64_t start = now_us();
	struct diag d = { 0 };
	char what[400];
	int r;

	if (!s->configured || s->unblocked)
		return;
	r = imds_guard_heal(s->guard, what, sizeof(what), &d);
	if (r < 0) {
		heal_failed(s, r, &d);
		return;
	}
	if (s->failing) {
		s->failing = false;
		log_event(LOG_NOTICE, &msg_recovered);
	}
	if (r == 0)
		return;
	s->heals++;
	if (s->on_heal)
		s->on_heal(s->on_heal_user);
	start = now_us() - start;
	/* Who did it may stand in the datagram behind the one that woke us. */
	if (c && source == WATCH_NFTABLES && !c->who.process[0]) {
		struct imds_change next;

		if (imds_watch_read(s->watch, source, &next) == 0)
			c->who = next.who;
	}
	log_healed(s, what, c, start);
}

static int on_retry(sd_event_source *source, uint64_t usec, void *data)
{
	heal(data, NULL, WATCH_NFTABLES);
	return 0;
}

static int on_change(struct guard_service *s, enum imds_watch_source source)
{
	struct imds_change c;
	int r;

	r = imds_watch_read(s->watch, source, &c);
	if (r < 0)
		return r; /* a socket that cannot be read any more: better end and be restarted */
	if (c.touched || c.lost)
		heal(s, &c, source);
	return 0;
}

static int on_nftables(sd_event_source *source, int fd, uint32_t events, void *data)
{
	return on_change(data, WATCH_NFTABLES);
}

static int on_routing_rules(sd_event_source *source, int fd, uint32_t events, void *data)
{
	return on_change(data, WATCH_ROUTING_RULES);
}

/* ---- life ------------------------------------------------------------------------------------ */

int guard_service_new(struct guard_service **ret, sd_event *event, const struct imds_features *assume,
		      int kept, const char *runtime_dir, struct diag *d)
{
	static const sd_event_io_handler_t handlers[_WATCH_MAX] = {
		[WATCH_NFTABLES] = on_nftables,
		[WATCH_ROUTING_RULES] = on_routing_rules,
	};
	_cleanup_(guard_service_freep) struct guard_service *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->event = sd_event_ref(event);
	s->limit = (struct log_limit){ .interval_ms = 1000, .burst = 20 };
	(void)snprintf(s->unblocked_path, sizeof(s->unblocked_path), "%s/imds.unblocked", runtime_dir);
	(void)snprintf(s->pins_path, sizeof(s->pins_path), "%s/bpf-dir", runtime_dir);
	s->unblocked = access(s->unblocked_path, F_OK) == 0;
	r = imds_guard_new(&s->guard, assume, false, kept, d);
	if (r < 0)
		return r;
	r = imds_watch_new(&s->watch, imds_guard_portid(s->guard), d);
	for (int i = 0; r >= 0 && i < _WATCH_MAX; i++) {
		r = sd_event_add_io(event, &s->sources[i], imds_watch_fd(s->watch, i), EPOLLIN, handlers[i], s);
		if (r >= 0)
			r = sd_event_source_set_priority(s->sources[i], PRIORITY_HEAL);
		/* A handler that fails ends the loop instead of being switched off in silence. */
		if (r >= 0)
			r = sd_event_source_set_exit_on_failure(s->sources[i], true);
	}
	if (r < 0)
		return diag_errno(d, r, "guard", "cannot listen to changes");
	*ret = take_ptr(s);
	return 0;
}

struct guard_service *guard_service_free(struct guard_service *s)
{
	if (!s)
		return NULL;
	for (size_t i = 0; i < _WATCH_MAX; i++)
		(void)sd_event_source_disable_unref(s->sources[i]);
	(void)sd_event_source_disable_unref(s->retry);
	(void)sd_event_source_disable_unref(s->slices);
	(void)sd_event_source_disable_unref(s->pins);
	s->watch = imds_watch_free(s->watch);
	s->guard = imds_guard_free(s->guard);
	imds_openings_done(&s->open);
	(void)sd_event_unref(s->event);
	free(s);
	return NULL;
}

void guard_service_set_log(struct guard_service *s, struct event_log *log)
{
	s->log = log;
}

int guard_service_socket_fd(const struct guard_service *s)
{
	return imds_guard_socket_fd(s->guard);
}

void guard_service_set_kept(struct guard_service *s, bool kept)
{
	s->kept = kept;
}

void guard_service_on_heal(struct guard_service *s, void (*fn)(void *user), void *user)
{
	s->on_heal = fn;
	s->on_heal_user = user;
}

bool guard_service_stands(const struct guard_service *s)
{
	return s->configured && !s->unblocked;
}

/* A slice was made or removed: its rules name it by a number that is never used again. */
static void renew_slices(struct guard_service *s)
{
	struct diag d = { 0 };
	int r;

	if (!s->configured || s->unblocked)
		return;
	r = imds_guard_configure(s->guard, &s->config, &s->open, s->kept);
	if (r >= 0)
		r = imds_guard_apply(s->guard, &d);
	if (r < 0)
		heal_failed(s, r, &d);
}

static int on_slices(sd_event_source *source, const struct inotify_event *e, void *data)
{
	struct guard_service *s = data;
	bool ours = e->mask & IN_Q_OVERFLOW;

	for (size_t i = 0; e->len > 0 && i < s->config.slices.n; i++)
		ours = ours || strcmp(e->name, s->config.slices.names[i]) == 0;
	if (ours)
		renew_slices(s);
	return 0;
}

static void watch_slices(struct guard_service *s)
{
	char root[PATH_MAX];
	int r;

	s->slices = sd_event_source_disable_unref(s->slices);
	if (!imds_guard_follows_slices(s->guard))
		return;
	(void)snprintf(root, sizeof(root), "%s", s->config.cgroup_root);
	if (!root[0] && cgroup_mount(root, NULL) < 0)
		return;
	r = sd_event_add_inotify(s->event, &s->slices, root, IN_CREATE | IN_DELETE | IN_MOVED_TO, on_slices, s);
	if (r >= 0)
		r = sd_event_source_set_priority(s->slices, PRIORITY_HEAL);
	if (r < 0)
		log_event(LOG_ERR, &msg_heal_failed, "where", root, "reason", strerror(-r));
	else /* one may have been made between the last look and the watch */
		renew_slices(s);
}

/* ---- pinned programs ------------------------------------------------------------------------- */

static void watch_pins(struct guard_service *s);

static int on_pins(sd_event_source *source, const struct inotify_event *e, void *data)
{
	struct guard_service *s = data;
	bool gone = e->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED);

	/* Under this name each program is pinned for a moment before it gets its own. */
	if (e->len > 0 && strcmp(e->name, "fresh") == 0)
		return 0;
	heal(s, NULL, WATCH_NFTABLES);
	if (gone) {
		watch_pins(s);
		heal(s, NULL, WATCH_NFTABLES); /* for what was deleted in between */
	}
	return 0;
}

static void watch_pins(struct guard_service *s)
{
	const struct imds_plan *p = imds_guard_plan(s->guard);
	int r;

	s->pins = sd_event_source_disable_unref(s->pins);
	if (!p->cgroup_ebpf || s->unblocked || access(p->bpf_dir, F_OK) < 0)
		return;
	r = sd_event_add_inotify(s->event, &s->pins, p->bpf_dir,
				 IN_DELETE | IN_MOVED_FROM | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR, on_pins, s);
	if (r >= 0)
		r = sd_event_source_set_priority(s->pins, PRIORITY_HEAL);
	if (r < 0)
		log_event(LOG_ERR, &msg_heal_failed, "where", p->bpf_dir, "reason", strerror(-r));
}

/* The directory may be another than it was, also before a restart: nothing stays attached there. */
static void remember_pins(struct guard_service *s)
{
	const struct imds_plan *p = imds_guard_plan(s->guard);
	_cleanup_(freep) char *old = NULL;
	struct diag d = { 0 };
	int r = 0;

	if (file_read_proc(AT_FDCWD, s->pins_path, PATH_MAX, &old, NULL) >= 0)
		r = imds_guard_leave_pins(s->guard, old, &d);
	if (r < 0)
		log_event(LOG_WARNING, &msg_old_pins, "where", d.where, "reason", d.what);
	if (p->cgroup_ebpf && (!old || strcmp(old, p->bpf_dir) != 0))
		r = file_replace(AT_FDCWD, s->pins_path, p->bpf_dir, strlen(p->bpf_dir), 0600, &d);
	else if (!p->cgroup_ebpf)
		(void)unlink(s->pins_path);
	(void)r; /* not remembered: a changed directory is then left to the operator */
}

int guard_service_allow(struct guard_service *s, const struct imds_openings *open, struct diag *d)
{
	struct imds_openings copy = { 0 };
	int r;

	if (imds_openings_equal(&s->open, open))
		return 0;
	r = imds_openings_copy(&copy, open);
	if (r < 0)
		return r;
	imds_openings_done(&s->open);
	s->open = copy;
	if (!s->configured)
		return 0;
	r = imds_guard_configure(s->guard, &s->config, &s->open, s->kept);
	if (r >= 0 && !s->unblocked)
		r = imds_guard_apply(s->guard, d);
	/* What must not be open is tried again like any other damage. */
	if (r < 0)
		heal_failed(s, r, d);
	return r;
}

int guard_service_open_cgroups(struct guard_service *s, struct cgroup_layer **ret, struct diag *d)
{
	return s->unblocked ? -ENOENT : imds_guard_open_cgroups(s->guard, ret, d);
}

int guard_service_open_births(struct guard_service *s, struct cgroup_births **ret, struct diag *d)
{
	return s->unblocked ? -ENOENT : imds_guard_open_births(s->guard, ret, d);
}

int guard_service_configure(struct guard_service *s, const struct imds_config *c, struct diag *d)
{
	int r;

	r = imds_guard_configure(s->guard, c, &s->open, s->kept);
	if (r >= 0 && !s->unblocked)
		r = imds_guard_apply(s->guard, d);
	if (r < 0) {
		/* The kernel refused or memory ran out: what held before holds again. */
		if (s->configured && imds_guard_configure(s->guard, &s->config, &s->open, s->kept) >= 0)
			heal(s, NULL, WATCH_NFTABLES);
		return r;
	}
	s->config = *c;
	s->configured = true;
	watch_slices(s);
	watch_pins(s);
	remember_pins(s);
	return 0;
}

int guard_service_block(struct guard_service *s, struct diag *d)
{
	int r;

	if (!s->config.enabled)
		return diag_fail(d, -EINVAL, "[imds]",
				 "enabled = no in the daemon's configuration; change it and reload the daemon");
	/* Nobody followed the slices meanwhile: those of the plan may be gone. */
	r = imds_guard_configure(s->guard, &s->config, &s->open, s->kept);
	if (r >= 0)
		r = imds_guard_apply(s->guard, d);
	if (r < 0)
		return r;
	if (s->unblocked) {
		(void)unlink(s->unblocked_path);
		s->unblocked = false;
		watch_slices(s);
		watch_pins(s);
		log_event(LOG_NOTICE, &msg_blocked);
	}
	return 0;
}

int guard_service_unblock(struct guard_service *s, struct diag *d)
{
	int r;

	/* Written first: a daemon that dies in between must not close what an operator opened. */
	r = file_replace(AT_FDCWD, s->unblocked_path, "", 0, 0600, d);
	if (r < 0)
		return r;
	s->unblocked = true;
	r = imds_guard_remove(s->guard, d);
	if (r < 0)
		return r;
	log_event(LOG_WARNING, &msg_unblocked);
	return 0;
}

int guard_service_packets(struct guard_service *s, uint64_t *ret, struct diag *d)
{
	return imds_guard_packets(s->guard, ret, d);
}

int guard_service_status(struct guard_service *s, json_t **ret, struct diag *d)
{
	struct imds_status status;
	int r;

	r = imds_guard_status(s->guard, &status, d);
	if (r < 0)
		return r;
	status.heals = s->heals;
	*ret = imds_status_json(&status);
	if (!*ret)
		return -ENOMEM;
	if (s->unblocked)
		json_object_set_new(*ret, "unblocked", json_true());
	return 0;
}

int guard_service_hand_over(struct guard_service *s, struct diag *d)
{
	return guard_service_stands(s) ? imds_guard_release(s->guard, d) : 0;
}

const char *guard_service_owner_text(const struct guard_service *s)
{
	return s->unblocked ? "unblocked by an operator" : imds_guard_plan(s->guard)->owner_reason;
}
