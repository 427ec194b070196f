/* Messages: what the table lets through, what it refuses, and that no descriptor stays behind either way. */
#include "server/proc/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "base/errors.h"

#define ANYBODY 15U

struct fixture {
	int pair[2];
	size_t open; /* descriptors of this process at the start */
	struct message message;
};

static size_t
open_count(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_int_equal(channel_pair(SOCK_SEQPACKET, f->pair), 0);
	assert_int_equal(fcntl(f->pair[1], F_SETFL, O_NONBLOCK), 0);
	f->open = open_count();
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	closep(&f->pair[0]);
	closep(&f->pair[1]);
	free(f);
	return 0;
}

/* As another program could send it: any head, any body, any descriptors. */
static void
send_raw(int fd, uint32_t type, uint32_t stated, const void *body, size_t len, size_t n_fds)
{
	uint8_t head[MESSAGE_HEAD_LEN];
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(64 * sizeof(int))];
	} control = {0};
	struct iovec iov[2] = {{head, sizeof(head)}, {(void *)(uintptr_t)body, len}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};

	le32_store(head, type);
	le32_store(head + 4, stated);
	if (n_fds) {
		struct cmsghdr *cmsg;

		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		for (size_t i = 0; i < n_fds; i++)
			memcpy(CMSG_DATA(cmsg) + i * sizeof(int), &fd, sizeof(int));
	}
	assert_true(sendmsg(fd, &msg, 0) >= 0);
}

static void
a_message_arrives_as_it_was_sent_with_its_descriptors(void **state)
{
	struct fixture *f = *state;
	const int fds[2] = {0, 1};

	assert_int_equal(channel_send(f->pair[0], MESSAGE_TUN, "wg0", 3, fds, 2), 0);
	assert_int_equal(channel_recv(f->pair[1], MESSAGE_FROM_CHILD, &f->message), 0);
	assert_int_equal(f->message.type, MESSAGE_TUN);
	assert_string_equal(f->message.body, "wg0");
	assert_int_equal(f->message.len, 3);
	assert_int_equal(f->message.n_fds, 2);
	assert_true(fcntl(f->message.fds[0], F_GETFD) & FD_CLOEXEC);
	message_done(&f->message);
	assert_int_equal(open_count(), f->open);
}

static void
the_longest_body_and_the_most_descriptors_arrive(void **state)
{
	struct fixture *f = *state;
	char *body = malloc(MESSAGE_BODY_MAX + 1);
	int fds[MESSAGE_FDS_MAX + 1] = {0};

	memset(body, 'x', MESSAGE_BODY_MAX + 1);
	assert_int_equal(channel_send(f->pair[0], MESSAGE_CONFIG, body, MESSAGE_BODY_MAX, NULL, 0), 0);
	assert_int_equal(channel_recv(f->pair[1], MESSAGE_FROM_PARENT, &f->message), 0);
	assert_int_equal(strlen(f->message.body), MESSAGE_BODY_MAX);
	message_done(&f->message);
	assert_int_equal(channel_send(f->pair[0], MESSAGE_CONFIG, body, MESSAGE_BODY_MAX + 1, NULL, 0),
			 -ERR_MESSAGE);
	assert_int_equal(channel_send(f->pair[0], MESSAGE_TUN, "wg0", 3, fds, MESSAGE_FDS_MAX), 0);
	assert_int_equal(channel_recv(f->pair[1], MESSAGE_FROM_CHILD, &f->message), 0);
	assert_int_equal(f->message.n_fds, MESSAGE_FDS_MAX);
	message_done(&f->message);
	assert_int_equal(channel_send(f->pair[0], MESSAGE_TUN, "wg0", 3, fds, MESSAGE_FDS_MAX + 1),
			 -ERR_MESSAGE);
	assert_int_equal(open_count(), f->open);
	free(body);
}

static void
what_does_not_fit_the_table_is_refused_and_leaves_no_descriptor(void **state)
{
	static const char zeroes[MESSAGE_BODY_MAX + 64];
	static const struct {
		uint32_t type, stated;
		const char *body;
		size_t len, n_fds;
	} bad[] = {
		{MESSAGE_NONE, 0, "", 0, 0},
		{MESSAGE_END, 0, "", 0, 0},
		{0xffffffff, 0, "", 0, 0},
		{MESSAGE_GO, 1, "", 0, 0}, /* stated and real length differ */
		{MESSAGE_HELLO, 0, "net", 3, 0},
		{MESSAGE_HELLO, 0, "", 0, 0}, /* too short */
		{MESSAGE_GO, 1, "x", 1, 0},   /* too long */
		{MESSAGE_IDENTITY, 31, zeroes, 31, 0},
		{MESSAGE_IDENTITY, 33, zeroes, 33, 0},
		{MESSAGE_HELLO, 4, "n t\n", 4, 0}, /* no name */
		{MESSAGE_HELLO, 4, "n\0et", 4, 0},
		{MESSAGE_CONFIG, 4, "a=b\0", 4, 0}, /* no text */
		{MESSAGE_SOCKET, 4, "udp4", 4, 0},  /* without its descriptor */
		{MESSAGE_SOCKET, 4, "udp4", 4, 2},
		{MESSAGE_GO, 0, "", 0, 1},      /* with one that it may not have */
		{MESSAGE_TUN, 3, "wg0", 3, 17}, /* more than fit: cut by the kernel */
		{MESSAGE_TUN, 3, "wg0", 3, 64},
		{MESSAGE_CONFIG, MESSAGE_BODY_MAX + 1, zeroes, MESSAGE_BODY_MAX + 1, 0},
		{MESSAGE_CONFIG, MESSAGE_BODY_MAX, zeroes, MESSAGE_BODY_MAX + 1, 1},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		send_raw(f->pair[0], bad[i].type, bad[i].stated, bad[i].body, bad[i].len, bad[i].n_fds);
		if (channel_recv(f->pair[1], ANYBODY, &f->message) != -ERR_MESSAGE)
			fail_msg("line %zu was taken", i);
		assert_int_equal(f->message.type, MESSAGE_NONE);
		assert_int_equal(f->message.n_fds, 0);
		assert_int_equal(open_count(), f->open);
	}
}

