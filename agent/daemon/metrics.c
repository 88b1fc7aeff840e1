/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One table of families, each with its name, type, help and the function that prints its samples
 * out of a batten.status/1. A family without a sample is left out whole.
 */
#include <stdbool.h>
#include <string.h>

#include "batten/base/macros.h"
#include "batten/daemon/status.h"

struct family {
	const char *name, *type, *help;
	void (*print)(const struct family *m, const json_t *status, struct bytes *b);
	const char *part, *member; /* of a plain number */
};

static const char *text_of(const json_t *j, const char *name)
{
	const char *text = json_string_value(json_object_get(j, name));

	return text ? text : "";
}

/* A label's value: backslash, quote and newline are escaped. */
static void label(struct bytes *b, const char *name, const char *value)
{
	bytes_printf(b, "%s=\"", name);
	for (const char *p = value; *p; p++) {
		if (*p == '\n')
			bytes_append_str(b, "\\n");
		else if (*p == '\\' || *p == '"')
			bytes_printf(b, "\\%c", *p);
		else
			bytes_append(b, p, 1);
	}
	bytes_append_str(b, "\"");
}

static void value(struct bytes *b, const json_t *v)
{
	if (json_is_integer(v))
		bytes_printf(b, " %lld\n", (long long)json_integer_value(v));
	else if (json_is_real(v))
		bytes_printf(b, " %.9g\n", json_real_value(v));
	else
		bytes_printf(b, " %d\n", json_is_true(v));
}

static void print_number(const struct family *m, const json_t *status, struct bytes *b)
{
	const json_t *v = json_object_get(json_object_get(status, m->part), m->member);

	if (!v)
		return;
	bytes_append_str(b, m->name);
	value(b, v);
}

/* An object of numbers, one sample for each member; m->part is "PART", its member holds them. */
static void print_members(const struct family *m, const json_t *status, struct bytes *b, const char *label_name)
{
	const json_t *numbers = json_object_get(status, m->part), *v;
	const char *key;

	if (m->member)
		numbers = json_object_get(numbers, m->member);
	json_object_foreach((json_t *)numbers, key, v) {
		bytes_printf(b, "%s{", m->name);
		label(b, label_name, key);
		bytes_append_str(b, "}");
		value(b, v);
	}
}

static void print_findings(const struct family *m, const json_t *status, struct bytes *b)
{
	print_members(m, status, b, "severity");
}

static void print_attempts(const struct family *m, const json_t *status, struct bytes *b)
{
	print_members(m, status, b, "family");
}

static void print_steps(const struct family *m, const json_t *status, struct bytes *b)
{
	print_members(m, status, b, "state");
}

static void layer_labels(struct bytes *b, const struct family *m, const json_t *layer)
{
	bytes_printf(b, "%s{", m->name);
	label(b, "layer", text_of(layer, "layer"));
	bytes_append_str(b, ",");
	label(b, "family", text_of(layer, "family"));
	bytes_append_str(b, "}");
}

static void print_layers_up(const struct family *m, const json_t *status, struct bytes *b)
{
	const json_t *l;
	size_t i;

	json_array_foreach(json_object_get(json_object_get(status, "guard"), "layers"), i, l) {
		if (strcmp(text_of(l, "state"), "off") == 0)
			continue;
		layer_labels(b, m, l);
		bytes_printf(b, " %d\n", strcmp(text_of(l, "state"), "active") == 0);
	}
}

static void print_layers_count(const struct family *m, const json_t *status, struct bytes *b)
{
	const json_t *l, *v;
	size_t i;

	json_array_foreach(json_object_get(json_object_get(status, "guard"), "layers"), i, l) {
		v = json_object_get(l, m->member);
		if (!v)
			continue;
		layer_labels(b, m, l);
		value(b, v);
	}
}

static void print_observed(const struct family *m, const json_t *status, struct bytes *b)
{
	const json_t *list = json_object_get(status, "observed");

	if (list)
		bytes_printf(b, "%s %zu\n", m->name, json_array_size(list));
}

static void print_saturation(const struct family *m, const json_t *status, struct bytes *b)
{
	const json_t *o;
	size_t i;

	json_array_foreach(json_object_get(status, "observed"), i, o) {
		bytes_printf(b, "%s{", m->name);
		label(b, "image", text_of(o, "image"));
		bytes_append_str(b, ",");
		label(b, "digest", text_of(o, "digest"));
		bytes_append_str(b, "}");
		value(b, json_object_get(o, "saturation"));
	}
}

