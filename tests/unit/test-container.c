/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Docker's inspect document, whole and with every member in turn of every wrong type.
 */
#include "unit.h"

#include <errno.h>
#include <arpa/inet.h>

#include "batten/base/json.h"
#include "batten/host/container.h"
#include "batten/host/model.h"

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const char sample[] =
	"{\"Id\": \"" ID "\", \"Name\": \"/web\", \"Image\": \"sha256:12\", \"Path\": \"nginx\","
	" \"Args\": [\"-g\", \"daemon off;\"], \"AppArmorProfile\": \"docker-default\", \"RestartCount\": 2,"
	" \"State\": {\"Running\": true, \"Paused\": false, \"Pid\": 77, \"StartedAt\": \"2026-01-01T00:00:00Z\"},"
	" \"Config\": {\"Image\": \"nginx:1.25\", \"User\": \"101\", \"Tty\": false, \"Env\": [\"A=b\", \"C\"],"
	"  \"Healthcheck\": {}, \"Labels\": {\"com.amazonaws.ecs.task-arn\": \"arn:aws:x\", \"k\": \"v\"}},"
	" \"HostConfig\": {\"Privileged\": false, \"ReadonlyRootfs\": true, \"NetworkMode\": \"back\","
	"  \"CapAdd\": [\"cap_net_admin\", \"SYS_TIME\"], \"CapDrop\": null, \"PidMode\": \"host\","
	"  \"SecurityOpt\": [\"no-new-privileges:true\", \"seccomp={}\", \"label=disable\"],"
	"  \"Memory\": 1024, \"PidsLimit\": 100, \"Ulimits\": [{\"Name\": \"nofile\", \"Soft\": 1, \"Hard\": 2}],"
	"  \"RestartPolicy\": {\"Name\": \"always\", \"MaximumRetryCount\": 0}, \"Binds\": [\"/a:/b:ro\"],"
	"  \"Devices\": [{\"PathOnHost\": \"/dev/fuse\"}], \"MaskedPaths\": [\"/proc/kcore\"],"
	"  \"Sysctls\": {\"net.core.somaxconn\": \"1\"}, \"LogConfig\": {\"Type\": \"awslogs\"}},"
	" \"Mounts\": [{\"Type\": \"bind\", \"Source\": \"/a\", \"Destination\": \"/b\", \"RW\": false,"
	"  \"Propagation\": \"rprivate\"}],"
	" \"NetworkSettings\": {\"Ports\": {\"80/tcp\": [{\"HostIp\": \"0.0.0.0\", \"HostPort\": \"8080\"}],"
	"   \"81/udp\": null},"
	"  \"Networks\": {\"back\": {\"IPAddress\": \"172.18.0.2\", \"GlobalIPv6Address\": \"2001:db8::2\","
	"   \"MacAddress\": \"02:42:ac:12:00:02\"}}}}";

/* Docker reads the value with Go's ParseBool, and does not start a container with any other. */
static void no_new_privileges_is_read_as_docker_does(void **state)
{
	static const struct {
		const char *option;
		bool before, after;
	} cases[] = {
		{ "no-new-privileges", false, true },	     { "no-new-privileges:true", false, true },
		{ "no-new-privileges=1", false, true },	     { "no-new-privileges=T", false, true },
		{ "no-new-privileges:false", true, false },  { "no-new-privileges=0", true, false },
		{ "no-new-privileges=F", true, false },	     { "no-new-privileges=FALSE", true, false },
		{ "no-new-privileges=", true, false },	     { "no-new-privileges=no", true, false },
		{ "no-new-privileges-at-all", false, false }, { "label=disable", true, true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		bool asked = cases[i].before;

		container_read_nnp(cases[i].option, &asked);
		if (asked != cases[i].after)
			fail_msg("%s", cases[i].option);
	}
}

static void all_members_arrive(void **state)
{
	_cleanup_(container_freep) struct container *c = NULL;
	_cleanup_(json_freep) json_t *j = NULL;
	const struct container_config *g;
	char ip[INET6_ADDRSTRLEN];

	assert_int_equal(json_parse(sample, strlen(sample), "sample", &j, NULL), 0);
	assert_int_equal(container_parse(&c, j, CONTAINER_KEEP_INSPECT, NULL), 0);
	g = &c->config;
	assert_string_equal(c->id, ID);
	assert_string_equal(c->name, "web");
	assert_string_equal(c->image, "nginx:1.25");
	assert_string_equal(c->image_id, "sha256:12");
	assert_string_equal(container_label(c, "k"), "v");
	assert_null(container_label(c, "none"));
	assert_int_equal(c->role, ROLE_ECS_TASK);
	assert_int_equal(c->pid, 77);
	assert_int_equal(c->restart_count, 2);
	assert_int_equal(c->network_mode, NETWORK_USER);
	assert_string_equal(c->networks[0].name, "back");
	assert_string_equal(inet_ntop(AF_INET, &c->networks[0].ip4, ip, sizeof(ip)), "172.18.0.2");
	assert_string_equal(inet_ntop(AF_INET6, &c->networks[0].ip6, ip, sizeof(ip)), "2001:db8::2");
	assert_memory_equal(c->networks[0].mac, "\x02\x42\xac\x12\x00\x02", 6);
	assert_true(text_list_has(&g->cap_add, "NET_ADMIN") && text_list_has(&g->cap_add, "SYS_TIME"));
	assert_int_equal(g->cap_drop.n, 0);
	assert_true(g->no_new_privileges && g->selinux_disabled && g->readonly_rootfs && g->healthcheck);
	assert_int_equal(g->seccomp, SECCOMP_CUSTOM);
	assert_string_equal(g->apparmor, "docker-default");
	assert_string_equal(g->pid_mode, "host");
	assert_string_equal(g->user, "101");
	assert_int_equal(g->memory, 1024);
	assert_int_equal(g->pids_limit, 100);
	assert_int_equal(g->ulimits[0].hard, 2);
	assert_string_equal(g->restart_policy, "always");
	assert_string_equal(g->mounts[0].destination, "/b");
	assert_false(g->mounts[0].writable);
	assert_int_equal(g->n_ports, 1);
	assert_int_equal(g->ports[0].host_port, 8080);
	assert_string_equal(g->devices.items[0], "/dev/fuse");
	assert_true(text_list_has(&g->env_names, "A") && text_list_has(&g->env_names, "C"));
	assert_string_equal(g->command.items[2], "daemon off;");
	assert_string_equal(g->sysctls[0].key, "net.core.somaxconn");
	assert_string_equal(g->log_driver, "awslogs");
	assert_non_null(c->inspect);
}

/* Parses with @slot's value replaced by one of each type; nothing may crash or leak. */
static void mutate(json_t *root, json_t *object, const char *key, unsigned int *n)
{
	json_t *const values[] = { json_null(),	  json_true(),	       json_integer(-7), json_real(1.5),
				   json_array(),  json_object(),       json_string("\xc3\xa9"),
				   json_pack("[i,[],{}]", 1), json_pack("{s:i,s:[i]}", "a", 1, "b", 2) };
	json_t *old = json_incref(json_object_get(object, key));

	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		_cleanup_(container_freep) struct container *c = NULL;
		struct diag d = { 0 };
		int r;

		assert_int_equal(json_object_set_new(object, key, values[i]), 0);
		r = container_parse(&c, root, 0, &d);
		assert_true(r == 0 || (r == -EPROTO && d.what[0]));
		(*n)++;
	}
	assert_int_equal(json_object_set_new(object, key, old), 0);
}

