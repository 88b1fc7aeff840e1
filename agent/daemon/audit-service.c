/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Three lanes, each with one run at a time, a role's, and what has gathered for the next one. A container
 * that starts is judged at once, by what Docker said of it; files a moment later, for an editor
 * changes a directory several times; all that takes a look at the whole host rests nine times as
 * long as it took, so that a host on which much happens spends a tenth of a processor on it at most.
 *
 * A run that ends early is made again, after a pause; but one container must not keep all others from
 * being judged: where two runs in a row end at the same one it is left out.
 */
#include "daemon/audit-service.h"

#include <endian.h>
#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "batten/base/clock.h"
#include "batten/base/fd.h"
#include "batten/base/json.h"
#include "batten/base/log.h"
#include "batten/base/parse.h"
#include "batten/daemon/priorities.h"
#include "batten/host/docker.h"
#include "batten/host/introspect.h"
#include "batten/kernel/cgroup.h"
#include "daemon/audit-role.h"
#include "daemon/change-watch.h"
#include "daemon/finding-event.h"
#include "daemon/findings-keeper.h"
#include "daemon/role.h"
#include "daemon/unjudged.h"

static const struct log_message msg_run = { "e5fb0719cd3d4fa0c16c8d0e2f405155", "host audited" };
static const struct log_message msg_failed = { "f60c182ade4e40b1d27d9e1f30516266", "audit failed, trying again" };
static const struct log_message msg_watch = { "293f4b5d017143e405a0c14263849599", "changes cannot be watched" };
static const struct log_message msg_full = { "3a405c6e128244f516b1d2537495a6aa", "too many findings, the rest is not kept" };

#define GATHER_MAX_IDS 256
#define GATHER_MAX_BYTES (16u * 1024 * 1024)
#define RETRY_US 30000000ull
#define REST 9

enum lane_id { LANE_CONTAINER, LANE_FILES, LANE_HOST, _LANE_MAX };

static const struct {
	const char *name;
	unsigned int changes;
	uint64_t gather_us, timeout_us;
	int64_t priority;
	bool rests;
} lane_rows[_LANE_MAX] = {
	[LANE_CONTAINER] = {
		.name = "container",
		.changes = CHANGED(CHANGE_CONTAINER),
		.timeout_us = 30000000,
		.priority = PRIORITY_HOST,
	},
	[LANE_FILES] = {
		.name = "files",
		.changes = CHANGED(CHANGE_ECS_FILES) | CHANGED(CHANGE_DOCKER_FILES),
		.gather_us = 100000,
		.timeout_us = 30000000,
		.priority = PRIORITY_HOST,
	},
	[LANE_HOST] = {
		.name = "host",
		.changes = CHANGED_EVERYTHING,
		.gather_us = 500000,
		.timeout_us = 120000000,
		.priority = PRIORITY_BACKGROUND,
		.rests = true,
	},
};

struct lane {
	struct audit_service *service;
	enum lane_id id;
	unsigned int pending; /* changes */
	json_t *containers;   /* of CHANGE_CONTAINER: Docker's answers by id */
	sd_event_source *timer;
	uint64_t not_before_us;
	/* Of the run that goes on. */
	struct role *role; /* NULL: none */
	json_t *judged;	   /* the containers of the run, as above */
	int known;	   /* what the role was given, and where it writes whose data it reads; or -1 */
	bool done;	   /* it said all */
	struct life_run run;
	unsigned int changes;
	uint64_t began_us;
	char reason[800]; /* why the last run failed, or "" */
	char suspect[FACTS_NOTE_BYTES]; /* whose data it ended at, or "" */
};

struct audit_service {
	sd_event *event; /* referenced */
	struct event_log *log;
	struct settings settings;
	const char *config_path; /* borrowed */
	struct life *life;
	struct change_watch *watch; /* NULL: not enabled, or it cannot be */
	struct lane lanes[_LANE_MAX];
	json_t *running; /* the containers that run: {name, image, image_id} by id */
	struct unjudged unjudged;
	char *docker_info; /* a text of an earlier run for those that do not ask, or NULL */
	size_t n_docker_info;
	struct docker *docker;
	struct findings_keeper *keeper;
	char watch_reason[800];
	struct log_limit limit;
	struct {
		uint64_t runs, failed_runs, appeared, gone;
	} numbers;
	time_t last_run;
	double last_seconds; /* how long it took */
};

