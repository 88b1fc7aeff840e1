/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What takes a right is read first, out of the kernel: the rules of the packet filter. Then the rights
 * go, and only then comes what others wrote: Docker's answers, layers, rpm's database, files. One right
 * stays, CAP_SYS_PTRACE, without which another process' namespaces, mounts and descriptors cannot be
 * seen; files are opened for reading alone, for with it a file of /proc is another process' memory.
 *
 * Only what has a life is told: what failed, and what could not be examined. Whose data is being read
 * stands in memory that the core sees, too.
 */
#include "daemon/audit-role.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "batten/audit/audit.h"
#include "batten/audit/facts.h"
#include "batten/audit/life.h"
#include "batten/audit/profile.h"
#include "batten/audit/waiver.h"
#include "batten/base/core-dump.h"
#include "batten/base/cursor.h"
#include "batten/base/fd.h"
#include "batten/base/json.h"
#include "batten/kernel/confine.h"
#include "daemon/role.h"

/* A thousand containers and their images, as text and as a tree. */
#define MAX_DATA_BYTES (256u * 1024 * 1024)
#define MAX_FILES 512 /* nine bits: 128 layers, a path of 64 directories in one, and connections */

static const struct role_message messages[_AUDIT_MAX] = {
	[AUDIT_BEGIN] = { "begin", false, sizeof(struct audit_begin), sizeof(struct audit_begin), 0 },
	[AUDIT_ASK] = { "ask", true, sizeof(struct audit_ask), sizeof(struct audit_ask), 0 },
	[AUDIT_ANSWER] = { "answer", false, sizeof(struct audit_answer), sizeof(struct audit_answer), 0 },
	[AUDIT_FINDING] = { "finding", true, LIFE_RECORD_MIN, LIFE_RECORD_MAX, 0 },
	[AUDIT_LEARNT] = { "learnt", true, 2, AUDIT_LEARNT_MAX, 0 },
	[AUDIT_FAILED] = { "failed", true, sizeof(struct diag), sizeof(struct diag), 0 },
	[AUDIT_DONE] = { "done", true, 0, 0, 0 },
};

const struct role_protocol audit_protocol = { messages, _AUDIT_MAX };

/* The little of `docker info` that judging one container takes. */
static const char *const info_members[] = { "SecurityOptions", "DockerRootDir" };

/* ---- questions ----------------------------------------------------------------------------------- */

static const struct {
	enum audit_whom whom;
	const char *before, *after; /* of an id; NULL: there is none */
} questions[] = {
	{ ASK_DOCKER, "/_ping", NULL },		  { ASK_DOCKER, "/info", NULL },
	{ ASK_DOCKER, "/version", NULL },	  { ASK_DOCKER, "/containers/json", NULL },
	{ ASK_DOCKER, "/images/json", NULL },	  { ASK_DOCKER, "/networks/bridge", NULL },
	{ ASK_DOCKER, "/networks", NULL },
	{ ASK_DOCKER, "/containers/", "/json" },  { ASK_DOCKER, "/images/", "/json" },
	{ ASK_DOCKER, "/images/", "/history" },	  { ASK_DOCKER, "/exec/", "/json" },
	{ ASK_AGENT, "/v1/metadata", NULL },	  { ASK_AGENT, "/v1/tasks", NULL },
};

/* @text: an id as docker_escape() leaves it, then @after, and no more */
static bool id_then(const char *text, const char *after)
{
	size_t n = strspn(text, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-%");

	return n > 0 && strcmp(text + n, after) == 0;
}

bool audit_ask_ok(const struct audit_ask *q)
{
	if (!memchr(q->path, '\0', sizeof(q->path)))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(questions); i++) {
		const char *before = questions[i].before, *after = questions[i].after;

		if (questions[i].whom != q->whom || strncmp(q->path, before, strlen(before)) != 0)
			continue;
		if (after ? id_then(q->path + strlen(before), after) : strcmp(q->path, before) == 0)
			return true;
	}
	return false;
}

/* Return: a connection, or why there is none */
static int ask(enum audit_whom whom, const char *path, unsigned int api_minor, struct diag *d)
{
	struct audit_ask question = { .whom = whom, .api_minor = api_minor };
	_cleanup_(fd_closep) int fd = -1;
	struct audit_answer answer;
	uint32_t type = _AUDIT_MAX;
	ssize_t n;
	int r;

	if (strlen(path) >= sizeof(question.path))
		return -ENAMETOOLONG;
	memcpy(question.path, path, strlen(path));
	r = role_send(ROLE_FD, &audit_protocol, true, AUDIT_ASK, &question, sizeof(question), -1, 0);
	if (r < 0)
		return r;
	n = role_receive(ROLE_FD, &audit_protocol, false, &type, &answer, sizeof(answer), &fd);
	if (n < 0)
		return (int)n;
	if (type != AUDIT_ANSWER)
		return -EBADMSG;
	if (answer.error >= 0 && fd >= 0)
		return fd_take(&fd);
	role_diag_terminate(&answer.why);
	if (d)
		*d = answer.why;
	return answer.error < 0 ? answer.error : -EBADMSG;
}

