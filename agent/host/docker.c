/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The Docker client: where the socket is, which version is spoken, and questions with one answer.
 * Each call has a connection of its own; on a Unix socket that costs less than bookkeeping would.
 */
#include "batten/host/docker-follow.h"
#include "host/docker-internal.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "batten/base/fd.h"
#include "batten/base/json.h"

/*
 * 1.41 is Docker 20.10, the oldest engine that ecs-init accepts. What we read is the same from
 * there up to 1.47; newer engines still serve that version, older ones are asked for their own.
 */
#define MIN_API_MINOR 41
#define MAX_API_MINOR 47
#define MAX_REFUSAL (16 * 1024)
#define RETRY_MS 10 /* a full queue of a Unix socket cannot be polled */

struct docker {
	struct sockaddr_un address;
	char version[8]; /* "1.41", or "" */
	unsigned int minor; /* 41, or 0 */
	uint64_t timeout_ms;
	docker_ask_fn ask; /* NULL: we connect */
	void *user;
};

int docker_new(struct docker **ret, const char *url, struct diag *d)
{
	const char *env = getenv("DOCKER_HOST"), *path;
	struct docker *k;

	if (!url)
		url = env && env[0] ? env : DOCKER_DEFAULT_SOCKET;
	path = strncmp(url, "unix://", 7) == 0 ? url + 7 : url;
	if (path[0] != '/')
		return diag_fail(d, -EINVAL, url, "not a Unix socket; use unix:///PATH");
	if (strlen(path) >= sizeof(k->address.sun_path))
		return diag_fail(d, -EINVAL, url, "socket path is longer than %zu bytes",
				 sizeof(k->address.sun_path) - 1);
	k = calloc(1, sizeof(*k));
	if (!k)
		return -ENOMEM;
	k->address.sun_family = AF_UNIX;
	memcpy(k->address.sun_path, path, strlen(path));
	k->timeout_ms = DOCKER_TIMEOUT_MS;
	*ret = k;
	return 0;
}

struct docker *docker_free(struct docker *k)
{
	free(k);
	return NULL;
}

const char *docker_socket(const struct docker *k)
{
	return k->address.sun_path;
}

void docker_set_asker(struct docker *k, docker_ask_fn ask, void *user)
{
	k->ask = ask;
	k->user = user;
}

void docker_set_timeout(struct docker *k, uint64_t timeout_ms)
{
	k->timeout_ms = timeout_ms;
}

uint64_t docker_timeout(const struct docker *k)
{
	return k->timeout_ms;
}

const char *docker_api_version(const struct docker *k)
{
	return k->version;
}

unsigned int docker_api_minor(const struct docker *k)
{
	return k->minor;
}

bool docker_negotiated(const struct docker *k)
{
	return k->version[0] != '\0';
}

int docker_negotiate(struct docker *k, const char *api_version, struct diag *d)
{
	uint64_t minor;

	if (strncmp(api_version, "1.", 2) != 0 ||
	    parse_u64(slice_of(api_version + 2), 0, 9999, &minor) < 0)
		return diag_fail(d, -EPROTO, docker_socket(k), "does not tell Docker's API version");
	if (minor < MIN_API_MINOR)
		return diag_fail(d, -EPROTONOSUPPORT, docker_socket(k),
				 "Docker speaks API %.8s; 1.%d (Docker 20.10) or later is needed",
				 api_version, MIN_API_MINOR);
	k->minor = (unsigned int)MIN(minor, (uint64_t)MAX_API_MINOR);
	(void)snprintf(k->version, sizeof(k->version), "1.%u", k->minor);
	return 0;
}

void docker_escape(struct bytes *b, const char *text)
{
	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		if ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ||
		    strchr("-._~", *p))
			bytes_append(b, p, 1);
		else
			bytes_printf(b, "%%%02X", *p);
	}
}

