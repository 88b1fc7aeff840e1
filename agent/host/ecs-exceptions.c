/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Variables that do not stand for themselves: what they end up as depends on others.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "batten/host/go-values.h"
#include "host/ecs-evaluate-internal.h"

#define PROMETHEUS_PORT "51680"

static bool environment_value(const struct ecs_sources *s, const char *name, struct slice *ret)
{
	struct ecs_statement st;

	if (!ecs_environment_find(s, name, &st) || st.value.n == 0)
		return false;
	*ret = st.value;
	return true;
}

static bool environment_true(const struct ecs_sources *s, const char *name)
{
	struct slice v;
	bool b = false;

	return environment_value(s, name, &v) && go_parse_bool(go_trim_space(v), &b) == 0 && b;
}

static const struct ecs_document_value *document_value(const struct ecs_document *d, const char *name)
{
	const struct ecs_variable *row = ecs_variable_find(slice_of(name));

	return d->applies ? &d->values[row - ecs_variables] : NULL;
}

/* A directory for the state turns checkpoints on, unless they are turned off by name. */
static int checkpoint(struct ecs_config *c, const struct ecs_sources *s)
{
	struct ecs_result *r = ecs_result_of(c, "ECS_CHECKPOINT");
	struct slice ignored;
	int e;

	if (r->source == ECS_FROM_FILE || !environment_value(s, "ECS_DATADIR", &ignored))
		return 0;
	e = ecs_result_set(r, slice_of("true"), ECS_FROM_BUILT_IN);
	if (e < 0 || r->verdict != ECS_OK)
		return e;
	return ecs_result_judge(r, ECS_OK, "on because ECS_DATADIR is set");
}

/* Trunks exist only with task interfaces, and only the environment is asked. */
static int trunking(struct ecs_config *c, const struct ecs_sources *s)
{
	struct ecs_result *r = ecs_result_of(c, "ECS_ENABLE_HIGH_DENSITY_ENI");
	int e;

	/* Without task interfaces nothing is set up, whatever a document has put into the field. */
	if (ecs_config_is_true(c, "ECS_ENABLE_TASK_ENI"))
		return 0;
	e = ecs_result_set(r, slice_of("false"), ECS_FROM_DEFAULT);
	return e < 0 ? e : ecs_result_judge(r, r->verdict, "off because ECS_ENABLE_TASK_ENI is");
}

/* On a host without IPv4 the default turns around. */
static int port_bindings(struct ecs_config *c, const struct ecs_sources *s)
{
	struct ecs_result *r = ecs_result_of(c, "ECS_EXCLUDE_IPV6_PORTBINDING");
	int e;

	if (r->source != ECS_FROM_DEFAULT ||
	    strcmp(ecs_result_of(c, "ECS_INSTANCE_IP_COMPATIBILITY")->effective, "ipv6") != 0)
		return 0;
	e = ecs_result_set(r, slice_of("false"), ECS_FROM_DEFAULT);
	if (e < 0 || r->verdict != ECS_OK)
		return e;
	return ecs_result_judge(r, ECS_OK, "off because ECS_INSTANCE_IP_COMPATIBILITY is ipv6");
}

/* Bounds of the poll interval are looked at only when somebody polls. */
static int polling(struct ecs_config *c, const struct ecs_sources *s)
{
	struct ecs_result *r = ecs_result_of(c, "ECS_POLLING_METRICS_WAIT_DURATION");
	char text[GO_DURATION_SIZE];
	int64_t ns, bound;
	int e;

	if (!ecs_config_is_true(c, "ECS_POLL_METRICS") || go_parse_duration(slice_of(r->effective), &ns) < 0)
		return 0;
	bound = MAX(r->row->min, MIN(r->row->max, ns));
	if (bound == ns)
		return 0;
	e = ecs_result_set(r, slice_of(go_duration_text(text, bound)), r->source);
	if (e < 0)
		return e;
	return ecs_result_judge(r, ECS_OUT_OF_RANGE, "outside of 5s to 20s: moved to %s", text);
}

