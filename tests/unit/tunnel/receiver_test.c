/* What the kernel hands over, and every way in which it may be less than it should be. */
#include "server/tunnel/receiver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <linux/udp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"

#define SOL_OF_UDP 17

static struct receiver *receiver;
static struct stats stats;
static struct ladder ladder;
static struct udp sockets;
static nsec_t now;

/* The pretended kernel: datagrams that wait, and how it answers. */
static unsigned waiting, many_calls, single_calls;
static int many_error, single_error, cut; /* cut: flags of the next frames */
static bool gro[8];                       /* of each descriptor */
static unsigned gro_calls;

static void
frame_make(struct msghdr *msg, unsigned *len)
{
	const int segment = 1000;
	struct sockaddr_in *from = msg->msg_name;
	struct cmsghdr *cmsg = msg->msg_control;

	assert_true(msg->msg_controllen >= CMSG_SPACE(sizeof(int)));
	assert_true(msg->msg_iov[0].iov_len >= 65535);
	assert_true(msg->msg_namelen >= sizeof(struct sockaddr_in6));
	*from = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(7)};
	msg->msg_namelen = sizeof(*from);
	memset(msg->msg_iov[0].iov_base, 7, 2500);
	*len = 2500;
	msg->msg_flags = cut;
	cmsg->cmsg_level = SOL_OF_UDP;
	cmsg->cmsg_type = UDP_GRO;
	cmsg->cmsg_len = CMSG_LEN(sizeof(segment)); /* a native int */
	memcpy(CMSG_DATA(cmsg), &segment, sizeof(segment));
	msg->msg_controllen = CMSG_SPACE(sizeof(segment));
	waiting--;
}

static int
kernel_recvmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags, struct timespec *timeout)
{
	unsigned i = 0;

	many_calls++;
	if (many_error || waiting == 0) {
		errno = many_error ? many_error : EAGAIN;
		return -1;
	}
	for (; i < n && waiting > 0; i++)
		frame_make(&msgs[i].msg_hdr, &msgs[i].msg_len);
	return (int)i;
}

static ssize_t
kernel_recvmsg(int fd, struct msghdr *msg, int flags)
{
	unsigned len;

	single_calls++;
	if (single_error || waiting == 0) {
		errno = single_error ? single_error : EAGAIN;
		return -1;
	}
	frame_make(msg, &len);
	return len;
}

static int
kernel_gro_set(int fd, bool on)
{
	gro_calls++;
	gro[fd] = on;
	return 0;
}

static int
take(unsigned max)
{
	return receiver_read(receiver, &sockets, UDP4, max, now);
}

static void
superframes_come_with_the_length_of_their_segments(void **state)
{
	struct received got;

	waiting = 3;
	assert_int_equal(take(64), 3);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(receiver_get(receiver, i, &got));
		assert_int_equal(got.len, 2500);
		assert_int_equal(got.segment, 1000);
		assert_int_equal(got.arrival.from.port, 7);
	}
	waiting = 100; /* room for control messages is given anew each time */
	assert_int_equal(take(64), 64);
	assert_int_equal(take(64), 36);
	assert_int_equal(take(64), 0);
	assert_int_equal(gro_calls, 0);
}

static void
errors_of_the_socket_are_told_and_change_nothing(void **state)
{
	static const int errors[] = {ECONNREFUSED, EHOSTUNREACH, ENOMEM, EINTR};

	for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
		many_error = errors[i];
		assert_int_equal(take(64), -errors[i]);
	}
	many_error = 0;
	waiting = 1;
	assert_int_equal(take(64), 1);
	assert_true(ladder_on(&ladder, RUNG_RECVMMSG));
	assert_int_equal(single_calls, 0);
}

static void
without_recvmmsg_datagrams_come_one_by_one(void **state)
{
	static const int errors[] = {ENOSYS, EPERM};

	for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
		memset(&ladder.rungs[RUNG_RECVMMSG], 0, sizeof(ladder.rungs[0]));
		ladder_probed(&ladder, RUNG_RECVMMSG, true, 0);
		many_calls = single_calls = 0;
		many_error = errors[i];
		waiting = 10;
		assert_int_equal(take(4), 4);
		assert_int_equal(take(64), 6);
		assert_int_equal(take(64), 0);
		assert_int_equal(many_calls, 1);
		assert_int_equal(single_calls, 4 + 7 + 1);
		assert_int_equal(ladder_get(&ladder, RUNG_RECVMMSG), RUNG_DOWN);
		assert_int_equal(ladder.rungs[RUNG_RECVMMSG].downs, 1);
	}
	single_error = ECONNREFUSED;
	assert_int_equal(take(64), -ECONNREFUSED);
}