int docker_fail(const struct docker *k, int error, struct diag *d)
{
	switch (error) {
	case -ENOENT:
	case -ECONNREFUSED:
	case -ENOTDIR:
		return diag_fail(d, -EHOSTDOWN, docker_socket(k), "Docker is not running there");
	case -EACCES:
	case -EPERM:
		return diag_fail(d, -EACCES, docker_socket(k), "not allowed to talk to Docker; run as root");
	case -EAGAIN:
	case -ETIMEDOUT:
		return diag_fail(d, -ETIMEDOUT, docker_socket(k), "Docker does not answer");
	case -ECONNRESET:
		return diag_fail(d, -ECONNRESET, docker_socket(k), "Docker hung up in the middle of an answer");
	case -EBADMSG:
	case -E2BIG:
		return diag_fail(d, -EPROTO, docker_socket(k), "what answers there does not speak HTTP");
	case -EFBIG:
		return diag_fail(d, -EMSGSIZE, docker_socket(k), "Docker's answer is too large");
	case -ENOMEM:
		return -ENOMEM;
	default:
		return diag_errno(d, error, docker_socket(k), "cannot talk to Docker");
	}
}

int docker_check_status(const struct docker *k, int status, const char *body, size_t n_body,
			struct diag *d)
{
	_cleanup_(json_freep) json_t *j = NULL;
	const char *words = NULL;
	int error = status == 404 ? -ENOENT : -EREMOTEIO;

	if (status >= 200 && status < 300)
		return 0;
	if (json_parse_answer(body, n_body, "refusal", &j, NULL) == 0)
		words = json_string_value(json_object_get(j, "message"));
	if (words)
		return diag_fail(d, error, docker_socket(k), "Docker: %.400s", words);
	return diag_fail(d, error, docker_socket(k), "Docker answered with status %d", status);
}

static int connect_now(const struct docker *k)
{
	_cleanup_(fd_closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&k->address, sizeof(k->address)) < 0)
		return -errno;
	return fd_take(&fd);
}

int docker_ask(const struct docker *k, const char *path, unsigned int api_minor, struct diag *d)
{
	_cleanup_(fd_closep) int fd = connect_now(k);
	char version[16] = "", head[IMAGE_NAME_SIZE + 256];
	int n;

	if (fd < 0)
		return fd == -EAGAIN ? fd : docker_fail(k, fd, d);
	if (strcmp(path, "/_ping") != 0)
		(void)snprintf(version, sizeof(version), "/v1.%u", api_minor);
	n = snprintf(head, sizeof(head), "GET %s%s HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n", version, path);
	if (n >= (int)sizeof(head))
		return -ENAMETOOLONG;
	/* Nothing was sent before it: the socket has room for all of it. */
	if (send(fd, head, (size_t)n, MSG_NOSIGNAL) != n)
		return docker_fail(k, -ECONNRESET, d);
	return fd_take(&fd);
}

int docker_follow_ask(const struct docker *k, enum follow_question q, unsigned int api_minor, const char *name,
		      struct diag *d)
{
	/* Before the id or name, where there is one, and behind it. */
	static const struct {
		const char *path, *rest;
	} questions[_FOLLOW_QUESTION_MAX] = {
		[FOLLOW_PING] = { "/_ping", NULL },
		[FOLLOW_EVENTS] = { "/events?filters=%7B%22type%22%3A%5B%22container%22%2C%22network%22%5D%7D", NULL },
		[FOLLOW_LIST] = { "/containers/json", NULL },
		[FOLLOW_INSPECT] = { "/containers/", "/json" },
		[FOLLOW_MADE] = { "/containers/json?all=true&filters=%7B%22id%22%3A%5B%22", "%22%5D%7D" },
		[FOLLOW_IMAGE] = { "/images/", "/json" },
	};
	char path[IMAGE_NAME_SIZE + 128];
	int fd;

	(void)snprintf(path, sizeof(path), "%s%s%s", questions[q].path, questions[q].rest ? name : "",
		       questions[q].rest ? questions[q].rest : "");
	fd = docker_ask(k, path, api_minor, d);
	return fd == -EAGAIN ? docker_fail(k, fd, d) : fd;
}