static int ask_docker(void *user, const char *path, unsigned int api_minor, struct diag *d)
{
	return ask(ASK_DOCKER, path, api_minor, d);
}

static int ask_agent(void *user, const char *path)
{
	return ask(ASK_AGENT, path, 0, NULL);
}

static const struct facts_askers askers = { .docker = ask_docker, .agent = ask_agent };

/* ---- answers --------------------------------------------------------------------------------------- */

static int tell(enum audit_message type, const void *data, size_t n)
{
	return role_send(ROLE_FD, &audit_protocol, true, type, data, n, -1, 0);
}

static int tell_finding(const struct finding *f)
{
	struct bytes b = { 0 };
	int r;

	life_record_write(f, &b);
	r = b.error < 0 ? b.error : b.n > 0 ? tell(AUDIT_FINDING, b.data, b.n) : 0;
	bytes_done(&b);
	return r;
}

static int tell_findings(const struct audit *a)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < a->n_findings; i++) {
		const struct finding *f = &a->findings[i];

		if (f->status == STATUS_FAIL || f->status == STATUS_DRIFT || f->status == STATUS_UNKNOWN)
			r = tell_finding(f);
	}
	return r;
}

static int tell_docker(struct facts *f)
{
	const json_t *info = facts_touched(f) & NEEDS_DOCKER ? facts_docker(f, "info") : NULL;
	_cleanup_(json_freep) json_t *some = json_object();
	_cleanup_(freep) char *text = NULL;
	size_t n;

	if (!info)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(info_members); i++)
		json_object_set(some, info_members[i], json_object_get(info, info_members[i]));
	text = json_line(some, &n);
	if (!text)
		return -ENOMEM;
	/* Too long for what it is: later runs do without. */
	return n > AUDIT_LEARNT_MAX ? 0 : tell(AUDIT_LEARNT, text, n);
}

/* ---- a run ------------------------------------------------------------------------------------------ */

/* The bytes behind the descriptor, which the core made and looks at again when we have ended. */
static int map_known(int fd, struct cursor *ret, char **ret_note)
{
	struct stat st;
	void *p, *note;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size < AUDIT_NOTE_BYTES || st.st_size > (off_t)AUDIT_KNOWN_MAX)
		return -EBADMSG;
	note = mmap(NULL, AUDIT_NOTE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED || note == MAP_FAILED)
		return -errno;
	cursor_init(ret, (char *)p + AUDIT_NOTE_BYTES, (size_t)st.st_size - AUDIT_NOTE_BYTES); /* until the process ends */
	*ret_note = note;
	return 0;
}

static int take_record(struct cursor *c, const char **ret_id, const char **ret_text, uint32_t *ret_n)
{
	const uint8_t *id, *text;
	int r = cursor_take(c, FACTS_NOTE_BYTES, &id);

	if (r >= 0)
		r = cursor_u32le(c, ret_n);
	if (r >= 0)
		r = cursor_take(c, *ret_n, &text);
	if (r < 0)
		return r;
	*ret_id = (const char *)id;
	*ret_text = (const char *)text;
	return id[FACTS_NOTE_BYTES - 1] == '\0' ? 0 : -EBADMSG;
}

/*
 * Fills the document of the source: what Docker is, and of each container what it answered.
 * @left_out: gets reasons by id
 */
