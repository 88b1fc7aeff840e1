/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Both ends of the socket. The keeper trusts nobody at the other one: a request is of one size, its
 * name is a place in a layout and nothing else, and every request has its time.
 */
#include "image/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "batten/base/fd-pass.h"
#include "batten/base/fd.h"
#include "image/store.h"

#define MAX_NAME 1024
#define MAX_OLD 512

enum op { OP_SPOOL, OP_SOURCE, OP_TARGET, OP_CREATE, OP_WRITTEN, OP_PLACE, OP_END };

struct request {
	uint32_t op;
	uint64_t size;
	struct digest config;
	char name[MAX_NAME];
};

struct reply {
	int status;
	uint32_t kind;
	struct diag diag;
	char old[MAX_OLD];
};

/* @pass: a descriptor that goes along, or -1 */
static int send_whole(int to, const void *data, size_t size, int pass)
{
	struct iovec part = { (void *)(uintptr_t)data, size };
	struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1 };
	union fd_passed passed;
	ssize_t n;

	fd_pass(&m, &passed, pass);
	do
		n = sendmsg(to, &m, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)size ? 0 : -EIO;
}

/* ---- the keeper ------------------------------------------------------------------------------- */

/* A place in a layout: no part of it leads up, or nowhere. */
static bool is_below(const char *name)
{
	for (;;) {
		size_t n = strcspn(name, "/");

		if (n == 0 || (n <= 2 && strncmp(name, "..", n) == 0))
			return false;
		if (!name[n])
			return true;
		name += n + 1;
	}
}

/* "blobs/sha256/HEX": makes the directories on the way. */
static int create_below(int top, char *path, struct diag *d)
{
	int fd;

	for (char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdirat(top, path, 0755) < 0 && errno != EEXIST)
			return diag_errno(d, -errno, path, "cannot make the directory");
		*slash = '/';
	}
	fd = openat(top, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	return fd < 0 ? diag_errno(d, -errno, path, "cannot create") : fd;
}

static int open_below(int top, const char *name, struct diag *d)
{
	int fd = top < 0 ? -EBADF : store_open_below(top, name);

	return fd < 0 ? diag_errno(d, fd, name, "cannot open") : fd;
}

/* Return: a descriptor to hand over, or a negative errno. @ret_own: it stays the keeper's, too */
static int serve(struct target *t, const struct target_charge *c, struct request *q, struct reply *p, bool *ret_own)
{
	int layout = t->charge && t->kind == TARGET_DIRECTORY ? t->fd : -1;
	struct diag *d = &p->diag;
	int r;

	if ((q->op == OP_SOURCE || q->op == OP_CREATE || q->op == OP_WRITTEN) && !is_below(q->name))
		return diag_fail(d, -EINVAL, q->name, "is no place in a layout");
	switch ((enum op)q->op) {
	case OP_SPOOL:
		return place_spool(NULL, d);
	case OP_SOURCE:
		return open_below(c->source, q->name, d);
	case OP_TARGET:
		r = target_open(t, c, d);
		p->kind = (uint32_t)t->kind;
		*ret_own = true;
		return r < 0 ? r : t->fd;
	case OP_CREATE:
		return layout < 0 ? -EBADF : create_below(layout, q->name, d);
	case OP_WRITTEN:
		return open_below(layout, q->name, d);
	case OP_PLACE:
	case OP_END:
		break;
	}
	return -EINVAL;
}

static void place(struct target *t, const struct request *q, struct reply *p)
{
	_cleanup_(freep) char *old = NULL;

	p->status = t->charge ? target_place(t, q->size, &q->config, &old, &p->diag) : -EINVAL;
	if (old && strlen(old) < sizeof(p->old))
		memcpy(p->old, old, strlen(old) + 1);
}

/* Until the other end is closed, by whatever ended it. */
static void keep(int fd, const struct target_charge *c)
{
	struct target t = TARGET_NONE;
	struct request q;

	for (;;) {
		struct reply p = { 0 };
		ssize_t n = recv(fd, &q, sizeof(q), MSG_TRUNC);
		bool own = false;
		int pass = -1;

		if (n < 0 && errno == EINTR)
			continue;
		if (n != (ssize_t)sizeof(q) || !memchr(q.name, '\0', sizeof(q.name)) || q.op == OP_END)
			break;
		if (q.op == OP_PLACE)
			place(&t, &q, &p);
		else
			p.status = pass = serve(&t, c, &q, &p, &own);
		if (send_whole(fd, &p, sizeof(p), pass) < 0)
			break;
		if (pass >= 0 && !own)
			(void)fd_close(pass);
	}
	target_done(&t);
}

