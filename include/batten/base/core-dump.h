/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Whoever reads other people's configuration holds their secrets.
 */

/*
 * core_dump_forbid - no core dump of this process from now on, nor of what it starts
 * Where the hard limit is 0 already and cannot be raised, a handler behind a pipe still gets one; stacks, heap and
 * mapped files are not in it. The kernel's log and who waits for us still tell that we crashed.
 */
void core_dump_forbid(void);
