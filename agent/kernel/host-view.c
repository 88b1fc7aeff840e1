/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "batten/kernel/host-view.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

#define HOST "/proc/1/root"

/* Of the path, or of its directory when it is not there yet. */
static bool is_read_only(const char *path)
{
	char directory[PATH_MAX];
	const char *slash = strrchr(path, '/');
	struct statvfs fs;

	if (statvfs(path, &fs) == 0)
		return fs.f_flag & ST_RDONLY;
	if (errno != ENOENT || !slash ||
	    snprintf(directory, sizeof(directory), "%.*s/", (int)(slash - path), path) >= (int)sizeof(directory))
		return true;
	return statvfs(directory, &fs) < 0 || (fs.f_flag & ST_RDONLY);
}

void host_view(const char *path, char ret[static PATH_MAX])
{
	if (is_read_only(path) && snprintf(ret, PATH_MAX, HOST "%s", path) < PATH_MAX && !is_read_only(ret))
		return;
	(void)snprintf(ret, PATH_MAX, "%s", path);
}
