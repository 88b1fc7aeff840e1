/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "batten/seccomp/observation.h"

static struct observation *parse(const char *text)
{
	struct observation *o = NULL;
	struct diag d = { 0 };

	if (observation_parse(text, strlen(text), "test", &o, &d) < 0)
		fail_msg("%s: %s", d.where, d.what);
	return o;
}

static char *print(const struct observation *o)
{
	json_t *j = observation_json(o);
	char *text = json_dumps(j, 0);

	json_decref(j);
	return text;
}

static const char *const documents[] = {
	"{\"schema\":\"batten.observation/1\",\"arch\":\"x86_64\",\"image\":\"a\",\"host\":\"h1\",\"started\":"
	"\"2026-01-01T00:00:00.000Z\",\"finished\":\"2026-01-01T01:00:00.000Z\",\"sources\":{\"s1\":{\"runs\":2,"
	"\"seconds\":60}},\"abis\":{\"x86_64\":{\"syscalls\":{\"read\":{\"count\":7,\"first\":"
	"\"2026-01-01T00:00:01.500Z\",\"phase\":\"start\",\"by\":\"sh\",\"seen_in\":{\"s1\":2}},\"socket\":{\"phase\":"
	"\"serve\",\"args\":{\"index\":[0,1],\"mask\":[4294967295,15],\"values\":[[2,1],[10,2]]},\"seen_in\":"
	"{\"s1\":1}}}}}}",
	"{\"schema\":\"batten.observation/1\",\"arch\":\"x86_64\",\"image\":\"b\",\"host\":\"h1\",\"started\":"
	"\"2026-01-02T00:00:00.000Z\",\"sources\":{\"s1\":{\"runs\":1,\"seconds\":90},\"s2\":{\"runs\":5}},\"abis\":"
	"{\"x86_64\":{\"syscalls\":{\"read\":{\"count\":3,\"first\":\"2026-01-01T00:00:01.500Z\",\"phase\":\"exec\","
	"\"by\":\"ls\",\"seen_in\":{\"s2\":1}},\"clone3\":{\"denied\":[\"ENOSYS\"]},\"socket\":{\"phase\":\"start\","
	"\"args\":{\"index\":[0,1],\"mask\":[4294967295,15],\"values\":[[1,1]]}}}},\"x86\":{\"syscalls\":{\"read\":{"
	"\"phase\":\"start\"}}}}}",
	"{\"schema\":\"batten.observation/1\",\"arch\":\"x86_64\",\"sources\":{\"s0\":{\"runs\":1}},\"abis\":{\"x86_64\":"
	"{\"syscalls\":{\"socket\":{\"phase\":\"start\"},\"clone3\":{\"phase\":\"start\",\"seen_in\":{\"s0\":1}},\"read\":"
	"{\"phase\":\"start\",\"seen_in\":{\"s0\":9,\"s9\":9}}}}}}",
};

/* Merges the documents named by digits, left to right, and prints. */
static char *merged(const char *order)
{
	struct observation *into = observation_new(), *o;
	char *text;

	for (; *order; order++) {
		o = parse(documents[*order - '0']);
		assert_int_equal(observation_merge(into, o, NULL), 0);
		observation_free(o);
	}
	text = print(into);
	observation_free(into);
	return text;
}

static void merging_is_a_union(void **state)
{
	static const char *const orders[] = { "012", "021", "102", "120", "201", "210", "001122", "210012", "02112" };
	char *expected = merged("012");

	for (size_t i = 0; i < ARRAY_SIZE(orders); i++) {
		char *text = merged(orders[i]);

		assert_string_equal(text, expected);
		free(text);
	}
	assert_non_null(strstr(expected, "\"runs\": 8"));
	assert_non_null(strstr(expected, "\"by\": \"ls\""));
	free(expected);
}

