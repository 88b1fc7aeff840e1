/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What Docker's follower says, and what the kernel says. Who ends is told by a descriptor of its first
 * process, which does not depend on Docker; "die" and a list without it end it as well.
 */
#include "batten/host/watch.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "batten/base/fd.h"

/* What the watch has beside the container itself. */
struct follow {
	struct list node;
	char id[CONTAINER_ID_SIZE];
	struct host_watch *watch;
	sd_event_source *end; /* NULL where the kernel has no pidfd_open() */
	int pidfd;
};

struct host_watch {
	sd_event *event; /* referenced */
	bool followed, told;
	struct host_model model;
	struct list follows;
	const struct host_watch_calls *calls;
	void *user;
};

/* ---- containers come and go ------------------------------------------------------------------ */

static struct follow *follow_free(struct follow *f)
{
	list_remove(&f->node);
	(void)sd_event_source_disable_unref(f->end);
	(void)fd_close(f->pidfd);
	free(f);
	return NULL;
}

void host_watch_ended(struct host_watch *w, const char *id)
{
	struct container *c = host_model_find(&w->model, id);

	list_for_each(pos, &w->follows) {
		struct follow *f = container_of(pos, struct follow, node);

		if (strcmp(f->id, id) == 0)
			follow_free(f);
	}
	if (!c)
		return;
	w->calls->ended(w->user, c);
	host_model_remove(&w->model, c);
}

static int on_end(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct follow *f = data;
	char id[CONTAINER_ID_SIZE];

	memcpy(id, f->id, sizeof(id));
	host_watch_ended(f->watch, id);
	return 0;
}

static int follow_process(struct host_watch *w, const struct container *c)
{
	struct follow *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return -ENOMEM;
	list_init(&f->node);
	f->watch = w;
	memcpy(f->id, c->id, sizeof(f->id));
	f->pidfd = (int)syscall(SYS_pidfd_open, c->pid, 0);
	if (f->pidfd < 0 && errno == ESRCH) {
		follow_free(f);
		return -ESRCH;
	}
	if (f->pidfd >= 0) {
		r = sd_event_add_io(w->event, &f->end, f->pidfd, EPOLLIN, on_end, f);
		if (r < 0) {
			follow_free(f);
			return r;
		}
	}
	list_append(&w->follows, &f->node);
	return 0;
}

static bool is_followed(struct host_watch *w, const char *id)
{
	list_for_each(pos, &w->follows)
		if (strcmp(container_of(pos, struct follow, node)->id, id) == 0)
			return true;
	return false;
}

/* ---- what Docker's follower tells ------------------------------------------------------------ */

void host_watch_over(struct host_watch *w, struct container *c)
{
	host_watch_ended(w, c->id);
	w->calls->over(w->user, c);
	container_free(c);
}

/* Return: 0; -ESRCH when it does not run any more; -ENOMEM */
static int take_in(struct host_watch *w, struct container *c)
{
	int r = container_complete(c);

	if (r == 0 && c->netns == 0)
		r = -ESRCH;
	if (r == 0 && !is_followed(w, c->id))
		r = follow_process(w, c);
	return r < 0 ? r : host_model_put(&w->model, c);
}

void host_watch_container(struct host_watch *w, struct container *c)
{
	const struct container *old = host_model_find(&w->model, c->id);
	bool known = old && c->running && old->pid == c->pid;
	int r;

	/* Restarted: another process, hence another cgroup and perhaps another address. */
	if (old && !known)
		host_watch_ended(w, c->id);
	if (!c->running)
		w->calls->made(w->user, c);
	r = c->running && c->pid > 0 ? take_in(w, c) : -EINVAL;
	if (r == -ESRCH && !known) {
		host_watch_over(w, c);
		return;
	}
	if (r < 0) {
		if (r == -ESRCH)
			host_watch_ended(w, c->id);
		container_free(c);
		return;
	}
	w->calls->runs(w->user, c);
	/* Whole, it takes fifty times the room of what is kept. */
	free(c->inspect_text);
	c->inspect_text = NULL;
}

void host_watch_docker(struct host_watch *w, bool followed, const struct diag *d)
{
	if (w->told && w->followed == followed)
		return;
	w->told = true;
	w->followed = followed;
	w->calls->docker(w->user, followed, d);
}

void host_watch_listed(struct host_watch *w, const char (*ids)[CONTAINER_ID_SIZE], size_t n)
{
	host_model_each(pos, &w->model) {
		char id[CONTAINER_ID_SIZE];
		bool listed = false;

		memcpy(id, host_container(pos)->id, sizeof(id));
		for (size_t i = 0; i < n && !listed; i++)
			listed = strcmp(ids[i], id) == 0;
		if (!listed)
			host_watch_ended(w, id);
	}
}

/* ---- life ------------------------------------------------------------------------------------ */

int host_watch_new(struct host_watch **ret, sd_event *event, const struct host_watch_calls *calls, void *user)
{
	struct host_watch *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	host_model_init(&w->model);
	list_init(&w->follows);
	w->event = sd_event_ref(event);
	w->calls = calls;
	w->user = user;
	*ret = w;
	return 0;
}

struct host_watch *host_watch_free(struct host_watch *w)
{
	if (!w)
		return NULL;
	list_for_each(pos, &w->follows)
		follow_free(container_of(pos, struct follow, node));
	host_model_done(&w->model);
	(void)sd_event_unref(w->event);
	free(w);
	return NULL;
}

const struct host_model *host_watch_model(const struct host_watch *w)
{
	return &w->model;
}
