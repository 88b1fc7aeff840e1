/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Menders of the roads to the metadata service: the guard, now and at each boot.
 */
#include <string.h>

#include "audit/fix-internal.h"

static int mend_roads(struct fix_plan *p, const struct mender *m, const struct finding *f)
{
	int r = plan_guard(p);

	return r < 0 ? r : 1;
}

static int mend_persistence(struct fix_plan *p, const struct mender *m, const struct finding *f)
{
	static const char *const units[] = { "/usr/lib/systemd/system/batten.service", "/lib/systemd/system/batten.service",
					     "/etc/systemd/system/batten.service" };
	const char *unit = NULL;
	struct stat st;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(units) && !unit; i++)
		if (facts_stat(p->audit->facts, units[i], true, &st) == 0)
			unit = units[i];
	if (!unit)
		return plan_refuse(p, "batten.service is not installed, and nothing else would load the guard at boot");
	r = plan_link(p, "/etc/systemd/system/multi-user.target.wants/batten.service", unit);
	if (r >= 0)
		r = plan_guard(p);
	return r < 0 ? r : 1;
}

static const struct mender menders[] = {
	{ "IMD-03", .plan = mend_roads },
	{ "IMD-04", .plan = mend_roads },
	{ "IMD-06", .plan = mend_persistence },
};

MENDER_SET(metadata_menders);
