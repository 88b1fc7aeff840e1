/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * JSON as Go's encoding/json reads it. It differs from our own reader (jansson) in what the agent
 * notices: keys match fields in any case, a repeated key is applied again, numbers keep their text,
 * bytes that are no UTF-8 and lone surrogates become U+FFFD, and NUL is a character.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "batten/base/parse.h"

enum go_json_type { GO_NULL, GO_BOOL, GO_NUMBER, GO_STRING, GO_ARRAY, GO_OBJECT };

struct go_json {
	enum go_json_type type;
	struct slice raw;	/* the value as written; belongs to the text that was parsed */
	struct slice text;	/* a string decoded, a number's or a bool's text */
	struct slice key;	/* decoded; only of an object's members */
	struct go_json *child;	/* first element or member, in order */
	struct go_json *next;	/* next sibling */
};

struct go_json_doc;

/*
 * go_json_parse - read one value
 * @stream: as json.Decoder does: only the first value counts, whatever follows; else the whole
 *          text must be one value, as for json.Unmarshal
 * @ret:    freed by go_json_free(); NULL on success when @stream and there is nothing but blanks
 * @ret_at: on -EBADMSG the byte at which the text stops being JSON, counted from 0
 * Return: 0, -EBADMSG, -ENOMEM
 */
int go_json_parse(struct slice text, bool stream, struct go_json_doc **ret, size_t *ret_at) _must_check_;

const struct go_json *go_json_root(const struct go_json_doc *doc);

struct go_json_doc *go_json_free(struct go_json_doc *doc);
DEFINE_CLEANUP(struct go_json_doc *, go_json_free)

/* Does a key name the field @name, as encoding/json folds case? */
bool go_json_key_is(const struct go_json *member, const char *name);