/* ---- findings -------------------------------------------------------------------------------- */

static void on_step(void *user, enum life_step step, const struct life_finding *f, size_t others)
{
	struct audit_service *s = user;

	finding_event(s->log, step, f, others);
	if (step == LIFE_NEW)
		s->numbers.appeared++;
	else
		s->numbers.gone++;
	findings_keeper_touch(s->keeper);
}

static bool is_running(const struct audit_service *s, const char *id)
{
	return json_object_get(s->running, id) != NULL;
}

/* What the container or image is called; NULL: none that runs has this id. */
static const char *name_of(const struct audit_service *s, const char *id)
{
	json_t *c = json_object_get(s->running, id);
	const char *other;

	if (c)
		return json_string_value(json_object_get(c, "name"));
	json_object_foreach(s->running, other, c) {
		if (strcmp(json_string_value(json_object_get(c, "image_id")), id) == 0)
			return json_string_value(json_object_get(c, "image"));
	}
	return NULL;
}

/* ---- a run ----------------------------------------------------------------------------------- */

static void lane_arm(struct lane *lane);
static void changed(struct audit_service *s, unsigned int changes);

static int on_ask(struct lane *lane, const void *data)
{
	struct audit_answer answer = { 0 };
	_cleanup_(fd_closep) int fd = -1;
	struct audit_ask q;

	memcpy(&q, data, sizeof(q)); /* what lies in a stream lies anywhere */
	if (!audit_ask_ok(&q))
		return -EBADMSG;
	if (q.whom == ASK_AGENT)
		fd = introspect_ask(q.path);
	else if (lane->service->docker)
		fd = docker_ask(lane->service->docker, q.path, q.api_minor, &answer.why);
	else
		fd = -EHOSTDOWN;
	answer.error = MIN(fd, 0);
	role_tell(lane->role, AUDIT_ANSWER, &answer, sizeof(answer), fd);
	return 0;
}

static int on_finding(struct lane *lane, const void *data, size_t n)
{
	struct audit_service *s = lane->service;
	struct life_finding f;
	enum status status;
	uint64_t held_back;
	int r = life_record_read(data, n, &f, &status);

	if (r < 0)
		return r;
	r = life_run_see(s->life, &lane->run, &f, status, (int64_t)time(NULL),
			 lane->id == LANE_CONTAINER || !f.container_id[0] || is_running(s, f.container_id));
	if (r < 0 && log_limit_allow(&s->limit, clock_us() / 1000, &held_back))
		log_event(LOG_ERR, &msg_full, "reason", strerror(-r));
	return 0;
}

/* The core does not look into it. */
static int on_learnt(struct audit_service *s, const void *data, size_t n)
{
	char *copy = malloc(n);

	if (!copy)
		return 0; /* the next run will tell it again */
	memcpy(copy, data, n);
	free(s->docker_info);
	s->docker_info = copy;
	s->n_docker_info = n;
	return 0;
}

static int on_message(void *user, uint32_t type, const void *data, size_t n)
{
	struct lane *lane = user;
	struct diag why;

	switch ((enum audit_message)type) {
	case AUDIT_ASK:
		return on_ask(lane, data);
	case AUDIT_FINDING:
		return on_finding(lane, data, n);
	case AUDIT_LEARNT:
		return on_learnt(lane->service, data, n);
	case AUDIT_FAILED:
		memcpy(&why, data, sizeof(why));
		role_diag_terminate(&why);
		(void)snprintf(lane->reason, sizeof(lane->reason), "%s%s%s", why.where, why.where[0] ? ": " : "", why.what);
		return 0;
	case AUDIT_DONE:
		lane->done = true;
		return 0;
	default:
		return -EBADMSG;
	}
}

