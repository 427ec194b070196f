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
	unsigned pieces;
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

/* The bytes of a send, however many pieces they came in. */
static const uint8_t *
flat(const struct msghdr *msg, uint32_t *len)
{
	static uint8_t bytes[70000];

	*len = 0;
	for (size_t i = 0; i < msg->msg_iovlen; i++) {
		assert_true(*len + msg->msg_iov[i].iov_len <= sizeof(bytes));
		memcpy(bytes + *len, msg->msg_iov[i].iov_base, msg->msg_iov[i].iov_len);
		*len += (uint32_t)msg->msg_iov[i].iov_len;
	}
	return bytes;
}

/* As the kernel cuts it: a message begins every so many bytes, or it would not have its number. */
static void
given_read(struct given *g, int fd, const struct msghdr *msg)
{
	const uint8_t *bytes;

	*g = (struct given){.fd = fd, .n = 1};
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR((struct msghdr *)(uintptr_t)msg, c)) {
		if (c->cmsg_level == 17 && c->cmsg_type == UDP_SEGMENT)
			memcpy(&g->segment, CMSG_DATA(c), 2);
		else if (c->cmsg_type == IP_PKTINFO || c->cmsg_type == IPV6_PKTINFO)
			g->source = true;
		else
			memcpy(&g->tos, CMSG_DATA(c), 4);
	}
	bytes = flat(msg, &g->total);
	memcpy(&g->first, bytes, 4);
	if (g->segment)
		g->n = (g->total + g->segment - 1) / g->segment;
	for (uint32_t i = 0; i < g->n; i++) {
		uint32_t number;

		memcpy(&number, bytes + i * g->segment, 4);
		assert_int_equal(number, g->first + i);
	}
	g->pieces = (unsigned)msg->msg_iovlen;
}

/* What holds of every call, whatever it is about. */
static void
assert_legal(const struct given *g)
{
	const uint32_t most = g->fd == 4 ? 65493 : 65473;

	assert_true((g->n > 1) == (g->segment != 0));
	assert_true(g->n == 1 || (g->n <= 64 && g->total <= most));
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
		assert_legal(g);
		if (lossy)
			assert_true(g->first >= next_expected); /* none twice, in order */
		else
			assert_int_equal(g->first, next_expected); /* and none lost */
		next_expected = g->first + g->n;
	}
	return (int)take;
}

/* A filter that does not know sendmmsg(), or a firewall. */
static int seccomp, firewall;
static unsigned n_single_calls;

static ssize_t
kernel_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	struct mmsghdr one = {.msg_hdr = *msg};

	n_single_calls++;
	if (firewall) {
		errno = firewall;
		return -1;
	}
	return kernel_sendmmsg(fd, &one, 1, flags) < 0 ? -1 : 1;
}

static int
filtered_sendmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags)
{
	if (!seccomp && !firewall)
		return kernel_sendmmsg(fd, msgs, n, flags);
	errno = seccomp ? seccomp : firewall;
	n_calls++;
	return -1;
}

static bool unanswered;

