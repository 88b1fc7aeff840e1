/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A descriptor goes along with a message, and none of them is left open.
 */
#include "unit.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "batten/base/fd-pass.h"
#include "batten/base/fd.h"

static void send_one(int to, int pass)
{
	char byte = 'x';
	struct iovec part = { &byte, 1 };
	struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1 };
	union fd_passed passed;

	fd_pass(&m, &passed, pass);
	assert_int_equal(sendmsg(to, &m, 0), 1);
}

static void receive_one(int from, int *ret)
{
	char byte;
	union fd_passed passed;
	struct iovec part = { &byte, 1 };
	struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &passed, .msg_controllen = sizeof(passed.room) };

	assert_int_equal(recvmsg(from, &m, MSG_CMSG_CLOEXEC), 1);
	fd_take_passed(&m, ret);
}

static void what_goes_along_arrives(void **state)
{
	int ends[2], pipe_ends[2], got = -1, first;
	char byte = 0;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(pipe2(pipe_ends, O_CLOEXEC), 0);
	send_one(ends[0], -1);
	receive_one(ends[1], &got);
	assert_int_equal(got, -1);
	send_one(ends[0], pipe_ends[1]);
	receive_one(ends[1], &got);
	assert_true(got >= 0 && got != pipe_ends[1]);
	assert_int_equal(write(got, "y", 1), 1);
	assert_int_equal(read(pipe_ends[0], &byte, 1), 1);
	assert_int_equal(byte, 'y');
	/* One that is not there leaves it, another takes its place. */
	first = got;
	send_one(ends[0], -1);
	receive_one(ends[1], &got);
	assert_int_equal(got, first);
	send_one(ends[0], ends[0]);
	receive_one(ends[1], &got);
	assert_int_not_equal(got, first);
	assert_int_equal(fcntl(first, F_GETFD), -1);
	(void)fd_close(got);
	for (int i = 0; i < 2; i++) {
		(void)fd_close(ends[i]);
		(void)fd_close(pipe_ends[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_goes_along_arrives),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
