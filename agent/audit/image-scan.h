/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * What lies in an image's layers on this host: one walk over the directories that the storage
 * driver unpacked, without following links and within a budget of time for all images together.
 */
#include "batten/audit/audit.h"
#include "batten/audit/facts.h"

enum image_hit_kind {
	HIT_PRIVILEGE, /* setuid, setgid or file capabilities */
	HIT_TOOL,      /* a shell, package manager or download tool */
	HIT_SECRET,
	_HIT_MAX,
};

struct image_hit {
	enum image_hit_kind kind;
	const char *path;
	const char *what; /* "setuid", "private key"… */
	size_t layer;	  /* 0 is the topmost */
	bool effective;	  /* not hidden by a layer above */
};

struct image_scan {
	const char *unknown; /* why it could not be made; NULL when it was */
	const struct image_hit *hits;
	size_t n_hits, n_files, n_layers;
	const char *const *layers; /* directories, topmost first */
};

/*
 * image_scan - the scan of an image, made at the first call
 * All images of a run share a budget of time: "image-scan-ms" of the profile, for a whole audit is
 * to stay quick; a minute in a thorough one.
 * Return: 0 or -ENOMEM; whatever else goes wrong stands in @ret->unknown
 */
int image_scan(struct audit *a, const struct image_facts *m, const struct image_scan **ret) _must_check_;

/* A small file as a container would see it, NULL when there is none. */
const char *image_read(struct facts *f, const struct image_scan *s, const char *path);