static int take_known(struct facts *f, json_t *document, json_t *left_out, const struct audit_begin *b, struct cursor c)
{
	json_t *info = NULL, *list = json_array(), *inspect;
	const uint8_t *docker;
	const char *id, *text;
	uint32_t n;
	int r = cursor_take(&c, b->n_docker, &docker);

	for (uint32_t i = 0; r >= 0 && i < b->n_left_out; i++) {
		r = take_record(&c, &id, &text, &n);
		if (r >= 0 && json_object_set_new(left_out, id, json_stringn(text, n)) < 0)
			r = -ENOMEM;
	}
	if (r >= 0 && (b->n_docker == 0 || json_parse_answer((const char *)docker, b->n_docker, "Docker", &info, NULL) < 0))
		info = json_object();
	for (uint32_t i = 0; r >= 0 && i < b->n_containers; i++) {
		r = take_record(&c, &id, &text, &n);
		if (r < 0)
			break;
		(void)facts_subject(f, id);
		r = json_parse_answer(text, n, "container", &inspect, NULL);
		if (r == -ENOMEM)
			break; /* it stays written whose that was */
		if (r >= 0)
			json_array_append_new(list, inspect);
		r = 0;
		(void)facts_subject(f, "");
	}
	if (r >= 0 && json_object_update_new(document, json_pack("{s:o, s:{}, s:O, s:{}, s:[], s:{}}", "info", info,
								 "version", "containers", list, "execs", "images",
								 "image_details")) < 0)
		r = -ENOMEM;
	json_decref(list);
	return r;
}

/*
 * The unit keeps the daemon away from every address but localhost: a try from here would call the
 * service blocked, whoever can reach it. `batten audit` tries.
 */
static bool contacts_imds(const struct control *c)
{
	return c->needs & NEEDS_IMDS;
}

/* Naming a control runs it whatever the profile says: the profile's choice is made here. */
static void select_controls(const struct control_mask *m, const struct audit_profile *profile, const char **ret)
{
	size_t n = 0;

	for (unsigned int i = 0; i < MAX_CONTROLS; i++) {
		const struct control *c = control_at(i);

		if (c && control_mask_has(m, c) && audit_profile_has(profile, c->id) && !contacts_imds(c))
			ret[n++] = c->id;
	}
	ret[n] = NULL;
}

static int run_selected(const struct audit_begin *b, struct facts *facts, struct diag *d)
{
	_cleanup_(audit_profile_freep) struct audit_profile *profile = NULL;
	_cleanup_(waivers_freep) struct waivers *waivers = NULL;
	const char *selected[MAX_CONTROLS + 1];
	struct audit_options options = { .control_ids = selected, .now = (int64_t)time(NULL) };
	struct audit a = { 0 };
	int r;

	r = audit_profile_load(&profile, b->profile, d);
	if (r >= 0)
		r = waivers_load(&waivers, b->waivers, true, d);
	if (r < 0)
		return r;
	select_controls(&b->controls, profile, selected);
	options.profile = profile;
	options.waivers = waivers;
	r = audit_run(&a, facts, &options);
	if (r >= 0)
		r = tell_findings(&a);
	if (r >= 0 && !b->known)
		r = tell_docker(facts);
	audit_done(&a);
	return r;
}

/* The sources that take a right. What they are not there for, their controls will say. */
static void open_kernel(const struct control_mask *m, struct facts *f)
{
	unsigned int needs = 0;

	for (unsigned int i = 0; i < MAX_CONTROLS; i++)
		if (control_at(i) && control_mask_has(m, control_at(i)))
			needs |= control_sources(control_at(i));
	if (needs & NEEDS_RULES)
		(void)facts_source(f, SOURCE_RULES, NULL);
	if (needs & NEEDS_AUDIT)
		(void)facts_source(f, SOURCE_AUDIT, NULL);
}

