/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "unit.h"

#include <errno.h>
#include <stdio.h>

#include "host/ecs-internal.h"

struct expected {
	const char *text;
	const char *agent, *systemd; /* "NAME=VALUE|NAME=VALUE" of the names that count */
};

static void describe(const struct ecs_lines *l, char *out, size_t size)
{
	size_t n = 0;

	out[0] = '\0';
	for (size_t i = 0; i < l->n; i++)
		if (l->v[i].last)
			n += (size_t)snprintf(out + n, size - n, "%s%.*s=%.*s", n ? "|" : "", (int)l->v[i].name.n,
					      l->v[i].name.p, (int)l->v[i].value.n, l->v[i].value.p);
}

static void both_readers(void **state)
{
	static const struct expected rows[] = {
		{ "K=true", "K=true", "K=true" },
		{ "K=\"true\"", "K=\"true\"", "K=true" },
		{ "K='true'", "K='true'", "K=true" },
		{ "K= true ", "K= true", "K=true" },
		{ "K =true", "K =true", "K=true" },
		{ "export K=true", "export K=true", "" },
		{ "K=true # why", "K=true # why", "K=true # why" },
		{ "# K=true\nA=1", "# K=true|A=1", "A=1" },
		{ "; K=true", "; K=true", "" },
		{ "K=true\r\nA=1\r\n", "K=true|A=1", "K=true|A=1" },
		{ "\xef\xbb\xbfK=true\nA=1", "\xef\xbb\xbfK=true|A=1", "A=1" },
		{ "K=a\\\nA=1", "K=a\\|A=1", "K=aA=1" },
		{ "K=a\\b", "K=a\\b", "K=ab" },
		{ "K=\"a\\b\\\"\\$\"", "K=\"a\\b\\\"\\$\"", "K=a\\b\"$" },
		{ "K='a\\b'", "K='a\\b'", "K=a\\b" },
		{ "K=\"a\"b", "K=\"a\"b", "K=ab" },
		{ "K=\"a\" b", "K=\"a\" b", "K=ab" },
		{ "K=a\"b\"", "K=a\"b\"", "K=a\"b\"" },
		{ "K=\"a\nA=1\"\nB=2", "K=\"a|A=1\"|B=2", "K=a\nA=1|B=2" },
		{ "K=\"a\nA=1", "K=\"a|A=1", "K=a\nA=1" },
		{ "K=a\rA=1", "K=a\rA=1", "K=a|A=1" },
		{ "K=1\nK=2", "K=2", "K=2" },
		{ "# c \\\nK=1", "K=1", "" },
		{ "; a=\"x\nK=1", "; a=\"x|K=1", "K=1" },
		{ "# a='x\nK=1", "# a='x|K=1", "K=1" },
		{ "=x", "=x", "" },
		{ "1K=x", "1K=x", "" },
		{ "stray\nK=1", "K=1", "K=1" },
		{ "K=", "K=", "K=" },
		{ "K=a\\", "K=a\\", "K=a" },
		{ "K=\xff\nA=1", "K=\xff|A=1", "" },
		{ "K=\xef\xbf\xbe\nA=1", "K=\xef\xbf\xbe|A=1", "" }, /* a noncharacter */
		{ "\n\n  K=1  \n\n", "K=1", "K=1" },
		{ "", "", "" },
	};
	char text[256];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct ecs_lines l;
		const char *lost;

		assert_int_equal(ecs_read_agent(slice_of(rows[i].text), &l), 0);
		describe(&l, text, sizeof(text));
		assert_string_equal(text, rows[i].agent);
		ecs_lines_done(&l);
		assert_int_equal(ecs_read_systemd(slice_of(rows[i].text), &l, &lost), 0);
		describe(&l, text, sizeof(text));
		if (strcmp(text, rows[i].systemd) != 0)
			fail_msg("row %zu, %s: systemd makes %s of it", i, rows[i].text, text);
		ecs_lines_done(&l);
	}
}

