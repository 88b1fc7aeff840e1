/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The files of profiles/ as bytes in the read-only section. The assembler includes them; the
 * Makefile knows that this object depends on them.
 */
#include "seccomp/data-internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "batten/base/embed.h"
#include "batten/seccomp/abi.h"

EMBED(data_docker_default, "profiles/seccomp-docker-default.json");
EMBED(data_host_needs, "profiles/seccomp-host-needs.json");
EMBED(data_runtime_base, "profiles/seccomp-runtime-base.json");
EMBED(data_notes, "profiles/seccomp-notes.json");

int seccomp_data_load(enum seccomp_data which, json_t **ret)
{
	static const struct {
		const char *name, *start, *end;
	} files[_DATA_MAX] = {
		[DATA_DOCKER_DEFAULT] = { "seccomp-docker-default.json", data_docker_default, data_docker_default_end },
		[DATA_HOST_NEEDS] = { "seccomp-host-needs.json", data_host_needs, data_host_needs_end },
		[DATA_RUNTIME_BASE] = { "seccomp-runtime-base.json", data_runtime_base, data_runtime_base_end },
		[DATA_NOTES] = { "seccomp-notes.json", data_notes, data_notes_end },
	};

	return json_parse(files[which].start, (size_t)(files[which].end - files[which].start), files[which].name, ret,
			  NULL);
}

int seccomp_data_words(const json_t *list, int (*fn)(void *userdata, const char *word), void *userdata)
{
	const json_t *line;
	size_t i;

	json_array_foreach(list, i, line) {
		const char *p = json_string_value(line);

		while (p && *p) {
			size_t n = strcspn(p, " ");
			char word[ABI_NAME_SIZE];
			int r;

			(void)snprintf(word, sizeof(word), "%.*s", (int)n, p);
			r = n > 0 ? fn(userdata, word) : 0;
			if (r != 0)
				return r;
			p += n + (p[n] == ' ');
		}
	}
	return 0;
}
