/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Is a request one that the table of methods allows?
 */
#include <sys/types.h>

#include "batten/daemon/control.h"

/*
 * control_check - name, arguments and rights of a request
 * @pid: of the peer; 0 when it cannot be seen from here
 * Return: 0 with the row; -EINVAL for what the row does not allow, -EPERM without the right; words
 *         in @d
 */
int control_check(const struct control_method *methods, const json_t *request, pid_t pid,
		  const struct control_method **ret, struct diag *d) _must_check_;