static void print_loop(const struct family *m, const json_t *status, struct bytes *b)
{
	const json_t *loop = json_object_get(status, "loop"), *bucket;
	size_t i;

	if (!loop)
		return;
	json_array_foreach(json_object_get(loop, "buckets"), i, bucket) {
		bytes_printf(b, "%s_bucket{le=\"%g\"}", m->name, (double)json_integer_value(json_array_get(bucket, 0)) / 1e6);
		value(b, json_array_get(bucket, 1));
	}
	bytes_printf(b, "%s_bucket{le=\"+Inf\"}", m->name);
	value(b, json_object_get(loop, "count"));
	bytes_printf(b, "%s_sum %.9g\n", m->name, (double)json_integer_value(json_object_get(loop, "sum_us")) / 1e6);
	bytes_printf(b, "%s_count", m->name);
	value(b, json_object_get(loop, "count"));
}

static void print_build(const struct family *m, const json_t *status, struct bytes *b)
{
	bytes_printf(b, "%s{version=\"" BATTEN_VERSION "\"} 1\n", m->name);
}

static void print_guard_state(const struct family *m, const json_t *status, struct bytes *b)
{
	if (json_object_get(status, "guard"))
		print_number(m, status, b);
}

static const struct family families[] = {
	{ "batten_build_info", "gauge", "The version, as a label.", print_build, NULL, NULL },
	{ "batten_daemon_up", "gauge", "Whether the daemon runs.", print_number, "daemon", "running" },
	{ "batten_daemon_start_time_seconds", "gauge", "When the daemon started, since the epoch.", print_number, "daemon",
	  "started" },
	{ "batten_guard_closed", "gauge", "Whether the metadata service is closed to bridged containers in both families.",
	  print_guard_state, "guard", "closed" },
	{ "batten_guard_layer_up", "gauge", "Whether a layer of the metadata guard that is wanted is as it should be.",
	  print_layers_up, NULL, NULL },
	{ "batten_guard_blocked_packets_total", "counter", "Packets to the metadata service that a layer blocked.",
	  print_layers_count, NULL, "packets" },
	{ "batten_guard_blocked_bytes_total", "counter", "Bytes to the metadata service that a layer blocked.",
	  print_layers_count, NULL, "bytes" },
	{ "batten_guard_attempts_total", "counter", "Attempts to reach the metadata service that events were told of.",
	  print_attempts, "attempts", NULL },
	{ "batten_guard_heals_total", "counter", "How often the guard was put back.", print_number, "guard", "heals" },
	{ "batten_docker_followed", "gauge", "Whether Docker's events are followed.", print_number, "docker", "followed" },
	{ "batten_containers", "gauge", "Containers that run, as far as known.", print_number, "docker", "containers" },
	{ "batten_imds_exceptions", "gauge", "Exceptions that open the metadata service.", print_number, "docker",
	  "exceptions" },
	{ "batten_findings", "gauge", "Findings that are there.", print_findings, "audit", "findings" },
	{ "batten_finding_steps_total", "counter", "Findings that became new or gone.", print_steps, "audit", "steps" },
	{ "batten_audit_runs_total", "counter", "Runs of the audit that came to their end.", print_number, "audit", "runs" },
	{ "batten_audit_failed_runs_total", "counter", "Runs of the audit that did not.", print_number, "audit",
	  "failed_runs" },
	{ "batten_audit_last_run_timestamp_seconds", "gauge", "When the last run ended, since the epoch.", print_number,
	  "audit", "last_run" },
	{ "batten_audit_last_run_duration_seconds", "gauge", "How long the last run took.", print_number, "audit",
	  "last_seconds" },
	{ "batten_observed_images", "gauge", "Images whose system calls were observed.", print_observed, NULL, NULL },
	{ "batten_observed_image_saturation_ratio", "gauge", "Share of an image's system calls seen in more than one run.",
	  print_saturation, NULL, NULL },
	{ "batten_process_resident_memory_bytes", "gauge", "Resident memory of the daemon.", print_number, "process",
	  "resident_bytes" },
	{ "batten_process_cpu_seconds_total", "counter", "Processor time of the daemon, without its workers.", print_number,
	  "process", "cpu_seconds" },
	{ "batten_process_open_fds", "gauge", "File descriptors that the daemon has open.", print_number, "process",
	  "open_descriptors" },
	{ "batten_loop_busy_seconds", "histogram", "How long the main loop was busy with one event, and others waited.",
	  print_loop, NULL, NULL },
};

void status_metrics(const json_t *status, struct bytes *b)
{
	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		const struct family *m = &families[i];
		struct bytes samples = { 0 };

		m->print(m, status, &samples);
		if (samples.n > 0)
			bytes_printf(b, "# HELP %s %s\n# TYPE %s %s\n%s", m->name, m->help, m->name, m->type, samples.data);
		if (samples.error < 0 && b->error == 0)
			b->error = samples.error;
		bytes_done(&samples);
	}
}
