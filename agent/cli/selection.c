/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Lists of areas and controls on the command line.
 */
#include "cli/selection.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* "a,b,c", given any number of times; @take gets each word. One of nothing, as an empty variable makes it, is no choice. */
static int each_word(const struct invocation *inv, const char *option,
		     int (*take)(struct selection *q, const char *word, size_t n, struct diag *d),
		     struct selection *q, struct diag *d)
{
	const char *value;

	for (unsigned int i = 0; (value = invocation_nth(inv, option, i)); i++) {
		const char *p = value;

		do {
			size_t n = strcspn(p, ",");
			int r = take(q, p, n, d);

			if (r < 0)
				return r;
			p += n + (p[n] == ',');
		} while (*p);
	}
	return 0;
}

static int take_area(struct selection *q, const char *word, size_t n, struct diag *d)
{
	char list[256] = "";
	enum area area;

	if (area_parse(word, n, &area) == 0) {
		q->options.areas |= 1u << area;
		q->options.thorough = true;
		return 0;
	}
	for (int i = 0; i < _AREA_MAX; i++)
		(void)snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s", i > 0 ? ", " : "",
			       area_name((enum area)i));
	return diag_fail(d, -EINVAL, "--area", "no area \"%.*s\"; use one of: %s", (int)n, word, list);
}

static int take_control(struct selection *q, const char *word, size_t n, struct diag *d)
{
	size_t used = 0;

	for (unsigned int i = 0; i < q->n_control_ids; i++)
		used += strlen(q->control_ids[i]) + 1;
	if (q->n_control_ids == MAX_NAMED_CONTROLS || n >= sizeof(q->words) - used)
		return diag_fail(d, -E2BIG, "--control", "too many ids");
	memcpy(q->words + used, word, n);
	q->words[used + n] = '\0';
	if (!control_find(q->words + used, NULL))
		return diag_fail(d, -EINVAL, "--control", "no control \"%.*s\"; see `batten audit --list`", (int)n, word);
	q->control_ids[q->n_control_ids++] = q->words + used;
	q->options.control_ids = q->control_ids;
	q->options.thorough = true;
	return 0;
}

/* Nothing is in order where nothing was looked at. */
static int check_both(const struct selection *s, struct diag *d)
{
	for (unsigned int i = 0; s->options.areas && i < s->n_control_ids; i++) {
		enum area area;

		if (control_find(s->control_ids[i], &area) && !(s->options.areas & 1u << area))
			return diag_fail(d, -EINVAL, "--control", "%s is of area %s, which --area leaves out", s->control_ids[i],
					 area_name(area));
	}
	return 0;
}

int selection_parse(struct selection *s, const struct invocation *inv, struct diag *d)
{
	int r;

	s->options.now = (int64_t)time(NULL);
	r = each_word(inv, "area", take_area, s, d);
	if (r >= 0)
		r = each_word(inv, "control", take_control, s, d);
	return r < 0 ? r : check_both(s, d);
}
