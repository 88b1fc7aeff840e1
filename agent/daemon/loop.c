/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * sd_event_loop() in its three steps, with the clock read around the third.
 */
#include "daemon/loop.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "batten/base/clock.h"
#include "batten/base/file.h"
#include "batten/base/macros.h"
#include "batten/base/parse.h"

static const uint64_t bounds_us[LOOP_BUCKETS] = { 100, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000, 1000000 };

static void note(struct loop_times *t, uint64_t us)
{
	t->count++;
	t->sum_us += us;
	for (size_t i = 0; i < LOOP_BUCKETS; i++)
		t->buckets[i] += us <= bounds_us[i];
}

int loop_run(sd_event *event, struct loop_times *t)
{
	int code = 0;

	while (sd_event_get_state(event) != SD_EVENT_FINISHED) {
		int r = sd_event_prepare(event);

		if (r == 0)
			r = sd_event_wait(event, UINT64_MAX);
		if (r > 0) {
			uint64_t begin = clock_us();

			r = sd_event_dispatch(event);
			note(t, clock_us() - begin);
		}
		if (r < 0)
			return r;
	}
	/* A handler whose failure ends the loop leaves its errno there. */
	(void)sd_event_get_exit_code(event, &code);
	return code;
}

json_t *loop_times_json(const struct loop_times *t)
{
	json_t *buckets = json_array();

	for (size_t i = 0; i < LOOP_BUCKETS; i++)
		json_array_append_new(buckets, json_pack("[I, I]", (json_int_t)bounds_us[i], (json_int_t)t->buckets[i]));
	return json_pack("{s:o, s:I, s:I}", "buckets", buckets, "sum_us", (json_int_t)t->sum_us, "count",
			 (json_int_t)t->count);
}

static uint64_t resident_bytes(void)
{
	_cleanup_(freep) char *text = NULL;
	const char *second;
	uint64_t pages;

	if (file_read_proc(AT_FDCWD, "/proc/self/statm", 4096, &text, NULL) < 0 || !(second = strchr(text, ' ')) ||
	    parse_u64((struct slice){ second + 1, strcspn(second + 1, " ") }, 0, UINT64_MAX / 65536, &pages) < 0)
		return 0;
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static double seconds(struct timeval t)
{
	return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

json_t *process_json(void)
{
	struct rusage used = { 0 };
	json_int_t n = 0;
	DIR *dir;

	(void)getrusage(RUSAGE_SELF, &used);
	dir = opendir("/proc/self/fd");
	while (dir && readdir(dir))
		n++;
	if (dir)
		(void)closedir(dir);
	/* Less the two dots and the directory itself. */
	return json_pack("{s:I, s:f, s:I}", "resident_bytes", (json_int_t)resident_bytes(), "cpu_seconds",
			 seconds(used.ru_utime) + seconds(used.ru_stime), "open_descriptors", n > 3 ? n - 3 : 0);
}
