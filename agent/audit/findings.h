/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * How findings are recorded; shared by the engine and the waivers.
 */
#include "batten/audit/audit.h"

/* Adds one finding of the current control. NULL on no memory, which a->error keeps. */
struct finding *finding_add(struct audit *a, const struct subject *s, enum status status,
			    enum severity severity, const char *evidence);