static int rates(struct ecs_config *c, const struct ecs_sources *s)
{
	struct ecs_result *r = ecs_result_of(c, "ECS_TASK_METADATA_RPS_LIMIT");
	const struct ecs_document *const documents[] = { &s->json, &s->user_data };
	_cleanup_(ecs_value_done) struct ecs_value v = { .zero = true, .zero2 = true };
	enum ecs_source source = ECS_FROM_DEFAULT;
	struct slice text = { "", 0 };
	int64_t steady, burst;
	char both[48];
	int e;

	if (environment_value(s, r->row->name, &text))
		source = ECS_FROM_FILE;
	e = ecs_value_from_text(r->row, text, &v);
	if (e < 0)
		return e;
	steady = v.n;
	burst = v.n2;
	if (steady == 0 && burst == 0)
		source = ECS_FROM_DEFAULT;
	for (size_t i = 0; i < ARRAY_SIZE(documents); i++) {
		const struct ecs_document_value *d = document_value(documents[i], r->row->name);

		if (d && steady == 0 && d->value.n != 0) {
			steady = d->value.n;
			source = i ? ECS_FROM_USER_DATA : ECS_FROM_JSON;
		}
		if (d && burst == 0 && d->value2.n != 0) {
			burst = d->value2.n;
			source = i ? ECS_FROM_USER_DATA : ECS_FROM_JSON;
		}
	}
	steady = steady ? steady : 40;
	burst = burst ? burst : 60;
	if (steady < 0 || burst < 0) {
		steady = 40;
		burst = 60;
		if (r->verdict == ECS_OK &&
		    ecs_result_judge(r, ECS_OUT_OF_RANGE, "a rate below 0: both defaults hold") < 0)
			return -ENOMEM;
	}
	(void)snprintf(both, sizeof(both), "%lld,%lld", (long long)steady, (long long)burst);
	return ecs_result_set(r, slice_of(both), source);
}

/* Levels as the agent's logger (seelog) spells them; ECS_LOGLEVEL has its own spelling. */
static bool logger_knows(struct slice level)
{
	static const char *const levels[] = { "debug", "info", "warn", "error", "critical", "off" };

	for (size_t i = 0; i < ARRAY_SIZE(levels); i++)
		if (slice_eq(level, levels[i]))
			return true;
	return false;
}

/*
 * The level of the log file is off when a log driver is set, else ECS_LOGLEVEL letter by letter,
 * without the translation that its own reader makes. A level that the logger does not know makes it
 * refuse its whole configuration, and then there is no log file at all.
 */
static int instance_level(struct ecs_config *c, const struct ecs_sources *s)
{
	struct ecs_result *r = ecs_result_of(c, "ECS_LOGLEVEL_ON_INSTANCE"), *level = ecs_result_of(c, "ECS_LOGLEVEL");
	struct slice v;
	int e;

	if (r->source == ECS_FROM_FILE && r->verdict != ECS_INVALID)
		return 0;
	if (environment_value(s, "ECS_LOG_DRIVER", &v)) {
		e = ecs_result_set(r, slice_of("none"), ECS_FROM_DEFAULT);
		return e < 0 || r->verdict != ECS_OK ? e : ecs_result_judge(r, ECS_OK, "off because ECS_LOG_DRIVER is set");
	}
	if (!environment_value(s, "ECS_LOGLEVEL", &v))
		return 0;
	if (logger_knows(v))
		return ecs_result_set(r, v, ECS_FROM_DEFAULT);
	e = ecs_result_set(r, slice_of("none"), ECS_FROM_DEFAULT);
	if (e < 0)
		return e;
	return ecs_result_judge(level, ECS_INVALID,
				"the logger takes debug, info, warn or error from here, in lower case; for this one it "
				"writes no log file unless ECS_LOGLEVEL_ON_INSTANCE is set");
}

static bool is_level(const struct ecs_variable *row, struct slice v)
{
	for (size_t i = 0; row->words[i]; i++)
		if (strlen(row->words[i]) == v.n && strncasecmp(row->words[i], v.p, v.n) == 0)
			return true;
	return false;
}