static const char *changes_text(unsigned int changes, char *buf, size_t size)
{
	size_t n = 0;

	buf[0] = '\0';
	if (changes == CHANGED_EVERYTHING)
		return "everything";
	for (int c = 0; c < _CHANGE_MAX && n < size; c++)
		if (changes & CHANGED(c))
			n += (size_t)snprintf(buf + n, size - n, "%s%s", n > 0 ? " " : "", change_name((enum change)c));
	return buf;
}

/* Containers that ended while they were judged: their findings were there, and are gone. */
static void end_late(struct audit_service *s, const json_t *containers)
{
	const char *id;
	json_t *inspect;

	json_object_foreach((json_t *)containers, id, inspect) {
		if (!is_running(s, id))
			life_container_ended(s->life, id);
	}
}

static bool has_room(const struct lane *lane, const char *id, const json_t *text)
{
	size_t n_ids = 1, n_bytes = json_string_length(text);
	const char *other;
	json_t *had;

	json_object_foreach(lane->containers, other, had) {
		if (strcmp(other, id) == 0)
			continue;
		n_ids++;
		n_bytes += json_string_length(had);
	}
	return n_ids <= GATHER_MAX_IDS && n_bytes <= GATHER_MAX_BYTES;
}

/* For the next run. Beyond what there is room for the whole host is judged anyway. */
static void gather(struct lane *lane, const char *id, json_t *text)
{
	if (!lane->containers)
		lane->containers = json_object();
	if (!has_room(lane, id, text) || json_object_set(lane->containers, id, text) < 0)
		changed(lane->service, CHANGED(CHANGE_DOCKER));
}

/*
 * What a failed run was to look at is looked at again, but not a container that has ended since or is left
 * out: it is, or may be, what made the run fail. What Docker said of one since then stays.
 */
static void look_again(struct lane *lane)
{
	const char *id;
	json_t *text;

	json_object_foreach(lane->judged, id, text) {
		if (is_running(lane->service, id) && !unjudged_find(&lane->service->unjudged, id) &&
		    !json_object_get(lane->containers, id))
			gather(lane, id, text);
	}
	if (!lane->judged || json_object_size(lane->containers) > 0)
		lane->pending |= lane->changes;
	else
		lane->reason[0] = '\0'; /* nothing is left that was not judged */
}

/*
 * Whose data ended the run? A single death may have come from elsewhere, from the kernel that is short of
 * memory for one; of the second in a row at the same place it is sure enough. What an auditor writes is a
 * claim: only what runs can be left out, and is named then.
 * Return: look again at once
 */
static bool blame(struct lane *lane, const char *why)
{
	struct unjudged *u = &lane->service->unjudged;
	const struct unjudged_one *one;
	char id[FACTS_NOTE_BYTES], before[FACTS_NOTE_BYTES];
	const char *name = NULL;

	memcpy(before, lane->suspect, sizeof(before));
	lane->suspect[0] = '\0';
	if (lane->known >= 0 && fd_pread(lane->known, id, sizeof(id), 0) == (ssize_t)sizeof(id) && id[0] &&
	    memchr(id, '\0', sizeof(id)))
		name = name_of(lane->service, id);
	if (!name)
		return false;
	one = unjudged_find(u, id);
	if (one) /* when the run began it was not left out yet; if it was, that does not help */
		return one->since_us > lane->began_us;
	if (strcmp(before, id) == 0)
		return unjudged_add(u, id, name, why) == 0;
	memcpy(lane->suspect, id, sizeof(id));
	return !before[0];
}

/* @why: it did not come to its end; "" when it did, or said why itself */
static void finish(struct lane *lane, const char *why)
{
	struct audit_service *s = lane->service;
	uint64_t took = clock_us() - lane->began_us, held_back = 0;
	char changes[160];
	bool at_once;

	if (lane->done && !why[0]) {
		lane->reason[0] = lane->suspect[0] = '\0';
		life_run_end(s->life, &lane->run);
		s->numbers.runs++;
		s->last_seconds = (double)took / 1e6;
		s->last_run = time(NULL);
		lane->not_before_us = lane_rows[lane->id].rests ? clock_us() + REST * took : 0;
		log_event(lane->changes == CHANGED_EVERYTHING ? LOG_INFO : LOG_DEBUG, &msg_run, "changed",
			  changes_text(lane->changes, changes, sizeof(changes)), "elapsed_us", U64S(took));
	} else {
		s->numbers.failed_runs++;
		if (why[0] || !lane->reason[0])
			(void)snprintf(lane->reason, sizeof(lane->reason), "who audits ended early: %s", why);
		if (log_limit_allow(&s->limit, clock_us() / 1000, &held_back))
			log_event(LOG_ERR, &msg_failed, "reason", lane->reason);
		at_once = blame(lane, why[0] ? why : lane->reason);
		look_again(lane);
		lane->not_before_us = at_once ? 0 : clock_us() + RETRY_US;
	}
	lane->known = fd_close(lane->known);
	if (lane->judged)
		end_late(s, lane->judged);
	json_decref(lane->judged);
	lane->judged = NULL;
}

