/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Containers as flat records: what arrives is what was sent, and nothing that is not whole arrives.
 */
#include "unit.h"

#include <errno.h>

#include "batten/base/json.h"
#include "batten/host/container-record.h"

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const char sample[] =
	"{\"Id\": \"" ID "\", \"Name\": \"/web\", \"Image\": \"sha256:12\", \"Path\": \"nginx\","
	" \"Args\": [\"-g\", \"\"], \"State\": {\"Running\": true, \"Pid\": 77},"
	" \"Config\": {\"Image\": \"nginx:1.25\", \"Env\": [\"A=b\"],"
	"  \"Labels\": {\"com.amazonaws.ecs.task-arn\": \"arn:aws:x\", \"k\": \"v\"}},"
	" \"HostConfig\": {\"NetworkMode\": \"back\", \"Memory\": -1, \"CapAdd\": [\"SYS_TIME\"],"
	"  \"Ulimits\": [{\"Name\": \"nofile\", \"Soft\": 1, \"Hard\": 2}], \"Sysctls\": {\"a\": \"1\"}},"
	" \"Mounts\": [{\"Type\": \"bind\", \"Source\": \"/a\", \"Destination\": \"/b\", \"RW\": true}],"
	" \"NetworkSettings\": {\"Ports\": {\"80/tcp\": [{\"HostIp\": \"0.0.0.0\", \"HostPort\": \"8080\"}]},"
	"  \"Networks\": {\"back\": {\"IPAddress\": \"172.18.0.2\", \"MacAddress\": \"02:42:ac:12:00:02\"}}}}";

static struct container *parsed(void)
{
	_cleanup_(json_freep) json_t *j = NULL;
	struct container *c;

	assert_int_equal(json_parse(sample, strlen(sample), "sample", &j, NULL), 0);
	assert_int_equal(container_parse(&c, j, 0, NULL), 0);
	c->inspect_text = strdup(sample);
	return c;
}

static void written(struct bytes *b)
{
	_cleanup_(container_freep) struct container *c = parsed();

	container_record_write(c, b);
	assert_int_equal(b->error, 0);
}

static void what_arrives_is_what_was_sent(void **state)
{
	_cleanup_(container_freep) struct container *c = parsed(), *copy = NULL;
	struct bytes first = { 0 }, second = { 0 };

	container_record_write(c, &first);
	assert_int_equal(container_record_read(&copy, first.data, first.n), 0);
	container_record_write(copy, &second);
	assert_int_equal(first.n, second.n);
	assert_memory_equal(first.data, second.data, first.n);
	bytes_done(&first);
	bytes_done(&second);
	/* What the walk could have forgotten is seen here, in the places of the struct that it fills. */
	assert_string_equal(copy->name, "web");
	assert_string_equal(copy->inspect_text, sample);
	assert_string_equal(copy->cgroup, "");
	assert_int_equal(copy->role, ROLE_ECS_TASK);
	assert_int_equal(copy->pid, 77);
	assert_int_equal(copy->network_mode, NETWORK_USER);
	assert_memory_equal(&copy->networks[0].ip4, &c->networks[0].ip4, sizeof(struct in_addr));
	assert_int_equal(copy->config.memory, -1);
	assert_int_equal(copy->config.ports[0].host_port, 8080);
	assert_true(copy->config.mounts[0].writable);
	assert_string_equal(copy->config.command.items[2], "");
	assert_string_equal(copy->config.ulimits[0].name, "nofile");
	assert_string_equal(copy->config.sysctls[0].key, "a");
}

static void a_cut_record_is_none(void **state)
{
	struct bytes b = { 0 };

	written(&b);
	for (size_t n = 0; n < b.n; n++) {
		struct container *c = NULL;

		assert_int_equal(container_record_read(&c, b.data, n), -EBADMSG);
		assert_null(c);
	}
	bytes_append(&b, "x", 1);
	assert_int_equal(container_record_read(&(struct container *){ NULL }, b.data, b.n), -EBADMSG);
	bytes_done(&b);
}

/* Every byte in turn with every bit turned: refused or read, never worse. */
static void a_changed_record_does_no_harm(void **state)
{
	struct bytes b = { 0 };

	written(&b);
	for (size_t i = 0; i < b.n; i++) {
		for (int bit = 0; bit < 8; bit++) {
			_cleanup_(container_freep) struct container *c = NULL;
			int r;

			b.data[i] = (char)(b.data[i] ^ 1 << bit);
			r = container_record_read(&c, b.data, b.n);
			assert_true(r == 0 || r == -EBADMSG || r == -ENOMEM);
			assert_true(r < 0 || container_id_ok(c->id));
			b.data[i] = (char)(b.data[i] ^ 1 << bit);
		}
	}
	bytes_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_arrives_is_what_was_sent),
		cmocka_unit_test(a_cut_record_is_none),
		cmocka_unit_test(a_changed_record_does_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
