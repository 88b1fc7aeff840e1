/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * What those share who load the cgroup programs.
 */
#include <bpf/libbpf.h>

#include "imds/cgroup.skel.h"

static inline void skel_freep(struct cgroup_bpf **s)
{
	cgroup_bpf__destroy(*s);
}

static inline void link_freep(struct bpf_link **l)
{
	if (*l)
		(void)bpf_link__destroy(*l);
}

/* What cgroup_bpf__open() would do if its object were not packed. Return: NULL without memory */
struct cgroup_bpf *cgroup_skel_open(void);

/* The maps of an installation are taken over from @pins, or pinned there. Return: 0 or a negative errno */
int cgroup_set_pins(struct cgroup_bpf *s, const char *pins);