/* On each worker's socket, for the kernel merges for a group only if all want it; until it is due again. */
static void
a_frame_cut_short_ends_merging_until_it_is_tried_again(void **state)
{
	static const int flags[] = {MSG_TRUNC, MSG_CTRUNC};
	struct udp elsewhere = {.fd = {5, 7}};
	struct receiver_calls calls = {
		.recvmmsg = kernel_recvmmsg, .recvmsg = kernel_recvmsg, .gro_set = kernel_gro_set};
	struct receiver *other;
	struct received got;

	assert_int_equal(receiver_new(&stats, &calls, &other), 0);
	for (unsigned i = 0; i < 2; i++) {
		waiting = 2;
		cut = flags[i];
		assert_int_equal(take(64), 2);
		assert_false(receiver_get(receiver, 0, &got));
		assert_false(gro[4]);
		assert_true(gro[6]); /* the other family goes on */
		assert_int_equal(ladder_get(&ladder, RUNG_UDP4_GRO), RUNG_DOWN);
		assert_true(ladder_on(&ladder, RUNG_UDP6_GRO));
		assert_int_equal(ladder.rungs[RUNG_UDP4_GRO].downs, i + 1);
		assert_true(gro[5]);
		assert_int_equal(receiver_read(other, &elsewhere, UDP4, 64, now), 0);
		assert_false(gro[5]);

		cut = 0;
		waiting = 2;
		gro_calls = 0;
		now += LADDER_RETRY_TIME - 1;
		assert_int_equal(take(64), 2);
		assert_int_equal(gro_calls, 0);
		now++;
		assert_int_equal(take(64), 0);
		assert_int_equal(receiver_read(other, &elsewhere, UDP4, 64, now), 0);
		assert_true(gro[4] && gro[5]);
		assert_int_equal(gro_calls, 2);
		assert_true(ladder_on(&ladder, RUNG_UDP4_GRO));
		assert_int_equal(ladder.rungs[RUNG_UDP4_GRO].ups, i + 1);
	}
	receiver_free(other);
}

/* A socket that came in place of the one before has merging on again, as all new ones. */
static void
a_new_socket_of_an_old_number_is_told_too(void **state)
{
	waiting = 1;
	cut = MSG_TRUNC;
	assert_int_equal(take(64), 1);
	assert_false(gro[4]);
	gro[4] = true;
	waiting = 1;
	assert_int_equal(take(64), 1);
	assert_false(gro[4]);
	assert_int_equal(ladder.rungs[RUNG_UDP4_GRO].downs, 1);
}

static int
setup(void **state)
{
	const struct receiver_calls calls = {
		.recvmmsg = kernel_recvmmsg, .recvmsg = kernel_recvmsg, .gro_set = kernel_gro_set};

	memset(&ladder, 0, sizeof(ladder));
	memset(&stats, 0, sizeof(stats));
	stats.ladder = &ladder;
	ladder_probed(&ladder, RUNG_UDP4_GRO, true, 0);
	ladder_probed(&ladder, RUNG_UDP6_GRO, true, 0);
	sockets = (struct udp){.fd = {4, 6}};
	memset(gro, 1, sizeof(gro));
	waiting = many_calls = single_calls = gro_calls = 0;
	many_error = single_error = cut = 0;
	now = SECONDS(1);
	return receiver_new(&stats, &calls, &receiver);
}

static int
teardown(void **state)
{
	receiver_free(receiver);
	return 0;
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(superframes_come_with_the_length_of_their_segments),
		TEST(errors_of_the_socket_are_told_and_change_nothing),
		TEST(without_recvmmsg_datagrams_come_one_by_one),
		TEST(a_frame_cut_short_ends_merging_until_it_is_tried_again),
		TEST(a_new_socket_of_an_old_number_is_told_too),
	};

	log_init("test", LOG_LEVEL_SILENT);
	return cmocka_run_group_tests_name("receiver", tests, NULL, NULL);
}
