/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Findings between runs: new, still there, gone; and which controls a change concerns.
 */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "batten/audit/life.h"
#include "batten/base/json.h"

struct steps {
	char text[1024];
};

static void on_step(void *user, enum life_step step, const struct life_finding *f, size_t others)
{
	struct steps *s = user;
	size_t n = strlen(s->text);

	(void)snprintf(s->text + n, sizeof(s->text) - n, "%c%s %s%s%zu;", step == LIFE_NEW ? '+' : '-', f->control->id,
		       f->name, f->container_id[0] ? "/" : "", others);
}

#define ID_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define ID_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static enum status status_of(const char *word)
{
	int s = 0;

	while (strcmp(status_name((enum status)s), word) != 0)
		s++;
	return (enum status)s;
}

/* As it comes from the process that audits. */
static int tell(struct life *l, struct life_run *r, const struct finding *f, bool may_add)
{
	struct bytes b = { 0 };
	struct life_finding read;
	enum status status;
	int e;

	life_record_write(f, &b);
	assert_int_equal(life_record_read(b.data, b.n, &read, &status), 0);
	e = life_run_see(l, r, &read, status, 1000, may_add);
	bytes_done(&b);
	return e;
}

static struct finding finding(const char *control, const char *status, const char *name, const char *container,
			      const char *fingerprint)
{
	struct finding f = {
		.control = control_find(control, NULL),
		.severity = SEV_HIGH,
		.status = status_of(status),
		.subject = { .kind = container ? SUBJECT_CONTAINER : SUBJECT_HOST, .name = name, .container_id = container },
		.evidence = "it is so",
	};

	(void)snprintf(f.fingerprint, sizeof(f.fingerprint), "%s", fingerprint);
	return f;
}

static void see(struct life *l, struct life_run *r, const char *control, const char *status, const char *name,
		const char *container, const char *fingerprint, bool may_add)
{
	struct finding f = finding(control, status, name, container, fingerprint);

	assert_int_equal(tell(l, r, &f, may_add), 0);
}

static struct life_run begin(struct life *l, const json_t *containers)
{
	struct life_run r = { .containers = containers };

	control_mask_add_changed(&r.controls, CHANGED_EVERYTHING);
	life_run_begin(l, &r);
	return r;
}

static void expect(struct steps *s, const char *text)
{
	assert_string_equal(s->text, text);
	s->text[0] = '\0';
}

static void a_finding_is_new_stays_and_goes(void **state)
{
	struct steps s = { 0 };
	struct life *l;
	struct life_run r;
	size_t counts[_SEV_MAX];

	assert_int_equal(life_new(&l, on_step, &s), 0);
	r = begin(l, NULL);
	see(l, &r, "HST-01", "fail", "h", NULL, "f1", true);
	life_run_end(l, &r);
	expect(&s, "+HST-01 h0;");
	r = begin(l, NULL);
	see(l, &r, "HST-01", "drift", "h", NULL, "f1", true);
	life_run_end(l, &r);
	expect(&s, "");
	life_count(l, counts);
	assert_int_equal(counts[SEV_HIGH], 1);
	r = begin(l, NULL);
	see(l, &r, "HST-01", "pass", "h", NULL, "f1", true);
	life_run_end(l, &r);
	expect(&s, "-HST-01 h0;");
	l = life_free(l);
}

/* Who starts a container chooses its labels, and how long they are. */
static void long_texts_are_cut_and_told(void **state)
{
	static char text[256 * 1024];
	struct finding f = finding("HST-01", "fail", text, text, "f1");
	struct bytes b = { 0 };
	struct life_finding read;
	enum status status;

	for (size_t i = 0; i + 3 < sizeof(text); i += 3)
		memcpy(text + i, "\xe2\x82\xac", 3);
	f.subject.task_arn = f.subject.family = f.subject.image = f.evidence = text;
	life_record_write(&f, &b);
	assert_true(b.n <= LIFE_RECORD_MAX);
	assert_int_equal(life_record_read(b.data, b.n, &read, &status), 0);
	assert_string_equal(read.fingerprint, "f1");
	assert_int_equal(strlen(read.task_arn), LIFE_TEXT_MAX / 3 * 3);
	assert_memory_equal(read.family, text, LIFE_TEXT_MAX / 3 * 3);
	bytes_done(&b);
	b = (struct bytes){ 0 };
	text[LIFE_TEXT_MAX - 1] = '\0';
	life_record_write(&f, &b);
	assert_int_equal(life_record_read(b.data, b.n, &read, &status), 0);
	assert_string_equal(read.evidence, text);
	bytes_done(&b);
}

