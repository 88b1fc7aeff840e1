/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * batten.conf: whatever it says, it is taken or refused in words, and a refusal leaves what was there.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "batten/base/fd.h"
#include "batten/daemon/settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	_cleanup_(fd_closep) int fd = memfd_create("batten.conf", MFD_CLOEXEC);
	static struct settings before, after;
	struct diag d = { 0 };
	char path[32];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (fd < 0 || fd_write_all(fd, data, n) < 0)
		return 0;
	memset(&before, 0x5a, sizeof(before));
	after = before;
	if (settings_read(&after, path, false, &d) < 0 &&
	    (d.what[0] == '\0' || memcmp(&before, &after, sizeof(before)) != 0))
		abort();
	return 0;
}