/* Whoever is at the terminal ends the run, and with it the keeper, which cleans up before. */
static void live_on(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE };

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		(void)signal(signals[i], SIG_IGN);
}

int keeper_start(struct keeper *k, const struct target_charge *c, struct diag *d)
{
	int ends[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return diag_errno(d, -errno, NULL, "cannot make a pair of sockets");
	pid = fork();
	if (pid < 0) {
		int r = -errno;

		(void)fd_close(ends[0]);
		(void)fd_close(ends[1]);
		return diag_errno(d, r, NULL, "cannot start a process");
	}
	if (pid == 0) {
		(void)fd_close(ends[0]);
		live_on();
		keep(ends[1], c);
		_exit(0);
	}
	(void)fd_close(ends[1]);
	*k = (struct keeper){ ends[0], pid };
	return 0;
}

/* ---- the one that asks ------------------------------------------------------------------------ */

/* It would end when the socket is closed, too; it is told, for it is waited for. */
void keeper_end(struct keeper *k)
{
	struct request q = { .op = OP_END };

	if (k->fd < 0)
		return;
	(void)send_whole(k->fd, &q, sizeof(q), -1);
	k->fd = fd_close(k->fd);
	while (waitpid(k->pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static int receive_reply(int from, struct reply *p, int *ret_fd)
{
	union fd_passed passed;
	struct iovec part = { p, sizeof(*p) };
	struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &passed,
			    .msg_controllen = sizeof(passed.room) };
	ssize_t n;

	do
		n = recvmsg(from, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		fd_take_passed(&m, ret_fd);
	return n == (ssize_t)sizeof(*p) ? 0 : -EIO;
}

static int ask(const struct keeper *k, struct request *q, struct reply *p, int *ret_fd, struct diag *d)
{
	int r = send_whole(k->fd, q, sizeof(*q), -1);

	if (r >= 0)
		r = receive_reply(k->fd, p, ret_fd);
	if (r < 0)
		return diag_fail(d, r, NULL, "the process that keeps the files has ended");
	if (p->status < 0 && p->diag.what[0])
		return diag_fail(d, p->status, p->diag.where, "%s", p->diag.what);
	return p->status;
}

static int ask_for_fd(const struct keeper *k, enum op op, const char *name, uint32_t *ret_kind, struct diag *d)
{
	struct request q = { .op = (uint32_t)op };
	struct reply p = { 0 };
	int fd = -1, r;

	if (strlen(name) >= sizeof(q.name))
		return diag_errno(d, -ENAMETOOLONG, name, "cannot open");
	memcpy(q.name, name, strlen(name) + 1);
	r = ask(k, &q, &p, &fd, d);
	if (r >= 0 && fd < 0)
		r = diag_fail(d, -EMFILE, name[0] ? name : NULL, "too many open files; raise their limit, with ulimit -n for one");
	if (r < 0) {
		(void)fd_close(fd);
		return r;
	}
	if (ret_kind)
		*ret_kind = p.kind;
	return fd;
}

int keeper_spool(const struct keeper *k, struct diag *d)
{
	return ask_for_fd(k, OP_SPOOL, "", NULL, d);
}

int keeper_source(const struct keeper *k, const char *name, struct diag *d)
{
	return ask_for_fd(k, OP_SOURCE, name, NULL, d);
}

int keeper_target(const struct keeper *k, enum target_kind *ret, struct diag *d)
{
	uint32_t kind = 0;
	int fd = ask_for_fd(k, OP_TARGET, "", &kind, d);

	*ret = (enum target_kind)kind;
	return fd;
}

int keeper_create(const struct keeper *k, const char *name, struct diag *d)
{
	return ask_for_fd(k, OP_CREATE, name, NULL, d);
}

int keeper_written(const struct keeper *k, const char *name, struct diag *d)
{
	return ask_for_fd(k, OP_WRITTEN, name, NULL, d);
}

int keeper_place(const struct keeper *k, uint64_t size, const struct digest *config, char **ret_old, struct diag *d)
{
	struct request q = { .op = OP_PLACE, .size = size };
	struct reply p = { 0 };
	int fd = -1, r;

	if (config)
		q.config = *config;
	r = ask(k, &q, &p, &fd, d);
	(void)fd_close(fd);
	if (r < 0)
		return r;
	p.old[sizeof(p.old) - 1] = '\0';
	if (p.old[0] && !(*ret_old = strdup(p.old)))
		return -ENOMEM;
	return 0;
}
