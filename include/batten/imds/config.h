/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Section [imds] of the configuration. The addresses of the metadata service are no setting.
 */
#include <stdbool.h>
#include <stddef.h>

#include "batten/base/config.h"
#include "batten/imds/exceptions.h"
#include "batten/kernel/nft.h"

#define IMDS_MAX_ALLOW 64

enum imds_table_owner {
	TABLE_OWNER_AUTO, /* own the table where that cannot open a road */
	TABLE_OWNER_NO,
	TABLE_OWNER_COMMAND, /* not a setting: one command cannot own what outlives it */
};

enum imds_awsvpc {
	AWSVPC_VERIFY,
	AWSVPC_ENFORCE,
	AWSVPC_NO,
};

enum imds_self_test {
	SELF_TEST_NO,
	SELF_TEST_YES,	    /* on EC2 instances */
	SELF_TEST_ANYWHERE, /* also where the addresses may be somebody else's */
};

struct imds_address_list {
	struct ip_address addresses[IMDS_MAX_ALLOW];
	size_t n;
};

#define IMDS_MAX_SLICES 8
#define IMDS_PATH_SIZE 256

/* Names of cgroups right below the root of the hierarchy; or what names begin with. */
struct imds_slices {
	char names[IMDS_MAX_SLICES][64];
	size_t n;
};

struct imds_config {
	bool enabled;
	bool proxy_mode;
	bool routing_rules;
	unsigned int routing_rule_priority;
	int table_owner; /* enum imds_table_owner */
	bool log;
	unsigned int log_group;
	unsigned int log_rate; /* packets a second */
	struct imds_address_list allow_address;
	struct exceptions allow;
	int awsvpc;    /* enum imds_awsvpc */
	int self_test; /* enum imds_self_test */
	bool cgroup_ebpf;
	struct imds_slices slices;
	struct imds_slices runtimes; /* names of containers' groups begin with these */
	char cgroup_root[IMDS_PATH_SIZE]; /* "": where cgroup2 is mounted, on the host alone */
	char bpf_dir[IMDS_PATH_SIZE];
};

extern const struct config_section imds_config_section;