/* Each level that is understood makes the logger start anew, before anything else is looked at. */
static bool logs_already(struct ecs_config *c, const struct ecs_sources *s)
{
	const struct ecs_variable *row = ecs_result_of(c, "ECS_LOGLEVEL")->row;
	struct slice v, driver;

	if (environment_value(s, "ECS_LOGLEVEL_ON_INSTANCE", &v) && is_level(row, v))
		return true;
	return environment_value(s, "ECS_LOGLEVEL", &v) && is_level(row, v) &&
	       (logger_knows(v) || environment_value(s, "ECS_LOG_DRIVER", &driver));
}

/* The same refusal for a format; a logger that has started goes on as it is. */
static int log_format(struct ecs_config *c, const struct ecs_sources *s)
{
	struct ecs_result *r = ecs_result_of(c, "ECS_LOG_OUTPUT_FORMAT");

	if (r->verdict != ECS_OUT_OF_RANGE)
		return 0;
	if (strcmp(r->effective, "windows") == 0)
		return ecs_result_judge(r, ECS_OUT_OF_RANGE, "the messages alone, without time and level");
	if (logs_already(c, s)) {
		if (ecs_result_set(r, slice_of("logfmt"), ECS_FROM_DEFAULT) < 0)
			return -ENOMEM;
		return ecs_result_judge(r, ECS_INVALID, "the logger does not know it and goes on with all of its defaults");
	}
	if (ecs_result_set(ecs_result_of(c, "ECS_LOGLEVEL_ON_INSTANCE"), slice_of("none"), ECS_FROM_DEFAULT) < 0)
		return -ENOMEM;
	return ecs_result_judge(r, ECS_INVALID, "the logger does not know it and writes no log file");
}

/* Files of no bytes are never begun: not the log, and not that of credential requests. */
static int log_size(struct ecs_config *c, const struct ecs_sources *s)
{
	struct ecs_result *r = ecs_result_of(c, "ECS_LOG_MAX_FILE_SIZE_MB");
	bool refused = ecs_result_of(c, "ECS_LOG_OUTPUT_FORMAT")->verdict == ECS_INVALID;

	if (r->verdict != ECS_OUT_OF_RANGE)
		return 0;
	if (strcmp(ecs_result_of(c, "ECS_LOG_ROLLOVER_TYPE")->effective, "size") != 0)
		return ecs_result_judge(r, ECS_OUT_OF_RANGE, "no size; nothing asks for it");
	if (refused && logs_already(c, s))
		return ecs_result_judge(r, ECS_OUT_OF_RANGE, "no size: the log of credential requests is not written");
	if (ecs_result_set(ecs_result_of(c, "ECS_LOGLEVEL_ON_INSTANCE"), slice_of("none"), ECS_FROM_DEFAULT) < 0)
		return -ENOMEM;
	return ecs_result_judge(r, ECS_OUT_OF_RANGE, "no size: no log file is written, nor that of credential requests");
}

static int prometheus(struct ecs_config *c, const struct ecs_sources *s)
{
	struct ecs_result *r = ecs_result_of(c, "ECS_RESERVED_PORTS");
	char *text;
	int e;

	if (!ecs_config_is_true(c, "ECS_ENABLE_PROMETHEUS_METRICS"))
		return 0;
	if (asprintf(&text, "%.*s," PROMETHEUS_PORT "]", (int)strlen(r->effective) - 1, r->effective) < 0)
		return -ENOMEM;
	e = ecs_result_set(r, slice_of(text), r->source);
	free(text);
	return e;
}

