/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Programs of the host that do what no library does: the package manager.
 */
#include "batten/base/bytes.h"
#include "batten/base/macros.h"

/*
 * program_run - run a program and wait for its end
 * It has nothing to read, the C locale, the system's PATH, root's home and the caller's proxies; of the caller's
 * descriptors it has none but @keep.
 * @argv:       [0] is its absolute path; ends with NULL
 * @keep:       what it shall have open as long as it lives, such as a lock; -1: nothing
 * @timeout_ms: then it is killed; 0: it has all the time it needs
 * @out:        the last of what it said on either stream, at most PROGRAM_MAX_OUTPUT bytes; foreign text
 * Return: its exit status, 0 to 255; -ENOENT there is no such program; -ETIMEDOUT; -ECANCELED when a signal ended
 *         it; any other negative errno
 */
int program_run(const char *const *argv, int keep, unsigned int timeout_ms, struct bytes *out) _must_check_;
#define PROGRAM_MAX_OUTPUT 65536