static void on_gone(void *user, const char *why)
{
	struct lane *lane = user;

	lane->role = role_free(lane->role);
	finish(lane, why);
	/* What many small answers left behind goes back to the system. */
	if (lane->id == LANE_HOST)
		(void)malloc_trim(0);
	if (lane->pending)
		lane_arm(lane);
}

static int write_record(int fd, const char *id, const char *text, size_t n)
{
	struct {
		char id[FACTS_NOTE_BYTES];
		uint32_t n;
	} head = { .n = htole32((uint32_t)n) };
	int r;

	(void)snprintf(head.id, sizeof(head.id), "%s", id);
	r = fd_write_all(fd, &head, sizeof(head));
	return r < 0 ? r : fd_write_all(fd, text, n);
}

/* What is known already goes as a file without a name: it may be larger than a socket's buffer. */
static int write_known(const struct lane *lane, struct audit_begin *b)
{
	const struct audit_service *s = lane->service;
	_cleanup_(fd_closep) int fd = memfd_create("known", MFD_CLOEXEC);
	int r = fd < 0 || ftruncate(fd, AUDIT_NOTE_BYTES) < 0 || lseek(fd, 0, SEEK_END) < 0 ? -errno : 0;
	const char *id;
	json_t *text;

	if (r >= 0 && lane->judged && s->docker_info) {
		b->n_docker = (uint32_t)s->n_docker_info;
		r = fd_write_all(fd, s->docker_info, s->n_docker_info);
	}
	for (; r >= 0 && b->n_left_out < s->unjudged.n; b->n_left_out++) {
		const struct unjudged_one *one = &s->unjudged.list[b->n_left_out];

		r = write_record(fd, one->id, one->reason, strlen(one->reason));
	}
	json_object_foreach(lane->judged, id, text) {
		if (r >= 0)
			r = write_record(fd, id, json_string_value(text), json_string_length(text));
		b->n_containers++;
	}
	return r < 0 ? r : fd_take(&fd);
}

static int start_role(struct lane *lane)
{
	static const struct role_calls calls = { .message = on_message, .gone = on_gone };
	const struct role_kind kind = {
		.name = AUDIT_ROLE,
		.protocol = &audit_protocol,
		.priority = lane_rows[lane->id].priority,
		.once = true,
		.background = lane_rows[lane->id].rests,
		.timeout_us = lane_rows[lane->id].timeout_us,
	};
	const struct settings *settings = &lane->service->settings;
	struct audit_begin b = { .controls = lane->run.controls, .known = lane->judged != NULL };
	int r = lane->known = write_known(lane, &b);

	_Static_assert(sizeof(b.profile) == sizeof(settings->audit.profile) &&
			       sizeof(b.waivers) == sizeof(settings->audit.waivers), "settings fit");
	/* The environment does not go with it. */
	if (lane->service->docker && (settings->daemon.docker[0] || getenv("DOCKER_HOST")))
		(void)snprintf(b.docker, sizeof(b.docker), "%s", docker_socket(lane->service->docker));
	memcpy(b.profile, settings->audit.profile, sizeof(b.profile));
	memcpy(b.waivers, settings->audit.waivers, sizeof(b.waivers));
	if (r >= 0)
		r = role_new(&lane->role, lane->service->event, &kind, lane_rows[lane->id].name, &calls, lane);
	if (r >= 0)
		role_tell(lane->role, AUDIT_BEGIN, &b, sizeof(b), lane->known);
	return r;
}

