/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * A package of a host that is kept by rpm and dnf, as Amazon Linux is.
 */
#include <stdbool.h>

#include "batten/base/diag.h"
#include "batten/base/macros.h"

#define PACKAGE_VERSION_SIZE 128

struct package {
	char installed[PACKAGE_VERSION_SIZE]; /* [epoch:]version-release; "" when it is not */
	char offered[PACKAGE_VERSION_SIZE];   /* the newest that an update would bring; "" when none would */
	bool can_go_back;		      /* the repositories have the installed one, too */
};

enum package_deed {
	PACKAGE_LOOK, /* what is installed; quick, and without the network */
	PACKAGE_ASK,  /* and what the repositories have */
	PACKAGE_UPDATE,
	PACKAGE_DOWNGRADE,
};

/*
 * package - look at a package, or have it replaced
 * @version: to replace it: by exactly this one
 * @keep:    as program_run() has it: what replaces the package ends by itself when we are killed
 * @ret:     to look and to ask
 * Return: 0; -ENOENT there is no rpm or no dnf; -EREMOTEIO they said no; -ETIMEDOUT; another negative errno; words in @d
 */
int package(enum package_deed deed, const char *name, const char *version, int keep, struct package *ret,
	    struct diag *d) _must_check_;