static bool
may_batch(void *ctx, struct wg_peer_id peer, nsec_t now)
{
	return !unanswered;
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
	assert_int_equal(given[0].pieces, 1); /* they lie one behind the other */
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

static uint64_t
dropped(void)
{
	uint64_t n = 0;

	for (int i = 0; i < WG_DROP_COUNT; i++)
		n += wg_counted(&stats.drops, (enum wg_drop)i);
	return n;
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
	assert_int_equal(ladder.rungs[RUNG_UDP4_GSO].downs, 1);
}

/* One batch is the trial: refused again it goes singly, and nothing is tried before it is due again. */
static void
a_family_is_tried_again_with_one_batch(void **state)
{
	const struct wg_route route = route_of(false, false);
	const struct wg_peer_id a = {1, 1}, b = {2, 1};
	nsec_t at = SECONDS(1);

	messages(2, 1, false, 0, 1000);
	answer(EIO, 0);
	assert_int_equal(flush(), 0);
	for (unsigned again = 0; again < 3; again++) {
		const bool due = again > 0;

		at += LADDER_RETRY_TIME - (again == 0);
		n_given = n_calls = n_answers = answered = 0;
		for (int i = 0; i < 10; i++)
			assert_true(message(i < 5 ? a : b, &route, 0, 1000, at));
		if (again == 1)
			answer(EIO, 0);
		assert_int_equal(sender_flush(sender, at), 0);
		assert_int_equal(n_given, again == 2 ? 2 : 10);
		assert_int_equal(given[0].n, again == 2 ? 5 : 1);
		assert_int_equal(n_calls, due ? 2 : 1);
		assert_int_equal(ladder_get(&ladder, RUNG_UDP4_GSO), again == 2 ? RUNG_ON : RUNG_DOWN);
	}
	assert_int_equal(ladder.rungs[RUNG_UDP4_GSO].downs, 1);
	assert_int_equal(ladder.rungs[RUNG_UDP4_GSO].ups, 1);
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
	assert_int_equal(ladder_figure(&ladder, RUNG_PEER_PATH), 2);
	assert_int_equal(ladder_get(&ladder, RUNG_PEER_PATH), RUNG_DOWN);
	n_given = 0;
	for (int i = 0; i < 3; i++)
		assert_true(message(narrow, &route, 0, 1000, SECONDS(1)));
	assert_int_equal(flush(), 0);
	assert_int_equal(n_given, 3);
	n_given = 0;
	for (int i = 0; i < 3; i++)
		assert_true(message(narrow, &route, 0, 1000, SECONDS(1) + SENDER_ALONE_TIME));
	assert_int_equal(sender_flush(sender, SECONDS(1) + SENDER_ALONE_TIME), 0);
	assert_int_equal(n_given, 1);
	assert_int_equal(ladder_get(&ladder, RUNG_PEER_PATH), RUNG_ON);
	assert_int_equal(ladder.rungs[RUNG_PEER_PATH].downs, 2);
	assert_int_equal(ladder.rungs[RUNG_PEER_PATH].ups, 2);
}

static void
shorter_batches_still_go_where_the_path_is_narrow(void **state)
{
	messages(10, 7, false, 0, 1400);
	answer(EMSGSIZE, 0);
	assert_int_equal(flush(), 0);
	n_given = n_answers = answered = 0;
	messages(10, 7, false, 0, 1200);
	assert_int_equal(flush(), 0);
	assert_int_equal(n_given, 1);
	n_given = n_answers = answered = 0;
	messages(10, 7, false, 0, 1200);
	answer(EMSGSIZE, 0); /* narrower yet */
	assert_int_equal(flush(), 0);
	assert_int_equal(n_given, 10);
	n_given = n_answers = answered = 0;
	messages(10, 7, false, 0, 1200);
	messages(10, 7, false, 0, 1199);
	assert_int_equal(flush(), 0);
	assert_int_equal(n_given, 12); /* the first shorter one ended the batch before */
	assert_int_equal(ladder_figure(&ladder, RUNG_PEER_PATH), 1);
}

/* However many they are, memory is what it was; who was pushed out is refused once more. */
static void
more_narrow_peers_than_are_remembered_lose_nothing(void **state)
{
	for (uint32_t peer = 1; peer <= 4 * SENDER_ALONE_MAX; peer++) {
		n_given = n_answers = answered = 0;
		answer(EMSGSIZE, 0);
		messages(3, peer * 977, false, 0, 1000);
		assert_int_equal(flush(), 0);
		assert_int_equal(n_given, 3);
		assert_true(ladder_figure(&ladder, RUNG_PEER_PATH) <= SENDER_ALONE_MAX);
	}
	assert_in_range(ladder_figure(&ladder, RUNG_PEER_PATH), SENDER_ALONE_MAX / 2, SENDER_ALONE_MAX);
	assert_int_equal(dropped(), 0);
	assert_int_equal(sender_flush(sender, SECONDS(2) + SENDER_ALONE_TIME), 0);
	assert_int_equal(ladder_figure(&ladder, RUNG_PEER_PATH), 0);
	assert_int_equal(ladder.rungs[RUNG_PEER_PATH].downs, 4 * SENDER_ALONE_MAX);
	assert_int_equal(ladder.rungs[RUNG_PEER_PATH].ups, 4 * SENDER_ALONE_MAX);
}

static void
a_peer_that_never_answers_batches_gets_none_for_a_while(void **state)
{
	const struct wg_route route = route_of(false, false);
	const nsec_t later = SECONDS(1) + SENDER_ALONE_TIME;

	unanswered = true;
	messages(10, 7, false, 0, 100);
	assert_int_equal(flush(), 0);
	unanswered = false;
	messages(10, 7, false, 0, 100);
	messages(10, 8, false, 0, 100);
	assert_int_equal(flush(), 0);
	assert_int_equal(n_given, 21);
	assert_int_equal(ladder_figure(&ladder, RUNG_PEER_ANSWERS), 1);
	assert_int_equal(ladder_figure(&ladder, RUNG_PEER_PATH), 0);
	for (int i = 0; i < 10; i++)
		assert_true(message((struct wg_peer_id){7, 1}, &route, 0, 100, later));
	assert_int_equal(sender_flush(sender, later), 0);
	assert_int_equal(n_given, 22);
	assert_int_equal(ladder_get(&ladder, RUNG_PEER_ANSWERS), RUNG_ON);
}

static void
without_sendmmsg_each_leaves_by_itself(void **state)
{
	static const int errors[] = {ENOSYS, EPERM};

	for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
		struct sender *fresh;
		const struct sender_config config = {.udp = &sockets,
						     .stats = &stats,
						     .source_clear = source_cleared,
						     .calls = {filtered_sendmmsg, kernel_sendmsg}};

		sender_free(sender);
		assert_int_equal(sender_new(&config, &fresh), 0);
		sender = fresh;
		memset(&ladder.rungs[RUNG_SENDMMSG], 0, sizeof(ladder.rungs[0]));
		ladder_probed(&ladder, RUNG_SENDMMSG, true, 0);
		n_given = n_calls = n_single_calls = 0;
		seccomp = errors[i];
		messages(90, 1, false, 0, 1452);
		messages(5, 2, true, 0, 1452);
		assert_int_equal(flush(), 0);
		assert_int_equal(n_given, 3);
		assert_int_equal(n_single_calls, 3);
		assert_int_equal(ladder_get(&ladder, RUNG_SENDMMSG), RUNG_DOWN);
		assert_int_equal(ladder.rungs[RUNG_SENDMMSG].downs, 1);
		assert_int_equal(n_calls, 4); /* sendmmsg() is asked once only */
		seccomp = 0;
	}
	assert_int_equal(dropped(), 0);
}

