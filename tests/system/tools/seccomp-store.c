/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Stores observations as the daemon does, each with one call more: seccomp-store DIR DIGEST FIRST LAST.
 * Prints the number of the call once it is stored; ends with 1 at the first that could not be.
 */
#include <stdio.h>
#include <stdlib.h>

#include "batten/seccomp/observation-store.h"

int main(int argc, char **argv)
{
	if (argc != 5)
		return 2;
	for (long i = strtol(argv[3], NULL, 10); i <= strtol(argv[4], NULL, 10); i++) {
		_cleanup_(observation_freep) struct observation *o = observation_new();
		char name[ABI_NAME_SIZE];
		struct observed_call *c;
		struct diag d = { 0 };
		int r;

		(void)snprintf(name, sizeof(name), "#%ld", i);
		r = o ? observation_add(o, abi_native(), name, &c) : -1;
		if (r == 0) {
			c->phases = PHASE_START;
			r = observation_store_merge(argv[1], argv[2], o, &d);
		}
		if (d.what[0])
			diag_print(&d, r);
		if (r < 0)
			return 1;
		(void)printf("%ld\n", i);
		(void)fflush(stdout);
	}
	return 0;
}
