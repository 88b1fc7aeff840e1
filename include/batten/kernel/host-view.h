/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * The unit shows the daemon /sys read-only. The two places below it that it changes, pinned programs
 * and the groups of the self-test, it names by the host's own view of them: that of init, which takes
 * CAP_SYS_PTRACE. Roles and workers without that right stay outside.
 */
#include <limits.h>

/*
 * host_view - a path by which what is there may be changed
 * @path: absolute
 * @ret:  @path, or where it is read-only for us the same through /proc/1/root
 */
void host_view(const char *path, char ret[static PATH_MAX]);
