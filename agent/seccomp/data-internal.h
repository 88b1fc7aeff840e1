/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * What ships in profiles/, carried inside the binary so that it can be moved without its data.
 */
#include <stddef.h>

#include "batten/base/json.h"

enum seccomp_data {
	DATA_DOCKER_DEFAULT,
	DATA_HOST_NEEDS,
	DATA_RUNTIME_BASE,
	DATA_NOTES,
	_DATA_MAX,
};

/* The parsed document; a new reference. Return: 0 or -ENOMEM. */
int seccomp_data_load(enum seccomp_data which, json_t **ret) _must_check_;

/*
 * Calls @fn for each word of a list of texts with several words each, as the data writes calls.
 * Return: 0, or the first result of @fn that is not 0.
 */
int seccomp_data_words(const json_t *list, int (*fn)(void *userdata, const char *word), void *userdata);
