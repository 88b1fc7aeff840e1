/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * One run over an image: what was opened, what the workers found, what became of it.
 */
#include "batten/image/image.h"
#include "image/keeper.h"
#include "image/model.h"
#include "image/place.h"
#include "image/worker.h"

struct image_run {
	struct keeper keeper; /* of its own; a second look borrows that of the first */
	struct store store;
	struct model model;
	struct worker_task *tasks; /* one per layer of the model */
	struct image_totals totals;
	struct image_policy policy; /* borrowed from the options */
	char *name;
	char *old_name;
	char new_digest[DIGEST_TEXT_SIZE];
};

/* Gives up every right but those over what is held, and the keeper. Return: 0 or a negative errno. */
int run_confine(int keeper_fd, struct diag *d) _must_check_;

/* One finding read back; memory belongs to the reader until the next one. */
struct finding {
	struct worker_finding f;
	char *path, *link;
	uint8_t *caps;
};

struct finding_reader {
	FILE *file;
	struct finding now;
};

int finding_reader_init(struct finding_reader *r, int fd) _must_check_;
/* Return: 1, 0 at the end, or a negative errno. */
int finding_reader_next(struct finding_reader *r) _must_check_;
void finding_reader_done(struct finding_reader *r);

/*
 * effective_view - which findings of an image no upper layer hides
 * @layers: indexes of tasks, bottom first; STORE_NONE for one that was left alone
 * @ret:    per layer, one byte per finding: 1 effective, 0 hidden; freed by the caller, each
 */
int effective_view(const struct worker_task *tasks, const uint32_t *layers, uint32_t n_layers,
		   uint8_t **ret, struct diag *d) _must_check_;
