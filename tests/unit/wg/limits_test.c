/* A peer's own limits: rate each way, MTU. */
#include "tests/unit/wg/foreign.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "server/wg/bucket.h"

#define RATE    100000U /* bytes a second: the bucket is as deep as the least one */
#define MESSAGE 96U     /* 64 bytes inside */
#define HELD    (WG_LIMIT_BURST_MIN / MESSAGE)

static struct foreign f;

static int
begin(void **state)
{
	foreign_init(&f);
	foreign_shake(&f, FOREIGN_AT);
	return 0;
}

static int
end(void **state)
{
	foreign_done(&f);
	return 0;
}

static void
rate_set(uint64_t rx, uint64_t tx)
{
	wg_peer_rate_set(f.rig.device, f.peer, rx, tx, rig_effects(&f.rig));
	rig_pump(&f.rig);
}

static unsigned
received_until_refused(void)
{
	unsigned n = 0;
	enum wg_drop drop;

	while ((drop = foreign_data(&f, FOREIGN_AT)) == WG_DROP_NONE)
		n++;
	assert_int_equal(drop, WG_DROP_RATE);
	return n;
}

static unsigned
sent_until_refused(void)
{
	unsigned n = 0;
	int r;

	while ((r = foreign_packet(&f)) == 1)
		n++;
	assert_int_equal(r, -WG_DROP_RATE);
	return n;
}

static void
what_exceeds_the_rate_is_dropped_and_time_brings_it_back(void **state)
{
	rate_set(RATE, RATE);
	assert_int_equal(received_until_refused(), HELD);
	assert_int_equal(sent_until_refused(), HELD);
	assert_int_equal(rig_drops(&f.rig, WG_DROP_RATE), 2);
	rig_run(&f.rig, MILLISECONDS(96));
	assert_in_range(received_until_refused(), RATE / 1000 * 96 / MESSAGE, RATE / 1000 * 96 / MESSAGE + 1);
	assert_in_range(sent_until_refused(), RATE / 1000 * 96 / MESSAGE, RATE / 1000 * 96 / MESSAGE + 1);
	rig_run(&f.rig, SECONDS(100));
	assert_int_equal(received_until_refused(), HELD);
}

static void
each_way_is_limited_for_itself(void **state)
{
	rate_set(RATE, 0);
	assert_int_equal(received_until_refused(), HELD);
	for (unsigned i = 0; i < 3 * HELD; i++)
		assert_int_equal(foreign_packet(&f), 1);
	rate_set(0, RATE);
	assert_int_equal(sent_until_refused(), HELD);
	for (unsigned i = 0; i < 3 * HELD; i++)
		assert_int_equal(foreign_data(&f, FOREIGN_AT), WG_DROP_NONE);
}

/* 64 KiB of inner packets in one call, at the least rate. */
static void
a_superframe_passes_at_once(void **state)
{
	static uint8_t rooms[64][WG_DATA_HEADER + 1024 + PATH_TAIL];
	struct path_out out[64];
	const struct wg_route *route;
	struct wg_peer_view view;

	wg_peer_view(f.peer, &view);
	rate_set(1, 1);
	for (unsigned i = 0; i < 64; i++) {
		packet4(rooms[i] + WG_DATA_HEADER, GATE_IP, FOREIGN_IP, 1024, i);
		out[i] = (struct path_out){.data = rooms[i], .len = 1024};
	}
	assert_int_equal(path_seal(f.rig.path[0], view.id, out, 64, RIG_MTU, false, f.rig.now, &route), 64);
}

static void
what_does_not_fit_is_dropped_from_the_end_of_a_batch(void **state)
{
	static uint8_t rooms[64][WG_DATA_HEADER + 1400 + PATH_TAIL];
	struct path_out out[64];
	const struct wg_route *route;
	struct wg_peer_view view;
	int r;

	wg_peer_view(f.peer, &view);
	rate_set(RATE, RATE);
	for (unsigned i = 0; i < 64; i++) {
		packet4(rooms[i] + WG_DATA_HEADER, GATE_IP, FOREIGN_IP, 1400, i);
		out[i] = (struct path_out){.data = rooms[i], .len = 1400};
	}
	r = path_seal(f.rig.path[0], view.id, out, 64, RIG_MTU, false, f.rig.now, &route);
	assert_int_equal(r, WG_LIMIT_BURST_MIN / (1408 + WG_DATA_OVERHEAD));
	assert_int_equal(rig_drops(&f.rig, WG_DROP_RATE), 64 - r);
	for (int i = 0; i < r; i++) {
		uint8_t plain[1408];

		assert_true(oracle_take_data(&f.o, plain, out[i].data, out[i].len));
		assert_int_equal(packet_id(plain), i);
	}
}

