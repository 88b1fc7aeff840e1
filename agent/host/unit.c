/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * systemd's manager over the system bus. A job is asked for and then waited for: its end comes as a
 * signal, which is listened to before the job is asked for.
 */
#include "batten/host/unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-bus.h>

#include "host/http-internal.h"

#define SYSTEMD "org.freedesktop.systemd1"
#define PATH "/org/freedesktop/systemd1"
#define MANAGER "org.freedesktop.systemd1.Manager"

static void bus_closep(sd_bus **b)
{
	*b = sd_bus_flush_close_unref(*b);
}

struct job {
	char path[256];
	char result[32]; /* "" until it ended */
};

static int on_removed(sd_bus_message *m, void *data, sd_bus_error *error)
{
	const char *path, *unit, *result;
	struct job *j = data;
	uint32_t id;

	if (sd_bus_message_read(m, "uoss", &id, &path, &unit, &result) >= 0 && strcmp(path, j->path) == 0)
		(void)snprintf(j->result, sizeof(j->result), "%s", result);
	return 0;
}

static int open_bus(sd_bus **ret, struct diag *d)
{
	int r = sd_bus_open_system(ret);

	return r < 0 ? diag_errno(d, -EHOSTDOWN, "systemd", "the system bus does not answer (%s)", strerror(-r)) : 0;
}

/* Turns what the bus said into a negative errno and words. */
static int refused(const sd_bus_error *e, int r, const char *unit, const char *verb, struct diag *d)
{
	if (sd_bus_error_has_name(e, SYSTEMD ".NoSuchUnit"))
		return diag_fail(d, -ENOENT, unit, "there is no such unit on this host");
	return diag_fail(d, r == -ENOENT ? -EIO : r, unit, "systemd does not %s it: %s", verb,
			 e->message ? e->message : strerror(-r));
}

static int wait_for(sd_bus *bus, struct job *j, uint64_t timeout_ms, const char *unit, struct diag *d)
{
	uint64_t deadline = http_now_ms() + timeout_ms;

	while (!j->result[0]) {
		uint64_t now = http_now_ms();
		int r = sd_bus_process(bus, NULL);

		if (r == 0 && now >= deadline)
			return diag_fail(d, -ETIMEDOUT, unit, "systemd did not come to an end with it in %llu s",
					 (unsigned long long)timeout_ms / 1000);
		if (r == 0)
			r = sd_bus_wait(bus, (deadline - now) * 1000);
		if (r < 0 && r != -EINTR)
			return diag_errno(d, r, "systemd", "the system bus is gone");
	}
	if (strcmp(j->result, "done") != 0)
		return diag_fail(d, -EIO, unit, "the job ended as \"%s\"; see `systemctl status %s`", j->result, unit);
	return 0;
}

/* Without a subscription the manager sends no signals to us. */
static int listen_to(sd_bus *bus, struct job *j, sd_bus_slot **ret, sd_bus_error *e)
{
	int r = sd_bus_match_signal(bus, ret, SYSTEMD, PATH, MANAGER, "JobRemoved", on_removed, j);

	return r < 0 ? r : sd_bus_call_method(bus, SYSTEMD, PATH, MANAGER, "Subscribe", e, NULL, "");
}

int unit_do(const char *unit, const char *verb, uint64_t timeout_ms, struct diag *d)
{
	static const struct {
		const char *verb, *method;
	} rows[] = { { "start", "StartUnit" }, { "stop", "StopUnit" }, { "restart", "RestartUnit" }, { "reload", "ReloadUnit" } };
	_cleanup_(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *answer = NULL;
	_cleanup_(bus_closep) sd_bus *bus = NULL;
	_cleanup_(sd_bus_slot_unrefp) sd_bus_slot *slot = NULL;
	struct job j = { 0 };
	const char *method = NULL, *path;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (strcmp(verb, rows[i].verb) == 0)
			method = rows[i].method;
	if (!method)
		return -EINVAL;
	r = open_bus(&bus, d);
	if (r < 0)
		return r;
	(void)sd_bus_set_method_call_timeout(bus, timeout_ms * 1000);
	r = listen_to(bus, &j, &slot, &e);
	if (r >= 0)
		r = sd_bus_call_method(bus, SYSTEMD, PATH, MANAGER, method, &e, &answer, "ss", unit, "replace");
	if (r >= 0)
		r = sd_bus_message_read(answer, "o", &path);
	if (r < 0)
		return refused(&e, r, unit, verb, d);
	/* Signals that came meanwhile wait in the queue. */
	(void)snprintf(j.path, sizeof(j.path), "%s", path);
	return wait_for(bus, &j, timeout_ms, unit, d);
}

static int ask_state(sd_bus *bus, const char *unit, bool *ret, sd_bus_error *e)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *answer = NULL;
	const char *path = NULL;
	char *state;
	int r;

	r = sd_bus_call_method(bus, SYSTEMD, PATH, MANAGER, "LoadUnit", e, &answer, "s", unit);
	if (r >= 0)
		r = sd_bus_message_read(answer, "o", &path);
	if (r >= 0)
		r = sd_bus_get_property_string(bus, SYSTEMD, path, SYSTEMD ".Unit", "ActiveState", e, &state);
	if (r < 0)
		return r;
	*ret = strcmp(state, "active") == 0;
	free(state);
	return 0;
}

int unit_is_active(const char *unit, bool *ret, struct diag *d)
{
	_cleanup_(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
	_cleanup_(bus_closep) sd_bus *bus = NULL;
	int r = open_bus(&bus, d);

	if (r < 0)
		return r;
	r = ask_state(bus, unit, ret, &e);
	return r < 0 ? refused(&e, r, unit, "look at", d) : 0;
}
