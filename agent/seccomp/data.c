/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The files of profiles/, packed to a third of their size, as bytes in the read-only section. The assembler
 * includes them; the Makefile packs them and knows that this object depends on them.
 */
#include "seccomp/data-internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "batten/base/arena.h"
#include "batten/base/embed.h"
#include "batten/base/unpack.h"
#include "batten/seccomp/abi.h"

EMBED(data_docker_default, "profiles/seccomp-docker-default.json.gz");
EMBED(data_host_needs, "profiles/seccomp-host-needs.json.gz");
EMBED(data_runtime_base, "profiles/seccomp-runtime-base.json.gz");
EMBED(data_notes, "profiles/seccomp-notes.json.gz");

#define MAX_DOCUMENT 65536

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
	struct arena arena = { 0 };
	const char *text;
	size_t n;
	int r;

	r = unpack_text(&arena, files[which].start, (size_t)(files[which].end - files[which].start), MAX_DOCUMENT, &text, &n);
	if (r >= 0)
		r = json_parse(text, n, files[which].name, ret, NULL);
	arena_done(&arena);
	return r;
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
