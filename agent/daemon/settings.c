/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The sections of the configuration, put together. A subsystem describes its own keys.
 */
#include "batten/daemon/settings.h"

#include <errno.h>
#include <string.h>
#include <syslog.h>

#include "batten/base/config.h"

static const char *const level_words[] = { "error", "warning", "notice", "info", "debug", NULL };

static int parse_level(const struct config_key *k, struct slice v, void *target, struct diag *d)
{
	int index, r;

	r = config_parse_word(k, v, &index, d);
	if (r < 0)
		return r;
	*(int *)target = LOG_ERR + index;
	return 0;
}

/* Text that fits; @max is the room. */
static int parse_text(const struct config_key *k, struct slice v, void *target, struct diag *d)
{
	char *text = target;

	if (v.n >= k->max)
		return diag_fail(d, -EINVAL, NULL, "at most %llu bytes fit", (unsigned long long)k->max - 1);
	memcpy(text, v.p, v.n);
	text[v.n] = '\0';
	return 0;
}

static const struct config_key daemon_keys[] = {
	{
		.name = "log-level",
		.offset = offsetof(struct daemon_config, log_level),
		.parse = parse_level,
		.words = level_words,
		.default_text = "info",
		.help = "What is written to the journal: error, warning, notice, info or debug.",
	},
	{
		.name = "docker",
		.offset = offsetof(struct daemon_config, docker),
		.parse = parse_text,
		.max = 256,
		.default_text = "",
		.help = "Docker's socket, unix:///PATH; empty: DOCKER_HOST, else /var/run/docker.sock.",
	},
	{
		.name = "state-dir",
		.offset = offsetof(struct daemon_config, state_dir),
		.parse = parse_text,
		.max = 256,
		.default_text = "/var/lib/batten",
		.help = "What outlives the daemon and the host's restart.",
	},
};

static const struct config_section daemon_section = { "daemon", daemon_keys, ARRAY_SIZE(daemon_keys) };

static const struct config_key seccomp_keys[] = {
	{
		.name = "observe",
		.offset = offsetof(struct seccomp_config, observe),
		.parse = config_parse_bool,
		.default_text = "no",
		.help = "Observe which system calls containers make, for `batten seccomp list` and generate.",
	},
	{
		.name = "shadow",
		.offset = offsetof(struct seccomp_config, shadow),
		.parse = parse_text,
		.max = 256,
		.default_text = "",
		.help = "A profile to try on all containers while observing: what it would deny is counted, nothing is denied "
			"(`batten seccomp shadow`). A directory has one for each image, named sha256-DIGEST.json.",
	},
};

static const struct config_section seccomp_section = { "seccomp", seccomp_keys, ARRAY_SIZE(seccomp_keys) };

static const struct config_key audit_keys[] = {
	{
		.name = "enabled",
		.offset = offsetof(struct audit_config, enabled),
		.parse = config_parse_bool,
		.default_text = "yes",
		.help = "Watch the host, judge what changes and keep its findings, see `batten status` and `batten events`.",
	},
	{
		.name = "profile",
		.offset = offsetof(struct audit_config, profile),
		.parse = parse_text,
		.max = 256,
		.default_text = "ecs",
		.help = "What is judged: ecs, cis-docker, managed-instances, or the path of a profile.",
	},
	{
		.name = "waivers",
		.offset = offsetof(struct audit_config, waivers),
		.parse = parse_text,
		.max = 256,
		.default_text = "/etc/batten/waivers.json",
		.help = "Findings that are accepted for a while.",
	},
};

static const struct config_section audit_section = { "audit", audit_keys, ARRAY_SIZE(audit_keys) };

static const struct config_key metrics_keys[] = {
	{
		.name = "textfile",
		.offset = offsetof(struct metrics_config, textfile),
		.parse = parse_text,
		.max = 256,
		.default_text = "",
		.help = "Write what `batten metrics` prints to this file, for node_exporter's textfile collector.",
	},
};

static const struct config_section metrics_section = { "metrics", metrics_keys, ARRAY_SIZE(metrics_keys) };

int settings_read(struct settings *ret, const char *path, bool optional, struct diag *d)
{
	struct settings s = { 0 };
	const struct config_section sections[] = { daemon_section, imds_config_section, seccomp_section, audit_section,
						    metrics_section };
	void *const targets[] = { &s.daemon, &s.imds, &s.seccomp, &s.audit, &s.metrics };
	int r;

	r = config_read(path, optional, sections, ARRAY_SIZE(sections), targets, d);
	if (r < 0)
		return r;
	*ret = s;
	return 0;
}
