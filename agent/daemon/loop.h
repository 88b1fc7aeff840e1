/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * The main loop with a watch on itself: how long it was busy with each event, for that long
 * everything else had to wait. And what the process takes of the host.
 */
#include <jansson.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#define LOOP_BUCKETS 10

struct loop_times {
	uint64_t buckets[LOOP_BUCKETS], count, sum_us;
};

/* Until sd_event_exit(). Return: its code, or a negative errno, also of a handler that has to succeed */
int loop_run(sd_event *event, struct loop_times *t);

/* {buckets: [[MICROSECONDS, N of at most that long], …], sum_us, count} */
json_t *loop_times_json(const struct loop_times *t);

/* {resident_bytes, cpu_seconds, open_descriptors} of this process */
json_t *process_json(void);