static void mutate_all(json_t *root, json_t *j, unsigned int *n)
{
	const char *keys[64], *key;
	size_t n_keys = 0;
	json_t *v;

	if (json_is_array(j)) {
		for (size_t i = 0; i < json_array_size(j); i++)
			mutate_all(root, json_array_get(j, i), n);
		return;
	}
	json_object_foreach(j, key, v)
		keys[n_keys++] = key;
	for (size_t i = 0; i < n_keys; i++) {
		mutate_all(root, json_object_get(j, keys[i]), n);
		mutate(root, j, keys[i], n);
	}
}

static void wrong_types_are_refused_or_empty(void **state)
{
	_cleanup_(json_freep) json_t *j = NULL;
	unsigned int n = 0;

	assert_int_equal(json_parse(sample, strlen(sample), "sample", &j, NULL), 0);
	mutate_all(j, j, &n);
	assert_true(n > 400);
}

static struct container *made(const char *id, uint64_t cgroup_id)
{
	struct container *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	list_init(&c->node);
	memcpy(c->id, id, strlen(id));
	c->cgroup_id = cgroup_id;
	return c;
}

static void the_model_replaces_by_id(void **state)
{
	struct host_model m;

	host_model_init(&m);
	assert_int_equal(host_model_put(&m, made("a", 1)), 0);
	assert_int_equal(host_model_put(&m, made("b", 0)), 0);
	assert_int_equal(host_model_put(&m, made("a", 3)), 0);
	assert_int_equal(m.n_containers, 2);
	assert_null(host_model_find_cgroup(&m, 1));
	assert_null(host_model_find_cgroup(&m, 0));
	assert_string_equal(host_model_find_cgroup(&m, 3)->id, "a");
	host_model_find(&m, "a")->whole_id = 2;
	assert_string_equal(host_model_find_cgroup(&m, 2)->id, "a");
	assert_null(host_model_find_cgroup(&m, 0));
	host_model_remove(&m, host_model_find(&m, "a"));
	assert_null(host_model_find(&m, "a"));
	host_model_done(&m);
	assert_int_equal(m.n_containers, 0);
}

/* What goes into a request's path leads nowhere else. */
static void names_that_may_be_asked_for(void **state)
{
	static const char *const good[] = { "nginx", "nginx:1.25", "r.example:5000/a/b_c@sha256:0123", "sha256:0123" };
	static const char *const bad[] = { "", "../containers", "a/../b", "a//b", "/a", "a b", "a\r\nb", "a?b=c", "a%2e", "-a" };
	char text[IMAGE_NAME_SIZE + 1];

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_true(image_name_ok(good[i]));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(image_name_ok(bad[i]));
	memset(text, 'a', sizeof(text));
	text[IMAGE_NAME_SIZE] = '\0';
	assert_false(image_name_ok(text));
	text[IMAGE_NAME_SIZE - 1] = '\0';
	assert_true(image_name_ok(text));
	assert_false(container_id_ok(text));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_members_arrive),
		cmocka_unit_test(no_new_privileges_is_read_as_docker_does),
		cmocka_unit_test(wrong_types_are_refused_or_empty),
		cmocka_unit_test(the_model_replaces_by_id),
		cmocka_unit_test(names_that_may_be_asked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
