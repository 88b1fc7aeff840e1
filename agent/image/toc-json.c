/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The table may be larger than the memory that a layer is given, so it is read byte by byte and one
 * entry is held at a time: its name, its mode, and whether an attribute gives privileges.
 *
 * Go takes the last of several equal names and does not mind their case; others may take the first.
 * Here every mode that an entry states counts, in any spelling: in doubt there is a bit too many.
 */
#include "image/toc-internal.h"

#include <errno.h>
#include <string.h>

#include "batten/base/bytes.h"
#include "image/tar-internal.h"

#define MAX_DEPTH 32
#define MAX_TEXT (64 * 1024) /* of a name or value that is looked at */

enum place { IN_OTHER, IN_TOP, IN_ENTRIES, IN_ENTRY, IN_XATTRS };

enum state {
	BEFORE_VALUE,
	BEFORE_FIRST, /* of a list, which may end here */
	BEFORE_KEY,
	BEFORE_KEY_OR_END,
	BEFORE_COLON,
	BEHIND_VALUE,
	IN_STRING,
	IN_ESCAPE,
	IN_HEX,
	IN_WORD, /* number, true, false, null */
	AT_END,
	BROKEN,
};

enum key { KEY_OTHER, KEY_ENTRIES, KEY_NAME, KEY_TYPE, KEY_MODE, KEY_XATTRS, KEY_CAPS, KEY_OVERRIDE };

struct toc_json {
	toc_entry_fn *entry;
	void *arg;
	enum state state;
	struct {
		enum place place;
		bool object;
	} in[MAX_DEPTH];
	unsigned int depth;
	enum key key; /* of the value that comes */
	bool string_is_key, has_entries;
	unsigned int n_hex, hex;
	struct bytes text; /* the string or word that is being read */
	/* the entry */
	struct bytes name;
	enum tar_kind kind;
	unsigned int mode;
	bool has_caps;
	uint8_t caps[64];
	size_t n_caps;
};

struct toc_json *toc_json_new(toc_entry_fn *entry, void *arg)
{
	struct toc_json *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->entry = entry;
	t->arg = arg;
	return t;
}

struct toc_json *toc_json_free(struct toc_json *t)
{
	if (!t)
		return NULL;
	bytes_done(&t->text);
	bytes_done(&t->name);
	free(t);
	return NULL;
}

bool toc_json_whole(const struct toc_json *t)
{
	return t->state == AT_END && t->has_entries;
}

/* ---- what an entry says ----------------------------------------------------------------------- */

static struct slice text_of(const struct bytes *b)
{
	return (struct slice){ b->n ? b->data : "", b->n };
}

static bool ends_with(struct slice s, const char *end)
{
	size_t n = strlen(end);

	return s.n >= n && memcmp(s.p + s.n - n, end, n) == 0;
}

/* Go folds ASCII's case, and takes the long s for s; no name here has a k. */
static bool folds_to(struct slice s, const char *name)
{
	for (; *name; name++) {
		if (s.n >= 2 && *name == 's' && memcmp(s.p, "\xc5\xbf", 2) == 0) {
			s.p += 2;
			s.n -= 2;
		} else if (s.n > 0 && (s.p[0] | 0x20) == *name) {
			s.p++;
			s.n--;
		} else {
			return false;
		}
	}
	return s.n == 0;
}

static enum key key_of(enum place place, struct slice s)
{
	if (place == IN_TOP)
		return folds_to(s, "entries") ? KEY_ENTRIES : KEY_OTHER;
	if (place == IN_ENTRY)
		return folds_to(s, "name")     ? KEY_NAME
		       : folds_to(s, "type")   ? KEY_TYPE
		       : folds_to(s, "mode")   ? KEY_MODE
		       : folds_to(s, "xattrs") ? KEY_XATTRS
					       : KEY_OTHER;
	if (place == IN_XATTRS)
		return ends_with(s, "security.capability") ? KEY_CAPS
		       : ends_with(s, "override_stat")     ? KEY_OVERRIDE
							   : KEY_OTHER;
	return KEY_OTHER;
}

static enum tar_kind kind_of(struct slice s)
{
	return slice_eq(s, "dir")	 ? TAR_DIR
	       : slice_eq(s, "hardlink") ? TAR_LINK
	       : slice_eq(s, "symlink")	 ? TAR_SYMLINK
	       : slice_eq(s, "fifo")	 ? TAR_FIFO
	       : slice_eq(s, "char")	 ? TAR_DEVICE
	       : slice_eq(s, "block")	 ? TAR_DEVICE
					 : TAR_FILE;
}

