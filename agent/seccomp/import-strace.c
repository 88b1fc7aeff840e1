/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * strace's text. A line is: perhaps "[pid N]" or "N", perhaps a time, perhaps an address in
 * brackets, then NAME(ARGUMENTS) = RESULT. A call that another task's line interrupts comes in two
 * halves. What is left pending at the end was made and never came back.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "seccomp/import-internal.h"

#define MAX_TASKS_32 256

struct strace {
	struct observation *o;
	enum abi machine;
	enum abi table_abi;		 /* that a table of -c is about */
	uint64_t tasks_32[MAX_TASKS_32]; /* ids of the tasks that run 32-bit code */
	unsigned int n_tasks_32;
	uint64_t alone;			 /* id of the task whose lines name none; 0: not told */
	bool last_named;		 /* the line of the last call named its task */
	bool in_table;
	size_t n_calls;
};

static bool is_name_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

static void skip(struct slice *s, size_t n)
{
	n = MIN(n, s->n);
	s->p += n;
	s->n -= n;
}

static void skip_blanks(struct slice *s)
{
	while (s->n > 0 && (*s->p == ' ' || *s->p == '\t' || *s->p == '+'))
		skip(s, 1);
}

static bool starts(struct slice s, const char *text)
{
	return s.n >= strlen(text) && memcmp(s.p, text, strlen(text)) == 0;
}

static const char *find(struct slice s, const char *text)
{
	return memmem(s.p, s.n, text, strlen(text));
}

static size_t digits(struct slice s)
{
	size_t n = 0;

	while (n < s.n && s.p[n] >= '0' && s.p[n] <= '9')
		n++;
	return n;
}

/* "<sh>", the command of a task behind its id */
static void skip_command(struct slice *s, const char *end)
{
	const char *close = s->n > 0 && *s->p == '<' ? find(*s, end) : NULL;

	if (close)
		skip(s, (size_t)(close - s->p) + 1);
}

/* Takes task, time and address off the front. @ret_task: 0 when there is none. */
static void skip_front(struct slice *s, uint64_t *ret_task)
{
	size_t n;

	*ret_task = 0;
	skip_blanks(s);
	if (starts(*s, "[pid")) {
		skip(s, 4);
		skip_blanks(s);
		n = digits(*s);
		if (parse_u64((struct slice){ s->p, n }, 0, UINT32_MAX, ret_task) < 0)
			*ret_task = 0;
		skip(s, n);
		skip_command(s, ">]");
		if (s->n > 0 && *s->p == ']')
			skip(s, 1);
	} else {
		n = digits(*s);
		/* A bare number and a blank is a task; with a dot or a colon it is a time. */
		if (n > 0 && n < s->n && (s->p[n] == ' ' || s->p[n] == '<') &&
		    parse_u64((struct slice){ s->p, n }, 0, UINT32_MAX, ret_task) == 0) {
			skip(s, n);
			skip_command(s, "> ");
		}
	}
	skip_blanks(s);
	for (n = 0; n < s->n && ((s->p[n] >= '0' && s->p[n] <= '9') || s->p[n] == ':' || s->p[n] == '.');)
		n++;
	if (n > 0 && n < s->n && s->p[n] == ' ')
		skip(s, n);
	skip_blanks(s);
	if (s->n > 0 && *s->p == '[' && !starts(*s, "[ Process")) {
		const char *close = memchr(s->p, ']', s->n);

		skip(s, close ? (size_t)(close - s->p) + 1 : 0);
		skip_blanks(s);
	}
}

static enum abi abi_32(const struct strace *st)
{
	return st->machine == ABI_X86_64 ? ABI_X86 : ABI_ARM;
}

static enum abi abi_of_task(const struct strace *st, uint64_t task)
{
	if (task == 0)
		task = st->alone;
	for (unsigned int i = 0; i < st->n_tasks_32; i++)
		if (st->tasks_32[i] == task)
			return abi_32(st);
	return st->machine;
}

/* strace does not say into a file what mode a task is in: a name that only 32-bit code has does. */
static enum abi abi_of_call(const struct strace *st, uint64_t task, const char *name)
{
	enum abi a = abi_of_task(st, task);

	return a == st->machine && abi_call_number(a, name) < 0 && abi_call_number(abi_32(st), name) >= 0 ? abi_32(st) : a;
}

