/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Runs a fuzz target on every file below a directory: the corpus as a test.
 */
#include <fcntl.h>
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>

#include "batten/base/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int run_file(const char *path, const struct stat *st, int type, struct FTW *at)
{
	_cleanup_(freep) char *text = NULL;
	size_t n;

	if (type != FTW_F)
		return 0;
	if (file_read(AT_FDCWD, path, 64 * 1024 * 1024, &text, &n, NULL) < 0) {
		(void)fprintf(stderr, "%s: cannot be read\n", path);
		return 1;
	}
	(void)fprintf(stderr, "%s\n", path);
	return LLVMFuzzerTestOneInput((const uint8_t *)text, n);
}

int main(int argc, char **argv)
{
	return argc != 2 || nftw(argv[1], run_file, 16, FTW_PHYS) != 0;
}
