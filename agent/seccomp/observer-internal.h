/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Between the observer's loader and what turns its rows into observations.
 */
#include <linux/types.h>
#include <stdbool.h>
#include <stdint.h>

#include "batten/base/list.h"
#include "batten/seccomp/observer.h"
#include "seccomp/observer-bpf.h"
#include "seccomp/observer.skel.h"

/* One event of first sight, kept until the group is collected. */
struct first_sight {
	uint64_t boot_ns;
	uint32_t nr;
	uint16_t abi, row;
	char by[32];
};

struct observed_group {
	struct list link;
	uint64_t id;
	int64_t started_ms;
	bool serving;
	struct first_sight *firsts;
	size_t n_firsts, size_firsts;
};

struct observer {
	struct observer_bpf *skel;
	struct ring_buffer *ring;
	struct list groups;
	struct list trials;
	uint32_t last_trial; /* its number */
	observer_callback callback;
	void *userdata;
	uint64_t startup_ns;
	bool by_mntns;
	bool old; /* the programs for kernels without storage by task are loaded */
};

void observer_shadow_done(struct observer *o);
struct observed_group *observer_group(const struct observer *o, uint64_t id);
/* A group's row, in bits whatever the kernel keeps. Return: 0 or a negative errno. */
int observer_row(const struct observer *o, uint64_t id, struct obs_row *ret) _must_check_;
const char *observer_bit_name(unsigned int abi, unsigned int bit, char buf[static ABI_NAME_SIZE]);
/* The number that the kernel uses, of the number of a bit. */
int observer_bit_number(unsigned int bit);
enum abi observer_abi(unsigned int abi);
int64_t observer_wall_ms(uint64_t boot_ns);