static void merging_groups_does_not_matter(void **state)
{
	/* (0 u 1) u 2 and 0 u (1 u 2). */
	struct observation *right = parse(documents[1]), *two = parse(documents[2]), *left = parse(documents[0]);
	char *text, *expected = merged("012");

	assert_int_equal(observation_merge(right, two, NULL), 0);
	assert_int_equal(observation_merge(left, right, NULL), 0);
	text = print(left);
	assert_string_equal(text, expected);
	free(text);
	free(expected);
	observation_free(left);
	observation_free(right);
	observation_free(two);
}

static void printing_and_reading_agree(void **state)
{
	char *first = merged("01"), *second;
	struct observation *o = parse(first);

	second = print(o);
	assert_string_equal(first, second);
	free(first);
	free(second);
	observation_free(o);
}

static void argument_values_are_bounded(void **state)
{
	struct observation *o = observation_new();
	struct observed_call *c;

	assert_int_equal(observation_add(o, ABI_X86_64, "ioctl", &c), 0);
	c->phases = PHASE_START;
	for (uint32_t i = 0; i < MAX_ARG_VALUES; i++)
		assert_int_equal(observed_call_add_value(c, (struct arg_value){ { i / 2 * 7 } }), 0);
	assert_int_equal(c->n_values, MAX_ARG_VALUES / 2);
	assert_false(c->args_more);
	for (uint32_t i = 0; i <= MAX_ARG_VALUES; i++)
		assert_int_equal(observed_call_add_value(c, (struct arg_value){ { i } }), 0);
	assert_true(c->args_more);
	assert_int_equal(c->n_values, 0);
	observation_free(o);
}

static void confidence_counts_what_was_seen_once(void **state)
{
	struct observation *o = parse(documents[0]);
	struct confidence c;

	observation_confidence(o, &c);
	assert_int_equal(c.runs, 2);
	assert_int_equal(c.n_names, 2);
	assert_int_equal(c.n_once, 1);
	assert_true(c.young);
	assert_true(c.saturation > 0.49 && c.saturation < 0.51);
	observation_free(o);
}

/* Twenty calls of @runs runs over an hour; the last of them first seen @late_minutes before the end. */
static struct observation *hour(unsigned int runs, unsigned int late_minutes, bool with_start)
{
	struct observation *o = observation_new();
	struct observed_source s = { .id = "s", .runs = runs };

	o->started_ms = 1700000000000;
	o->finished_ms = o->started_ms + 3600000;
	assert_int_equal(observation_add_source(o, &s), 0);
	for (int i = 0; i < 20; i++) {
		struct observed_call *c;
		char name[ABI_NAME_SIZE];

		assert_int_equal(observation_add(o, ABI_X86_64, i == 0 && with_start ? "execve" :
						 abi_call_name(ABI_X86_64, i, name), &c), 0);
		c->phases = i == 19 ? PHASE_SERVE : PHASE_START;
		c->first_ms = i == 19 ? o->finished_ms - late_minutes * 60000 : o->started_ms;
		observed_call_witness(c, "s", runs);
	}
	return o;
}

