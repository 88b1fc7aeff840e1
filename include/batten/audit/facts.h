/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * What checks look at: the host as it is, read once for a whole run. Sources open at first use and
 * stay what they were; all memory lives as long as the facts. Tests put stand-ins in the place of
 * every source: a tree for files and /proc, JSON for everything that answers on a socket.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "batten/audit/control.h"
#include "batten/base/arena.h"
#include "batten/base/diag.h"
#include "batten/base/json.h"
#include "batten/base/macros.h"
#include "batten/base/root.h"

enum source_state {
	SOURCE_UNOPENED,
	SOURCE_OK,
	SOURCE_ABSENT, /* there is no such thing on this host; the reason says what was missing */
	SOURCE_FAILED, /* there is, and it could not be examined */
};

/* Who connects, where the process that audits may not. Both answer with a descriptor. */
struct facts_askers {
	int (*docker)(void *user, const char *path, unsigned int api_minor, struct diag *d); /* docker_ask() */
	int (*agent)(void *user, const char *path); /* introspect_ask() */
	void *user;
};

#define FACTS_NOTE_BYTES 72 /* "sha256:", 64 digits and a NUL */

struct facts_options {
	const char *root;	  /* directory that stands for "/", NULL for the live host */
	const char *docker;	  /* URL of the Docker Engine, NULL for the usual places */
	const char *user_data;	  /* file with the instance's user data, NULL: cloud-init's copy below the root */
	unsigned int deadline_ms; /* for each source; 0: 3000 */
	/*
	 * What is known of Docker already, in the form of its source's document; it is not asked then.
	 * NULL: it is. Borrowed.
	 */
	const json_t *known_docker;
	const struct facts_askers *askers; /* NULL: we connect. Borrowed. */
	/*
	 * Whose data must not be read, and why: reasons by the id of a container or image. Docker is not asked for
	 * them, and they stand there as what could not be examined. NULL: nobody's. Borrowed, and looked at when the
	 * source opens.
	 */
	const json_t *left_out;
	char *note; /* FACTS_NOTE_BYTES, where facts_subject() is written down; NULL: nowhere. Borrowed. */
	/*
	 * For tests: {"live": BOOL, "docker": …, "introspection": …, "rules": …, "imds": …}. A source
	 * that is missing here is absent; {"error": TEXT} makes it failed. Borrowed.
	 */
	const json_t *stand_in;
};

struct facts;

/*
 * facts_open - open the root; everything else waits until it is asked for
 * Return: 0 or a negative errno (the root cannot be opened, user data cannot be read, -ENOMEM)
 */
int facts_open(struct facts **ret, const struct facts_options *o, struct diag *d) _must_check_;
struct facts *facts_free(struct facts *f);
DEFINE_CLEANUP(struct facts *, facts_free)

/* Opens the source when that was not yet tried. @ret_reason: one line, NULL when it is open. */
enum source_state facts_source(struct facts *f, enum source s, const char **ret_reason);

/* NEEDS_… bits of all sources that were asked for anything since facts_open(). */
unsigned int facts_touched(const struct facts *f);

/*
 * facts_subject - say whose data is read next, so that somebody knows if that is the end of this process
 * @id: of a container or image, "": nobody's; lives as long as the facts
 * Return: whose it was before
 */
const char *facts_subject(struct facts *f, const char *id);

/* True on a running host, false for --root. */
bool facts_live(const struct facts *f);
struct arena *facts_arena(struct facts *f);

/* ---- files, /proc and /sys ---------------------------------------------------------------------*/

/* root_stat() and root_open() in the tree. */
int facts_stat(struct facts *f, const char *path, bool follow, struct stat *ret) _must_check_;
int facts_file(struct facts *f, const char *path, int flags) _must_check_;

/*
 * facts_read - a small file of the tree (limit: 1 MiB), with a NUL behind it
 * @ret: lives as long as the facts
 * Return: 0 or a negative errno as root_read()
 */
int facts_read(struct facts *f, const char *path, const char **ret, size_t *ret_n) _must_check_;

/* The same without the trailing newline and blanks; NULL when it cannot be read. */
const char *facts_line(struct facts *f, const char *path);

/* The user data that were given to facts_open(), NULL without. They may hold secrets. */
const char *facts_user_data(const struct facts *f, size_t *ret_n);

/* Is there anything, behind links? The answer of the first time. */
bool facts_exists(struct facts *f, const char *path);

/* A link's text; NULL when it is none or cannot be read. */
const char *facts_link(struct facts *f, const char *path);

/*
 * facts_list - names in a directory, without "." and "..", sorted (limit: 65,536)
 * @ret: NULL-terminated, lives as long as the facts
 * Return: the number of names, or a negative errno
 */
int facts_list(struct facts *f, const char *path, const char *const **ret) _must_check_;

/* ---- processes: SOURCE_PROC --------------------------------------------------------------------*/