/* It says the same of every call, and of sendmmsg() nothing. */
static void
a_firewall_is_not_taken_for_a_filter_of_calls(void **state)
{
	messages(3, 1, false, 0, 1000);
	firewall = EPERM;
	next_expected = 3;
	assert_int_equal(flush(), 0);
	assert_int_equal(n_given, 0);
	firewall = 0;
	assert_int_equal(wg_counted(&stats.drops, WG_DROP_SEND_REFUSED), 3);
	assert_true(ladder_on(&ladder, RUNG_SENDMMSG));
	messages(3, 1, false, 0, 1000);
	assert_int_equal(flush(), 0);

	/* one that refuses now and then: the single one passes, and it worked before */
	messages(3, 1, false, 0, 1000);
	answer(EPERM, 0);
	assert_int_equal(flush(), 0);
	assert_int_equal(n_given, 2);
	assert_true(ladder_on(&ladder, RUNG_SENDMMSG));
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
what_a_queue_has_no_room_for_is_counted_and_never_sent_again(void **state)
{
	static const int errors[] = {ENOBUFS, ENOMEM};

	for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
		n_given = n_calls = n_answers = answered = 0;
		messages(3, 1, false, 0, 1000);
		messages(1, 2, false, 0, 1000);
		answer(errors[i], 0);
		next_expected += 3;
		assert_int_equal(flush(), 0);
		assert_int_equal(n_given, 1);
		assert_int_equal(n_calls, 2);
		assert_int_equal(wg_counted(&stats.drops, WG_DROP_SEND_FULL), 3 * (i + 1));
	}
}

