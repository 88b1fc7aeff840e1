/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * JSON in the agent's configuration: the values of some variables, and the documents that fill the
 * agent's configuration struct field by field (ecs.config.json, user data). Both go through Go's
 * encoding/json, whose rules for types decide what is kept, what is dropped and what is fatal.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "batten/host/go-values.h"
#include "host/ecs-internal.h"

#define MAX_DISTANCE 2 /* letters between a key and the field that was meant */

/* Fields that no variable sets, and those that share one. The others stand in the variables' rows. */
static const struct ecs_field other_fields[] = {
	{ "ClusterArn", "ECS_CLUSTER", ECS_TRIMMED },
	{ "TaskMetadataBurstRate", "ECS_TASK_METADATA_RPS_LIMIT", ECS_INT },
	{ "PauseContainerTarballPath", NULL, ECS_STRING },
	{ "PauseContainerImageName", NULL, ECS_STRING },
	{ "PauseContainerTag", NULL, ECS_STRING },
	{ "OverrideAWSVPCLocalIPv4Address", NULL, ECS_ROUTES },
	{ "PlatformVariables", NULL, ECS_WORD_FOLDED },
	{ "NoIID", NULL, ECS_BOOL_PLAIN },
	{ "ENIPauseContainerCleanupDelaySeconds", NULL, ECS_INT },
	{ "GMSACapable", "ECS_GMSA_SUPPORTED", ECS_BOOL },
	{ "GMSADomainlessCapable", NULL, ECS_BOOL },
	{ "FSxWindowsFileServerCapable", NULL, ECS_BOOL },
	{ "InstanceENIDNSServerList", NULL, ECS_STRINGS },
	{ "RuntimeStatsLogFile", NULL, ECS_STRING },
	{ "CSIDriverSocketPath", NULL, ECS_STRING },
	{ "NodeStageTimeout", NULL, ECS_DURATION },
	{ "NodeUnstageTimeout", NULL, ECS_DURATION },
	{ "IMDSIAMRolesEnabled", NULL, ECS_BOOL_PLAIN },
};

/* Calls @match for each field until it says yes. Return: that field, by value. */
static bool find_field(bool (*match)(const char *name, void *userdata), void *userdata,
		       struct ecs_field *ret)
{
	for (size_t i = 0; i < n_ecs_variables; i++) {
		const struct ecs_variable *v = &ecs_variables[i];

		if (v->json && match(v->json, userdata)) {
			*ret = (struct ecs_field){ v->json, v->name, v->kind == ECS_RATES ? ECS_INT : v->kind };
			return true;
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(other_fields); i++) {
		if (match(other_fields[i].name, userdata)) {
			*ret = other_fields[i];
			return true;
		}
	}
	return false;
}

static bool match_member(const char *name, void *userdata)
{
	return go_json_key_is(userdata, name);
}

static bool match_near(const char *name, void *userdata)
{
	const struct slice *key = userdata;
	const struct ecs_variable *v = ecs_variable_find(*key);

	/* An environment variable's name written as a key is the same slip. */
	return (v && v->json && strcmp(v->json, name) == 0) ||
	       ecs_name_distance(*key, slice_of(name), MAX_DISTANCE) <= MAX_DISTANCE;
}

bool ecs_field_near(struct slice key, struct ecs_field *ret)
{
	return find_field(match_near, &key, ret);
}

const char *ecs_field_type(const struct ecs_field *field)
{
	switch (field->kind) {
	case ECS_BOOL:
	case ECS_BOOL_PLAIN:
		return "true or false";
	case ECS_DURATION:
		return "a whole number of nanoseconds";
	case ECS_INT:
	case ECS_PIDS:
	case ECS_UINT16:
	case ECS_WORD:
		return "a whole number within its bounds";
	case ECS_PORTS:
		return "an array of port numbers";
	case ECS_DRIVERS:
	case ECS_STRINGS:
	case ECS_LIST:
		return "an array of strings";
	case ECS_MAP:
		return "an object of strings";
	case ECS_ROUTES:
		return "an array of prefixes such as \"10.0.0.0/8\"";
	case ECS_WORD_FOLDED:
		return "an object";
	default:
		return "a string";
	}
}

static void append_quoted(struct bytes *b, struct slice s)
{
	bytes_append(b, "\"", 1);
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c == '"' || c == '\\')
			bytes_printf(b, "\\%c", c);
		else if (c < 0x20)
			bytes_printf(b, "\\u%04x", c);
		else
			bytes_append(b, s.p + i, 1);
	}
	bytes_append(b, "\"", 1);
}