static void young_observations_say_why(void **state)
{
	static const struct {
		unsigned int runs, late_minutes;
		bool with_start;
		const char *why; /* "": old enough */
	} cases[] = {
		{ 5, 50, true, "" },
		{ 2, 50, true, "2 runs" },
		{ 5, 1, true, "last tenth" },
		{ 5, 50, false, "start was not observed" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct observation *o = hour(cases[i].runs, cases[i].late_minutes, cases[i].with_start);
		struct confidence c;

		observation_confidence(o, &c);
		assert_int_equal(c.young, cases[i].why[0] != '\0');
		if (!strstr(c.why, cases[i].why))
			fail_msg("\"%s\" does not say \"%s\"", c.why, cases[i].why);
		assert_int_equal(c.first_new_ms, o->started_ms);
		assert_int_equal(c.last_new_ms, o->finished_ms - cases[i].late_minutes * 60000);
		observation_free(o);
	}
}

static void bad_documents_are_refused(void **state)
{
	static const struct {
		const char *text, *what;
	} cases[] = {
		{ "", "" },
		{ "{", "" },
		{ "[]", "observation" },
		{ "{\"schema\":\"batten.observation/2\"}", "observation" },
		{ "{\"schema\":\"batten.observation/1\"}", "arch" },
		{ "{\"schema\":\"batten.observation/1\",\"arch\":\"x86\"}", "arch" },
		{ "{\"schema\":\"batten.observation/1\",\"arch\":\"x86_64\"}", "abis" },
		{ "{\"schema\":\"batten.observation/1\",\"arch\":\"x86_64\",\"abis\":{\"arm\":{\"syscalls\":{}}}}", "arm" },
		{ "{\"schema\":\"batten.observation/1\",\"arch\":\"x86_64\",\"abis\":{\"x86_64\":{}}}", "syscalls" },
		{ "{\"schema\":\"batten.observation/1\",\"arch\":\"x86_64\",\"abis\":{\"x86_64\":{\"syscalls\":"
		  "{\"../x\":{}}}}}",
		  "name" },
		{ "{\"schema\":\"batten.observation/1\",\"arch\":\"x86_64\",\"abis\":{\"x86_64\":{\"syscalls\":"
		  "{\"read\":{\"count\":-1}}}}}",
		  "negative" },
		{ "{\"schema\":\"batten.observation/1\",\"arch\":\"x86_64\",\"abis\":{\"x86_64\":{\"syscalls\":"
		  "{\"read\":{\"phase\":\"later\"}}}}}",
		  "word" },
		{ "{\"schema\":\"batten.observation/1\",\"arch\":\"x86_64\",\"abis\":{\"x86_64\":{\"syscalls\":"
		  "{\"socket\":{\"phase\":\"start\",\"args\":{\"index\":[0,1],\"mask\":[4294967295,15],"
		  "\"values\":[[1]]}}}}}}",
		  "arguments" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct observation *o = NULL;
		struct diag d = { 0 };

		assert_true(observation_parse(cases[i].text, strlen(cases[i].text), "f", &o, &d) < 0);
		assert_null(o);
		if (!strstr(d.what, cases[i].what))
			fail_msg("%s: \"%s\" does not say \"%s\"", cases[i].text, d.what, cases[i].what);
	}
}

static void machines_are_not_mixed(void **state)
{
	struct observation *a = parse(documents[0]);
	struct observation *b = parse("{\"schema\":\"batten.observation/1\",\"arch\":\"aarch64\",\"abis\":{}}");

	assert_int_equal(observation_merge(a, b, NULL), -EINVAL);
	observation_free(a);
	observation_free(b);
}

static void names_and_numbers_agree(void **state)
{
	char buf[ABI_NAME_SIZE];

	assert_string_equal(abi_call_name(ABI_X86_64, 435, buf), "clone3");
	assert_string_equal(abi_call_name(ABI_X86, 102, buf), "socketcall");
	assert_string_equal(abi_call_name(ABI_X32, 0, buf), "read");
	assert_string_equal(abi_call_name(ABI_AARCH64, 63, buf), "read");
	assert_string_equal(abi_call_name(ABI_X86_64, 999, buf), "#999");
	assert_int_equal(abi_call_number(ABI_X86_64, "#999"), 999);
	assert_int_equal(abi_call_number(ABI_X86_64, "nosuch"), -1);
	assert_int_equal(abi_call_number(ABI_AARCH64, "open"), -1);
	assert_true(abi_call_known("open"));
	assert_false(abi_call_known("nosuch"));
	assert_int_equal(abi_by_name("SCMP_ARCH_ARM"), ABI_ARM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(merging_is_a_union),
		cmocka_unit_test(merging_groups_does_not_matter),
		cmocka_unit_test(printing_and_reading_agree),
		cmocka_unit_test(argument_values_are_bounded),
		cmocka_unit_test(confidence_counts_what_was_seen_once),
		cmocka_unit_test(young_observations_say_why),
		cmocka_unit_test(bad_documents_are_refused),
		cmocka_unit_test(machines_are_not_mixed),
		cmocka_unit_test(names_and_numbers_agree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
