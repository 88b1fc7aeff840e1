/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Loading: the files below a root, each as its readers take it, then the evaluation.
 */
#include "batten/host/ecs-config.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "batten/base/file.h"
#include "batten/host/go-values.h"
#include "host/ecs-evaluate-internal.h"

#define MAX_OS_RELEASE (64U << 10)
#define MAX_SUGGESTIONS 64 /* unknown members that are compared with every field */
#define MAX_DEVICES (64U << 10)
#define OS_RELEASE "/etc/os-release"

/* Certificates of the hosts that ecs-init's builds are for. */
static const char *const cert_dirs[] = { "/etc/pki/tls/certs", "/etc/ssl/certs" };

struct loader {
	struct ecs_config *c;
	struct ecs_sources s;
	const struct root *root;
	char *texts[4]; /* user, instance, json, user data: what the slices point into */
	struct slice slices[4];
	struct go_json_doc *docs[2];
	size_t n_strangers; /* members that no field answers to */
};

static void document_done(struct ecs_document *d)
{
	for (size_t i = 0; d->values && i < n_ecs_variables; i++) {
		ecs_value_done(&d->values[i].value);
		ecs_value_done(&d->values[i].value2);
	}
	free(d->values);
}

static void loader_done(struct loader *l)
{
	for (size_t i = 0; i < ARRAY_SIZE(l->texts); i++) {
		if (l->texts[i])
			explicit_bzero(l->texts[i], l->slices[i].n);
		free(l->texts[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(l->docs); i++)
		go_json_free(l->docs[i]);
	document_done(&l->s.json);
	document_done(&l->s.user_data);
	ecs_lines_done(&l->s.user);
	ecs_lines_done(&l->s.instance);
	for (size_t i = 0; i < l->s.n_init; i++)
		ecs_lines_done(&l->s.init[i]);
	free(l->s.os_family);
	free(l->s.fetcher);
}

static struct ecs_file *add_file(struct ecs_config *c, const char *path, const char *reader)
{
	struct ecs_file *grown = reallocarray(c->files, c->n_files + 1, sizeof(*grown));

	if (!grown)
		return NULL;
	c->files = grown;
	grown[c->n_files] = (struct ecs_file){ .path = path, .reader = reader };
	return &grown[c->n_files++];
}

/* Reads one file into @l->texts[@i]. What cannot be read is as good as empty, as it is for Go. */
static int load_text(struct loader *l, size_t i, const char *path, const char *reader)
{
	struct ecs_file *f = add_file(l->c, path, reader);
	struct diag d = { 0 };
	struct stat st;
	int r;

	if (!f)
		return -ENOMEM;
	if (root_stat(l->root, path, true, &st) == 0) {
		f->mode = st.st_mode & 07777;
		f->uid = st.st_uid;
		f->gid = st.st_gid;
	}
	r = root_read(l->root, path, ECS_MAX_FILE, &l->texts[i], &l->slices[i].n, &d);
	if (r == -ENOMEM)
		return r;
	l->slices[i].p = l->texts[i];
	if (r == 0)
		return 0;
	l->slices[i] = (struct slice){ "", 0 };
	if (r == -ENOENT || r == -ENOTDIR) {
		f->state = ECS_FILE_ABSENT;
		return 0;
	}
	f->state = r == -EACCES || r == -EPERM ? ECS_FILE_DENIED : ECS_FILE_UNREADABLE;
	f->reason = strdup(d.what);
	return f->reason ? 0 : -ENOMEM;
}

/* ID and VERSION_ID as ecs-init joins them. */
static int load_os_family(struct loader *l)
{
	_cleanup_(freep) char *text = NULL;
	struct slice rest, id = { "", 0 }, version = { "", 0 };
	size_t n;
	int r;

	r = root_read(l->root, OS_RELEASE, MAX_OS_RELEASE, &text, &n, NULL);
	if (r == -ENOMEM)
		return r;
	rest = (struct slice){ text, r < 0 ? 0 : n };
	while (rest.n > 0) {
		const char *newline = memchr(rest.p, '\n', rest.n);
		struct slice line = { rest.p, newline ? (size_t)(newline - rest.p) : rest.n };
		struct slice *which = NULL;
		size_t key = 0;

		if (line.n >= 3 && memcmp(line.p, "ID=", 3) == 0) {
			which = &id;
			key = 3;
		} else if (line.n >= 11 && memcmp(line.p, "VERSION_ID=", 11) == 0) {
			which = &version;
			key = 11;
		}
		if (which) {
			*which = go_trim_space((struct slice){ line.p + key, line.n - key });
			while (which->n > 0 && strchr("\"'", which->p[0]))
				*which = (struct slice){ which->p + 1, which->n - 1 };
			while (which->n > 0 && strchr("\"'", which->p[which->n - 1]))
				which->n--;
		}
		line.n += newline ? 1 : 0;
		rest = (struct slice){ rest.p + line.n, rest.n - line.n };
	}
	if (id.n == 0 || version.n == 0)
		l->s.os_family = strdup("linux");
	else if (asprintf(&l->s.os_family, "%.*s_%.*s", (int)id.n, id.p, (int)version.n, version.p) < 0)
		l->s.os_family = NULL;
	return l->s.os_family ? 0 : -ENOMEM;
}

/* One text as systemd reads it for ecs-init. @path: NULL for Environment=; not copied. */
static int load_for_init(struct loader *l, struct slice text, const char *path)
{
	const char *lost;
	size_t i = l->s.n_init;
	int r;

	r = ecs_read_systemd(text, &l->s.init[i], &lost);
	if (r < 0)
		return r;
	l->s.init_files[i] = path;
	l->s.n_init++;
	for (size_t k = 0; lost && k < l->c->n_files; k++) {
		if (!path || strcmp(l->c->files[k].path, path) != 0)
			continue;
		free(l->c->files[k].reason);
		l->c->files[k].reason = strdup(lost);
		if (!l->c->files[k].reason)
			return -ENOMEM;
	}
	return 0;
}

/* One EnvironmentFile=. The two that the agent gets as well are in memory already. */
static int load_environment_file(struct loader *l, const char *path)
{
	_cleanup_(freep) char *text = NULL;
	size_t n;
	int r;

	if (strcmp(path, ECS_CONFIG_FILE) == 0)
		return load_for_init(l, l->slices[0], ECS_CONFIG_FILE);
	if (strcmp(path, ECS_INSTANCE_FILE) == 0)
		return load_for_init(l, l->slices[1], ECS_INSTANCE_FILE);
	r = root_read(l->root, path, ECS_MAX_FILE, &text, &n, NULL);
	if (r < 0)
		return r == -ENOMEM ? r : 0;
	r = load_for_init(l, (struct slice){ text, n }, "another EnvironmentFile of the unit");
	explicit_bzero(text, n);
	return r;
}

/* The unit decides what ecs-init gets; its Environment= stands below every file. */
static int load_init(struct loader *l)
{
	struct ecs_unit unit;
	int r = ecs_unit_read(l->root, &unit);

	if (r < 0)
		return r;
	if (unit.environment)
		r = load_for_init(l, slice_of(unit.environment), NULL);
	for (size_t i = 0; r == 0 && i < unit.n_files; i++)
		r = load_environment_file(l, unit.files[i]);
	ecs_unit_done(&unit);
	return r;
}

/* The socket of credentials-fetcher, which ecs-init hands on without its scheme. */
static int load_fetcher(struct loader *l)
{
	struct ecs_statement st;

	if (!ecs_init_environment_find(&l->s, "CREDENTIALS_FETCHER_HOST", &st) || st.value.n < 7 ||
	    memcmp(st.value.p, "unix://", 7) != 0)
		return 0;
	l->s.fetcher = strndup(st.value.p + 7, st.value.n - 7);
	return l->s.fetcher ? 0 : -ENOMEM;
}

struct apply {
	struct loader *l;
	struct ecs_document *document;
	enum ecs_source source;
	const struct go_json *old_name; /* the last ClusterArn */
};

/* A member that no variable stands for, or no field at all: a result of its own. */
static int add_member(struct apply *a, const struct ecs_field *field, const struct go_json *m)
{
	struct ecs_layer layer = { .source = a->source, .file = a->source == ECS_FROM_JSON ? a->l->s.json_path : NULL };
	struct ecs_result *r = ecs_config_add(a->l->c);
	struct ecs_field meant;
	int e = 0;

	if (!r)
		return -ENOMEM;
	r->source = a->source;
	if (field) {
		r->name = strdup(field->name);
		r->effective = ecs_redact(NULL, m->text.p ? m->text : m->raw);
		if (!r->name || !r->effective)
			return -ENOMEM;
		e = ecs_result_judge(r, ECS_OK, "a field that no variable sets");
	} else {
		bool near = a->l->n_strangers++ < MAX_SUGGESTIONS && ecs_field_near(m->key, &meant);

		r->name = near ? strndup(m->key.p, m->key.n) : strdup("***");
		if (!r->name)
			return -ENOMEM;
		if (near)
			e = ecs_result_judge(r, ECS_UNKNOWN, "no such field; did you mean %s?", meant.name);
		else
			e = ecs_result_judge(r, ECS_UNKNOWN, "no such field of the agent");
		layer.verdict = ECS_UNKNOWN;
	}
	return e < 0 ? e : ecs_result_layer(r, &layer, m->raw);
}

/* Two objects as texts; @added takes the members of both. */
static int merge_map(const char *first, struct ecs_value *added)
{
	bool some = strcmp(added->text, "{}") != 0;
	char *both;

	if (asprintf(&both, "%.*s%s%s", (int)strlen(first) - 1, first, some ? "," : "}", some ? added->text + 1 : "") < 0) {
		ecs_value_done(added);
		return -ENOMEM;
	}
	free(added->text);
	added->text = both;
	added->zero = false;
	return 0;
}

static int on_field(void *userdata, const struct ecs_field *field, const struct go_json *m)
{
	struct apply *a = userdata;
	const struct ecs_variable *row = field && field->variable ? ecs_variable_find(slice_of(field->variable))
								    : NULL;
	struct ecs_document_value *d;
	struct ecs_value *v;
	struct ecs_value said;
	int e;

	if (!row)
		return add_member(a, field, m);
	d = &a->document->values[row - ecs_variables];
	if (strcmp(field->name, "ClusterArn") == 0) {
		a->old_name = m;
		return 0;
	}
	v = strcmp(field->name, "TaskMetadataBurstRate") == 0 ? &d->value2 : &d->value;
	d->set = d->set || v == &d->value;
	d->set2 = d->set2 || v == &d->value2;
	e = ecs_value_from_json(field, m, &said);
	/* A second object for the same map adds to the first. */
	if (e == 0 && field->kind == ECS_MAP && m->type == GO_OBJECT && !v->zero)
		e = merge_map(v->text, &said);
	if (e < 0)
		return e;
	ecs_value_done(v);
	*v = said;
	return 0;
}

/* The old name of Cluster counts in the file only, and only without the new one. */
static int apply_old_name(struct apply *a)
{
	static const struct ecs_field cluster = { "ClusterArn", "ECS_CLUSTER", ECS_TRIMMED };
	struct ecs_document_value *d;

	if (!a->old_name || a->source != ECS_FROM_JSON)
		return 0;
	d = &a->document->values[ecs_variable_find(slice_of(cluster.variable)) - ecs_variables];
	if (!d->value.zero)
		return 0;
	ecs_value_done(&d->value);
	d->set = true;
	return ecs_value_from_json(&cluster, a->old_name, &d->value);
}

/* Applies an object to a document. @ret_bad: a field whose type does not fit. */
static int apply_object(struct loader *l, const struct go_json *object, enum ecs_source source,
			struct ecs_field *ret_bad)
{
	struct ecs_document *d = source == ECS_FROM_JSON ? &l->s.json : &l->s.user_data;
	struct apply a = { l, d, source, NULL };
	int r;

	if (!d->values) {
		d->values = calloc(n_ecs_variables, sizeof(*d->values));
		if (!d->values)
			return -ENOMEM;
		for (size_t i = 0; i < n_ecs_variables; i++)
			d->values[i].value.zero = d->values[i].value2.zero = true;
	}
	d->applies = true;
	r = ecs_json_apply(object, on_field, &a, ret_bad);
	return r < 0 ? r : apply_old_name(&a);
}

static unsigned int line_of(struct slice text, size_t at)
{
	unsigned int line = 1;

	for (size_t i = 0; i < at && i < text.n; i++)
		line += text.p[i] == '\n';
	return line;
}

/*
 * Where the JSON file is on the host: the path that the agent is given is one inside its container,
 * and only what ecs-init mounts there can be found outside. NULL: it is in the image.
 */
static int find_json(struct loader *l)
{
	static const struct {
		const char *inside, *outside;
	} mounts[] = {
		{ "/etc/ecs/", "/etc/ecs/" },	  { "/var/lib/ecs/", "/var/lib/ecs/" },
		{ "/data/", "/var/lib/ecs/data/" }, { "/log/", "/var/log/ecs/" },
		{ "/var/cache/ecs/", "/var/cache/ecs/" },
	};
	struct ecs_statement st;
	bool set = ecs_environment_find(&l->s, "ECS_AGENT_CONFIG_FILE_PATH", &st);

	for (size_t i = 0; set && i < ARRAY_SIZE(mounts); i++) {
		size_t n = strlen(mounts[i].inside);

		if (st.value.n <= n || memcmp(st.value.p, mounts[i].inside, n) != 0)
			continue;
		if (asprintf(&l->c->json_path, "%s%.*s", mounts[i].outside, (int)(st.value.n - n),
			     st.value.p + n) < 0) {
			l->c->json_path = NULL;
			return -ENOMEM;
		}
		break;
	}
	l->s.json_path = l->c->json_path;
	return 0;
}

/* ecs.config.json: whatever is wrong with it keeps the agent from starting. */
static int load_json(struct loader *l)
{
	struct ecs_file *f;
	struct slice text;
	struct ecs_field bad;
	size_t at;
	int r;

	r = find_json(l);
	if (r < 0 || !l->c->json_path)
		return r;
	r = load_text(l, 2, l->c->json_path, "the agent");
	if (r < 0)
		return r;
	f = &l->c->files[l->c->n_files - 1];
	text = l->slices[2];
	/* What can be opened but not read is an error in Go, not an absence: a directory. */
	if (f->state == ECS_FILE_UNREADABLE && f->reason && strstr(f->reason, "directory"))
		return ecs_fatal_add(l->c, "%s: a directory: the agent does not start", f->path);
	if (go_trim_space(text).n == 0)
		return 0;
	r = go_json_parse(text, false, &l->docs[0], &at);
	if (r == -EBADMSG)
		return ecs_fatal_add(l->c, "%s:%u: not valid JSON: the agent does not start", f->path,
				     line_of(text, at));
	if (r < 0 || go_json_root(l->docs[0])->type == GO_NULL)
		return r;
	if (go_json_root(l->docs[0])->type != GO_OBJECT)
		return ecs_fatal_add(l->c, "%s: not a JSON object: the agent does not start", f->path);
	r = apply_object(l, go_json_root(l->docs[0]), ECS_FROM_JSON, &bad);
	if (r == -EBADMSG)
		return ecs_fatal_add(l->c, "%s: %s wants %s: the agent does not start", f->path, bad.name,
				     ecs_field_type(&bad));
	return r;
}

static int judge_file(struct ecs_file *f, const char *reason)
{
	free(f->reason);
	f->reason = strdup(reason);
	return f->reason ? 0 : -ENOMEM;
}

/* Outside of EC2 the agent asks nobody for user data. */
static bool agent_is_external(const struct loader *l)
{
	struct ecs_statement st;
	bool b = false;

	return ecs_environment_find(&l->s, "ECS_EXTERNAL", &st) &&
	       go_parse_bool(go_trim_space(st.value), &b) == 0 && b;
}

/* User data: the whole text is one JSON object that holds ECSAgentConfiguration, or it is nothing. */
static int judge_user_data(struct loader *l, struct ecs_file *f, struct slice text)
{
	const struct go_json *root;
	struct ecs_field bad;
	char reason[160];
	size_t at;
	int r;

	if (agent_is_external(l))
		return judge_file(f, "not read outside of EC2 (ECS_EXTERNAL)");
	r = go_json_parse(text, false, &l->docs[1], &at);
	if (r == -EBADMSG)
		return judge_file(f, "not JSON as a whole: no configuration of the agent");
	if (r < 0)
		return r;
	root = go_json_root(l->docs[1]);
	for (const struct go_json *m = root->type == GO_OBJECT ? root->child : NULL; m && r == 0; m = m->next) {
		if (!go_json_key_is(m, "ECSAgentConfiguration") || m->type == GO_NULL)
			continue;
		if (m->type != GO_OBJECT) {
			l->s.user_data.applies = false;
			return judge_file(f, "ECSAgentConfiguration is no object: the agent ignores all of it");
		}
		r = apply_object(l, m, ECS_FROM_USER_DATA, &bad);
		if (r == -EBADMSG) {
			l->s.user_data.applies = false;
			(void)snprintf(reason, sizeof(reason), "%s wants %s: the agent ignores all of it", bad.name,
				       ecs_field_type(&bad));
			return judge_file(f, reason);
		}
	}
	return r;
}

/*
 * The agent asks the metadata service at each start. What somebody gave us stands for the answer;
 * else the copy that cloud-init makes at each boot does: user data changes only while the instance
 * is stopped.
 */
static int load_user_data(struct loader *l, struct slice given)
{
	struct ecs_file *f;
	int r;

	if (given.p) {
		f = add_file(l->c, "user data", "the agent");
		return f ? judge_user_data(l, f, given) : -ENOMEM;
	}
	r = load_text(l, 3, ECS_USER_DATA_COPY, "the agent, from the metadata service");
	if (r < 0)
		return r;
	f = &l->c->files[l->c->n_files - 1];
	if (f->state == ECS_FILE_ABSENT) {
		l->c->n_files--;
		return 0;
	}
	/* It is root's alone; who cannot read it is told so and sees the other sources. */
	if (f->state == ECS_FILE_DENIED)
		f->state = ECS_FILE_UNREADABLE;
	return f->state == ECS_FILE_READ ? judge_user_data(l, f, l->slices[3]) : 0;
}

static bool holds_secret(const struct ecs_config *c, const char *path)
{
	for (size_t i = 0; i < c->n_results; i++) {
		const struct ecs_result *r = &c->results[i];

		for (size_t k = 0; k < r->n_layers && (r->secret || r->row); k++)
			if (r->layers[k].file && strcmp(r->layers[k].file, path) == 0 && strstr(r->layers[k].raw, "***"))
				return true;
	}
	return false;
}

static bool has_gpu_driver(void)
{
	_cleanup_(freep) char *devices = NULL;
	size_t n;

	return file_read_proc(AT_FDCWD, "/proc/devices", MAX_DEVICES, &devices, &n) < 0 || memmem(devices, n, "nvidia", 6);
}

/*
 * The AMI for GPUs on an instance without. Devices tell nothing about a root that is not live, and a
 * /dev of our own shows none of them: the driver's numbers are asked, too.
 */
static bool lacks_gpu(const struct loader *l)
{
	const struct ecs_line *line = ecs_lines_find(&l->s.instance, slice_of("ECS_ENABLE_GPU_SUPPORT"));
	glob_t found = { 0 };
	bool any;

	if (!l->root->live || !line || !slice_eq(line->value, "true"))
		return false;
	any = glob("/dev/nvidia*", GLOB_NOSORT, NULL, &found) == 0;
	globfree(&found);
	return !any && !has_gpu_driver();
}

static int load_all(struct loader *l, const struct ecs_config_options *o)
{
	struct ecs_statement st;
	struct stat dir;
	int r;

	r = load_text(l, 0, ECS_CONFIG_FILE, "ecs-init for the agent, systemd for ecs-init");
	if (r == 0)
		r = load_text(l, 1, ECS_INSTANCE_FILE, "ecs-init for the agent");
	if (r == 0)
		r = ecs_read_agent(l->slices[0], &l->s.user);
	if (r == 0)
		r = ecs_read_agent(l->slices[1], &l->s.instance);
	if (r == 0)
		r = load_json(l);
	if (r == 0)
		r = load_user_data(l, o->user_data);
	if (r == 0)
		r = load_init(l);
	if (r == 0)
		r = load_fetcher(l);
	if (r == 0)
		r = load_os_family(l);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(cert_dirs) && !l->s.cert_dir; i++)
		if (root_stat(l->root, cert_dirs[i], true, &dir) == 0)
			l->s.cert_dir = cert_dirs[i];
	l->s.no_gpu = lacks_gpu(l);
	l->s.external = ecs_init_environment_find(&l->s, "ECS_EXTERNAL", &st) && slice_eq(st.value, "true");
	return r == 0 ? ecs_evaluate(l->c, &l->s) : r;
}

int ecs_config_load(struct ecs_config **ret, const struct root *root, const struct ecs_config_options *options,
		    struct diag *d)
{
	_cleanup_(ecs_config_freep) struct ecs_config *c = calloc(1, sizeof(*c));
	_cleanup_(loader_done) struct loader l = { .c = c, .root = root, .s.root = root };
	int r;

	if (!c)
		return -ENOMEM;
	r = load_all(&l, options);
	if (r == 0)
		r = ecs_expected_new(&l.s, &c->expected);
	if (r == 0 && options->compare && root->live) {
		_cleanup_(freep) char *block = NULL;
		size_t n;
		pid_t pid = ecs_agent_find(&block, &n);

		if (pid > 0) {
			c->agent_pid = pid;
			r = ecs_config_compare(c, (struct slice){ block, n });
			explicit_bzero(block, n);
		}
	}
	if (r < 0)
		return r;
	for (size_t i = 0; i < c->n_files; i++)
		c->files[i].holds_secret = holds_secret(c, c->files[i].path);
	*ret = take_ptr(c);
	return 0;
}

struct ecs_config *ecs_config_free(struct ecs_config *c)
{
	if (!c)
		return NULL;
	for (size_t i = 0; i < c->n_results; i++) {
		struct ecs_result *r = &c->results[i];

		for (size_t k = 0; k < r->n_layers; k++) {
			free(r->layers[k].raw);
			free(r->layers[k].reason);
		}
		free(r->layers);
		free(r->name);
		free(r->effective);
		free(r->effective_for_init);
		free(r->running);
		free(r->reason);
	}
	free(c->results);
	for (size_t i = 0; i < c->n_files; i++)
		free(c->files[i].reason);
	free(c->files);
	for (size_t i = 0; i < c->n_fatal; i++)
		free(c->fatal[i]);
	free(c->fatal);
	free(c->json_path);
	ecs_expected_free(c->expected);
	free(c);
	return NULL;
}

const struct ecs_result *ecs_config_get(const struct ecs_config *c, const char *name)
{
	for (size_t i = 0; i < c->n_results; i++)
		if (c->results[i].row && strcmp(c->results[i].row->name, name) == 0)
			return &c->results[i];
	return NULL;
}

bool ecs_config_is_true(const struct ecs_config *c, const char *name)
{
	const struct ecs_result *r = ecs_config_get(c, name);

	return r && r->effective && strcmp(r->effective, "true") == 0;
}