static void lane_start(struct lane *lane)
{
	struct audit_service *s = lane->service;
	int r;

	lane->changes = lane->pending;
	lane->pending = 0;
	lane->done = false;
	lane->began_us = clock_us();
	for (size_t i = 0; i < s->unjudged.n; i++)
		(void)json_object_del(lane->containers, s->unjudged.list[i].id);
	lane->judged = take_ptr(lane->containers);
	lane->run = (struct life_run){ .containers = lane->judged };
	control_mask_add_changed(&lane->run.controls, lane->changes);
	life_run_begin(s->life, &lane->run);
	r = start_role(lane);
	if (r >= 0)
		return;
	finish(lane, strerror(-r));
	lane_arm(lane);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *data)
{
	struct lane *lane = data;

	if (!lane->role && lane->pending)
		lane_start(lane);
	return 0;
}

/* Starts a run when it is time, now or later; one that goes on starts the next. */
static void lane_arm(struct lane *lane)
{
	uint64_t now = clock_us(), at = MAX(now + lane_rows[lane->id].gather_us, lane->not_before_us);
	int enabled = SD_EVENT_OFF, r;

	if (lane->role)
		return;
	if (at <= now) {
		lane_start(lane);
		return;
	}
	/* A timer that runs is left alone: changes that never end would put it off for ever. */
	if (lane->timer && sd_event_source_get_enabled(lane->timer, &enabled) >= 0 && enabled != SD_EVENT_OFF)
		return;
	if (!lane->timer) {
		r = sd_event_add_time(lane->service->event, &lane->timer, CLOCK_MONOTONIC, at, 1000, on_timer, lane);
		if (r >= 0)
			r = sd_event_source_set_priority(lane->timer, lane_rows[lane->id].priority);
	} else {
		r = sd_event_source_set_time(lane->timer, at);
		if (r >= 0)
			r = sd_event_source_set_enabled(lane->timer, SD_EVENT_ONESHOT);
	}
	(void)r; /* the next change tries again */
}

/* By what has changed a run that failed may succeed. */
static void try_again_now(struct lane *lane)
{
	if (!lane->reason[0])
		return;
	lane->not_before_us = 0;
	lane->timer = sd_event_source_disable_unref(lane->timer);
	if (lane->pending)
		lane_arm(lane);
}

static void changed(struct audit_service *s, unsigned int changes)
{
	if (!s->settings.audit.enabled)
		return;
	/* What holds for everything is for the host's lane alone. */
	if (changes & CHANGED(CHANGE_OWN_FILES)) {
		changes = CHANGED_EVERYTHING;
		for (int i = 0; i < _LANE_MAX; i++)
			try_again_now(&s->lanes[i]);
	}
	for (int i = 0; changes && i < _LANE_MAX; i++) {
		struct lane *lane = &s->lanes[changes == CHANGED_EVERYTHING ? LANE_HOST : i];

		if (!(changes & lane_rows[lane->id].changes))
			continue;
		lane->pending |= changes & lane_rows[lane->id].changes;
		changes &= ~lane_rows[lane->id].changes;
		lane_arm(lane);
	}
}

static void on_change(void *user, unsigned int changes)
{
	changed(user, changes);
}

/* ---- what the host service tells ---------------------------------------------------------------- */

void audit_service_runs(struct audit_service *s, const struct container *c)
{
	struct lane *lane = &s->lanes[LANE_CONTAINER];
	bool fresh = !is_running(s, c->id);

	(void)json_object_set_new(s->running, c->id, json_pack("{s:o, s:o, s:o}", "name", json_text(c->name), "image",
							       json_text(c->image), "image_id", json_text(c->image_id)));
	unjudged_forget(&s->unjudged, c->id);
	if (!s->settings.audit.enabled)
		return;
	if (c->inspect_text) {
		_cleanup_(json_freep) json_t *text = json_string_nocheck(c->inspect_text);

		gather(lane, c->id, text);
		changed(s, CHANGED(CHANGE_CONTAINER));
	}
	changed(s, CHANGED(CHANGE_CONTAINERS) | (fresh && c->role == ROLE_ECS_AGENT ? CHANGED(CHANGE_AGENT) : 0));
}