static void
a_lasting_error_drops_and_does_not_spin(void **state)
{
	static const int errors[] = {EACCES, ENETUNREACH, EHOSTUNREACH, ENODEV, EDESTADDRREQ, EPIPE};

	for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
		n_given = n_calls = n_answers = answered = 0;
		messages(3, 1, false, 0, 1000);
		messages(1, 2, false, 0, 1000);
		answer(errors[i], 0);
		next_expected += 3;
		assert_int_equal(flush(), 0);
		assert_int_equal(n_given, 1);
		assert_int_equal(n_calls, 2);
		assert_int_equal(wg_counted(&stats.drops, WG_DROP_SEND_REFUSED), 3 * (i + 1));
	}
	/* a single one for which there is no lower rung */
	messages(1, 1, false, 0, 1000);
	answer(EIO, 0);
	next_expected++;
	assert_int_equal(flush(), 0);
	messages(1, 1, false, 0, 1000);
	answer(EMSGSIZE, 0);
	next_expected++;
	assert_int_equal(flush(), 0);
	assert_true(ladder_on(&ladder, RUNG_UDP4_GSO));
	assert_int_equal(ladder_figure(&ladder, RUNG_PEER_PATH), 0);
}

static void
an_interrupted_call_is_made_again(void **state)
{
	messages(10, 1, false, 0, 1000);
	answer(EINTR, 0);
	answer(EINTR, 0);
	assert_int_equal(flush(), 0);
	assert_int_equal(n_given, 1);
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

/*
 * A naive kernel, that answers whatever it likes, under a model of what was given to the sender: each message
 * leaves once or is counted, and those of a peer leave in their order.
 */
#define MODEL_STEPS 100000
#define MODEL_PEERS 5

static struct {
	uint64_t added, left;
	uint32_t last[MODEL_PEERS]; /* that left */
} model;

static void
model_take(const struct msghdr *msg, int fd)
{
	struct given g;

	given_read(&g, fd, msg);
	assert_legal(&g);
	for (uint32_t i = 0; i < g.n; i++) {
		uint32_t said[2], len;

		memcpy(said, flat(msg, &len) + i * g.segment, sizeof(said));
		assert_true(said[0] > model.last[said[1]]);
		model.last[said[1]] = said[0];
		model.left++;
	}
}

static int
model_answer(void)
{
	static const int errors[] = {EIO,         EMSGSIZE,      EINVAL, EAGAIN, ENOBUFS,
				     ENETUNREACH, ENODEV,        EINTR,  ENOMEM, EHOSTUNREACH,
				     EPERM,       EADDRNOTAVAIL, ENOSYS};

	return rnd(3) ? 0 : errors[rnd(rnd(20) ? ARRAY_LEN(errors) - 1 : ARRAY_LEN(errors))];
}

static int
model_sendmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags)
{
	const unsigned take = rnd(3) ? n : 1 + rnd(n);
	const int error = model_answer();

	assert_in_range(n, 1, 64);
	if (error) {
		errno = error;
		return -1;
	}
	for (unsigned i = 0; i < take; i++)
		model_take(&msgs[i].msg_hdr, fd);
	return (int)take;
}

static ssize_t
model_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	const int error = model_answer();

	if (error) {
		errno = error;
		return -1;
	}
	model_take(msg, fd);
	return 1;
}

