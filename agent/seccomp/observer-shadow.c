/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A profile on trial. Its filter is followed here, once for each number: what it denies becomes bits, and
 * what its arguments decide becomes questions (decision.h), which the program asks on the slow path only, so
 * that a call which it allows costs nothing once it was seen. Groups with the same filter share a trial.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

#include "batten/seccomp/decision.h"
#include "batten/seccomp/filter.h"
#include "seccomp/observer-internal.h"

#define X32_BIT 0x40000000

/* The kernel's way of counting is ours. */
_Static_assert(OBS_PASS == DECISION_PASS && OBS_DENY == DECISION_DENY, "ends of questions");
_Static_assert(QUESTION_EQUAL == 0 && QUESTION_GREATER == 1 && QUESTION_AT_LEAST == 2 && QUESTION_ANY_BIT == 3,
	       "kinds of questions");

/* A filter that is tried on one group or more. */
struct trial {
	struct list link;
	struct filter filter;
	struct obs_shadow_row row;
	unsigned int n_users;
	int n_without; /* calls whose arguments are not asked for */
	/* What was put into the maps, to be taken out. */
	struct obs_question_key *questions;
	struct obs_case_key *cases;
	size_t n_questions, n_cases;
};

static int questions_fd(const struct observer *o)
{
	return bpf_map__fd(o->skel->maps.shadow_questions);
}

static int cases_fd(const struct observer *o)
{
	return bpf_map__fd(o->skel->maps.shadow_cases);
}

static struct trial *trial_free(struct observer *o, struct trial *t)
{
	for (size_t i = 0; i < t->n_questions; i++)
		(void)bpf_map_delete_elem(questions_fd(o), &t->questions[i]);
	for (size_t i = 0; i < t->n_cases; i++)
		(void)bpf_map_delete_elem(cases_fd(o), &t->cases[i]);
	list_remove(&t->link);
	filter_done(&t->filter);
	free(t->questions);
	free(t->cases);
	free(t);
	return NULL;
}

void observer_shadow_done(struct observer *o)
{
	list_for_each(pos, &o->trials)
		(void)trial_free(o, container_of(pos, struct trial, link));
}

static int put_case(struct observer *o, struct trial *t, const struct obs_case_key *key, uint32_t then)
{
	struct obs_case_key *cases = reallocarray(t->cases, t->n_cases + 1, sizeof(*cases));

	if (!cases)
		return -ENOMEM;
	t->cases = cases;
	cases[t->n_cases++] = *key;
	return bpf_map_update_elem(cases_fd(o), key, &then, BPF_ANY) == 0 ? 0 : -errno;
}

static int put_question(struct observer *o, struct trial *t, const struct obs_question_key *key,
			const struct question *q)
{
	struct obs_question_key *questions = reallocarray(t->questions, t->n_questions + 1, sizeof(*questions));
	struct obs_question to = { q->kind, q->word, q->mask, q->value, q->yes, q->no };
	int r = 0;

	if (!questions)
		return -ENOMEM;
	t->questions = questions;
	questions[t->n_questions++] = *key;
	for (size_t i = 0; i < q->n_cases && r == 0; i++)
		r = put_case(o, t, &(struct obs_case_key){ *key, q->cases[i].value }, q->cases[i].then);
	if (r < 0)
		return r;
	return bpf_map_update_elem(questions_fd(o), key, &to, BPF_ANY) == 0 ? 0 : -errno;
}

static void set_bit(struct obs_bits *b, unsigned int bit)
{
	b->w[bit / 64] |= 1ull << (bit % 64);
}

/* The number as a filter sees it. */
static int number_of(unsigned int abi, unsigned int bit)
{
	int number = observer_bit_number(bit);

	return observer_abi(abi) == ABI_X32 ? number | X32_BIT : number;
}

/* Past what can be asked: let through if the profile does so under some arguments, be they zeros. */
static void judge_by_call(struct trial *t, const struct profile *p, unsigned int abi, unsigned int bit)
{
	struct seccomp_data zeros = { .nr = number_of(abi, bit), .arch = abi_audit_arch(observer_abi(abi)) };
	char name[ABI_NAME_SIZE];
	uint32_t answer;

	t->n_without++;
	if (filter_run(t->filter.code, t->filter.n_code, &zeros, &answer) == 0 && filter_answer_passes(answer))
		return;
	if (!p->abis[observer_abi(abi)] || !profile_allows(p, observer_bit_name(abi, bit, name), true))
		set_bit(&t->row.denied[abi], bit);
}

