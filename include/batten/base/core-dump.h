/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Whoever reads other people's configuration holds their secrets.
 */

/*
 * core_dump_without_memory - nothing of our memory goes into a core dump from now on
 * Stacks, heap and files that are mapped are left out, in what we start too; a dump still tells that
 * we crashed. Where the kernel does not let us say so, nothing changes.
 */
void core_dump_without_memory(void);
