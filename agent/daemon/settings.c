/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The sections of the configuration, put together. A subsystem describes its own keys.
 */
#include "batten/daemon/settings.h"

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

static const struct config_key daemon_keys[] = {
	{
		.name = "log-level",
		.offset = offsetof(struct daemon_config, log_level),
		.parse = parse_level,
		.words = level_words,
		.default_text = "info",
		.help = "What is written to the journal: error, warning, notice, info or debug.",
	},
};

static const struct config_section daemon_section = { "daemon", daemon_keys, ARRAY_SIZE(daemon_keys) };

int settings_read(struct settings *ret, const char *path, bool optional, struct diag *d)
{
	struct settings s = { 0 };
	const struct config_section sections[] = { daemon_section, imds_config_section };
	void *const targets[] = { &s.daemon, &s.imds };
	int r;

	r = config_read(path, optional, sections, ARRAY_SIZE(sections), targets, d);
	if (r < 0)
		return r;
	*ret = s;
	return 0;
}
