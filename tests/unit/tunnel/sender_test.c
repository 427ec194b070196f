/* Batches: what may be sent by one call, and every way in which the kernel may refuse it. */
#include "server/tunnel/sender.h"

#include "tests/unit/tunnel/packets.h"

#include <errno.h>
#include <linux/udp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/log.h"
#include "server/wg/constants.h"

#define LINE_MAX_LEN 64

/* What the pretended kernel was given: an entry each, and the first byte of each message. */
struct given {
	int fd;
	unsigned n; /* messages */
	uint32_t total;
	uint16_t segment; /* 0: no control message */
	bool source;
	int tos;
	uint32_t first; /* number of the first message */
};

static struct sender *sender;
static struct stats stats;
static struct ladder ladder;
static struct udp sockets;
static struct given given[4096];
static unsigned n_given, n_calls, cleared;
static uint32_t numbered, next_expected;
static bool lossy; /* errors were answered that drop a message */

/* Answers to the next calls: an errno, or how many entries are taken (0: all). */
static struct {
	int error;
	unsigned take;
} answers[16];
static unsigned n_answers, answered;

static void
given_read(struct given *g, int fd, const struct msghdr *msg)
{
	*g = (struct given){.fd = fd, .n = (unsigned)msg->msg_iovlen};
	memcpy(&g->first, msg->msg_iov[0].iov_base, 4);
	for (size_t i = 0; i < msg->msg_iovlen; i++) {
		uint32_t number;

		memcpy(&number, msg->msg_iov[i].iov_base, 4);
		assert_int_equal(number, g->first + i);
		g->total += (uint32_t)msg->msg_iov[i].iov_len;
	}
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR((struct msghdr *)(uintptr_t)msg, c)) {
		if (c->cmsg_level == 17 && c->cmsg_type == UDP_SEGMENT)
			memcpy(&g->segment, CMSG_DATA(c), 2);
		else if (c->cmsg_type == IP_PKTINFO || c->cmsg_type == IPV6_PKTINFO)
			g->source = true;
		else
			memcpy(&g->tos, CMSG_DATA(c), 4);
	}
}

/* What holds of every call, whatever it is about. */
static void
assert_legal(const struct given *g, const struct msghdr *msg)
{
	const uint32_t most = g->fd == 4 ? 65493 : 65473;

	assert_true((g->n > 1) == (g->segment != 0));
	if (g->n == 1)
		return;
	assert_true(g->n <= 64);
	assert_true(g->total <= most);
	for (size_t i = 0; i < msg->msg_iovlen; i++)
		assert_true(i + 1 < msg->msg_iovlen ? msg->msg_iov[i].iov_len == g->segment
						    : msg->msg_iov[i].iov_len <= g->segment);
}

static int
kernel_sendmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags)
{
	unsigned take = n;
	int error = 0;

	n_calls++;
	if (answered < n_answers) {
		error = answers[answered].error;
		take = answers[answered].take ? MIN(answers[answered].take, n) : n;
		answered++;
	}
	if (error) {
		errno = error;
		return -1;
	}
	for (unsigned i = 0; i < take; i++) {
		struct given *g = &given[n_given++];

		given_read(g, fd, &msgs[i].msg_hdr);
		assert_legal(g, &msgs[i].msg_hdr);
		if (lossy)
			assert_true(g->first >= next_expected); /* none twice, in order */
		else
			assert_int_equal(g->first, next_expected); /* and none lost */
		next_expected = g->first + g->n;
	}
	return (int)take;
}

static void
source_cleared(void *ctx, struct wg_peer_id peer)
{
	cleared++;
}

static void
answer(int error, unsigned take)
{
	answers[n_answers].error = error;
	answers[n_answers++].take = take;
}

static struct wg_route
route_of(bool v6, bool source)
{
	struct wg_route route = {.to.port = 51820};

	route.to.ip.family = v6 ? AF_INET6 : AF_INET;
	route.to.ip.addr[0] = 10;
	route.from = route.to.ip;
	if (!source)
		route.from.family = 0;
	return route;
}

