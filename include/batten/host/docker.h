/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * The Docker Engine API over its Unix socket. Whatever Docker does (is absent, hangs, cuts,
 * answers nonsense or without end), every call comes back in bounded time with bounded memory.
 *
 * Errors, for all calls: -EHOSTDOWN nobody listens; -EACCES not allowed to connect; -ETIMEDOUT;
 * -ECONNRESET the answer was cut; -EPROTO not what the API promises; -EMSGSIZE larger than the
 * caller allows; -EPROTONOSUPPORT an engine older than API 1.41 (Docker 20.10); -ENOENT no such
 * object (404); -EREMOTEIO any other refusal, with Docker's own words in the diag; -ENOMEM.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "batten/base/bytes.h"
#include "batten/base/diag.h"
#include "batten/base/macros.h"

#define DOCKER_DEFAULT_SOCKET "/var/run/docker.sock"
#define DOCKER_TIMEOUT_MS 5000	       /* a whole question and answer */
#define DOCKER_STREAM_IDLE_MS 120000   /* between two pieces of a stream; an export starts late */
#define DOCKER_MAX_ANSWER (8 * 1024 * 1024)

struct docker;

/*
 * docker_new - a client; nothing is contacted yet
 * @url: unix:///PATH or an absolute path; NULL: DOCKER_HOST, else the default socket
 * Return: 0, -ENOMEM, or -EINVAL for another scheme (batten hardens the host that it runs on) and
 *         for a path longer than a socket address holds
 */
int docker_new(struct docker **ret, const char *url, struct diag *d) _must_check_;
struct docker *docker_free(struct docker *k);
DEFINE_CLEANUP(struct docker *, docker_free)

const char *docker_socket(const struct docker *k);

/*
 * docker_ask - connect and send a question; never waits
 * @path: what follows the version; "/_ping" has none
 * @api_minor: of the version, as of docker_api_minor()
 * Return: a descriptor from which the answer is read, -EAGAIN when Docker's queue of connections is full,
 *         or an error from above
 */
int docker_ask(const struct docker *k, const char *path, unsigned int api_minor, struct diag *d) _must_check_;

/*
 * docker_set_asker - questions go through somebody else, for this process may not connect
 * @ask: as docker_ask(). Only docker_get() and docker_get_many() work then.
 */
typedef int (*docker_ask_fn)(void *user, const char *path, unsigned int api_minor, struct diag *d);
void docker_set_asker(struct docker *k, docker_ask_fn ask, void *user);

void docker_set_timeout(struct docker *k, uint64_t timeout_ms);

/*
 * docker_get - a question whose answer is one JSON document
 * @path:      what follows the version: "/containers/json?all=true"
 * @max_bytes: of the answer
 * @ret:       a reference of the caller's
 */
int docker_get(struct docker *k, const char *path, size_t max_bytes, json_t **ret,
	       struct diag *d) _must_check_;

/* One of many questions. */
struct docker_question {
	const char *path; /* as of docker_get() */
	json_t *answer;	  /* out, NULL when there is none: a reference of the caller's */
	int error;	  /* out: 0 or as docker_get() */
};

/*
 * docker_get_many - several questions at once, over a few connections
 * @max_bytes: of each answer
 * @d:         the first failure that is not -ENOENT
 * The client's timeout holds for all of them together: what is not answered by then has -ETIMEDOUT.
 * Return: 0, whatever became of each; a negative errno when nothing could be asked
 */
int docker_get_many(struct docker *k, struct docker_question *questions, size_t n, size_t max_bytes,
		    struct diag *d) _must_check_;

/* The API version in use, "1.41" …, or "" before the first successful call. */
const char *docker_api_version(const struct docker *k);

/* The second number of it; 0 before. */
unsigned int docker_api_minor(const struct docker *k);

/* What this host is in a swarm. */
struct docker_swarm {
	char state[16]; /* "active", or why it is not: "pending", "error", "locked" */
	char node[64];	/* its id there */
	bool member, manager;
};

enum swarm_deed {
	SWARM_LOOK,
	SWARM_ASK,   /* whether it could be left */
	SWARM_LEAVE, /* there is no way back */
};

/*
 * docker_swarm - look at the swarm, and leave it when nothing is lost with it
 * @node: to leave: the host's id in the swarm that is meant
 * @ret:  what it was before
 * Return: 0, for a look also when it is in none; -EBUSY something would be lost, with words; -ESTALE it is in
 *         that swarm no more. Where Docker did not answer it may leave all the same, up to
 *         DOCKER_SWARM_LEAVE_MS later.
 */
int docker_swarm(struct docker *k, enum swarm_deed deed, const char *node, struct docker_swarm *ret,
		 struct diag *d) _must_check_;
#define DOCKER_SWARM_LEAVE_MS 20000 /* Docker gives a node 15 s to stop */

/* Percent-encodes foreign text for a path or a query. */
void docker_escape(struct bytes *b, const char *text);

/*
 * Streams, blocking with an idle limit: a download is read (image export), an upload is written
 * (image load).
 */
struct docker_stream;
struct docker_stream *docker_stream_free(struct docker_stream *s);
DEFINE_CLEANUP(struct docker_stream *, docker_stream_free)

/* Returns after Docker has accepted the question. */
int docker_download(struct docker_stream **ret, struct docker *k, const char *path,
		    struct diag *d) _must_check_;

/*
 * docker_download_read - the next bytes
 * @ret_n: 0 at the end of a whole answer; a cut one is -ECONNRESET
 */
int docker_download_read(struct docker_stream *s, void *buf, size_t size, size_t *ret_n,
			 struct diag *d) _must_check_;

/* @type: Content-Type of what will be written */
int docker_upload(struct docker_stream **ret, struct docker *k, const char *path, const char *type,
		  struct diag *d) _must_check_;
int docker_upload_write(struct docker_stream *s, const void *data, size_t n,
			struct diag *d) _must_check_;

/*
 * docker_upload_finish - end the upload and read the answer
 * @ret: Docker's answer as text (JSON lines for an image load), freed by the caller; may be NULL
 */
int docker_upload_finish(struct docker_stream *s, char **ret, struct diag *d) _must_check_;