/* Go's null leaves an element at its zero value. */
static bool is_string_or_null(const struct go_json *v)
{
	return v->type == GO_STRING || v->type == GO_NULL;
}

/* An array or object is rendered as Go would hold it. @ret_bad: elements of a wrong type. */
static int render(const struct go_json *v, enum ecs_kind kind, struct ecs_value *ret, size_t *ret_bad)
{
	bool object = v->type == GO_OBJECT;
	struct bytes b = { 0 };
	size_t n = 0;

	*ret_bad = 0;
	bytes_append(&b, object ? "{" : "[", 1);
	for (const struct go_json *e = v->child; e; e = e->next, n++) {
		if (n > 0)
			bytes_append(&b, ",", 1);
		if (object) {
			append_quoted(&b, e->key);
			bytes_append(&b, ":", 1);
		}
		if (kind == ECS_PORTS) {
			uint64_t port = 0;

			if (e->type != GO_NULL && (e->type != GO_NUMBER ||
						   go_parse_uint(e->text, UINT16_MAX, &port) < 0)) {
				port = 0;
				++*ret_bad;
			}
			bytes_printf(&b, "%u", (unsigned int)port);
		} else if (kind == ECS_ROUTES) {
			*ret_bad += e->type != GO_STRING || go_parse_cidr(e->text) < 0;
			append_quoted(&b, e->type == GO_STRING ? e->text : (struct slice){ "", 0 });
		} else {
			*ret_bad += !is_string_or_null(e);
			append_quoted(&b, e->type == GO_STRING ? e->text : (struct slice){ "", 0 });
		}
	}
	bytes_append(&b, object ? "}" : "]", 1);
	ret->zero = n == 0;
	free(ret->text);
	ret->text = NULL;
	return bytes_take(&b, &ret->text, NULL);
}

static bool wants_object(enum ecs_kind kind)
{
	return kind == ECS_MAP || kind == ECS_LABELS || kind == ECS_LOG_OPTIONS;
}

static bool is_fatal_kind(enum ecs_kind kind)
{
	return kind == ECS_MAP || kind == ECS_ROUTES;
}

/* The driver names that the agent refuses to start with. */
static int check_drivers(const struct ecs_variable *row, const struct go_json *v, struct ecs_value *ret)
{
	for (const struct go_json *e = v->child; e; e = e->next) {
		size_t i = 0;

		while (row->words[i] && !(e->type == GO_STRING && slice_eq(e->text, row->words[i])))
			i++;
		if (row->words[i])
			continue;
		free(ret->reason);
		if (e->type != GO_STRING || e->text.n == 0 || e->text.n > 40)
			return ecs_value_judge(ret, ECS_FATAL, "a log driver that is no known name: the agent does not start");
		return ecs_value_judge(ret, ECS_FATAL, "no log driver is called %.*s: the agent does not start",
				       (int)e->text.n, e->text.p);
	}
	return 0;
}

static int judge_text(const struct ecs_variable *row, struct slice s, struct ecs_value *v)
{
	const char *form = wants_object(row->kind) ? "a JSON object of strings such as {\"a\":\"b\"}" :
			   row->kind == ECS_ROUTES ? "a JSON array of prefixes such as [\"10.0.0.0/8\"]" :
			   row->kind == ECS_PORTS  ? "a JSON array of ports such as [22,80]" :
						     "a JSON array of strings such as [\"a\",\"b\"]";

	return ecs_value_judge(v, is_fatal_kind(row->kind) ? ECS_FATAL : ECS_INVALID, "not %s%s%s", form,
			       ecs_likely_mistake(s), is_fatal_kind(row->kind) ? ": the agent does not start" : "");
}

