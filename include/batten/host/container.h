/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * A container as Docker configured it and as the kernel runs it. Everything here is a copy that
 * belongs to the struct; strings are never NULL unless said so, lists may be empty.
 */
#include <jansson.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "batten/base/diag.h"
#include "batten/base/list.h"
#include "batten/base/macros.h"

#define CONTAINER_ID_SIZE 65 /* 64 hexadecimal digits and a NUL */

/* What a container is for, recognised by what it is and not by its name alone. */
enum container_role {
	ROLE_PLAIN,	   /* not of ECS: docker run, compose… */
	ROLE_ECS_TASK,	   /* a container that a task definition asked for */
	ROLE_ECS_PAUSE,	   /* holds the network of an awsvpc task */
	ROLE_ECS_INTERNAL, /* ECS's own helpers: Service Connect, EBS CSI, shared namespaces */
	ROLE_ECS_AGENT,	   /* the agent itself, as ecs-init starts it */
	_ROLE_MAX,
};
const char *container_role_name(enum container_role role);

enum network_mode {
	NETWORK_BRIDGE,	   /* Docker's default bridge */
	NETWORK_USER,	   /* a network that somebody made */
	NETWORK_HOST,
	NETWORK_NONE,
	NETWORK_CONTAINER, /* another container's: all awsvpc tasks, behind their pause container */
	_NETWORK_MAX,
};
const char *network_mode_name(enum network_mode mode);

struct text_list {
	char **items;
	size_t n;
};

bool text_list_has(const struct text_list *l, const char *text);

struct text_pair {
	char *key, *value;
};

struct container_network {
	char *name;
	struct in_addr ip4;  /* 0.0.0.0: none */
	struct in6_addr ip6; /* ::: none */
	uint8_t mac[6];	     /* zero: none */
};

struct container_mount {
	char *type; /* "bind", "volume", "tmpfs"… */
	char *source, *destination, *propagation;
	bool writable;
};

struct container_port {
	uint16_t container_port, host_port;
	bool udp;
	char *host_ip; /* "0.0.0.0", "::", … */
};

struct container_ulimit {
	char *name;
	int64_t soft, hard;
};

/* HostConfig and Config: what was asked for. Numbers are Docker's; 0 and -1 mean no limit. */
struct container_config {
	bool privileged, readonly_rootfs, publish_all, oom_kill_disable, init, tty, auto_remove;
	struct text_list cap_add, cap_drop;  /* upper case, without "CAP_"; "ALL" */
	struct text_list security_opt;	     /* as given */
	bool no_new_privileges;
	enum { SECCOMP_DEFAULT, SECCOMP_UNCONFINED, SECCOMP_CUSTOM } seccomp;
	char *apparmor;			     /* the profile in use; "" none, "unconfined" */
	bool selinux_disabled;		     /* label=disable */
	char *pid_mode, *ipc_mode, *uts_mode, *userns_mode, *cgroupns_mode, *network_mode_text;
	char *cgroup_parent, *runtime, *user; /* user: "" is root */
	int64_t memory, memory_reservation, memory_swap, nano_cpus, cpu_shares, cpu_quota, pids_limit;
	struct container_ulimit *ulimits;
	size_t n_ulimits;
	char *restart_policy;
	int64_t restart_max;
	struct container_mount *mounts;
	size_t n_mounts;
	struct container_port *ports;
	size_t n_ports;
	struct text_list devices;   /* host paths */
	struct text_list binds;	    /* as given: "/host:/in:ro" */
	struct text_list masked_paths, readonly_paths; /* empty: nothing is hidden */
	struct text_pair *sysctls;
	size_t n_sysctls;
	char *log_driver;
	bool healthcheck;
	struct text_list env_names; /* never the values */
	struct text_list command;   /* Path and Args of the process */
};

/* What the kernel says of the first process. */
struct container_kernel {
	bool known; /* the process was there and could be read */
	uint64_t cap_effective, cap_bounding;
	int seccomp_mode; /* 0 none, 2 filter */
	bool no_new_privs;
	uid_t uid; /* in our user namespace */
};

struct container {
	struct list node; /* of the model */
	char id[CONTAINER_ID_SIZE];
	char *name;	/* without the slash */
	char *image;	/* as it was asked for: "nginx:1.25" */
	char *image_id; /* "sha256:…": digest of the image's configuration */
	struct text_pair *labels;
	size_t n_labels;

	enum container_role role;
	/* Of the labels, or of the agent's introspection; "" where ECS did not start it. */
	char *task_arn, *family, *revision, *container_name, *cluster;

	bool running, paused;
	pid_t pid; /* 0 when not running */
	int64_t restart_count;
	char *started_at;

	enum network_mode network_mode;
	char *network_of; /* id of the container whose network it shares, or "" */
	struct container_network *networks;
	size_t n_networks;

	/* From /proc while it runs. */
	ino_t netns;	   /* 0: unknown */
	char *cgroup;	   /* directory of its cgroup2 group, or "" */
	uint64_t cgroup_id; /* 0: unknown */
	uint64_t whole_id;  /* of the group that was made for it; its first process may stand in one below */
	struct container_kernel kernel;

	struct container_config config;
	json_t *inspect; /* Docker's whole answer when it was asked to be kept, else NULL */
	char *inspect_text; /* the same as text, as far as somebody needs it; else NULL */
};

struct container *container_free(struct container *c);
DEFINE_CLEANUP(struct container *, container_free)

#define CONTAINER_KEEP_INSPECT 1u /* for who wants more than the fields above */

/*
 * container_may_be_of_ecs - can Docker's answer be about what ECS runs for itself: its agent, a pause container?
 * No is certain and costs next to nothing; yes is not: container_parse() tells.
 */
bool container_may_be_of_ecs(const json_t *inspect);

/*
 * container_read_nnp - does an element of SecurityOpt ask for no-new-privileges?
 * @asked: what those before it asked for; unchanged when it is about something else. A value that Docker
 *         would refuse asks for nothing.
 */
void container_read_nnp(const char *option, bool *asked);

/*
 * container_parse - Docker's answer to /containers/ID/json
 * A member that is missing is taken for its empty value; one of the wrong type is an error.
 * Return: 0, -ENOMEM, or -EPROTO with the member's name in @d
 */
int container_parse(struct container **ret, json_t *inspect, unsigned int flags,
		    struct diag *d) _must_check_;

/*
 * container_complete - add what /proc knows: cgroup, network namespace, capabilities, filter
 * A process that is gone leaves the fields unknown. The pid is only believed if the process's
 * cgroup names the container, so that a pid that was used again never describes a stranger.
 */
int container_complete(struct container *c) _must_check_;

/* Is it the group of its first process, or the one that was made for it? */
static inline bool container_has_group(const struct container *c, uint64_t cgroup_id)
{
	return c->cgroup_id == cgroup_id || c->whole_id == cgroup_id;
}

/* Value of a label, or NULL. */
const char *container_label(const struct container *c, const char *key);

/* 64 hexadecimal digits in lower case? Nothing but that, and names of images, is ever put into a request's path. */
bool container_id_ok(const char *id);

#define IMAGE_NAME_SIZE 512 /* a registry, a path, a tag and a digest */
/* "nginx:1.25", "registry:5000/a/b@sha256:…": letters, digits and ._-/:@, none of which leads elsewhere in a path. */
bool image_name_ok(const char *name);