int audit_role_confine(struct diag *d)
{
	static const int calls[] = {
		SCMP_SYS(read), SCMP_SYS(pread64), SCMP_SYS(lseek), SCMP_SYS(fstat),
		SCMP_SYS(newfstatat), SCMP_SYS(statx), SCMP_SYS(fstatfs), SCMP_SYS(statfs),
		SCMP_SYS(getdents64), SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(access),
		SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(lgetxattr), SCMP_SYS(getxattr),
		SCMP_SYS(fgetxattr), SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(recvfrom),
		SCMP_SYS(recvmsg), SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep), SCMP_SYS(getuid),
		SCMP_SYS(geteuid), SCMP_SYS(getgid), SCMP_SYS(getegid), SCMP_SYS(uname),
		SCMP_SYS(sysinfo),
		/* Without CAP_SYS_TIME they only tell. */
		SCMP_SYS(adjtimex), SCMP_SYS(clock_adjtime),
	};
	/* Its threads and connections into other namespaces are for who has the rights: `batten audit`. */
	static const int refused[] = { SCMP_SYS(socket), SCMP_SYS(connect), SCMP_SYS(clone), SCMP_SYS(clone3) };
	/* How it opens cannot be seen by a filter; root.c walks then. */
	static const int absent[] = { SCMP_SYS(openat2) };
	/* Reading alone, by whatever way: SQLite asks for more and takes less. */
	static const struct confinement_when when[] = {
		{ SCMP_SYS(sendmsg), 0, UINT32_MAX, ROLE_FD, false },
		/*
		 * Any but ROLE_FD, in whose place Docker's connection could be asked anything: there a bit
		 * is another than in 3, of those that MAX_FILES leaves.
		 */
		{ SCMP_SYS(close), 0, 1, 0, false },
		{ SCMP_SYS(close), 0, 2, 0, false },
		{ SCMP_SYS(close), 0, 4, 4, false },
		{ SCMP_SYS(close), 0, 8, 8, false },
		{ SCMP_SYS(close), 0, 16, 16, false },
		{ SCMP_SYS(close), 0, 32, 32, false },
		{ SCMP_SYS(close), 0, 64, 64, false },
		{ SCMP_SYS(close), 0, 128, 128, false },
		{ SCMP_SYS(close), 0, 256, 256, false },
		{ SCMP_SYS(openat), 2, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY, false },
		{ SCMP_SYS(openat), 2, O_ACCMODE, O_RDWR, true },
		{ SCMP_SYS(openat), 2, O_ACCMODE, O_WRONLY, true },
		{ SCMP_SYS(open), 1, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY, false },
		{ SCMP_SYS(open), 1, O_ACCMODE, O_RDWR, true },
		{ SCMP_SYS(open), 1, O_ACCMODE, O_WRONLY, true },
		{ SCMP_SYS(mmap), 3, MAP_SHARED, 0, false },
		{ SCMP_SYS(mmap), 2, PROT_WRITE, 0, false },
		{ SCMP_SYS(mprotect), 2, PROT_EXEC, 0, false },
		{ SCMP_SYS(fcntl), 1, UINT32_MAX, F_DUPFD_CLOEXEC, false },
		{ SCMP_SYS(fcntl), 1, UINT32_MAX, F_GETFL, false },
		{ SCMP_SYS(fcntl), 1, UINT32_MAX, F_GETFD, false },
		{ SCMP_SYS(fcntl), 1, UINT32_MAX, F_SETFD, false },
		{ SCMP_SYS(fcntl), 1, UINT32_MAX, F_GETLK, false },
		{ SCMP_SYS(fcntl), 1, UINT32_MAX, F_SETLK, false },
	};
	const struct confinement c = {
		.keep = CONFINE_CAP(CAP_SYS_PTRACE),
		.max_data_bytes = MAX_DATA_BYTES,
		.max_files = MAX_FILES,
		.calls = calls,
		.n_calls = ARRAY_SIZE(calls),
		.refused = refused,
		.n_refused = ARRAY_SIZE(refused),
		.absent = absent,
		.n_absent = ARRAY_SIZE(absent),
		.when = when,
		.n_when = ARRAY_SIZE(when),
	};

	return confine(&c, d);
}

static int run(const struct audit_begin *b, struct cursor known, char *note, struct diag *d)
{
	_cleanup_(json_freep) json_t *document = json_object(), *left_out = json_object();
	_cleanup_(facts_freep) struct facts *facts = NULL;
	struct facts_options fo = { .docker = b->docker[0] ? b->docker : NULL, .askers = &askers,
				    .known_docker = b->known ? document : NULL, .left_out = left_out, .note = note };
	int r = document && left_out ? facts_open(&facts, &fo, d) : -ENOMEM;

	if (r >= 0) {
		open_kernel(&b->controls, facts);
		r = audit_role_confine(d);
	}
	if (r >= 0)
		r = take_known(facts, document, left_out, b, known);
	return r < 0 ? r : run_selected(b, facts, d);
}

int audit_role_run(const char *lane, struct diag *d)
{
	_cleanup_(fd_closep) int fd = -1;
	struct diag why = { 0 };
	struct audit_begin b;
	struct cursor known = { 0 };
	char *note = NULL;
	uint32_t type = _AUDIT_MAX;
	ssize_t n;
	int r;

	core_dump_forbid();
	json_object_seed(0); /* while there is a /dev/urandom */
	n = role_receive(ROLE_FD, &audit_protocol, false, &type, &b, sizeof(b), &fd);
	if (n < 0)
		return (int)n;
	r = type == AUDIT_BEGIN ? map_known(fd, &known, &note) : -EBADMSG;
	if (r >= 0)
		r = run(&b, known, note, &why);
	if (r >= 0)
		return tell(AUDIT_DONE, NULL, 0);
	if (!why.what[0])
		(void)diag_errno(&why, r, NULL, "the audit failed");
	r = tell(AUDIT_FAILED, &why, sizeof(why));
	return r;
}
