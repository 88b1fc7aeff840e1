/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The Docker client against a stand-in on a Unix socket that hangs, cuts, floods and lies.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "batten/base/fd.h"
#include "batten/base/json.h"
#include "batten/host/docker.h"
#include "host/http-internal.h"

#define PONG "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 2\r\n\r\nOK"

enum habit { SAY, HANG, DRIP, FLOOD, SWALLOW };

/* What the stand-in does with the connection after /_ping. */
struct stand_in {
	const char *pong, *answer;
	enum habit habit;
	char path[64];
	pid_t pid;
};

/* The request without its body, or all that comes until the peer stops. */
static void read_request(int fd, bool whole)
{
	char buf[65536];
	size_t n = 0;

	for (;;) {
		ssize_t got = read(fd, buf + n, sizeof(buf) - n - 1);

		if (got <= 0)
			return;
		n += (size_t)got;
		buf[n] = '\0';
		if (whole ? strstr(buf, "\r\n0\r\n\r\n") != NULL : strstr(buf, "\r\n\r\n") != NULL)
			return;
		if (n > sizeof(buf) / 2) {
			memmove(buf, buf + n - 16, 16);
			n = 16;
		}
	}
}

static void serve(int fd, const char *answer, enum habit habit)
{
	struct timespec pause = { .tv_nsec = 5 * 1000000L };

	read_request(fd, habit == SWALLOW);
	if (habit == HANG)
		sleep(60);
	for (const char *p = answer; habit == DRIP && *p; p++) {
		if (send(fd, p, 1, MSG_NOSIGNAL) < 0)
			return;
		(void)nanosleep(&pause, NULL);
	}
	if (habit != DRIP && send(fd, answer, strlen(answer), MSG_NOSIGNAL) < 0)
		return;
	while (habit == FLOOD) {
		static const char block[4096] = { 0 };

		if (send(fd, block, sizeof(block), MSG_NOSIGNAL) < 0)
			return;
	}
}

static void stand_in_start(struct stand_in *s)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(s->path, sizeof(s->path), "/tmp/batten-test-docker-%d", (int)getpid());
	memcpy(a.sun_path, s->path, strlen(s->path));
	(void)unlink(s->path);
	assert_true(listener >= 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(listener, 8), 0);
	s->pid = fork();
	assert_true(s->pid >= 0);
	if (s->pid == 0) {
		for (int n = 0;; n++) {
			int fd = accept(listener, NULL, NULL);

			if (n == 0 && s->pong)
				serve(fd, s->pong, SAY);
			else
				serve(fd, s->answer, s->habit);
			/* What was not read would reset the connection under the answer. */
			(void)shutdown(fd, SHUT_WR);
			for (char c[4096]; s->habit != HANG && read(fd, c, sizeof(c)) > 0;)
				;
			close(fd);
		}
	}
	close(listener);
}

static void stand_in_stop(struct stand_in *s)
{
	(void)kill(s->pid, SIGKILL);
	(void)waitpid(s->pid, NULL, 0);
	(void)unlink(s->path);
}

/* Long enough for a machine that has much else to do; short where nothing but the end is awaited. */
#define PATIENCE_MS 30000
#define IMPATIENCE_MS 150

static int ask(struct stand_in *s, unsigned int timeout_ms, json_t **ret, struct diag *d)
{
	_cleanup_(docker_freep) struct docker *k = NULL;
	int r;

	assert_int_equal(docker_new(&k, s->path, NULL), 0);
	docker_set_timeout(k, timeout_ms);
	r = docker_get(k, "/x", 1000, ret, d);
	return r;
}

/* The same three times at once: what one of them gets, all get. */
static int ask_three(struct stand_in *s, unsigned int timeout_ms, json_t **ret, struct diag *d)
{
	_cleanup_(docker_freep) struct docker *k = NULL;
	struct docker_question q[3] = { { .path = "/x" }, { .path = "/y" }, { .path = "/z" } };
	int r;

	assert_int_equal(docker_new(&k, s->path, NULL), 0);
	docker_set_timeout(k, timeout_ms);
	r = docker_get_many(k, q, ARRAY_SIZE(q), 1000, d);
	if (r < 0)
		return r;
	assert_int_equal(q[1].error, q[0].error);
	assert_int_equal(q[2].error, q[0].error);
	json_decref(q[1].answer);
	json_decref(q[2].answer);
	*ret = q[0].answer;
	return q[0].error;
}