/* Each message carries its number. */
static bool
message(struct wg_peer_id peer, const struct wg_route *route, uint8_t tos, uint32_t len, nsec_t now)
{
	uint8_t *room = sender_room(sender, len);

	if (!room)
		return false;
	memcpy(room, &numbered, 4);
	numbered++;
	sender_add(sender, peer, route, tos, room, len, now);
	return true;
}

static void
messages(unsigned n, uint32_t peer, bool v6, uint8_t tos, uint32_t len)
{
	const struct wg_route route = route_of(v6, false);

	for (unsigned i = 0; i < n; i++)
		assert_true(message((struct wg_peer_id){peer, 1}, &route, tos, len, SECONDS(1)));
}

static int
flush(void)
{
	return sender_flush(sender, SECONDS(1));
}

static void
equal_messages_leave_as_one_batch(void **state)
{
	messages(45, 1, false, 0, 1452);
	assert_int_equal(flush(), 0);
	assert_int_equal(n_given, 1);
	assert_int_equal(given[0].segment, 1452);
	assert_int_equal(given[0].n, 45);
	assert_int_equal(stats.calls[STATS_UDP_SEND], 1);
	assert_int_equal(stats.segments[STATS_UDP_SEND], 45);
	assert_true(sender_empty(sender));
}

static void
a_batch_keeps_below_what_is_cut_in_software(void **state)
{
	messages(100, 1, false, 0, 1452);
	messages(100, 1, true, 0, 1452);
	messages(300, 1, false, 0, 96);
	assert_int_equal(flush(), 0);
	assert_int_equal(given[0].n, 45);
	assert_int_equal(given[1].n, 45);
	assert_int_equal(given[2].n, 10);
	assert_int_equal(given[3].n, 45);
	assert_int_equal(given[6].n, 64);
	assert_int_equal(next_expected, 500);
}

static void
a_shorter_message_ends_its_batch(void **state)
{
	messages(3, 1, false, 0, 1000);
	messages(1, 1, false, 0, 500);
	messages(2, 1, false, 0, 500);
	messages(1, 1, false, 0, 1000);
	assert_int_equal(flush(), 0);
	assert_int_equal(n_given, 3);
	assert_int_equal(given[0].n, 4);
	assert_int_equal(given[1].n, 2);
	assert_int_equal(given[2].n, 1);
}

static void
peers_tos_and_endpoints_are_never_mixed(void **state)
{
	struct wg_route other = route_of(false, false);

	messages(2, 1, false, 0, 1000);
	messages(2, 2, false, 0, 1000);
	messages(2, 2, false, 1, 1000);
	other.to.port++;
	assert_true(message((struct wg_peer_id){2, 1}, &other, 1, 1000, SECONDS(1)));
	assert_int_equal(flush(), 0);
	assert_int_equal(n_given, 4);
	assert_int_equal(given[2].tos, 1);
	assert_int_equal(given[0].tos, 0);
}

static void
a_single_message_is_no_batch(void **state)
{
	messages(1, 1, false, 0, 1452);
	messages(1, 2, false, 0, 65507);
	assert_int_equal(flush(), 0);
	assert_int_equal(given[0].segment, 0);
	assert_int_equal(given[1].segment, 0);
}

static void
random_messages_are_all_sent_once_and_in_order(void **state)
{
	static const int gentle[] = {0, EINTR, EAGAIN},
			 harsh[] = {0, EINTR, EAGAIN, EMSGSIZE, EINVAL, EIO, ENODEV, EPERM};

	for (unsigned round = 0; round < 400; round++) {
		for (unsigned n = rnd(300); n > 0; n--) {
			const struct wg_route route = route_of(rnd(8) == 0, rnd(2));

			if (!message((struct wg_peer_id){rnd(3), 1}, &route, rnd(10) == 0, 32 + rnd(3) * 700,
				     SECONDS(1)))
				break;
		}
		n_answers = answered = n_given = 0;
		lossy = round >= 200;
		for (unsigned i = rnd(10); i > 0; i--)
			answer(lossy ? harsh[rnd(ARRAY_LEN(harsh))] : gentle[rnd(ARRAY_LEN(gentle))],
			       1 + rnd(4));
		for (unsigned i = 0; i < 32 && flush() < 0; i++)
			continue;
		assert_true(sender_empty(sender));
		if (!lossy)
			assert_int_equal(next_expected, numbered);
	}
}