static void
model_add(nsec_t now)
{
	const struct wg_route route = route_of(rnd(4) == 0, rnd(3) == 0);
	const uint32_t len = rnd(4) ? 1452 : 32 + rnd(1400), peer = rnd(MODEL_PEERS);
	const uint8_t tos = rnd(20) == 0;

	for (unsigned n = 1 + rnd(50); n > 0; n--) {
		uint8_t *room = sender_room(sender, len);

		if (room && rnd(10) == 0) /* left unused */
			room = sender_room(sender, len);
		if (!room)
			return;
		numbered++;
		memcpy(room, &numbered, 4);
		memcpy(room + 4, &peer, 4);
		sender_add(sender, (struct wg_peer_id){peer * 4096, 1}, &route, tos, room, len, now);
		model.added++;
	}
}

static void
whatever_the_system_answers_each_leaves_once_or_is_counted(void **state)
{
	const struct sender_config config = {.udp = &sockets,
					     .stats = &stats,
					     .source_clear = source_cleared,
					     .may_batch = may_batch,
					     .calls = {model_sendmmsg, model_sendmsg}};
	nsec_t now = SECONDS(1);

	sender_free(sender);
	assert_int_equal(sender_new(&config, &sender), 0);
	memset(&model, 0, sizeof(model));
	for (unsigned step = 0; step < MODEL_STEPS; step++) {
		now += rnd(50) ? MILLISECONDS(rnd(30)) : SECONDS(rnd(400));
		unanswered = rnd(100) == 0;
		sockets.fd[UDP6] = rnd(1000) ? 6 : -1;
		if (rnd(5000) == 0) /* the model's filter is for good */
			ladder_up(&ladder, RUNG_SENDMMSG);
		if (rnd(3))
			model_add(now);
		if (sender_flush(sender, now) == 0) {
			assert_true(sender_empty(sender));
			assert_int_equal(model.left + dropped(), model.added);
		}
		assert_true(model.left + dropped() <= model.added);
	}
	while (sender_flush(sender, now) < 0)
		now += SENDER_PATIENCE + 1;
	assert_int_equal(model.left + dropped(), model.added);
	assert_true(model.left > model.added / 4);
	assert_int_equal(stats.segments[STATS_UDP_SEND], model.left);
	assert_true(ladder.rungs[RUNG_UDP4_GSO].ups > 0 && ladder.rungs[RUNG_PEER_PATH].ups > 0);
	sockets.fd[UDP6] = 6;
}

static int
setup(void **state)
{
	const struct sender_config config = {.udp = &sockets,
					     .stats = &stats,
					     .source_clear = source_cleared,
					     .may_batch = may_batch,
					     .calls = {filtered_sendmmsg, kernel_sendmsg}};

	memset(&stats, 0, sizeof(stats));
	memset(&ladder, 0, sizeof(ladder));
	stats.ladder = &ladder;
	ladder_probed(&ladder, RUNG_UDP4_GSO, true, 0);
	ladder_probed(&ladder, RUNG_UDP6_GSO, true, 0);
	sockets = (struct udp){.fd = {4, 6}};
	n_given = n_calls = n_answers = answered = cleared = n_single_calls = 0;
	seccomp = firewall = 0;
	unanswered = false;
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
		TEST(a_family_is_tried_again_with_one_batch),
		TEST(a_path_too_narrow_makes_one_peer_send_singly_for_a_while),
		TEST(shorter_batches_still_go_where_the_path_is_narrow),
		TEST(more_narrow_peers_than_are_remembered_lose_nothing),
		TEST(a_peer_that_never_answers_batches_gets_none_for_a_while),
		TEST(without_sendmmsg_each_leaves_by_itself),
		TEST(a_firewall_is_not_taken_for_a_filter_of_calls),
		TEST(what_a_queue_has_no_room_for_is_counted_and_never_sent_again),
		TEST(an_interrupted_call_is_made_again),
		TEST(a_dead_source_is_forgotten_and_the_same_sent_again),
		TEST(a_lasting_error_drops_and_does_not_spin),
		TEST(a_family_without_a_socket_loses_its_messages),
		TEST(the_arena_is_bounded_and_used_again),
		TEST(whatever_the_system_answers_each_leaves_once_or_is_counted),
	};

	log_init("test", LOG_LEVEL_SILENT);
	rnd_begin();
	return cmocka_run_group_tests_name("sender", tests, NULL, NULL);
}