static void
a_forger_spends_nothing_of_the_peers(void **state)
{
	uint8_t packet[64], message[MESSAGE];

	rate_set(RATE, RATE);
	packet4(packet, FOREIGN_IP, GATE_IP, sizeof(packet), 1);
	for (unsigned i = 0; i < 2 * HELD; i++) {
		oracle_data(&f.o, message, f.o.counter + i, packet, sizeof(packet));
		message[50] ^= 1;
		assert_int_equal(rig_datagram(&f.rig, message, sizeof(message), FOREIGN_AT),
				 WG_DROP_AUTHENTICATION);
	}
	assert_int_equal(received_until_refused(), HELD);
	/* And of an empty bucket nobody is given work. */
	oracle_data(&f.o, message, f.o.counter, packet, sizeof(packet));
	message[50] ^= 1;
	assert_int_equal(rig_datagram(&f.rig, message, sizeof(message), FOREIGN_AT), WG_DROP_RATE);
}

/* Refused before it was authentic, it may come again. */
static void
what_was_refused_unread_is_not_a_replay(void **state)
{
	uint64_t counter;

	rate_set(RATE, RATE);
	received_until_refused();
	counter = f.o.counter - 1;
	rig_run(&f.rig, SECONDS(1));
	assert_int_equal(foreign_send(&f, counter, "", 0, FOREIGN_AT), WG_DROP_NONE);
	assert_int_equal(foreign_send(&f, counter, "", 0, FOREIGN_AT), WG_DROP_REPLAY);
}

static void
keepalives_and_handshakes_pass_an_empty_bucket(void **state)
{
	rate_set(RATE, RATE);
	received_until_refused();
	sent_until_refused();
	assert_int_equal(foreign_send(&f, f.o.counter++, "", 0, FOREIGN_AT), WG_DROP_NONE);
	rig_run(&f.rig, SECONDS(130));
	received_until_refused();
	foreign_shake(&f, FOREIGN_AT);
}

/* Data alone confirms a session: if it were refused for want of tokens, the new session would never come to
 * be. */
static void
a_new_session_is_confirmed_with_an_empty_bucket(void **state)
{
	uint8_t initiation[ORACLE_INITIATION];
	const struct rig_datagram *response;

	rig_run(&f.rig, SECONDS(130));
	rate_set(1, 0);
	received_until_refused();
	rig_empty(&f.rig);
	foreign_initiation(&f, initiation);
	assert_int_equal(rig_datagram(&f.rig, initiation, sizeof(initiation), FOREIGN_AT), WG_DROP_NONE);
	response = rig_one(&f.rig, WG_MSG_RESPONSE);
	assert_true(oracle_take_response(&f.o, response->data, response->len));
	f.rig.handshakes = 0;
	assert_int_equal(foreign_data(&f, FOREIGN_AT), WG_DROP_RATE);
	rig_run(&f.rig, SECONDS(1));
	assert_int_equal(f.rig.handshakes, 1);
}

static void
what_waits_for_a_handshake_was_charged_once(void **state)
{
	unsigned n = 0;

	rig_run(&f.rig, SECONDS(200)); /* the session is too old */
	rate_set(0, RATE);
	while (n < WG_STAGED_PER_PEER && foreign_packet(&f) == 0)
		n++;
	assert_int_equal(n, WG_STAGED_PER_PEER);
	foreign_shake(&f, FOREIGN_AT);
	assert_in_range(sent_until_refused(), HELD - WG_STAGED_PER_PEER, HELD - WG_STAGED_PER_PEER + 1);
}

static void
limits_are_shown_and_the_same_again_orders_nothing(void **state)
{
	struct wg_peer_view view;

	wg_peer_view(f.peer, &view);
	assert_int_equal(view.limits.rate_rx + view.limits.rate_tx + view.limits.mtu, 0);
	assert_int_equal(path_mtu(f.rig.path[0], view.id), 0);
	rate_set(0, 0);
	wg_peer_mtu_set(f.rig.device, f.peer, 0, rig_effects(&f.rig));
	assert_int_equal(f.rig.ordered[WG_ORDER_LIMITS], 0);
	rate_set(RATE, 2 * RATE);
	wg_peer_mtu_set(f.rig.device, f.peer, 1280, rig_effects(&f.rig));
	rig_pump(&f.rig);
	assert_int_equal(f.rig.ordered[WG_ORDER_LIMITS], 2);
	received_until_refused();
	rate_set(RATE, 2 * RATE);
	wg_peer_mtu_set(f.rig.device, f.peer, 1281, rig_effects(&f.rig)); /* fills no bucket */
	rig_pump(&f.rig);
	assert_int_equal(foreign_data(&f, FOREIGN_AT), WG_DROP_RATE);
	wg_peer_view(f.peer, &view);
	assert_int_equal(view.limits.rate_rx, RATE);
	assert_int_equal(view.limits.rate_tx, 2 * RATE);
	assert_int_equal(view.limits.mtu, 1281);
	assert_int_equal(path_mtu(f.rig.path[0], view.id), 1281);
	view.id.serial++;
	assert_int_equal(path_mtu(f.rig.path[0], view.id), 0);
}