int ecs_read_json_text(const struct ecs_variable *row, struct slice text, struct ecs_value *ret)
{
	/* json.Decoder takes the first value and never looks behind it; json.Unmarshal does. */
	bool stream = row->kind != ECS_MAP && row->kind != ECS_ROUTES && row->kind != ECS_LABELS;
	_cleanup_(go_json_freep) struct go_json_doc *doc = NULL;
	const struct go_json *v;
	size_t at, n_bad;
	int r;

	if (text.n == 0)
		return 0;
	r = go_json_parse(text, stream, &doc, &at);
	if (r == -ENOMEM)
		return r;
	if (r < 0)
		return judge_text(row, text, ret);
	if (!doc)
		return 0;
	v = go_json_root(doc);
	if (v->type == GO_NULL)
		return 0;
	if (v->type != (wants_object(row->kind) ? GO_OBJECT : GO_ARRAY))
		return judge_text(row, text, ret);
	r = render(v, row->kind, ret, &n_bad);
	if (r < 0)
		return r;
	if (n_bad > 0 && row->kind == ECS_PORTS)
		r = ecs_value_judge(ret, ECS_OUT_OF_RANGE, "what is no port from 0 to 65535 counts as port 0");
	else if (n_bad > 0 && row->kind == ECS_LABELS)
		ret->zero = true;
	if (n_bad > 0 && row->kind != ECS_PORTS && r == 0)
		r = judge_text(row, text, ret);
	return r < 0 || row->kind != ECS_DRIVERS ? r : check_drivers(row, v, ret);
}

static bool fits_integer(const struct go_json *v, int64_t min, int64_t max)
{
	int64_t n;

	return v->type == GO_NUMBER && v->text.p[0] != '+' && go_parse_int(v->text, &n) == 0 && n >= min &&
	       n <= max;
}

static bool fits_list(const struct ecs_field *field, const struct go_json *v)
{
	struct ecs_value ignored = { 0 };
	size_t n_bad = 1;

	if (v->type == (field->kind == ECS_MAP ? GO_OBJECT : GO_ARRAY)) {
		if (render(v, field->kind, &ignored, &n_bad) < 0)
			n_bad = 1;
		ecs_value_done(&ignored);
	}
	return n_bad == 0;
}

/* Would Go take the member into the field? null always fits. */
static bool fits(const struct ecs_field *field, const struct go_json *v)
{
	bool b;

	if (v->type == GO_NULL)
		return true;
	switch (field->kind) {
	case ECS_BOOL:
		/* Its own UnmarshalJSON runs ParseBool over the raw text, so 1 and 0 are bools too. */
		return v->type != GO_STRING && go_parse_bool(v->raw, &b) == 0;
	case ECS_BOOL_PLAIN:
		return v->type == GO_BOOL;
	case ECS_DURATION:
	case ECS_INT:
	case ECS_PIDS:
		return fits_integer(v, INT64_MIN, INT64_MAX);
	case ECS_UINT16:
		return fits_integer(v, 0, UINT16_MAX) && v->text.p[0] != '-';
	case ECS_WORD:
		return fits_integer(v, INT8_MIN, INT8_MAX);
	case ECS_ROUTES:
		if (strcmp(field->name, "OverrideAWSVPCLocalIPv4Address") == 0)
			return v->type == GO_STRING && go_parse_cidr(v->text) == 0;
		return fits_list(field, v);
	case ECS_PORTS:
	case ECS_DRIVERS:
	case ECS_STRINGS:
	case ECS_LIST:
	case ECS_MAP:
		return fits_list(field, v);
	case ECS_WORD_FOLDED:
		return v->type == GO_OBJECT;
	case ECS_SECRET_JSON:
		return true;
	default:
		return v->type == GO_STRING;
	}
}