static void what_was_not_looked_at_stays(void **state)
{
	struct steps s = { 0 };
	struct life *l;
	struct life_run r;

	assert_int_equal(life_new(&l, on_step, &s), 0);
	r = begin(l, NULL);
	see(l, &r, "HST-01", "fail", "h", NULL, "f1", true);
	see(l, &r, "CFG-01", "fail", "h", NULL, "f2", true);
	see(l, &r, "CFG-02", "fail", "h", NULL, "f3", true);
	life_run_end(l, &r);
	s.text[0] = '\0';
	/* Only the files of the ECS agent: the host's own controls are not among them. */
	r = (struct life_run){ 0 };
	control_mask_add_changed(&r.controls, CHANGED(CHANGE_ECS_FILES));
	life_run_begin(l, &r);
	see(l, &r, "CFG-01", "unknown", "h", NULL, "f2", true);
	life_run_end(l, &r);
	expect(&s, "-CFG-02 h0;");
	/* Unknown for another subject than the one it was found on: the source could not be opened. */
	r = begin(l, NULL);
	see(l, &r, "CFG-01", "unknown", "h", NULL, "other", true);
	life_run_end(l, &r);
	expect(&s, "-HST-01 h0;");
	l = life_free(l);
}

static void containers_of_one_definition_have_a_life_each(void **state)
{
	_cleanup_(json_freep) json_t *both = json_pack("{s:b, s:b}", ID_A, 1, ID_B, 1), *one = json_pack("{s:b}", ID_A, 1);
	struct steps s = { 0 };
	struct life *l;
	struct life_run r;

	assert_int_equal(life_new(&l, on_step, &s), 0);
	r = begin(l, both);
	see(l, &r, "CTR-01", "fail", "web", ID_A, "same", true);
	see(l, &r, "CTR-01", "fail", "web", ID_B, "same", true);
	life_run_end(l, &r);
	expect(&s, "+CTR-01 web/0;+CTR-01 web/1;");
	/* A run over one of them says nothing of the other. */
	r = begin(l, one);
	life_run_end(l, &r);
	expect(&s, "-CTR-01 web/1;");
	life_container_ended(l, ID_B);
	life_container_ended(l, ID_B);
	expect(&s, "-CTR-01 web/0;");
	l = life_free(l);
}

static void runs_beside_each_other_do_not_undo_each_other(void **state)
{
	_cleanup_(json_freep) json_t *a = json_pack("{s:b}", ID_A, 1);
	struct steps s = { 0 };
	struct life_run whole, own;
	struct life *l;

	assert_int_equal(life_new(&l, on_step, &s), 0);
	whole = begin(l, NULL);
	/* Starts after the whole run made its list of containers, and is judged by itself meanwhile. */
	own = begin(l, a);
	see(l, &own, "CTR-01", "fail", "web", ID_A, "f", true);
	life_run_end(l, &own);
	life_run_end(l, &whole);
	expect(&s, "+CTR-01 web/0;");
	/* Both see it: it is one finding all the same. */
	whole = begin(l, NULL);
	own = begin(l, a);
	see(l, &own, "CTR-01", "fail", "web", ID_A, "f", true);
	see(l, &whole, "CTR-01", "fail", "web", ID_A, "f", true);
	life_run_end(l, &whole);
	life_run_end(l, &own);
	expect(&s, "");
	/* Ends while a whole run goes on that still lists it. */
	whole = begin(l, NULL);
	life_container_ended(l, ID_A);
	see(l, &whole, "CTR-01", "fail", "web", ID_A, "f", false);
	life_run_end(l, &whole);
	expect(&s, "-CTR-01 web/0;");
	l = life_free(l);
}

static void a_restart_tells_nothing_twice(void **state)
{
	char path[] = "/tmp/batten-life-XXXXXX";
	int fd = mkstemp(path);
	struct steps s = { 0 };
	struct life_run r;
	struct life *l;
	json_t *j;

	assert_true(fd >= 0);
	assert_int_equal(life_new(&l, on_step, &s), 0);
	r = begin(l, NULL);
	see(l, &r, "HST-01", "fail", "h", NULL, "f1", true);
	see(l, &r, "CTR-01", "drift", "web", ID_A, "f2", true);
	life_run_end(l, &r);
	j = life_json(l);
	assert_int_equal(json_print(fd, j), 0);
	json_decref(j);
	l = life_free(l);
	s.text[0] = '\0';

	assert_int_equal(life_new(&l, on_step, &s), 0);
	assert_int_equal(life_load(l, path, NULL), 0);
	expect(&s, "");
	r = begin(l, NULL);
	see(l, &r, "HST-01", "fail", "h", NULL, "f1", true);
	life_run_end(l, &r);
	expect(&s, "-CTR-01 web/0;");
	l = life_free(l);

	assert_int_equal(ftruncate(fd, 3), 0);
	assert_int_equal(life_new(&l, on_step, &s), 0);
	assert_int_equal(life_load(l, path, NULL), -EBADMSG);
	assert_int_equal(life_load(l, "/nonexistent/findings.json", NULL), 0);
	l = life_free(l);
	(void)close(fd);
	(void)unlink(path);
}