void audit_service_ended(struct audit_service *s, const struct container *c)
{
	(void)json_object_del(s->running, c->id);
	for (size_t i = s->unjudged.n; i-- > 0;)
		if (!name_of(s, s->unjudged.list[i].id))
			unjudged_forget(&s->unjudged, s->unjudged.list[i].id);
	life_container_ended(s->life, c->id);
	changed(s, CHANGED(CHANGE_CONTAINERS) | (c->role == ROLE_ECS_AGENT ? CHANGED(CHANGE_AGENT) : 0));
}

void audit_service_docker(struct audit_service *s)
{
	changed(s, CHANGED(CHANGE_DOCKER));
}

/* ---- life ------------------------------------------------------------------------------------ */

static int watch_groups(struct audit_service *s, struct diag *d)
{
	static const char *const others[] = { "", "docker", "ecs", "system.slice" };
	const struct imds_config *imds = &s->settings.imds;
	char root[PATH_MAX], path[PATH_MAX + 128];
	int r = 0;

	(void)snprintf(root, sizeof(root), "%s", imds->cgroup_root);
	if (!root[0] && cgroup_mount(root, NULL) < 0)
		return 0;
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(others); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", root, others[i]);
		r = change_watch_directory(s->watch, path, NULL, CHANGE_CGROUPS, d);
	}
	for (size_t i = 0; r >= 0 && i < imds->slices.n; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", root, imds->slices.names[i]);
		r = change_watch_directory(s->watch, path, NULL, CHANGE_CGROUPS, d);
	}
	return r;
}

/* One file, by its name in its directory: it may be replaced at any time. */
static int watch_file(struct audit_service *s, const char *path, enum change change, struct diag *d)
{
	const char *slash = strrchr(path, '/');
	_cleanup_(freep) char *directory = NULL;

	if (!slash || slash == path)
		return 0;
	directory = strndup(path, (size_t)(slash - path));
	return directory ? change_watch_directory(s->watch, directory, slash + 1, change, d) : -ENOMEM;
}

static int watch_files(struct audit_service *s, struct diag *d)
{
	static const struct {
		const char *path;
		enum change change;
	} rows[] = {
		{ "/etc/ecs", CHANGE_ECS_FILES },
		{ "/var/lib/ecs", CHANGE_ECS_FILES },
		{ "/etc/docker", CHANGE_DOCKER_FILES },
		{ "/etc/batten/profiles", CHANGE_OWN_FILES },
	};
	const char *const own[] = { s->config_path, s->settings.audit.waivers, s->settings.audit.profile };
	int r = 0;

	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(rows); i++)
		r = change_watch_directory(s->watch, rows[i].path, NULL, rows[i].change, d);
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(own); i++)
		r = watch_file(s, own[i], CHANGE_OWN_FILES, d);
	return r;
}

static void open_watch(struct audit_service *s)
{
	struct diag d = { 0 };
	int r;

	s->watch = change_watch_free(s->watch);
	s->watch_reason[0] = '\0';
	if (!s->settings.audit.enabled)
		return;
	r = change_watch_new(&s->watch, s->event, on_change, s, &d);
	if (r >= 0)
		r = watch_files(s, &d);
	if (r >= 0)
		r = watch_groups(s, &d);
	if (r >= 0)
		return;
	(void)snprintf(s->watch_reason, sizeof(s->watch_reason), "%s: %s", d.where, d.what[0] ? d.what : strerror(-r));
	log_event(LOG_ERR, &msg_watch, "reason", s->watch_reason);
}

static void stop_lanes(struct audit_service *s)
{
	for (int i = 0; i < _LANE_MAX; i++) {
		struct lane *lane = &s->lanes[i];

		lane->role = role_free(lane->role);
		lane->known = fd_close(lane->known);
		lane->timer = sd_event_source_disable_unref(lane->timer);
		json_decref(lane->containers);
		json_decref(lane->judged);
		lane->containers = lane->judged = NULL;
		lane->pending = 0;
		lane->reason[0] = lane->suspect[0] = '\0';
	}
}