static void
what_is_taken_in_part_is_sent_on_from_there(void **state)
{
	messages(100, 1, false, 0, 1452);
	messages(3, 2, false, 0, 1452);
	answer(0, 1);
	answer(0, 2);
	assert_int_equal(flush(), 0);
	assert_int_equal(n_given, 4);
	assert_int_equal(n_calls, 3);
	assert_int_equal(next_expected, 103);
}

static void
a_full_socket_gets_the_same_messages_later(void **state)
{
	messages(100, 1, false, 0, 1452);
	answer(0, 1);
	answer(EAGAIN, 0);
	assert_int_equal(flush(), -EAGAIN);
	assert_int_equal(n_given, 1);
	assert_false(sender_empty(sender));
	assert_int_equal(sender_waits_for(sender), UDP4);
	messages(10, 1, false, 0, 1452); /* later ones wait behind them */
	assert_int_equal(flush(), 0);
	assert_int_equal(next_expected, 110);
}

static void
what_waited_too_long_does_not_leave(void **state)
{
	const struct wg_route route = route_of(false, false);

	messages(5, 1, false, 0, 1000); /* at 1 s */
	assert_true(message((struct wg_peer_id){2, 1}, &route, 0, 1000, SECONDS(2)));
	answer(EAGAIN, 0);
	assert_int_equal(flush(), -EAGAIN);
	next_expected = 5;
	assert_int_equal(sender_flush(sender, SECONDS(1) + SENDER_PATIENCE + 1), 0);
	assert_int_equal(n_given, 1);
}

static void
without_checksum_offload_a_family_sends_singly(void **state)
{
	messages(10, 1, false, 0, 1000);
	messages(10, 1, true, 0, 1000);
	answer(EIO, 0);
	assert_int_equal(flush(), 0);
	assert_int_equal(n_given, 11);
	assert_int_equal(given[0].segment, 0);
	assert_int_equal(given[10].n, 10);
	assert_int_equal(ladder_get(&ladder, RUNG_UDP4_GSO), RUNG_DOWN);
	assert_int_equal(ladder_get(&ladder, RUNG_UDP6_GSO), RUNG_ON);
}

static void
a_path_too_narrow_makes_one_peer_send_singly_for_a_while(void **state)
{
	const struct wg_route route = route_of(false, false);
	const struct wg_peer_id narrow = {7, 1};

	for (int i = 0; i < 2; i++) {
		n_answers = answered = n_given = 0;
		answer(i ? EINVAL : EMSGSIZE, 0);
		messages(10, 7 + (uint32_t)i, false, 0, 1000);
		messages(10, 20, false, 0, 1000);
		assert_int_equal(flush(), 0);
		assert_int_equal(n_given, 11);
		assert_int_equal(given[10].n, 10);
	}
	n_given = 0;
	for (int i = 0; i < 3; i++)
		assert_true(message(narrow, &route, 0, 1000, SECONDS(1)));
	assert_int_equal(flush(), 0);
	assert_int_equal(n_given, 3);
	n_given = 0;
	for (int i = 0; i < 3; i++)
		assert_true(message(narrow, &route, 0, 1000, SECONDS(3000)));
	assert_int_equal(sender_flush(sender, SECONDS(3000)), 0);
	assert_int_equal(n_given, 1);
}