/* Service accounts need the switch and a broker, and a domain or the name of a secret. */
static int service_accounts(struct ecs_config *c, const struct ecs_sources *s)
{
	struct ecs_result *r = ecs_result_of(c, "ECS_GMSA_SUPPORTED");
	struct slice socket, secret;
	const char *why = NULL;
	struct stat st;
	char path[256];
	int e;

	if (!ecs_config_is_true(c, r->name) ||
	    environment_true(s, "ZZZ_SKIP_DOMAIN_JOIN_CHECK_NOT_SUPPORTED_IN_PRODUCTION"))
		return 0;
	if (!environment_value(s, "CREDENTIALS_FETCHER_HOST_DIR", &socket) || socket.n >= sizeof(path)) {
		why = "no socket of credentials-fetcher is named";
	} else {
		memcpy(path, socket.p, socket.n);
		path[socket.n] = '\0';
		if (root_stat(s->root, path, true, &st) == -ENOENT)
			why = "the socket of credentials-fetcher is not there";
		else if (!environment_value(s, "CREDENTIALS_FETCHER_SECRET_NAME_FOR_DOMAINLESS_GMSA", &secret) &&
			 !environment_true(s, "ECS_DOMAIN_JOINED_LINUX_INSTANCE"))
			why = "the host has no domain and no secret is named";
	}
	if (!why)
		return 0;
	e = ecs_result_set(r, slice_of("false"), ECS_FROM_DEFAULT);
	return e < 0 ? e : ecs_result_judge(r, ECS_IGNORED, "%s, so it stays off", why);
}

static bool document_speaks(const struct ecs_document *d, const char *name)
{
	const struct ecs_document_value *v = document_value(d, name);

	return v && v->set && !v->value.zero;
}

/*
 * Outside of EC2 nobody can be asked for the region, and elsewhere nobody is once a document has
 * said something, though blanks are cut away afterwards.
 */
static int region(struct ecs_config *c, const struct ecs_sources *s)
{
	struct ecs_result *r = ecs_result_of(c, "AWS_DEFAULT_REGION");
	bool outside = environment_true(s, "ECS_EXTERNAL");
	struct slice v;

	if (environment_value(s, r->name, &v))
		return 0;
	if (!outside && (r->effective || !(document_speaks(&s->json, r->name) || document_speaks(&s->user_data, r->name))))
		return 0;
	if (ecs_result_judge(r, ECS_FATAL, "%s: the agent does not start",
			     outside ? "needed outside of EC2" : "nothing but blanks") < 0)
		return -ENOMEM;
	return ecs_fatal_add(c, "%s: %s", r->name, r->reason);
}

/* ecs-init and the agent read the same switch in different ways. */
static int external(struct ecs_config *c, const struct ecs_sources *s)
{
	struct ecs_result *r = ecs_result_of(c, "ECS_EXTERNAL");

	if (environment_true(s, "ECS_EXTERNAL") == s->external || r->verdict == ECS_INVALID)
		return 0;
	return ecs_result_judge(r, ECS_INVALID, "the agent takes it for %s and ecs-init for %s: write the exact text true",
				s->external ? "false" : "true", s->external ? "true" : "false");
}

/* For its own start ecs-init knows one spelling, and none in the instance's file without a GPU. */
static int gpu(struct ecs_config *c, const struct ecs_sources *s)
{
	struct ecs_result *r = ecs_result_of(c, "ECS_ENABLE_GPU_SUPPORT");
	struct ecs_layer layer = { .source = ECS_FROM_FILE, .file = ECS_INSTANCE_FILE, .verdict = ECS_IGNORED };
	const struct ecs_line *line = ecs_lines_find(&s->instance, slice_of(r->name));
	struct slice v;

	if (s->no_gpu && !ecs_lines_find(&s->user, slice_of(r->name))) {
		layer.line = line->line;
		if (ecs_result_judge(r, ECS_IGNORED, "there is no GPU, so ecs-init leaves it out") < 0)
			return -ENOMEM;
		return ecs_result_layer(r, &layer, line->value);
	}

	if (!environment_true(s, r->name) || (environment_value(s, r->name, &v) && slice_eq(v, "true")))
		return 0;
	return ecs_result_judge(r, ECS_OUT_OF_RANGE, "ecs-init takes the exact text true and prepares no GPUs for this one");
}

int ecs_exceptions(struct ecs_config *c, const struct ecs_sources *s)
{
	static int (*const all[])(struct ecs_config *, const struct ecs_sources *) = {
		checkpoint,	  trunking, port_bindings, polling, rates, instance_level, log_format, log_size,
		prometheus, service_accounts, region, external, gpu,
	};
	int e = 0;

	for (size_t i = 0; e == 0 && i < ARRAY_SIZE(all); i++)
		e = all[i](c, s);
	return e;
}
