/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A row for each change: the areas that it can touch, and the sources that it comes from. A control
 * of such an area is concerned when it looks at one of these sources.
 */
#include "batten/audit/changes.h"

#include <string.h>

#include "batten/base/macros.h"

#define AREA(a) (1u << AREA_##a)
#define ALL_AREAS (~0u)

static const struct {
	const char *name;
	unsigned int areas, sources;
} rows[_CHANGE_MAX] = {
	[CHANGE_ECS_FILES] = { "ecs-files", AREA(ECS_CONFIG) | AREA(ECS_AGENT) | AREA(METADATA), NEEDS_FILES },
	[CHANGE_DOCKER_FILES] = { "docker-files", AREA(DOCKER_DAEMON) | AREA(DOCKER_FILES), NEEDS_FILES },
	[CHANGE_OWN_FILES] = { "own-files", ALL_AREAS, ~0u },
	[CHANGE_CONTAINER] = { "container", AREA(CONTAINERS), NEEDS_DOCKER },
	[CHANGE_CONTAINERS] = { "containers", AREA(CONTAINERS) | AREA(IMAGES) | AREA(METADATA), NEEDS_DOCKER },
	[CHANGE_AGENT] = { "agent", AREA(ECS_CONFIG) | AREA(ECS_AGENT), ~0u },
	[CHANGE_DOCKER] = { "docker", ALL_AREAS, NEEDS_DOCKER },
	[CHANGE_NETWORK] = { "network", ALL_AREAS, NEEDS_RULES | NEEDS_IMDS },
	[CHANGE_RULES] = { "rules", ALL_AREAS, NEEDS_RULES | NEEDS_IMDS },
	/* A group that Docker did not tell of, or not yet. */
	[CHANGE_CGROUPS] = { "cgroups", AREA(CONTAINERS) | AREA(IMAGES) | AREA(METADATA), NEEDS_DOCKER },
};

/* These look beyond the container: at all images, at the agent's tasks, at Docker's exec sessions. */
static const char *const look_around[] = { "CTR-18", "CTR-19", "CTR-22", "CTR-23" };

const char *change_name(enum change c)
{
	return rows[c].name;
}

static bool shows_by_itself(const struct control *c)
{
	for (size_t i = 0; i < ARRAY_SIZE(look_around); i++)
		if (strcmp(c->id, look_around[i]) == 0)
			return false;
	return c->each == SUBJECT_CONTAINER;
}

static bool concerned(const struct control *c, enum area area, enum change change)
{
	if (!(rows[change].areas & 1u << area) || !(rows[change].sources & control_sources(c)))
		return false;
	if (change == CHANGE_CONTAINER)
		return shows_by_itself(c);
	/* What a container shows by itself was judged when it began. */
	return (change != CHANGE_CONTAINERS && change != CHANGE_CGROUPS) || !shows_by_itself(c);
}

unsigned int control_number(const struct control *c)
{
	unsigned int first = 0;

	for (size_t i = 0; i < n_control_sets; i++) {
		const struct control_set *set = control_sets[i];

		if (c >= set->controls && c < set->controls + set->n_controls)
			return MIN(first + (unsigned int)(c - set->controls), (unsigned int)MAX_CONTROLS);
		first += (unsigned int)set->n_controls;
	}
	return MAX_CONTROLS;
}

const struct control *control_at(unsigned int number)
{
	for (size_t i = 0; i < n_control_sets; i++) {
		if (number < control_sets[i]->n_controls)
			return &control_sets[i]->controls[number];
		number -= (unsigned int)control_sets[i]->n_controls;
	}
	return NULL;
}

void control_mask_add(struct control_mask *m, const struct control *c)
{
	unsigned int n = control_number(c);

	if (n < MAX_CONTROLS)
		m->bits[n / 64] |= 1ull << n % 64;
}

bool control_mask_has(const struct control_mask *m, const struct control *c)
{
	unsigned int n = control_number(c);

	return n < MAX_CONTROLS && (m->bits[n / 64] >> n % 64 & 1);
}

void control_mask_add_changed(struct control_mask *m, unsigned int changes)
{
	for (size_t i = 0; i < n_control_sets; i++)
		for (size_t k = 0; k < control_sets[i]->n_controls; k++)
			for (int change = 0; change < _CHANGE_MAX; change++)
				if ((changes & CHANGED(change)) &&
				    concerned(&control_sets[i]->controls[k], control_sets[i]->area, (enum change)change))
					control_mask_add(m, &control_sets[i]->controls[k]);
	/* Host controls with no source that is watched belong to a whole run alone. */
	if (changes == CHANGED_EVERYTHING)
		memset(m, 0xff, sizeof(*m));
}

void control_mask_ids(const struct control_mask *m, const char **ret)
{
	size_t n = 0;

	for (size_t i = 0; i < n_control_sets; i++)
		for (size_t k = 0; k < control_sets[i]->n_controls; k++)
			if (control_mask_has(m, &control_sets[i]->controls[k]))
				ret[n++] = control_sets[i]->controls[k].id;
	ret[n] = NULL;
}
