/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Log events to the journal with fields, or to standard error as text. One event is one line and
 * one write.
 */
#include "batten/base/log.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>

#include "batten/base/bytes.h"
#include "batten/base/fd.h"
#include "batten/base/parse.h"

#define MAX_PAIRS 24

static enum log_target log_target = LOG_TARGET_TEXT;
static int log_max_level = LOG_INFO;

/* systemd puts DEVICE:INODE of the journal's socket into JOURNAL_STREAM. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	uint64_t dev, ino;
	const char *colon;
	struct stat st;

	if (!stream)
		return false;
	colon = strchr(stream, ':');
	if (!colon || parse_u64((struct slice){ stream, (size_t)(colon - stream) }, 0, UINT64_MAX, &dev) < 0 ||
	    parse_u64(slice_of(colon + 1), 0, UINT64_MAX, &ino) < 0)
		return false;
	return fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

void log_init(enum log_target target, int max_level)
{
	if (target == LOG_TARGET_AUTO)
		target = stderr_is_journal() ? LOG_TARGET_JOURNAL : LOG_TARGET_TEXT;
	log_target = target;
	log_max_level = max_level;
}

void log_set_level(int max_level)
{
	log_max_level = max_level;
}

static void append_value(struct bytes *b, const char *value)
{
	bool plain = *value != '\0';

	for (const char *p = value; *p; p++)
		plain = plain && *p > ' ' && *p < 0x7f && *p != '"' && *p != '=' && *p != '\\';
	if (plain) {
		bytes_append_str(b, value);
		return;
	}
	bytes_append_str(b, "\"");
	for (const char *p = value; *p; p++) {
		unsigned char c = (unsigned char)*p;

		if (c == '"' || c == '\\')
			bytes_printf(b, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			bytes_printf(b, "\\x%02x", c);
		else
			bytes_append(b, p, 1);
	}
	bytes_append_str(b, "\"");
}

static void append_field(struct bytes *b, const char *key, const char *value)
{
	bytes_append_str(b, "BATTEN_");
	for (const char *p = key; *p; p++) {
		char c = (char)toupper((unsigned char)*p);

		bytes_append(b, &c, 1);
	}
	bytes_append_str(b, "=");
	bytes_append_str(b, value);
}

static void send_journal(int level, const struct log_message *m, const char *line,
			 const char *const *pairs, size_t n_pairs)
{
	struct bytes fields[MAX_PAIRS + 3] = { 0 };
	struct iovec iov[MAX_PAIRS + 3];
	size_t n = 0;

	bytes_printf(&fields[n++], "MESSAGE=%s", line);
	bytes_printf(&fields[n++], "PRIORITY=%d", level);
	bytes_printf(&fields[n++], "MESSAGE_ID=%s", m->id);
	for (size_t i = 0; i < n_pairs; i++)
		append_field(&fields[n++], pairs[2 * i], pairs[2 * i + 1]);
	for (size_t i = 0; i < n; i++)
		iov[i] = (struct iovec){ .iov_base = fields[i].data, .iov_len = fields[i].n };
	(void)sd_journal_sendv(iov, (int)n);
	for (size_t i = 0; i < n; i++)
		bytes_done(&fields[i]);
}

void log_event_pairs(int level, const struct log_message *m, ...)
{
	const char *pairs[2 * MAX_PAIRS];
	struct bytes line = { 0 };
	size_t n_pairs = 0;
	const char *key;
	va_list ap;

	if (level > log_max_level)
		return;
	va_start(ap, m);
	while ((key = va_arg(ap, const char *))) {
		const char *value = va_arg(ap, const char *);

		if (!value || n_pairs == MAX_PAIRS)
			continue;
		pairs[2 * n_pairs] = key;
		pairs[2 * n_pairs + 1] = value;
		n_pairs++;
	}
	va_end(ap);

	bytes_append_str(&line, m->text);
	for (size_t i = 0; i < n_pairs; i++) {
		bytes_printf(&line, " %s=", pairs[2 * i]);
		append_value(&line, pairs[2 * i + 1]);
	}
	if (line.error == 0 && log_target == LOG_TARGET_JOURNAL) {
		send_journal(level, m, line.data, pairs, n_pairs);
	} else if (line.error == 0) {
		struct bytes out = { 0 };

		bytes_printf(&out, "batten: %s%s\n",
			     level <= LOG_ERR ? "error: " : level == LOG_WARNING ? "warning: " : "",
			     line.data);
		if (out.error == 0) {
			int r = fd_write_all(STDERR_FILENO, out.data, out.n);

			(void)r; /* there is nowhere left to complain */
		}
		bytes_done(&out);
	}
	bytes_done(&line);
}

bool log_limit_allow(struct log_limit *l, uint64_t now_ms, uint64_t *ret_held_back)
{
	/* A clock that went back opens a new window as well. */
	if (now_ms < l->window_start_ms || now_ms - l->window_start_ms >= l->interval_ms ||
	    l->window_start_ms == 0) {
		l->window_start_ms = MAX(now_ms, (uint64_t)1);
		l->used = 0;
	}
	if (l->used >= l->burst) {
		l->held_back++;
		return false;
	}
	l->used++;
	*ret_held_back = l->held_back;
	l->held_back = 0;
	return true;
}