/* null empties what can be empty in Go and leaves the rest alone. */
static bool null_resets(enum ecs_kind kind)
{
	return kind == ECS_BOOL || kind == ECS_PORTS || kind == ECS_DRIVERS || kind == ECS_STRINGS ||
	       kind == ECS_LIST || kind == ECS_MAP || kind == ECS_ROUTES || kind == ECS_SECRET_JSON;
}

int ecs_json_apply(const struct go_json *object, ecs_field_fn *on_field, void *userdata,
		   struct ecs_field *ret_bad)
{
	struct ecs_field field;
	int r = 0;

	for (const struct go_json *m = object->child; m; m = m->next) {
		if (find_field(match_member, (void *)m, &field) && !fits(&field, m)) {
			*ret_bad = field;
			return -EBADMSG;
		}
	}
	for (const struct go_json *m = object->child; m && r == 0; m = m->next) {
		if (!find_field(match_member, (void *)m, &field))
			r = on_field(userdata, NULL, m);
		else if (m->type != GO_NULL || null_resets(field.kind))
			r = on_field(userdata, &field, m);
	}
	return r;
}

int ecs_value_from_json(const struct ecs_field *field, const struct go_json *m, struct ecs_value *ret)
{
	const struct ecs_variable *row = field->variable ? ecs_variable_find(slice_of(field->variable)) : NULL;
	struct ecs_value v = { .zero = true };
	size_t n_bad;
	bool b = false;
	int r = 0;

	if (m->type == GO_NULL) {
		*ret = v;
		return 0;
	}
	switch (field->kind) {
	case ECS_BOOL:
	case ECS_BOOL_PLAIN:
		(void)!go_parse_bool(m->raw, &b);
		v.zero = field->kind == ECS_BOOL_PLAIN && !b;
		r = ecs_value_set_bool(&v, b);
		break;
	case ECS_DURATION:
		(void)go_parse_int(m->text, &v.n);
		v.zero = v.n == 0;
		r = ecs_value_set_duration(&v, v.n);
		break;
	case ECS_INT:
	case ECS_PIDS:
	case ECS_UINT16:
		(void)go_parse_int(m->text, &v.n);
		v.zero = v.n == 0;
		r = ecs_value_set_number(&v, v.n);
		break;
	case ECS_WORD:
		(void)go_parse_int(m->text, &v.n);
		v.zero = v.n == 0;
		for (int64_t i = 0; row && row->words[i] && !v.text && r == 0; i++)
			if (i == v.n)
				r = ecs_value_set_text(&v, row->words[i], strlen(row->words[i]));
		if (r == 0 && !v.text)
			r = ecs_value_judge(&v, ECS_OUT_OF_RANGE, "no such choice, and used like that");
		if (r == 0 && !v.text)
			r = ecs_value_set_number(&v, v.n);
		break;
	case ECS_PORTS:
	case ECS_DRIVERS:
	case ECS_STRINGS:
	case ECS_LIST:
	case ECS_MAP:
	case ECS_ROUTES:
		if (m->type == GO_STRING) {
			v.zero = false;
			r = ecs_value_set_text(&v, m->text.p, m->text.n);
			break;
		}
		r = render(m, field->kind, &v, &n_bad);
		if (r == 0 && field->kind == ECS_DRIVERS && row)
			r = check_drivers(row, m, &v);
		break;
	case ECS_WORD_FOLDED:
		break;
	case ECS_SECRET_JSON:
		v.zero = false;
		r = ecs_value_set_text(&v, m->raw.p, m->raw.n);
		break;
	default:
		v.zero = m->text.n == 0;
		r = ecs_value_set_text(&v, m->text.p, m->text.n);
		break;
	}
	if (r < 0) {
		ecs_value_done(&v);
		return r;
	}
	*ret = v;
	return 0;
}