static void strange_records_are_refused(void **state)
{
	struct finding good = finding("HST-01", "fail", "h", NULL, "f1"), engine = good;
	struct life_finding f;
	struct bytes b = { 0 };
	enum status status;

	life_record_write(&good, &b);
	assert_int_equal(life_record_read(b.data, b.n, &f, &status), 0);
	assert_true(f.control == good.control && status == STATUS_FAIL && f.severity == SEV_HIGH && f.kind == SUBJECT_HOST);
	assert_string_equal(f.name, "h");
	assert_string_equal(f.evidence, "it is so");
	/* Cut anywhere, or with something behind it. */
	for (size_t n = 0; n < b.n; n++)
		assert_int_equal(life_record_read(b.data, n, &f, &status), -EBADMSG);
	bytes_append(&b, "", 1);
	assert_int_equal(life_record_read(b.data, b.n, &f, &status), -EBADMSG);
	/* Each number one too large. */
	for (size_t i = 0; i < 4; i++) {
		static const uint32_t first_bad[] = { MAX_CONTROLS, _STATUS_MAX, _SEV_MAX, _SUBJECT_KIND_MAX };
		uint32_t was;

		memcpy(&was, b.data + i * sizeof(was), sizeof(was));
		memcpy(b.data + i * sizeof(was), &first_bad[i], sizeof(was));
		assert_int_equal(life_record_read(b.data, b.n - 1, &f, &status), -EBADMSG);
		memcpy(b.data + i * sizeof(was), &was, sizeof(was));
		assert_int_equal(life_record_read(b.data, b.n - 1, &f, &status), 0);
	}
	bytes_done(&b);
	/* Without a fingerprint it could not be told from another. */
	good.fingerprint[0] = '\0';
	life_record_write(&good, &b);
	assert_int_equal(life_record_read(b.data, b.n, &f, &status), -EBADMSG);
	bytes_done(&b);
	/* A control that is not in the catalogue is the engine's own business. */
	engine.control = &(const struct control){ .id = "WVR-01" };
	life_record_write(&engine, &b);
	assert_int_equal(b.n, 0);
	bytes_done(&b);
}

static void every_change_concerns_some_controls(void **state)
{
	const char *ids[MAX_CONTROLS + 1];

	for (int c = 0; c < _CHANGE_MAX; c++) {
		struct control_mask m = { 0 };

		control_mask_add_changed(&m, CHANGED(c));
		control_mask_ids(&m, ids);
		assert_non_null(ids[0]);
		assert_non_null(change_name((enum change)c));
	}
	{
		struct control_mask m = { 0 };

		control_mask_add_changed(&m, CHANGED(CHANGE_ECS_FILES));
		assert_true(control_mask_has(&m, control_find("CFG-01", NULL)));
		assert_false(control_mask_has(&m, control_find("CTR-01", NULL)));
		assert_false(control_mask_has(&m, control_find("DKD-01", NULL)));
		control_mask_add_changed(&m, CHANGED(CHANGE_CONTAINER));
		assert_true(control_mask_has(&m, control_find("CTR-01", NULL)));
		assert_false(control_mask_has(&m, control_find("CTR-22", NULL)));
	}
	{
		struct control_mask m = { 0 };

		control_mask_add_changed(&m, CHANGED_EVERYTHING);
		for (size_t i = 0; i < n_control_sets; i++)
			for (size_t k = 0; k < control_sets[i]->n_controls; k++)
				assert_true(control_mask_has(&m, &control_sets[i]->controls[k]));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_finding_is_new_stays_and_goes),
		cmocka_unit_test(long_texts_are_cut_and_told),
		cmocka_unit_test(what_was_not_looked_at_stays),
		cmocka_unit_test(containers_of_one_definition_have_a_life_each),
		cmocka_unit_test(runs_beside_each_other_do_not_undo_each_other),
		cmocka_unit_test(a_restart_tells_nothing_twice),
		cmocka_unit_test(strange_records_are_refused),
		cmocka_unit_test(every_change_concerns_some_controls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
