/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Who comes first in the event loop; smaller is sooner. Nothing stands before healing the guard.
 */
enum {
	PRIORITY_HEAL = -100,
	PRIORITY_SIGNAL = -50,
	PRIORITY_HOST = 0, /* Docker's events, cgroups, files */
	PRIORITY_CONTROL = 50,
	PRIORITY_BACKGROUND = 100,
};
