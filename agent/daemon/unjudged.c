/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A short list: who needs more room than it has is let die as before, and everybody sees it. Docker gives
 * images ids with a colon, and containers none.
 */
#include "daemon/unjudged.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "batten/base/clock.h"
#include "batten/base/json.h"
#include "daemon/finding-event.h"

const struct unjudged_one *unjudged_find(const struct unjudged *u, const char *id)
{
	for (size_t i = 0; i < u->n; i++)
		if (strcmp(u->list[i].id, id) == 0)
			return &u->list[i];
	return NULL;
}

static json_t *describe(const struct unjudged_one *one)
{
	bool image = strchr(one->id, ':');

	return json_pack("{s:s, s:o, s:s, s:o}", "subject", image ? "image" : "container", "name", json_text(one->name),
			 image ? "image_id" : "container_id", one->id, "evidence", json_text(one->reason));
}

int unjudged_add(struct unjudged *u, const char *id, const char *name, const char *why)
{
	struct unjudged_one *one = &u->list[u->n];

	if (u->n == UNJUDGED_MAX)
		return -E2BIG;
	(void)snprintf(one->id, sizeof(one->id), "%s", id);
	(void)snprintf(one->name, sizeof(one->name), "%s", name);
	(void)snprintf(one->reason, sizeof(one->reason), "judging it ended the auditor: %s", why);
	one->since_us = clock_us();
	u->n++;
	finding_event_unjudged(u->log, LIFE_NEW, describe(one));
	return 0;
}

void unjudged_forget(struct unjudged *u, const char *id)
{
	struct unjudged_one *one = (struct unjudged_one *)unjudged_find(u, id);

	if (!one)
		return;
	finding_event_unjudged(u->log, LIFE_GONE, describe(one));
	*one = u->list[--u->n];
}

void unjudged_trouble(const struct unjudged *u, char *buf, size_t size)
{
	buf[0] = '\0';
	if (u->n > 0)
		(void)snprintf(buf, size, "%zu not judged: %s: %s", u->n, u->list[0].name, u->list[0].reason);
}

json_t *unjudged_status(const struct unjudged *u)
{
	json_t *list = json_array();

	for (size_t i = 0; i < u->n; i++)
		json_array_append_new(list, describe(&u->list[i]));
	return list;
}
