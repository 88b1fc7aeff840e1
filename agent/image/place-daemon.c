/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A Docker daemon as a place. Docker tells of a failure inside an answer that says 200: an export
 * ends in an error text instead of the end of a tar, and a load's answer has a line for it.
 */
#include "image/place.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "batten/base/bytes.h"
#include "batten/base/fd.h"
#include "batten/base/json.h"
#include "batten/host/docker.h"

#define MAX_ANSWER (1024 * 1024)

/* What @ref means now. Return: 1, 0 when nothing, or a negative errno. */
static int image_id(struct docker *k, const char *ref, char **ret, struct diag *d)
{
	_cleanup_(json_freep) json_t *j = NULL;
	_cleanup_(freep) char *path = NULL;
	struct bytes b = { 0 };
	const char *id;
	size_t n;
	int r;

	bytes_append_str(&b, "/images/");
	docker_escape(&b, ref);
	bytes_append_str(&b, "/json");
	r = bytes_take(&b, &path, &n);
	if (r >= 0)
		r = docker_get(k, path, MAX_ANSWER, &j, NULL);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return diag_fail(d, r, ref, "Docker cannot be asked about it");
	id = json_string_value(json_object_get(j, "Id"));
	*ret = id ? strdup(id) : NULL;
	return *ret ? 1 : diag_fail(d, -EPROTO, ref, "Docker tells no id of it");
}

/* By a name without a tag Docker exports every image that has the name; "latest" is meant, or an id. */
static int one_image(struct docker *k, const char *ref, char **ret, struct diag *d)
{
	const char *slash = strrchr(ref, '/');
	_cleanup_(freep) char *latest = NULL, *id = NULL;
	int r;

	if (strpbrk(slash ? slash : ref, ":@")) {
		*ret = strdup(ref);
		return *ret ? 0 : -ENOMEM;
	}
	if (asprintf(&latest, "%s:latest", ref) < 0) {
		latest = NULL;
		return -ENOMEM;
	}
	r = image_id(k, latest, &id, d);
	if (r > 0) {
		*ret = take_ptr(latest);
		return 0;
	}
	if (r == 0)
		r = image_id(k, ref, ret, d);
	return r == 0 ? diag_fail(d, -ENOENT, ref, "Docker has no image of that name; does its tag miss?") : r < 0 ? r : 0;
}

int place_export(const char *ref, const char *docker_url, int fd, struct diag *d)
{
	_cleanup_(docker_freep) struct docker *k = NULL;
	_cleanup_(docker_stream_freep) struct docker_stream *s = NULL;
	_cleanup_(freep) char *buf = malloc(65536), *path = NULL, *one = NULL;
	struct bytes b = { 0 };
	size_t n;
	int r;

	if (!buf)
		return -ENOMEM;
	r = docker_new(&k, docker_url, d);
	if (r >= 0)
		r = one_image(k, ref, &one, d);
	if (r < 0)
		return r;
	bytes_append_str(&b, "/images/get?names=");
	docker_escape(&b, one);
	r = bytes_take(&b, &path, &n);
	if (r >= 0)
		r = docker_download(&s, k, path, d);
	while (r >= 0) {
		r = docker_download_read(s, buf, 65536, &n, d);
		if (r < 0 || n == 0)
			break;
		r = fd_write_all(fd, buf, n);
		if (r < 0)
			return diag_errno(d, r, ref, "cannot spool the image");
	}
	return r;
}

static int tag(struct docker *k, const char *id, const char *repo, const char *name, struct diag *d)
{
	_cleanup_(docker_stream_freep) struct docker_stream *s = NULL;
	_cleanup_(freep) char *path = NULL;
	struct bytes b = { 0 };
	size_t n;
	int r;

	bytes_append_str(&b, "/images/");
	docker_escape(&b, id);
	bytes_append_str(&b, "/tag?repo=");
	docker_escape(&b, repo);
	bytes_append_str(&b, "&tag=");
	docker_escape(&b, name);
	r = bytes_take(&b, &path, &n);
	if (r >= 0)
		r = docker_upload(&s, k, path, "application/json", d);
	return r < 0 ? r : docker_upload_finish(s, NULL, d);
}

/* "host:5000/name:tag" into its halves; no tag means latest. */
static int split(const char *ref, char **ret_repo, char **ret_tag)
{
	const char *colon = strrchr(ref, ':');

	if (colon && strchr(colon, '/'))
		colon = NULL;
	*ret_repo = colon ? strndup(ref, (size_t)(colon - ref)) : strdup(ref);
	*ret_tag = strdup(colon ? colon + 1 : "latest");
	return *ret_repo && *ret_tag ? 0 : -ENOMEM;
}