/* An attribute's value is bytes in base64. */
static void take_override(struct toc_json *t)
{
	uint8_t plain[128];
	int n = tar_base64(text_of(&t->text), plain, sizeof(plain));
	struct slice digits;
	unsigned int mode;

	if (n < 0 || tar_override_mode((struct slice){ (char *)plain, (size_t)n }, &digits, &mode) < 0)
		t->state = BROKEN;
	else
		t->mode |= mode;
}

static void take_caps(struct toc_json *t)
{
	int n = tar_base64(text_of(&t->text), t->caps, sizeof(t->caps));

	t->has_caps = true;
	t->n_caps = n < 0 ? 0 : (size_t)n;
}

static void take_mode(struct toc_json *t)
{
	struct slice s = text_of(&t->text);
	uint64_t mode;

	if (slice_eq(s, "null"))
		return;
	if (parse_u64(s, 0, INT64_MAX, &mode) < 0)
		t->state = BROKEN;
	else
		t->mode |= (unsigned int)(mode & 07777);
}

/* A string or word has ended whose key is one of ours. */
static int take_value(struct toc_json *t, bool string)
{
	int r = 0;

	switch (t->key) {
	case KEY_NAME:
		t->name.n = 0;
		bytes_append(&t->name, t->text.data, t->text.n);
		r = t->name.error;
		break;
	case KEY_TYPE:
		t->kind = kind_of(text_of(&t->text));
		break;
	case KEY_MODE:
		if (string)
			t->state = BROKEN;
		else
			take_mode(t);
		break;
	case KEY_CAPS:
		take_caps(t);
		break;
	case KEY_OVERRIDE:
		take_override(t);
		break;
	default:
		break;
	}
	return r;
}

static int end_entry(struct toc_json *t, struct diag *d)
{
	_cleanup_(freep) char *raw = NULL, *path = NULL;
	struct tar_member m = { .kind = t->kind, .mode = t->mode, .copy = true, .link = "" };
	size_t n = t->name.n;

	if (!(t->mode & (TAR_SETUID | TAR_SETGID)) && !t->has_caps)
		return 0;
	raw = strndup(n ? t->name.data : "", n);
	path = raw ? malloc(n + 2) : NULL;
	if (!path)
		return -ENOMEM;
	tar_path_clean(raw, path);
	m.path = path;
	m.has_caps = t->has_caps;
	m.caps = t->caps;
	m.n_caps = t->n_caps;
	return t->entry(t->arg, &m, d);
}

/* ---- the language --------------------------------------------------------------------------- */

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void push(struct toc_json *t, bool object)
{
	enum place at = t->depth ? t->in[t->depth - 1].place : IN_OTHER, place = IN_OTHER;

	if (t->depth == MAX_DEPTH) {
		t->state = BROKEN;
		return;
	}
	if (t->depth == 0 && object)
		place = IN_TOP;
	else if (at == IN_TOP && !object && t->key == KEY_ENTRIES)
		place = IN_ENTRIES;
	else if (at == IN_ENTRIES && object)
		place = IN_ENTRY;
	else if (at == IN_ENTRY && object && t->key == KEY_XATTRS)
		place = IN_XATTRS;
	t->has_entries |= place == IN_ENTRIES;
	if (place == IN_ENTRY) {
		t->name.n = 0;
		t->kind = TAR_FILE;
		t->mode = 0;
		t->has_caps = false;
		t->n_caps = 0;
	}
	t->in[t->depth].place = place;
	t->in[t->depth++].object = object;
	t->key = KEY_OTHER;
	t->state = object ? BEFORE_KEY_OR_END : BEFORE_FIRST;
}

static int pop(struct toc_json *t, bool object, struct diag *d)
{
	if (t->depth == 0 || t->in[t->depth - 1].object != object) {
		t->state = BROKEN;
		return 0;
	}
	t->depth--;
	t->state = t->depth ? BEHIND_VALUE : AT_END;
	return t->in[t->depth].place == IN_ENTRY ? end_entry(t, d) : 0;
}

/* Of strings that nobody looks at only the end is looked for. */
static void keep(struct toc_json *t, uint32_t c)
{
	char out[3];
	size_t n = 0;

	if (!t->string_is_key && t->key == KEY_OTHER)
		return;
	if (c == 0)
		c = '?';
	if (c < 0x80) {
		out[n++] = (char)c;
	} else if (c < 0x800) {
		out[n++] = (char)(0xc0 | c >> 6);
		out[n++] = (char)(0x80 | (c & 0x3f));
	} else {
		out[n++] = (char)(0xe0 | c >> 12);
		out[n++] = (char)(0x80 | (c >> 6 & 0x3f));
		out[n++] = (char)(0x80 | (c & 0x3f));
	}
	if (t->text.n + n > MAX_TEXT)
		t->state = BROKEN;
	else
		bytes_append(&t->text, out, n);
}