static void nul_loses_the_file(void **state)
{
	struct ecs_lines l;
	const char *lost;

	assert_int_equal(ecs_read_systemd((struct slice){ "K=1\0A=2", 7 }, &l, &lost), 0);
	assert_non_null(lost);
	assert_int_equal(l.n, 0);
	ecs_lines_done(&l);
	assert_int_equal(ecs_read_agent((struct slice){ "K=1\0A=2", 7 }, &l), 0);
	assert_int_equal(l.n, 1);
	ecs_lines_done(&l);
}

static void line_numbers(void **state)
{
	struct ecs_lines l;
	const char *lost;

	assert_int_equal(ecs_read_agent(slice_of("\n\nA=1\n# c\n\nB=2\nstray\n"), &l), 0);
	assert_int_equal(l.v[0].line, 3);
	assert_int_equal(l.v[1].line, 6);
	assert_int_equal(l.n_stray, 1);
	assert_int_equal(l.stray[0], 7);
	ecs_lines_done(&l);
	assert_int_equal(ecs_read_systemd(slice_of("\n# c\nA=1\n\nB=2\n"), &l, &lost), 0);
	assert_int_equal(l.v[0].line, 3);
	assert_int_equal(l.v[1].line, 5);
	ecs_lines_done(&l);
}

static const char *near(const char *name)
{
	const struct ecs_variable *v = ecs_variable_near(slice_of(name));

	return v ? v->name : "";
}

static void near_misses(void **state)
{
	assert_string_equal(near("ECS_AWSVPC_BLOCK_IDMS"), "ECS_AWSVPC_BLOCK_IMDS");
	assert_string_equal(near("ecs_awsvpc_block_imds"), "ECS_AWSVPC_BLOCK_IMDS");
	assert_string_equal(near("ECS_AWS_VPC_BLOCK_IMDS"), "ECS_AWSVPC_BLOCK_IMDS");
	assert_string_equal(near("export ECS_CLUSTER"), "ECS_CLUSTER");
	assert_string_equal(near("# ECS_CLUSTER "), "ECS_CLUSTER");
	assert_string_equal(near("ECS-CLUSTER"), "ECS_CLUSTER");
	assert_string_equal(near("PATH"), "");
	assert_string_equal(near("ECS_SOMETHING_ELSE_ENTIRELY"), "");
}

static void the_table_is_sound(void **state)
{
	assert_true(n_ecs_variables >= 147);
	for (size_t i = 0; i < n_ecs_variables; i++) {
		const struct ecs_variable *v = &ecs_variables[i];

		assert_ptr_equal(ecs_variable_find(slice_of(v->name)), v);
		assert_true(v->about && v->about[0]);
		assert_true(v->kind < _ECS_KIND_MAX);
		if (v->kind == ECS_WORD || v->kind == ECS_WORD_FOLDED || v->kind == ECS_WORD_UNCHECKED ||
		    v->kind == ECS_LEVEL || v->kind == ECS_LOG_DRIVER || v->kind == ECS_DRIVERS)
			assert_non_null(v->words);
		if (v->instead)
			assert_non_null(ecs_variable_find(slice_of(v->instead)));
		for (size_t k = 0; k < i && v->json; k++)
			assert_true(!ecs_variables[k].json || strcmp(ecs_variables[k].json, v->json) != 0);
		if (v->fallback) {
			struct ecs_value value;

			assert_int_equal(ecs_value_from_text(v, slice_of(v->fallback), &value), 0);
			if (v->kind == ECS_BOOL || v->kind == ECS_DURATION || v->kind == ECS_WORD ||
			    v->kind == ECS_PORTS || v->kind == ECS_DRIVERS)
				assert_string_equal(value.text, v->fallback);
			ecs_value_done(&value);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_readers), cmocka_unit_test(nul_loses_the_file), cmocka_unit_test(line_numbers),
		cmocka_unit_test(near_misses),	cmocka_unit_test(the_table_is_sound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