static void
a_dead_source_is_forgotten_and_the_same_sent_again(void **state)
{
	static const int errors[] = {ENETUNREACH, EHOSTUNREACH, ENODEV, EADDRNOTAVAIL, EINVAL};
	const struct wg_route route = route_of(false, true);

	for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
		n_answers = answered = n_given = cleared = 0;
		answer(errors[i], 0);
		for (int k = 0; k < 60; k++)
			assert_true(message((struct wg_peer_id){1, 1}, &route, 0, 1452, SECONDS(1)));
		assert_int_equal(flush(), 0);
		assert_int_equal(cleared, 1);
		assert_int_equal(n_given, 2);
		assert_int_equal(given[0].n, 45);
		assert_false(given[0].source);
		assert_false(given[1].source);
	}
}

static void
a_lasting_error_drops_and_does_not_spin(void **state)
{
	messages(3, 1, false, 0, 1000);
	messages(1, 2, false, 0, 1000);
	answer(EPERM, 0);
	next_expected = 3;
	assert_int_equal(flush(), 0);
	assert_int_equal(n_given, 1);
	messages(1, 2, false, 0, 1000);
	answer(ENOBUFS, 0);
	assert_int_equal(flush(), 0);
	assert_int_equal(n_given, 1);
	assert_true(n_calls <= 4);
}

static void
a_family_without_a_socket_loses_its_messages(void **state)
{
	sockets.fd[UDP6] = -1;
	messages(3, 1, true, 0, 1000);
	messages(3, 1, false, 0, 1000);
	next_expected = 3;
	assert_int_equal(flush(), 0);
	assert_int_equal(n_given, 1);
	sockets.fd[UDP6] = 6;
}

static void
the_arena_is_bounded_and_used_again(void **state)
{
	const struct wg_route route = route_of(false, false);

	for (int round = 0; round < 3; round++) {
		unsigned n = 0;

		while (message((struct wg_peer_id){1, 1}, &route, 0, 1452, SECONDS(1)))
			n++;
		assert_in_range(n, SENDER_ARENA / 1500, SENDER_ARENA / 1452);
		assert_true(sender_due(sender));
		assert_int_equal(flush(), 0);
		assert_false(sender_due(sender));
	}
	for (unsigned i = 0; message((struct wg_peer_id){i, 1}, &route, 0, 32, SECONDS(1)); i++)
		assert_true(i < SENDER_BATCHES);
	assert_int_equal(flush(), 0);
}

static int
setup(void **state)
{
	const struct sender_config config = {.udp = &sockets,
					     .stats = &stats,
					     .source_clear = source_cleared,
					     .sendmmsg = kernel_sendmmsg};

	memset(&stats, 0, sizeof(stats));
	memset(&ladder, 0, sizeof(ladder));
	stats.ladder = &ladder;
	ladder_probed(&ladder, RUNG_UDP4_GSO, true, 0);
	ladder_probed(&ladder, RUNG_UDP6_GSO, true, 0);
	sockets = (struct udp){.fd = {4, 6}, .port = 1};
	n_given = n_calls = n_answers = answered = cleared = 0;
	numbered = next_expected = 0;
	lossy = false;
	return sender_new(&config, &sender);
}

static int
teardown(void **state)
{
	sender_free(sender);
	return 0;
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(equal_messages_leave_as_one_batch),
		TEST(a_batch_keeps_below_what_is_cut_in_software),
		TEST(a_shorter_message_ends_its_batch),
		TEST(peers_tos_and_endpoints_are_never_mixed),
		TEST(a_single_message_is_no_batch),
		TEST(random_messages_are_all_sent_once_and_in_order),
		TEST(what_is_taken_in_part_is_sent_on_from_there),
		TEST(a_full_socket_gets_the_same_messages_later),
		TEST(what_waited_too_long_does_not_leave),
		TEST(without_checksum_offload_a_family_sends_singly),
		TEST(a_path_too_narrow_makes_one_peer_send_singly_for_a_while),
		TEST(a_dead_source_is_forgotten_and_the_same_sent_again),
		TEST(a_lasting_error_drops_and_does_not_spin),
		TEST(a_family_without_a_socket_loses_its_messages),
		TEST(the_arena_is_bounded_and_used_again),
	};

	log_init("test", LOG_LEVEL_SILENT);
	rnd_begin();
	return cmocka_run_group_tests_name("sender", tests, NULL, NULL);
}