/* Nothing is left to be sent. */
static int call_through(struct http_call **ret, struct docker *k, const char *path, struct diag *d)
{
	int fd = k->ask(k->user, path, k->minor, d);

	return fd < 0 ? fd : http_call_new(ret, fd, "", d);
}

int docker_call(struct http_call **ret, struct docker *k, const char *method, const char *path,
		const char *headers, struct diag *d)
{
	bool versioned = strcmp(path, "/_ping") != 0;
	struct bytes head = { 0 };
	int fd, r;

	if (k->ask)
		return call_through(ret, k, path, d);
	fd = connect_now(k);
	if (fd < 0)
		return fd == -EAGAIN ? fd : docker_fail(k, fd, d);
	bytes_printf(&head, "%s %s%s%s HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n%s\r\n", method,
		     versioned ? "/v" : "", versioned ? k->version : "", path, headers);
	if (head.error == 0) {
		r = http_call_new(ret, fd, head.data, d);
	} else {
		fd_close(fd);
		r = -ENOMEM;
	}
	bytes_done(&head);
	return r;
}

static int call_retrying(struct http_call **ret, struct docker *k, const char *method,
			 const char *path, const char *headers, uint64_t deadline_ms, struct diag *d)
{
	for (;;) {
		int r = docker_call(ret, k, method, path, headers, d);

		if (r != -EAGAIN)
			return r;
		if (http_now_ms() >= deadline_ms)
			return docker_fail(k, r, d);
		(void)nanosleep(&(struct timespec){ .tv_nsec = RETRY_MS * 1000000L }, NULL);
	}
}

/* One exchange; the text of a success is the caller's. */
static int exchange(struct docker *k, struct http_call *c, uint64_t deadline_ms, size_t max_bytes,
		    char **ret, size_t *ret_n, struct diag *d)
{
	_cleanup_(freep) char *text = NULL;
	size_t n;
	int r;

	r = http_call_collect(c, deadline_ms, max_bytes, &text, &n);
	if (r < 0)
		return docker_fail(k, r, d);
	r = docker_check_status(k, http_call_status(c), text, n, d);
	if (r < 0)
		return r;
	*ret = take_ptr(text);
	*ret_n = n;
	return 0;
}

int docker_ping(struct docker *k, uint64_t deadline_ms, struct diag *d)
{
	_cleanup_(http_call_freep) struct http_call *c = NULL;
	_cleanup_(freep) char *text = NULL;
	size_t n;
	int r;

	r = call_retrying(&c, k, "GET", "/_ping", "", deadline_ms, d);
	if (r < 0)
		return r;
	r = exchange(k, c, deadline_ms, MAX_REFUSAL, &text, &n, d);
	return r < 0 ? r : docker_negotiate(k, http_call_api_version(c), d);
}

int docker_call_blocking(struct http_call **ret, struct docker *k, const char *method,
			 const char *path, const char *headers, uint64_t deadline_ms, struct diag *d)
{
	if (!docker_negotiated(k)) {
		int r = docker_ping(k, deadline_ms, d);

		if (r < 0)
			return r;
	}
	return call_retrying(ret, k, method, path, headers, deadline_ms, d);
}

int docker_get(struct docker *k, const char *path, size_t max_bytes, json_t **ret, struct diag *d)
{
	_cleanup_(http_call_freep) struct http_call *c = NULL;
	uint64_t deadline_ms = http_now_ms() + k->timeout_ms;
	_cleanup_(freep) char *text = NULL;
	size_t n = 0;
	int r;

	r = docker_call_blocking(&c, k, "GET", path, "", deadline_ms, d);
	if (r < 0)
		return r;
	r = exchange(k, c, deadline_ms, max_bytes, &text, &n, d);
	if (r < 0)
		return r;
	r = json_parse_answer(text, n, "Docker's answer", ret, d);
	return r == -EBADMSG ? -EPROTO : r;
}