static void
a_head_cut_short_is_refused(void **state)
{
	struct fixture *f = *state;

	for (size_t len = 1; len < MESSAGE_HEAD_LEN; len++) {
		assert_int_equal(send(f->pair[0], "\1\0\0\0\0\0\0", len, 0), len);
		assert_int_equal(channel_recv(f->pair[1], ANYBODY, &f->message), -ERR_MESSAGE);
	}
}

static void
each_message_is_taken_from_those_alone_who_may_send_it(void **state)
{
	static const struct {
		enum message_type type;
		unsigned sender;
		const char *body;
		int n_fds;
	} all[] = {
		{MESSAGE_HELLO, MESSAGE_FROM_CHILD, "net", 0},
		{MESSAGE_CONFIG, MESSAGE_FROM_PARENT, "", 0},
		{MESSAGE_SOCKET, MESSAGE_FROM_PARENT, "udp4", 1},
		{MESSAGE_CHANNEL, MESSAGE_FROM_PARENT, "net", 1},
		{MESSAGE_GO, MESSAGE_FROM_PARENT, "", 0},
		{MESSAGE_READY, MESSAGE_FROM_CHILD, "", 0},
		{MESSAGE_TUN, MESSAGE_FROM_CHILD, "wg0", 1},
		{MESSAGE_STOP, MESSAGE_FROM_PARENT, "", 0},
		{MESSAGE_NET_PLAN, MESSAGE_FROM_CONTROL, "{}", 0},
		{MESSAGE_NET_STATE, MESSAGE_FROM_NET, "{}", 0},
		{MESSAGE_TUN_GONE, MESSAGE_FROM_CHILD, "wg0", 0},
		{MESSAGE_IDENTITY, MESSAGE_FROM_PARENT, "0123456789abcdef0123456789abcdef", 0},
	};
	struct fixture *f = *state;

	assert_int_equal(ARRAY_LEN(all), MESSAGE_END - 1);
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		for (unsigned sender = 1; sender <= 8; sender <<= 1) {
			const int fd = 0, expected = sender == all[i].sender ? 0 : -ERR_MESSAGE;

			assert_int_equal(channel_send(f->pair[0], all[i].type, all[i].body,
						      strlen(all[i].body), &fd, (size_t)all[i].n_fds),
					 0);
			if (channel_recv(f->pair[1], sender, &f->message) != expected)
				fail_msg("%s from %u", message_name(all[i].type), sender);
			message_done(&f->message);
		}
	assert_int_equal(open_count(), f->open);
}

static void
nothing_there_and_nobody_there_are_told_apart(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(channel_recv(f->pair[1], ANYBODY, &f->message), -EAGAIN);
	closep(&f->pair[0]);
	assert_int_equal(channel_recv(f->pair[1], ANYBODY, &f->message), -ERR_CLOSED);
	assert_int_equal(channel_send(f->pair[1], MESSAGE_GO, NULL, 0, NULL, 0), -ERR_CLOSED);
}

static void
a_full_socket_is_said_and_nothing_is_sent_in_part(void **state)
{
	struct fixture *f = *state;
	size_t sent = 0, received = 0;
	int r;

	assert_int_equal(fcntl(f->pair[0], F_SETFL, O_NONBLOCK), 0);
	while ((r = channel_send(f->pair[0], MESSAGE_HELLO, "net", 3, NULL, 0)) == 0)
		sent++;
	assert_int_equal(r, -EAGAIN);
	while (channel_recv(f->pair[1], ANYBODY, &f->message) == 0)
		received++;
	assert_int_equal(sent, received);
}

static void
a_descriptor_that_was_taken_stays_open(void **state)
{
	struct fixture *f = *state;
	_cleanup_(closep) int fd = -1;

	assert_int_equal(channel_send(f->pair[0], MESSAGE_SOCKET, "http", 4, &f->pair[0], 1), 0);
	assert_int_equal(channel_recv(f->pair[1], ANYBODY, &f->message), 0);
	fd = take_fd(&f->message.fds[0]);
	message_done(&f->message);
	assert_true(fcntl(fd, F_GETFD) >= 0);
	assert_int_equal(open_count(), f->open + 1);
}

static void
a_body_is_wiped_when_it_is_done_with(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(channel_send(f->pair[0], MESSAGE_CONFIG, "secret", 6, NULL, 0), 0);
	assert_int_equal(channel_recv(f->pair[1], ANYBODY, &f->message), 0);
	message_done(&f->message);
	assert_memory_equal(f->message.body, "\0\0\0\0\0\0", 6);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_message_arrives_as_it_was_sent_with_its_descriptors),
		TEST(the_longest_body_and_the_most_descriptors_arrive),
		TEST(what_does_not_fit_the_table_is_refused_and_leaves_no_descriptor),
		TEST(a_head_cut_short_is_refused),
		TEST(each_message_is_taken_from_those_alone_who_may_send_it),
		TEST(nothing_there_and_nobody_there_are_told_apart),
		TEST(a_full_socket_is_said_and_nothing_is_sent_in_part),
		TEST(a_descriptor_that_was_taken_stays_open),
		TEST(a_body_is_wiped_when_it_is_done_with),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