static int upload(struct docker *k, int fd, uint64_t size, char **ret, struct diag *d)
{
	_cleanup_(docker_stream_freep) struct docker_stream *s = NULL;
	_cleanup_(freep) char *buf = malloc(65536);
	uint64_t at = 0;
	int r;

	if (!buf)
		return -ENOMEM;
	r = docker_upload(&s, k, "/images/load?quiet=1", "application/x-tar", d);
	while (r >= 0 && at < size) {
		ssize_t n = fd_pread(fd, buf, 65536, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			r = diag_errno(d, n < 0 ? -errno : -EIO, NULL, "cannot read the new image");
			break;
		}
		r = docker_upload_write(s, buf, (size_t)n, d);
		at += (uint64_t)n;
	}
	return r < 0 ? r : docker_upload_finish(s, ret, d);
}

/*
 * The answer is JSON, a document a line; the first error counts.
 * @ret:     what Docker calls the image that it loaded: a reference, or an id when it carries none
 * @ret_tag: it is a tag, which meant something else before
 */
static int check_answer(const char *ref, const char *answer, char **ret, bool *ret_tag, struct diag *d)
{
	static const char *const words[] = { "Loaded image: ", "Loaded image ID: " };

	while (*answer) {
		size_t n = strcspn(answer, "\n");
		_cleanup_(json_freep) json_t *j = json_loadb(answer, n, 0, NULL);
		const char *error = json_string_value(json_object_get(j, "error"));
		const char *text = json_string_value(json_object_get(j, "stream"));

		if (error)
			return diag_fail(d, -ECANCELED, ref, "Docker did not load the image: %s",
					 error);
		for (size_t i = 0; !*ret && i < ARRAY_SIZE(words); i++) {
			size_t skip = strlen(words[i]);

			if (!text || strncmp(text, words[i], skip) != 0)
				continue;
			*ret = strndup(text + skip, strcspn(text + skip, "\n"));
			if (!*ret)
				return -ENOMEM;
			*ret_tag = i == 0 && !strchr(*ret, '@');
		}
		answer += n + (answer[n] == '\n');
	}
	return *ret ? 0
		    : diag_fail(d, -ECANCELED, ref,
				"Docker did not say that it loaded the image");
}

int place_load(const char *ref, const char *from, const char *docker_url, int fd, uint64_t size,
	       const struct digest *config, char **ret_old, struct diag *d)
{
	_cleanup_(docker_freep) struct docker *k = NULL;
	_cleanup_(freep) char *old = NULL, *source = NULL, *answer = NULL, *repo = NULL,
			      *name = NULL, *kept = NULL, *moved_repo = NULL, *moved_name = NULL,
			      *now = NULL, *loaded = NULL;
	char id[DIGEST_TEXT_SIZE];
	int r, had_old = 0, had_source = 0;
	bool moved = false;

	if (split(ref, &repo, &name) < 0 || asprintf(&kept, "%s-unstripped", name) < 0)
		return -ENOMEM;
	r = docker_new(&k, docker_url, d);
	if (r >= 0)
		r = had_old = image_id(k, ref, &old, d);
	if (r >= 0 && from)
		r = had_source = image_id(k, from, &source, d);
	if (r > 0 || (r >= 0 && had_old))
		r = had_old ? tag(k, old, repo, kept, d) : 0;
	if (r >= 0)
		r = upload(k, fd, size, &answer, d);
	if (r >= 0)
		r = check_answer(ref, answer, &loaded, &moved, d);
	if (r < 0)
		return r;
	/* A containerd store names an image by its manifest: then what Docker calls it is asked. */
	digest_text(config, id);
	r = image_id(k, id, &now, d);
	if (r == 0)
		r = image_id(k, loaded, &now, d);
	if (r == 0)
		return diag_fail(d, -ECANCELED, ref,
				 "Docker loaded the image but does not find it");
	/*
	 * Loading moved the tag that the image carried, if it carried one: an image that was asked for by its id
	 * or digest has none. It is given back first, for it may be the destination in other words.
	 */
	if (r > 0 && had_source && moved) {
		r = split(loaded, &moved_repo, &moved_name);
		if (r == 0 && (strcmp(repo, moved_repo) != 0 || strcmp(name, moved_name) != 0))
			r = tag(k, source, moved_repo, moved_name, d);
	}
	if (r >= 0)
		r = tag(k, now, repo, name, d);
	if (r < 0)
		return r;
	if (had_old && asprintf(ret_old, "%s:%s", repo, kept) < 0)
		return -ENOMEM;
	return 0;
}