struct process_facts {
	pid_t pid, ppid;
	const char *name;  /* of the executable, at most 15 bytes */
	uid_t uid[4];	   /* real, effective, saved, file system; in the host's user namespace */
	gid_t gid;	   /* effective */
	const gid_t *gids; /* supplementary groups */
	size_t n_gids;
	uint64_t cap_effective, cap_permitted, cap_bounding, cap_ambient; /* bit masks */
	int no_new_privs;  /* 0, 1, or -1 when the kernel does not say, as is seccomp (0, 1, 2) */
	int seccomp;
	const char *cgroup; /* path in the unified hierarchy, else of the first v1 hierarchy */
	bool kernel_thread;
};

/* The 64 digits by which a runtime names the cgroup of a container, the last ones in @path; NULL when there are none. */
const char *container_id_in_cgroup(const char *path);

/* Sorted by pid. Needs SOURCE_PROC to be open; else 0. */
size_t facts_processes(struct facts *f, const struct process_facts **ret);
const struct process_facts *facts_process(struct facts *f, pid_t pid);

/*
 * facts_process_read - a file of a process, "mountinfo" (limit: 1 MiB), with a NUL behind it
 * @ret: lives as long as the facts
 * Return: 0 or a negative errno; -ESRCH when SOURCE_PROC is not open
 */
int facts_process_read(struct facts *f, pid_t pid, const char *name, const char **ret, size_t *ret_n) _must_check_;

/* The text of a link of a process, "ns/net"; NULL when it cannot be read. */
const char *facts_process_link(struct facts *f, pid_t pid, const char *name);

/*
 * facts_host_namespaces - which namespaces are the host's: those of pid 1, and our own, for somebody
 * may run us beside a Docker that lives in namespaces of its own
 * @kind:     "net", "pid" …; a literal
 * @ret_init: NULL when it is out of our sight, as is @ret_own
 */
void facts_host_namespaces(struct facts *f, const char *kind, const char **ret_init, const char **ret_own);

/* ---- Docker: SOURCE_DOCKER ---------------------------------------------------------------------*/

/* Label names that the ECS agent puts on its containers. */
#define LABEL_TASK_ARN "com.amazonaws.ecs.task-arn"
#define LABEL_CONTAINER_NAME "com.amazonaws.ecs.container-name"
#define LABEL_FAMILY "com.amazonaws.ecs.task-definition-family"
#define LABEL_REVISION "com.amazonaws.ecs.task-definition-version"
#define LABEL_CLUSTER "com.amazonaws.ecs.cluster"

struct mount;
struct container_facts {
	const char *id, *name; /* the name without the slash */
	const char *image;     /* as it was asked for */
	const char *image_id;
	const char *task_arn, *family, *revision, *ecs_name; /* NULL outside ECS */
	const json_t *inspect; /* GET /containers/ID/json */
	const json_t *config, *host_config; /* of it; an empty object when missing */
	pid_t pid;	       /* of its first process, 0 when there is none */
	const struct process_facts *const *processes; /* its processes; the first one first */
	size_t n_processes;
	bool is_agent;	  /* the ECS agent itself */
	bool is_pause;	  /* holds a task's network namespace */
	bool is_platform; /* made by ECS for itself: pause, EBS CSI, Service Connect */
	bool privileged;
	const char *unreadable; /* why Docker's answer about it could not be read; NULL when it was */
	const struct mount *mounts; /* private, see mounts.h */
	int n_mounts;
};

struct image_scan;
struct image_facts {
	const char *id, *name; /* first tag or digest; the short id when it has none */
	const json_t *summary; /* of GET /images/json */
	const json_t *inspect; /* GET /images/ID/json, NULL when nobody runs it */
	const json_t *history; /* GET /images/ID/history, NULL when nobody runs it */
	bool in_use;
	const struct image_scan *scan; /* private */
};

/* Running containers and all images, in the order of Docker's answer. */
size_t facts_containers(struct facts *f, const struct container_facts **ret);
size_t facts_images(struct facts *f, const struct image_facts **ret);

/* The ECS agent's container, NULL when it is none (not running, or a plain process). */
const struct container_facts *facts_agent(struct facts *f);

/* "info", "version", "bridge" (GET /networks/bridge), "networks", "execs"; NULL when Docker did not say. */
const json_t *facts_docker(struct facts *f, const char *what);

/* Is the clock kept right? 1 yes, 0 no, -1 when that cannot be told. */
int facts_clock(struct facts *f);

/* "metadata", "tasks" of the ECS agent's introspection. */
const json_t *facts_introspection(struct facts *f, const char *what);

/* What introspection says of a container, by Docker's id; NULL when the agent does not know it or cannot be asked. */
const json_t *facts_agent_container(struct facts *f, const char *id);

/* The whole document of a source, NULL unless it is open. */
const json_t *facts_document(struct facts *f, enum source s);

/* ---- JSON, for checks --------------------------------------------------------------------------*/

/* A string, number or flag by a path of keys, "HostConfig.LogConfig.Type"; @fallback when not there. */
const json_t *facts_json(const json_t *j, const char *path);
const char *facts_json_string(const json_t *j, const char *path, const char *fallback);
int64_t facts_json_int(const json_t *j, const char *path, int64_t fallback);
bool facts_json_true(const json_t *j, const char *path);
/* Is there a string in the array at @path that starts with @prefix? The string, or NULL. */
const char *facts_json_find(const json_t *j, const char *path, const char *prefix);