/* "[ Process PID=12 runs in 32 bit mode. ]" */
static bool take_mode(struct strace *st, struct slice s)
{
	const char *pid = find(s, "Process PID=");
	struct slice number;
	uint64_t task;

	if (!pid || !find(s, " bit mode"))
		return false;
	number = (struct slice){ pid + 12, (size_t)(s.p + s.n - pid) - 12 };
	number.n = digits(number);
	if (parse_u64(number, 0, UINT32_MAX, &task) < 0)
		return true;
	if (!st->last_named)
		st->alone = task;
	for (unsigned int i = 0; i < st->n_tasks_32; i++)
		if (st->tasks_32[i] == task)
			st->tasks_32[i--] = st->tasks_32[--st->n_tasks_32];
	if (find(s, "32 bit") && st->n_tasks_32 < MAX_TASKS_32)
		st->tasks_32[st->n_tasks_32++] = task;
	return true;
}

/* Argument number @index, at the top level of brackets. */
static struct slice argument(struct slice s, unsigned int index)
{
	int depth = 0;
	size_t from = 0;

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (c == '(' || c == '{' || c == '[')
			depth++;
		else if ((c == ')' || c == '}' || c == ']') && depth-- == 0)
			return index == 0 ? (struct slice){ s.p + from, i - from } : (struct slice){ s.p, 0 };
		if (c != ',' || depth != 0)
			continue;
		if (index-- == 0)
			return (struct slice){ s.p + from, i - from };
		from = i + 1;
	}
	return index == 0 ? (struct slice){ s.p + from, s.n - from } : (struct slice){ s.p, 0 };
}

struct word {
	const char *text;
	uint32_t value;
};

static const struct word families[] = {
	{ "AF_UNIX", 1 }, { "AF_INET6", 10 }, { "AF_INET", 2 }, { "AF_NETLINK", 16 }, { "AF_PACKET", 17 },
	{ "AF_ALG", 38 }, { "AF_VSOCK", 40 }, { "AF_BLUETOOTH", 31 }, { "AF_CAN", 29 }, { "AF_XDP", 44 },
};
static const struct word types[] = {
	{ "SOCK_STREAM", 1 }, { "SOCK_DGRAM", 2 }, { "SOCK_RAW", 3 }, { "SOCK_SEQPACKET", 5 }, { "SOCK_PACKET", 10 },
};

static bool look_up(const struct word *words, size_t n, struct slice s, uint32_t *ret)
{
	s = slice_trim(s);
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(words[i].text);

		if (starts(s, words[i].text) && (s.n == len || !is_name_byte(s.p[len] | 0x20))) {
			*ret = words[i].value;
			return true;
		}
	}
	return false;
}

/*
 * The argument values of a call, where strace's words for them are few and sure.
 * Return: false when they cannot be told
 */
static bool values_of(const char *name, struct slice args, struct arg_value *ret)
{
	struct slice third = argument(args, 2), flags = { args.p, args.n };
	const char *close;

	if (strcmp(name, "socket") == 0)
		return look_up(families, ARRAY_SIZE(families), argument(args, 0), &ret->v[0]) &&
		       look_up(types, ARRAY_SIZE(types), argument(args, 1), &ret->v[1]);
	if (strcmp(name, "mmap") == 0 || strcmp(name, "mprotect") == 0) {
		ret->v[0] = (find(third, "PROT_WRITE") ? 2 : 0) | (find(third, "PROT_EXEC") ? 4 : 0);
		return find(third, "PROT_") != NULL && !find(third, "0x");
	}
	if (strcmp(name, "clone") == 0) {
		close = memchr(flags.p, ')', flags.n);
		flags.n = close ? (size_t)(close - flags.p) : flags.n;
		return find(flags, "flags=") && !find(flags, "flags=0x") && !find(flags, "CLONE_NEW");
	}
	return false;
}

/* What stands in the texts among the arguments says nothing: the result comes last. */
static bool was_missing(struct slice args)
{
	const char *result;

	while ((result = find(args, " = ")))
		skip(&args, (size_t)(result - args.p) + 3);
	return starts(args, "-1 ENOSYS");
}

/* "syscall_0x1cd": a call that this strace has no name for */
static void name_by_number(enum abi a, char name[static ABI_NAME_SIZE])
{
	unsigned int number;
	char end;

	if (sscanf(name, "syscall_0x%x%c", &number, &end) == 1 && number < ABI_NUMBERS)
		(void)abi_call_name(a, (int)number, name);
}