static void every_bad_answer_is_an_error_in_time(void **state)
{
	static const struct {
		const char *pong, *answer;
		enum habit habit;
		int r;
	} rows[] = {
		{ PONG, "", HANG, -ETIMEDOUT },
		{ NULL, "", HANG, -ETIMEDOUT },
		{ PONG, "HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{\"a\": 1111111111111111111111111111111}",
		  DRIP, -ETIMEDOUT },
		{ PONG, "", SAY, -ECONNRESET },
		{ PONG, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}", SAY, -ECONNRESET },
		{ PONG, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", SAY, -ECONNRESET },
		{ PONG, "HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n", FLOOD, -EMSGSIZE },
		{ PONG, "HTTP/1.1 200 OK\r\nX: ", FLOOD, -EPROTO },
		{ PONG, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n", FLOOD, -EMSGSIZE },
		{ PONG, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", SAY, -EPROTO },
		{ PONG, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", SAY, -EPROTO },
		{ PONG, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n{}", SAY, -EPROTO },
		{ PONG, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{} ", SAY, -EPROTO },
		{ PONG, "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}", SAY, -EPROTO },
		{ PONG, "SSH-2.0-OpenSSH_9.2\r\n", SAY, -EPROTO },
		{ PONG, "HTTP/1.1 999 No\r\n\r\n", SAY, -EPROTO },
		{ PONG, "HTTP/1.1 200 OK\r\n\r\n{\"a\": ", SAY, -EPROTO },
		{ PONG, "HTTP/1.1 204 No Content\r\n\r\n", SAY, -EPROTO },
		{ PONG, "HTTP/1.1 500 Oh\r\nContent-Length: 18\r\n\r\n{\"message\":\"boom\"}", SAY, -EREMOTEIO },
		{ PONG, "HTTP/1.1 500 Oh\r\nContent-Length: 4\r\n\r\nboom", SAY, -EREMOTEIO },
		{ PONG, "HTTP/1.1 404 No\r\nContent-Length: 18\r\n\r\n{\"message\":\"none\"}", SAY, -ENOENT },
		{ "HTTP/1.1 200 OK\r\nApi-Version: 1.40\r\nContent-Length: 2\r\n\r\nOK", "", SAY, -EPROTONOSUPPORT },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK", "", SAY, -EPROTO },
		{ "HTTP/1.1 200 OK\r\nApi-Version: 1.x\r\nContent-Length: 2\r\n\r\nOK", "", SAY, -EPROTO },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct stand_in s = { .pong = rows[i].pong, .answer = rows[i].answer, .habit = rows[i].habit };
		json_t *j = NULL;
		struct diag d = { 0 };
		int r;

		for (int many = 0; many < 2; many++) {
			d = (struct diag){ 0 };
			stand_in_start(&s);
			r = (many ? ask_three : ask)(&s, rows[i].r == -ETIMEDOUT ? IMPATIENCE_MS : PATIENCE_MS, &j, &d);
			stand_in_stop(&s);
			if (r != rows[i].r)
				print_message("row %zu: %d, %s\n", i, r, d.what);
			assert_int_equal(r, rows[i].r);
			assert_null(j);
			/* Of many, what is gone is no failure. */
			assert_true(d.what[0] != '\0' || (many && r == -ENOENT));
		}
	}
}

static void good_answers_in_every_shape(void **state)
{
	static const char *const answers[] = {
		"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{\"a\": 1}",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{\"a\r\n5;x=y\r\n\": 1}\r\n0\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length:8\r\n\r\n{\"a\": 1}",
		"HTTP/1.0 200 OK\r\n\r\n{\"a\": 1}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		for (int many = 0; many < 2; many++) {
			_cleanup_(json_freep) json_t *j = NULL;
			struct stand_in s = { .pong = PONG, .answer = answers[i] };
			int r;

			stand_in_start(&s);
			r = (many ? ask_three : ask)(&s, PATIENCE_MS, &j, NULL);
			stand_in_stop(&s);
			assert_int_equal(r, 0);
			assert_int_equal(json_integer_value(json_object_get(j, "a")), 1);
		}
	}
}

static void nobody_there(void **state)
{
	struct stand_in s = { .path = "/nonexistent/docker.sock" };
	struct diag d = { 0 };
	json_t *j = NULL;

	assert_int_equal(ask(&s, PATIENCE_MS, &j, &d), -EHOSTDOWN);
	assert_string_equal(d.where, s.path);
}

static void urls(void **state)
{
	_cleanup_(docker_freep) struct docker *a = NULL, *b = NULL, *c = NULL;
	struct diag d = { 0 };

	unsetenv("DOCKER_HOST");
	assert_int_equal(docker_new(&a, NULL, NULL), 0);
	assert_string_equal(docker_socket(a), "/var/run/docker.sock");
	setenv("DOCKER_HOST", "unix:///run/other.sock", 1);
	assert_int_equal(docker_new(&b, NULL, NULL), 0);
	assert_string_equal(docker_socket(b), "/run/other.sock");
	assert_int_equal(docker_new(&c, "tcp://127.0.0.1:2375", &d), -EINVAL);
	assert_string_equal(d.where, "tcp://127.0.0.1:2375");
	unsetenv("DOCKER_HOST");
}

static void a_download_is_read_in_pieces(void **state)
{
	_cleanup_(docker_stream_freep) struct docker_stream *t = NULL;
	_cleanup_(docker_freep) struct docker *k = NULL;
	struct stand_in s = { .pong = PONG,
			      .answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
					"4\r\nabcd\r\n2\r\nef\r\n0\r\n\r\n" };
	char buf[16];
	size_t n, all = 0;

	stand_in_start(&s);
	assert_int_equal(docker_new(&k, s.path, NULL), 0);
	assert_int_equal(docker_download(&t, k, "/images/x/get", NULL), 0);
	do {
		assert_int_equal(docker_download_read(t, buf + all, 3, &n, NULL), 0);
		all += n;
	} while (n > 0);
	stand_in_stop(&s);
	assert_int_equal(all, 6);
	assert_memory_equal(buf, "abcdef", 6);
}

static void an_upload_is_whole_or_refused(void **state)
{
	static char block[50000];
	static const struct {
		const char *answer;
		enum habit habit;
		int r;
	} rows[] = {
		{ "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}\n", SWALLOW, 0 },
		/* Answers before it has read: more than the socket takes is still to come. */
		{ "HTTP/1.1 500 Oh\r\nContent-Length: 18\r\n\r\n{\"message\":\"full\"}", SAY, -EREMOTEIO },
	};

	memset(block, 'x', sizeof(block));
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_(docker_stream_freep) struct docker_stream *t = NULL;
		_cleanup_(docker_freep) struct docker *k = NULL;
		_cleanup_(freep) char *text = NULL;
		struct stand_in s = { .pong = PONG, .answer = rows[i].answer, .habit = rows[i].habit };
		struct diag d = { 0 };

		stand_in_start(&s);
		assert_int_equal(docker_new(&k, s.path, NULL), 0);
		assert_int_equal(docker_upload(&t, k, "/images/load", "application/x-tar", NULL), 0);
		for (int n = 0; n < 40; n++)
			assert_int_equal(docker_upload_write(t, block, sizeof(block), NULL), 0);
		assert_int_equal(docker_upload_finish(t, &text, &d), rows[i].r);
		stand_in_stop(&s);
		if (rows[i].r == 0)
			assert_string_equal(text, "{}\n");
		else
			assert_non_null(strstr(d.what, "full"));
	}
}

/* The parser gives the same events whether bytes come together or one by one. */
static void pieces_do_not_matter(void **state)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nApi-Version: 1.44\r\n\r\n"
				     "3\r\nabc\r\n1\r\nd\r\n0\r\nTrailer: x\r\n\r\n";

	for (size_t size = 1; size < sizeof(answer); size++) {
		struct http_parser p;
		struct bytes body = { 0 };
		int r = HTTP_WAIT;

		http_parser_init(&p);
		for (size_t at = 0; at < sizeof(answer) - 1; at += size) {
			struct cursor c;
			struct slice piece;

			cursor_init(&c, answer + at, MIN(size, sizeof(answer) - 1 - at));
			while ((r = http_parse(&p, &c, &piece)) == HTTP_BODY || r == HTTP_HEAD)
				if (r == HTTP_BODY)
					bytes_append(&body, piece.p, piece.n);
		}
		assert_int_equal(r, HTTP_END);
		assert_string_equal(body.data, "abcd");
		assert_string_equal(p.api_version, "1.44");
		bytes_done(&body);
	}
}

static void names_are_escaped(void **state)
{
	struct bytes b = { 0 };

	docker_escape(&b, "a/b:c\r\n d\xc3\xa9~");
	assert_string_equal(b.data, "a%2Fb%3Ac%0D%0A%20d%C3%A9~");
	bytes_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_bad_answer_is_an_error_in_time),
		cmocka_unit_test(good_answers_in_every_shape),
		cmocka_unit_test(nobody_there),
		cmocka_unit_test(urls),
		cmocka_unit_test(a_download_is_read_in_pieces),
		cmocka_unit_test(an_upload_is_whole_or_refused),
		cmocka_unit_test(pieces_do_not_matter),
		cmocka_unit_test(names_are_escaped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
