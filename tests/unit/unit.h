/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * What every unit test includes: cmocka with the headers that it wants before itself.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* A test that cannot run says why: tests/unit/run prints it, and makes it an error where STRICT is set. */
#define skip_because(why)                                \
	do {                                             \
		print_message("[  REASON  ] " why "\n"); \
		skip();                                  \
	} while (0)

#define SANITIZER_ASKS_FOR_MORE "a sanitizer makes calls that the filter would refuse, so that there is none"
