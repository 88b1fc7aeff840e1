/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Audit records. A call that was logged or killed was wanted; one that was answered with an errno
 * was only tried, as far as anybody can tell, and is kept as denied. Read are auditd's log, the kernel's, and
 * what journalctl prints of either.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "seccomp/import-internal.h"

#define MAX_VALUE 256
#define X32_BIT 0x40000000u
#define ACTION_BITS 0xffff0000u
#define ACTION_ERRNO_CODE 0x00050000u
#define SEPARATOR '\035' /* before what auditd adds to a record (log_format = ENRICHED) */

/* The value of " key=" in a line; quotes taken off. */
static bool value_of(struct slice line, const char *key, char ret[static MAX_VALUE])
{
	size_t n_key = strlen(key), n;

	for (size_t i = 0; i + n_key < line.n; i++) {
		const char *p = line.p + i;

		if (memcmp(p, key, n_key) != 0 || p[n_key] != '=' || (i > 0 && p[-1] != ' ' && p[-1] != SEPARATOR))
			continue;
		p += n_key + 1;
		n = 0;
		if (p < line.p + line.n && *p == '"')
			p++;
		while (p + n < line.p + line.n && p[n] != ' ' && p[n] != '"' && p[n] != SEPARATOR && n + 1 < MAX_VALUE)
			n++;
		memcpy(ret, p, n);
		ret[n] = '\0';
		return n > 0;
	}
	return false;
}

static bool parse_hex(const char *text, uint32_t *ret)
{
	unsigned int v;
	char end;

	if (sscanf(text, "%x%c", &v, &end) != 1)
		return false;
	*ret = v;
	return true;
}

static enum abi abi_of(const char *arch)
{
	uint32_t code;

	for (enum abi a = 0; a < _ABI_MAX; a++) {
		if (strcmp(arch, abi_name(a)) == 0)
			return a;
		if (parse_hex(arch, &code) && code == abi_audit_arch(a))
			return a;
	}
	return strcmp(arch, "i386") == 0 ? ABI_X86 : _ABI_MAX;
}

/* "audit(1700000000.123:45)" */
static int64_t time_of(struct slice line)
{
	const char *p = memmem(line.p, line.n, "audit(", 6);
	unsigned long long seconds;
	unsigned int ms;
	char text[32] = "";

	if (!p)
		return 0;
	p += 6;
	memcpy(text, p, MIN(sizeof(text) - 1, (size_t)(line.p + line.n - p)));
	return sscanf(text, "%llu.%u:", &seconds, &ms) == 2 && seconds < 253402300800 && ms < 1000 ?
		       (int64_t)seconds * 1000 + ms : 0;
}

static int take_record(struct observation *o, struct slice line, enum abi a, const char *call)
{
	char code_text[MAX_VALUE], exe[MAX_VALUE], name[ABI_NAME_SIZE];
	struct observed_call *c;
	uint64_t number;
	uint32_t code = 0;
	bool denied;
	int r;

	if (parse_u64(slice_of(call), 0, UINT32_MAX, &number) == 0) {
		if (a == ABI_X86_64 && number & X32_BIT)
			a = ABI_X32;
		call = abi_call_name(a, (int)(number & ~(uint64_t)X32_BIT), name);
	}
	if (!abi_name_valid(call))
		return 0;
	/* Interpreted, the code is a word, and which error it was is not told. */
	denied = value_of(line, "code", code_text) &&
		 (strcmp(code_text, "errno") == 0 ||
		  (parse_hex(code_text, &code) && (code & ACTION_BITS) == ACTION_ERRNO_CODE));
	r = observation_add(o, a, call, &c);
	if (r < 0)
		return r;
	if (denied)
		c->denied |= (code & 0xffff) == ENOSYS ? DENIED_ENOSYS : DENIED_EPERM;
	else
		r = import_needed(o, a, call, 1, &c);
	if (r < 0)
		return r;
	if (c->first_ms == 0 && value_of(line, "exe", exe)) {
		const char *slash = strrchr(exe, '/');

		(void)snprintf(c->by, sizeof(c->by), "%.*s", BY_SIZE - 1, slash ? slash + 1 : exe);
	}
	if (c->first_ms == 0)
		c->first_ms = time_of(line);
	return 1;
}

/* As the journal shows a record's type: "... audit[123]: SECCOMP auid=...", or without what stands before it. */
static bool journal_type(struct slice line, const char *word)
{
	const char *p = memmem(line.p, line.n, word, strlen(word)), *end = line.p + line.n, *by;

	if (!p || p + strlen(word) == end || p[strlen(word)] != ' ')
		return false;
	if (p == line.p)
		return true;
	if (p - line.p < 2 || p[-1] != ' ' || p[-2] != ':')
		return false;
	for (by = p - 2; by > line.p && by[-1] != ' '; by--)
		;
	return p - 2 - by >= 5 && memcmp(by, "audit", 5) == 0 && (by[5] == '[' || by[5] == ':');
}

static bool tells_of_a_call(struct slice line)
{
	static const char *const names[] = { "SECCOMP", "SYSCALL" }, *const numbers[] = { "1326", "1300" };
	char type[MAX_VALUE];
	bool has_type = value_of(line, "type", type);

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (has_type ? strcmp(type, names[i]) == 0 || strcmp(type, numbers[i]) == 0 : journal_type(line, names[i]))
			return true;
	return false;
}

int import_audit(const char *text, size_t n, const char *name, struct observation **ret, struct diag *d)
{
	_cleanup_(observation_freep) struct observation *o = NULL;
	struct slice rest = { text, n }, line;
	char arch[MAX_VALUE], call[MAX_VALUE];
	unsigned int n_line = 0;
	size_t n_records = 0;
	int r = 0;

	r = import_begin(abi_native(), text, n, &o);
	while (r >= 0 && import_line(&rest, &line)) {
		enum abi a;

		n_line++;
		if (!tells_of_a_call(line))
			continue;
		if (!value_of(line, "arch", arch) || !value_of(line, "syscall", call))
			return diag_line(d, -EINVAL, name, n_line, "the record has no arch or no syscall");
		a = abi_of(arch);
		if (a == _ABI_MAX)
			return diag_line(d, -EINVAL, name, n_line, "arch=%s is no machine that batten knows", arch);
		if (n_records == 0)
			o->machine = abi_machine(a);
		else if (o->machine != abi_machine(a))
			return diag_line(d, -EINVAL, name, n_line, "records of different machines; split the file");
		r = take_record(o, line, a, call);
		n_records += r > 0;
	}
	if (r < 0)
		return r;
	if (n_records == 0)
		return diag_fail(d, -EINVAL, name, "holds no SECCOMP or SYSCALL audit record");
	*ret = take_ptr(o);
	return 0;
}
