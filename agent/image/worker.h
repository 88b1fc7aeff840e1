/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Layers are walked by workers: processes without capabilities, with a memory limit and a system
 * call filter, that hold the layer, a place for the new one and a pipe, and nothing else.
 */
#include "batten/image/layer.h"
#include "batten/image/policy.h"

/* What a worker writes about a member that has what we look for; path, link and capabilities
 * follow. */
struct worker_finding {
	uint64_t ordinal; /* of the member in its layer */
	uint64_t uid, gid;
	uint32_t kind, mode;
	uint32_t has;     /* enum tar_verdict bits that it has */
	uint32_t verdict; /* of these what the rules say, or TAR_REMOVE */
	uint32_t tool;
	uint32_t copy;	  /* of a table of contents that differs from the tar */
	uint32_t n_path, n_link, n_caps;
};

/* What one layer says about a name: for the view of all layers together. */
enum worker_name_kind {
	NAME_DIR,
	NAME_OTHER,
	NAME_SYMLINK,
	NAME_WHITEOUT, /* hash of the name that is hidden */
	NAME_OPAQUE,   /* hash of the directory */
	NAME_LINKED,   /* hash of a hard link's target */
};

struct worker_name {
	uint64_t hash;
	uint64_t kind;
};

struct worker_task {
	struct layer_source source; /* its descriptor is owned by the task */
	int out_fd;                 /* the new layer, or -1 */
	int findings_fd;            /* struct worker_finding */
	int names_fd;               /* struct worker_name, or -1 when nobody asks */
	const struct image_policy *policy;
	const uint64_t *spared; /* ordinals, ascending, that are left as they are */
	size_t n_spared;
	struct layer_result result;
};

/* Told now and then; may be NULL. */
typedef void worker_progress_fn(void *arg, uint64_t done, uint64_t total);

/*
 * worker_run - walk all layers, several at a time
 * Return: 0, or the error of the first layer in order that failed
 */
int worker_run(struct worker_task *tasks, size_t n, worker_progress_fn *progress, void *arg,
	       struct diag *d) _must_check_;

/* A keyed hash (SipHash-2-4) of a name; the key is chosen once per process. */
uint64_t worker_hash(const char *name, size_t n);
void worker_hash_key(void);

/* A set of such hashes, for one process. */
struct worker_set {
	uint64_t *slots; /* 0: free */
	size_t n, size;
};

/* A set that is full forgets the rest. Return: 0 or -ENOMEM. */
int worker_set_add(struct worker_set *s, uint64_t hash) _must_check_;
bool worker_set_has(const struct worker_set *s, uint64_t hash);

/* Gives up every privilege. Return: 0 or a negative errno. */
int worker_confine(struct diag *d) _must_check_;