void audit_service_configure(struct audit_service *s, const struct settings *settings)
{
	struct diag d = { 0 };
	int r;

	s->settings = *settings;
	s->docker = docker_free(s->docker);
	r = docker_new(&s->docker, settings->daemon.docker[0] ? settings->daemon.docker : NULL, &d);
	if (r < 0)
		log_event(LOG_ERR, &msg_failed, "where", d.where, "reason", d.what);
	open_watch(s);
	if (settings->audit.enabled)
		changed(s, CHANGED_EVERYTHING);
	else
		stop_lanes(s);
}

int audit_service_new(struct audit_service **ret, sd_event *event, const struct settings *settings,
		      const char *config_path, struct event_log *log)
{
	_cleanup_(audit_service_freep) struct audit_service *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->event = sd_event_ref(event);
	s->log = s->unjudged.log = log;
	s->limit = (struct log_limit){ .interval_ms = 60000, .burst = 5 };
	s->config_path = config_path;
	s->running = json_object();
	for (int i = 0; i < _LANE_MAX; i++) {
		s->lanes[i].service = s;
		s->lanes[i].id = (enum lane_id)i;
		s->lanes[i].known = -1;
	}
	r = s->running ? life_new(&s->life, on_step, s) : -ENOMEM;
	if (r >= 0)
		r = findings_keeper_new(&s->keeper, event, s->life, settings->daemon.state_dir);
	if (r < 0)
		return r;
	(void)malloc_trim(0);
	audit_service_configure(s, settings);
	*ret = take_ptr(s);
	return 0;
}

struct audit_service *audit_service_free(struct audit_service *s)
{
	if (!s)
		return NULL;
	stop_lanes(s);
	s->keeper = findings_keeper_free(s->keeper);
	s->watch = change_watch_free(s->watch);
	s->life = life_free(s->life);
	json_decref(s->running);
	free(s->docker_info);
	s->docker = docker_free(s->docker);
	(void)sd_event_unref(s->event);
	free(s);
	return NULL;
}

/* ---- what it says of itself ------------------------------------------------------------------- */

/* @buf: room for it */
static const char *trouble(const struct audit_service *s, char *buf, size_t size)
{
	if (s->watch_reason[0])
		return s->watch_reason;
	for (int i = 0; i < _LANE_MAX; i++)
		if (s->lanes[i].reason[0])
			return s->lanes[i].reason;
	unjudged_trouble(&s->unjudged, buf, size);
	return buf[0] ? buf : findings_keeper_trouble(s->keeper);
}

json_t *audit_service_status(const struct audit_service *s)
{
	char buf[700];
	const char *reason = trouble(s, buf, sizeof(buf));
	json_t *findings = json_object(), *j;
	size_t counts[_SEV_MAX];

	life_count(s->life, counts);
	for (int i = _SEV_MAX - 1; i >= 0; i--)
		json_object_set_new(findings, severity_name((enum severity)i), json_integer((json_int_t)counts[i]));
	j = json_pack("{s:s, s:s, s:o, s:I, s:I}", "state",
		      !s->settings.audit.enabled ? "off" : reason[0] ? "degraded" : "active", "profile",
		      s->settings.audit.profile, "findings", findings, "runs", (json_int_t)s->numbers.runs, "failed_runs",
		      (json_int_t)s->numbers.failed_runs);
	if (!j)
		return NULL;
	if (!s->settings.audit.enabled)
		json_object_set_new(j, "reason", json_string("[audit] enabled = no"));
	else if (reason[0])
		json_object_set_new(j, "reason", json_text(reason));
	json_object_set_new(j, "steps", json_pack("{s:I, s:I}", "new", (json_int_t)s->numbers.appeared, "gone",
						  (json_int_t)s->numbers.gone));
	if (s->last_run > 0) {
		json_object_set_new(j, "last_run", json_integer((json_int_t)s->last_run));
		json_object_set_new(j, "last_seconds", json_real(s->last_seconds));
	}
	json_object_set_new(j, "unjudged", unjudged_status(&s->unjudged));
	json_object_set_new(j, "watches", s->watch ? change_watch_status(s->watch) : json_array());
	return j;
}
