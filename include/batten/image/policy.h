/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * What should leave an image: the rules that do not depend on where a member stands.
 */
#include <stdbool.h>

#include "batten/base/diag.h"
#include "batten/image/tar.h"

struct image_policy {
	char **keep; /* globs of absolute paths whose bits and capabilities stay */
	size_t n_keep;
	char **remove; /* globs of members that leave their layer, and so do links to them */
	size_t n_remove;
	bool keep_caps;
	bool dirs; /* setgid and setuid of directories too */
};

/*
 * image_policy_add - add a rule
 * @text: an absolute path with shell globs, or "@FILE": one such rule a line, "#" begins a comment;
 *        "@NAME" without a slash is a list of profiles/, which the program carries: login, tools
 * Return: 0 or a negative errno: -EINVAL for a rule that is not absolute
 */
int image_policy_keep(struct image_policy *p, const char *text, struct diag *d) _must_check_;
int image_policy_remove(struct image_policy *p, const char *text, struct diag *d) _must_check_;
void image_policy_done(struct image_policy *p);

/* Return: a set of enum tar_verdict. */
int image_policy_judge(const struct image_policy *p, const struct tar_member *m);

/* What the member has of what we look for, whatever the rules say. */
int image_policy_has(const struct tar_member *m);

/* A shell or download tool that the hardening guides tell to leave out of images, by its path. */
bool image_policy_is_tool(const struct tar_member *m);
