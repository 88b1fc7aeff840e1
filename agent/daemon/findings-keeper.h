/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Findings on disk: STATE_DIR/findings.json, replaced whole a moment after they changed and when
 * the daemon ends. A crash costs the steps of the last second, which are then told once more.
 */
#include <systemd/sd-event.h>

#include "batten/audit/life.h"
#include "batten/base/macros.h"

struct findings_keeper;

/*
 * findings_keeper_new - take over what an earlier life kept
 * @life: the caller's; outlives the keeper
 * A file that cannot be read is said in the journal. Return: 0 or -ENOMEM
 */
int findings_keeper_new(struct findings_keeper **ret, sd_event *event, struct life *life,
			const char *state_dir) _must_check_;

/* Keeps what is not kept yet, and waits for the disk. */
struct findings_keeper *findings_keeper_free(struct findings_keeper *k);
DEFINE_CLEANUP(struct findings_keeper *, findings_keeper_free)

/* The findings changed. */
void findings_keeper_touch(struct findings_keeper *k);

/* Why the last attempt failed, or "". */
const char *findings_keeper_trouble(const struct findings_keeper *k);
