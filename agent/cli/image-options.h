/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * What `image inspect` and `image strip` have in common on the command line.
 */
#include "batten/image/image.h"
#include "cli/command.h"

/* The rows of the rules, for an option list. */
#define IMAGE_RULE_OPTIONS                                                                         \
	{ "keep", 0, "PATH", "leave what this glob matches; @LIST for a list of them", true },     \
		{ "keep-caps", 0, NULL, "leave file capabilities", false },                        \
		{ "dirs", 0, NULL, "setgid directories too", false },                              \
	{                                                                                          \
		"docker", 0, "URL", "the Docker socket of docker-daemon:", false                   \
	}

/* Reads the options; @o->policy is to be freed with image_policy_done(), also after a failure. */
int image_options_read(const struct invocation *inv, struct image_options *o,
		       struct diag *d) _must_check_;

/* Notes and totals on standard error, unless quiet. */
void image_print_notes(const struct invocation *inv, const struct image_run *run);