static int judge(struct observer *o, struct trial *t, const struct profile *p, unsigned int abi, unsigned int bit)
{
	struct obs_question_key key = { .trial = t->row.trial, .nr = (__u16)bit, .abi = (__u16)abi };
	struct decision d;
	int r;

	r = decision_make(t->filter.code, t->filter.n_code, number_of(abi, bit), abi_audit_arch(observer_abi(abi)), &d);
	if (r == -EOPNOTSUPP || r == -E2BIG) {
		judge_by_call(t, p, abi, bit);
		return 0;
	}
	if (r < 0)
		return r;
	if (d.depth > OBS_MAX_QUESTIONS)
		judge_by_call(t, p, abi, bit);
	else if (d.first == DECISION_DENY)
		set_bit(&t->row.denied[abi], bit);
	else if (d.first != DECISION_PASS)
		set_bit(&t->row.asks[abi], bit);
	for (; d.depth <= OBS_MAX_QUESTIONS && r == 0 && key.n < d.n_questions; key.n++)
		r = put_question(o, t, &key, &d.questions[key.n]);
	decision_done(&d);
	return r;
}

/* The trial of a filter, which is taken over. */
static int find_trial(struct observer *o, struct filter *f, const struct profile *p, struct trial **ret)
{
	struct trial *t;
	int r = 0;

	list_for_each(pos, &o->trials) {
		t = container_of(pos, struct trial, link);
		if (t->filter.n_code == f->n_code && memcmp(t->filter.code, f->code, f->n_code * sizeof(*f->code)) == 0) {
			*ret = t;
			return 0;
		}
	}
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->filter = *f;
	*f = (struct filter){ 0 };
	t->row.trial = ++o->last_trial;
	list_append(&o->trials, &t->link);
	for (unsigned int abi = 0; abi < OBS_ABIS && r == 0; abi++)
		for (unsigned int bit = 0; bit < OBS_NUMBERS && r == 0; bit++)
			r = judge(o, t, p, abi, bit);
	if (r < 0) {
		(void)trial_free(o, t);
		return r;
	}
	*ret = t;
	return 0;
}

int observer_shadow(struct observer *o, uint64_t group, const struct profile *p, struct diag *d)
{
	struct filter f = { 0 };
	struct trial *t = NULL;
	int r;

	r = filter_compile(p, FILTER_PATIENCE_OF_DAEMON, &f, NULL, d);
	if (r < 0)
		return r;
	if (f.n_code > BPF_MAXINSNS)
		r = diag_fail(d, -E2BIG, NULL, "its filter has %zu instructions, and the kernel takes %d", f.n_code,
			      BPF_MAXINSNS);
	if (r == 0) {
		r = find_trial(o, &f, p, &t);
		if (r < 0)
			(void)diag_errno(d, r, NULL, "no room to try this profile");
	}
	filter_done(&f);
	if (!t)
		return r;
	t->n_users++;
	observer_unshadow(o, group);
	if (bpf_map_update_elem(bpf_map__fd(o->skel->maps.shadow_rows), &group, &t->row, BPF_ANY) < 0) {
		r = diag_errno(d, -errno, NULL, "no room to try this profile");
		if (--t->n_users == 0)
			(void)trial_free(o, t);
		return r;
	}
	o->skel->bss->n_shadows++;
	/* What tasks remember was not tried yet. */
	__atomic_add_fetch(&o->skel->data->epoch, 1, __ATOMIC_SEQ_CST);
	return t->n_without;
}

int observer_shadow_each(struct observer *o, uint64_t group,
			 int (*fn)(void *userdata, enum abi a, const char *call, uint64_t count), void *userdata)
{
	struct obs_shadow_key key, next;
	void *previous = NULL;
	int r = 0;

	while (r == 0 && bpf_map_get_next_key(bpf_map__fd(o->skel->maps.shadow_counts), previous, &next) == 0) {
		char name[ABI_NAME_SIZE];
		uint64_t count;

		key = next;
		previous = &key;
		if (key.owner == group && bpf_map_lookup_elem(bpf_map__fd(o->skel->maps.shadow_counts), &key, &count) == 0 && count > 0)
			r = fn(userdata, observer_abi(key.abi), observer_bit_name(key.abi, key.nr, name), count);
	}
	return r;
}

/* The group's row goes, and with its last one the trial. */
static void leave_trial(struct observer *o, uint64_t group)
{
	int fd = bpf_map__fd(o->skel->maps.shadow_rows);
	struct obs_shadow_row row;

	if (bpf_map_lookup_elem(fd, &group, &row) < 0 || bpf_map_delete_elem(fd, &group) < 0)
		return;
	o->skel->bss->n_shadows--;
	list_for_each(pos, &o->trials) {
		struct trial *t = container_of(pos, struct trial, link);

		if (t->row.trial == row.trial && --t->n_users == 0)
			(void)trial_free(o, t);
	}
}

void observer_unshadow(struct observer *o, uint64_t group)
{
	int fd = bpf_map__fd(o->skel->maps.shadow_counts);
	struct obs_shadow_key key, next;
	void *previous = NULL;

	/* What a trial that has ended counted may still be there. */
	leave_trial(o, group);
	while (bpf_map_get_next_key(fd, previous, &next) == 0) {
		if (next.owner == group) {
			(void)bpf_map_delete_elem(fd, &next);
			continue; /* from the same previous key: its successor has changed */
		}
		key = next;
		previous = &key;
	}
}