static void keep_byte(struct toc_json *t, uint8_t c)
{
	if (!t->string_is_key && t->key == KEY_OTHER)
		return;
	if (t->text.n == MAX_TEXT)
		t->state = BROKEN;
	else
		bytes_append(&t->text, &c, 1);
}

static void begin_string(struct toc_json *t, bool key)
{
	t->string_is_key = key;
	t->text.n = 0;
	t->state = IN_STRING;
}

static int end_string(struct toc_json *t)
{
	if (t->string_is_key) {
		t->key = key_of(t->in[t->depth - 1].place, text_of(&t->text));
		t->state = BEFORE_COLON;
		return 0;
	}
	t->state = BEHIND_VALUE;
	return take_value(t, true);
}

static void escape(struct toc_json *t, uint8_t c)
{
	static const char from[] = "bfnrt\"\\/", to[] = "\b\f\n\r\t\"\\/";
	const char *at = c ? strchr(from, c) : NULL;

	t->state = IN_STRING;
	if (c == 'u') {
		t->n_hex = t->hex = 0;
		t->state = IN_HEX;
	} else if (at) {
		keep(t, (uint8_t)to[at - from]);
	} else {
		t->state = BROKEN;
	}
}

static void hex_digit(struct toc_json *t, uint8_t c)
{
	bool letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'f';

	if (!letter && (c < '0' || c > '9')) {
		t->state = BROKEN;
		return;
	}
	t->hex = t->hex << 4 | (letter ? (c | 0x20U) - 'a' + 10 : (unsigned int)(c - '0'));
	if (++t->n_hex == 4) {
		t->state = IN_STRING;
		keep(t, t->hex);
	}
}

static int begin_value(struct toc_json *t, uint8_t c)
{
	if (c == '{' || c == '[') {
		push(t, c == '{');
	} else if (t->depth == 0) {
		t->state = BROKEN;
	} else if (c == '"') {
		begin_string(t, false);
	} else if (c == '-' || (c >= '0' && c <= '9') || c == 't' || c == 'f' || c == 'n') {
		t->text.n = 0;
		t->string_is_key = false;
		t->state = IN_WORD;
		keep_byte(t, c);
	} else {
		t->state = BROKEN;
	}
	return 0;
}

static int between(struct toc_json *t, uint8_t c, struct diag *d)
{
	bool object = t->depth && t->in[t->depth - 1].object;

	if (is_blank(c))
		return 0;
	switch (t->state) {
	case BEFORE_FIRST:
		return c == ']' ? pop(t, false, d) : begin_value(t, c);
	case BEFORE_VALUE:
		return begin_value(t, c);
	case BEFORE_KEY_OR_END:
		if (c == '}')
			return pop(t, true, d);
		/* fall through */
	case BEFORE_KEY:
		if (c == '"')
			begin_string(t, true);
		else
			t->state = BROKEN;
		return 0;
	case BEFORE_COLON:
		t->state = c == ':' ? BEFORE_VALUE : BROKEN;
		return 0;
	case BEHIND_VALUE:
		if (c == '}' || c == ']')
			return pop(t, c == '}', d);
		/* An element of a list has no key of its own. */
		if (!object)
			t->key = KEY_OTHER;
		t->state = c != ',' ? BROKEN : object ? BEFORE_KEY : BEFORE_VALUE;
		return 0;
	default:
		t->state = BROKEN;
		return 0;
	}
}

static int take(struct toc_json *t, uint8_t c, struct diag *d)
{
	int r = 0;

	switch (t->state) {
	case IN_STRING:
		if (c == '"')
			return end_string(t);
		if (c == '\\')
			t->state = IN_ESCAPE;
		else if (c < 0x20)
			t->state = BROKEN;
		else
			keep_byte(t, c);
		return 0;
	case IN_ESCAPE:
		escape(t, c);
		return 0;
	case IN_HEX:
		hex_digit(t, c);
		return 0;
	case IN_WORD:
		if (!is_blank(c) && c != ',' && c != '}' && c != ']') {
			keep_byte(t, c);
			return 0;
		}
		t->state = BEHIND_VALUE;
		r = take_value(t, false);
		return r < 0 || t->state == BROKEN ? r : between(t, c, d);
	default:
		return between(t, c, d);
	}
}

int toc_json_feed(struct toc_json *t, const void *data, size_t n, struct diag *d)
{
	const uint8_t *p = data;
	int r = 0;

	for (size_t i = 0; i < n && r >= 0 && t->state != BROKEN; i++)
		r = take(t, p[i], d);
	return r < 0 ? r : t->text.error;
}