/* One whole call. @args: behind the opening bracket; @resumed: the first half is gone */
static int take_call(struct strace *st, enum abi a, const char *name, struct slice args, bool resumed)
{
	const struct arg_rule *rule = arg_rule_find(a, name);
	struct arg_value value = { { 0 } };
	struct observed_call *c;
	bool known;
	int r;

	if (name[0] != '#' && abi_call_number(a, name) < 0 && !abi_call_known(name))
		return 0; /* a function of a library, in the output of ltrace, say */
	st->n_calls++;
	if (was_missing(args)) {
		r = observation_add(st->o, a, name, &c);
		if (r == 0)
			c->denied |= DENIED_ENOSYS;
		return r;
	}
	r = import_needed(st->o, a, name, 1, &c);
	if (r < 0 || !rule)
		return r;
	known = !resumed && values_of(name, args, &value);
	if (!known) {
		observed_call_forget_values(c);
		return 0;
	}
	return observed_call_add_value(c, value);
}

static int take_line(struct strace *st, struct slice s, struct observation *pending)
{
	char name[ABI_NAME_SIZE] = "";
	struct observed_call *c;
	uint64_t task;
	size_t n = 0;
	bool resumed;
	enum abi a;
	int r;

	if (take_mode(st, s))
		return 0;
	skip_front(&s, &task);
	resumed = starts(s, "<... ");
	if (resumed)
		skip(&s, 5);
	while (n < s.n && is_name_byte(s.p[n]))
		n++;
	if (n == 0 || n >= sizeof(name) || n == s.n || s.p[n] != (resumed ? ' ' : '('))
		return 0;
	memcpy(name, s.p, n);
	skip(&s, n + 1);
	if (resumed && !find(s, "resumed"))
		return 0;
	st->last_named = task != 0;
	name_by_number(abi_of_task(st, task), name);
	a = abi_of_call(st, task, name);
	if (!resumed && find(s, "<unfinished ...>")) {
		r = observation_add(pending, a, name, &c);
		if (r == 0)
			c->count++;
		return r;
	}
	if (resumed && (c = observation_find(pending, a, name)) && c->count > 0)
		c->count--;
	return take_call(st, a, name, s, resumed);
}

/* "  1.00    0.000010           5         2         1 openat" */
static int take_table_line(struct strace *st, struct slice s)
{
	char text[256], name[ABI_NAME_SIZE];
	unsigned long long calls, errors = 0;

	if (find(s, "--------"))
		return 0;
	(void)snprintf(text, sizeof(text), "%.*s", (int)MIN(s.n, sizeof(text) - 1), s.p);
	if (sscanf(text, "%*f %*f %*u %llu %llu %63s", &calls, &errors, name) != 3 &&
	    sscanf(text, "%*f %*f %*u %llu %63s", &calls, name) != 2) {
		st->in_table = false;
		return 0;
	}
	if (strcmp(name, "total") == 0 || !abi_name_valid(name)) {
		st->in_table = false;
		return 0;
	}
	st->n_calls++;
	name_by_number(st->table_abi, name);
	return import_needed(st->o, st->table_abi, name, calls, NULL);
}

int import_strace(const char *text, size_t n, const char *name, struct observation **ret, struct diag *d)
{
	_cleanup_(observation_freep) struct observation *o = NULL, *pending = observation_new();
	struct slice rest = { text, n }, line;
	struct strace st = { .machine = abi_native(), .table_abi = abi_native() };
	int r;

	if (!pending)
		return -ENOMEM;
	r = import_begin(st.machine, text, n, &o);
	st.o = o;
	while (r == 0 && import_line(&rest, &line)) {
		if (find(line, "usage summary for 32 bit"))
			st.table_abi = abi_32(&st);
		if (find(line, "% time") && find(line, "syscall"))
			st.in_table = true;
		else if (st.in_table)
			r = take_table_line(&st, line);
		else
			r = take_line(&st, line, pending);
	}
	for (enum abi a = 0; a < _ABI_MAX && r == 0; a++)
		for (size_t i = 0; i < pending->abis[a].n && r == 0; i++)
			if (pending->abis[a].v[i].count > 0)
				r = take_call(&st, a, pending->abis[a].v[i].name, (struct slice){ "", 0 }, true);
	if (r == -E2BIG)
		return diag_fail(d, -EINVAL, name, "far too many different calls; is it strace output?");
	if (r < 0)
		return r;
	if (st.n_calls == 0)
		return diag_fail(d, -EINVAL, name, "holds no line of strace output");
	*ret = take_ptr(o);
	return 0;
}