static void
padding_stops_at_the_peers_mtu(void **state)
{
	uint8_t packet[1280];

	wg_peer_mtu_set(f.rig.device, f.peer, 1282, rig_effects(&f.rig));
	rig_pump(&f.rig);
	for (unsigned len = 1270; len <= 1280; len++) {
		const unsigned padded = (len + 15) / 16 * 16;

		rig_empty(&f.rig);
		packet4(packet, GATE_IP, FOREIGN_IP, len, 1);
		assert_int_equal(rig_packet(&f.rig, packet, len), 1);
		assert_int_equal(f.rig.out[0].len, MIN(padded, 1282U) + WG_DATA_OVERHEAD);
	}
}

/* IPv4 that may be cut on the way passes, however narrow the peer is; rig.c gives each no more room than was
 * said. */
static void
what_is_longer_than_the_peers_mtu_is_padded_as_without_it(void **state)
{
	uint8_t packet[RIG_MTU];

	for (uint16_t mtu = 576; mtu <= RIG_MTU; mtu += 29) {
		wg_peer_mtu_set(f.rig.device, f.peer, mtu, rig_effects(&f.rig));
		rig_pump(&f.rig);
		for (unsigned len = mtu + 1U; len <= RIG_MTU; len += 31) {
			rig_empty(&f.rig);
			packet4(packet, GATE_IP, FOREIGN_IP, len, 1);
			assert_int_equal(rig_packet(&f.rig, packet, len), 1);
			assert_int_equal(f.rig.out[0].len, path_message_len(len, RIG_MTU));
		}
	}
}

/* What waits keeps the MTU of where it came from. */
static void
what_waited_is_padded_by_its_own_mtu(void **state)
{
	static const uint32_t mtus[] = {1300, 1300, 1301, 1420, 0};
	uint8_t packet[1300], response[ORACLE_RESPONSE];

	rig_run(&f.rig, SECONDS(200)); /* the session is too old */
	rig_empty(&f.rig);
	for (unsigned i = 0; i < ARRAY_LEN(mtus); i++) {
		f.rig.mtu = mtus[i];
		packet4(packet, GATE_IP, FOREIGN_IP, 1298, i);
		assert_int_equal(rig_packet(&f.rig, packet, 1298), 0);
	}
	f.rig.mtu = RIG_MTU;
	assert_true(
		oracle_take_initiation(&f.o, rig_one(&f.rig, WG_MSG_INITIATION)->data, WG_INITIATION_LEN));
	oracle_response(&f.o, response);
	rig_empty(&f.rig);
	assert_int_equal(rig_datagram(&f.rig, response, sizeof(response), FOREIGN_AT), WG_DROP_NONE);
	assert_int_equal(f.rig.n_out, ARRAY_LEN(mtus));
	for (unsigned i = 0; i < ARRAY_LEN(mtus); i++)
		assert_int_equal(f.rig.out[i].len, path_message_len(1298, mtus[i]));
}

/* A bucket is looked at at any moments: over any stretch of time it lets pass depth + rate × time, and no
 * less. */
static void
a_bucket_keeps_its_rate_however_often_it_is_asked(void **state)
{
	static const uint64_t rates[] = {1, 7, 1000, 12345, 125000, 1U << 30, 12500000000};
	uint64_t random = 88172645463325252;

	for (size_t i = 0; i < ARRAY_LEN(rates); i++) {
		struct bucket bucket = {0};
		nsec_t now = SECONDS(1);
		uint64_t passed = 0, least, most;
		unsigned asked = 0;

		bucket_set(&bucket, rates[i], now);
		while (now < SECONDS(21)) {
			random ^= random << 13;
			random ^= random >> 7;
			random ^= random << 17;
			now += (nsec_t)(random % 40000);
			bucket_fill(&bucket, now);
			while (bucket_take(&bucket, 1500))
				passed += 1500;
			asked++;
		}
		most = bucket.depth +
		       (uint64_t)((unsigned __int128)rates[i] * (uint64_t)(now - SECONDS(1)) / SECONDS(1));
		least = most - 1500 - most / 10000;
		assert_true(asked > 100000);
		assert_true(passed <= most);
		assert_true(passed >= least);
	}
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(what_exceeds_the_rate_is_dropped_and_time_brings_it_back),
		TEST(each_way_is_limited_for_itself),
		TEST(a_superframe_passes_at_once),
		TEST(what_does_not_fit_is_dropped_from_the_end_of_a_batch),
		TEST(a_forger_spends_nothing_of_the_peers),
		TEST(what_was_refused_unread_is_not_a_replay),
		TEST(keepalives_and_handshakes_pass_an_empty_bucket),
		TEST(a_new_session_is_confirmed_with_an_empty_bucket),
		TEST(what_waits_for_a_handshake_was_charged_once),
		TEST(limits_are_shown_and_the_same_again_orders_nothing),
		TEST(padding_stops_at_the_peers_mtu),
		TEST(what_is_longer_than_the_peers_mtu_is_padded_as_without_it),
		TEST(what_waited_is_padded_by_its_own_mtu),
		cmocka_unit_test(a_bucket_keeps_its_rate_however_often_it_is_asked),
	};

	return cmocka_run_group_tests_name("limits", tests, NULL, NULL);
}
