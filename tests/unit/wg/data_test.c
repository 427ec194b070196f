/* Data messages: counters, padding, what may be inside, staging, batches. */
#include "tests/unit/wg/foreign.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

static struct foreign f;

static int
begin(void **state)
{
	foreign_init(&f);
	return 0;
}

static int
end(void **state)
{
	foreign_done(&f);
	return 0;
}

static void
a_packet_comes_out_as_it_went_in(void **state)
{
	uint8_t packet[1420];

	foreign_shake(&f, FOREIGN_AT);
	for (size_t len = 28; len <= sizeof(packet); len++) {
		packet4(packet, FOREIGN_IP, GATE_IP, len, len);
		memset(packet + 28, (int)len, len - 28);
		rig_empty(&f.rig);
		assert_int_equal(foreign_send(&f, f.o.counter++, packet, len, FOREIGN_AT), WG_DROP_NONE);
		assert_int_equal(f.rig.n_in, 1);
		assert_int_equal(f.rig.in[0].len, len);
		assert_memory_equal(f.rig.in[0].data, packet, len);
		assert_false(f.rig.in[0].quarantined);
	}
}

/* The kernel's rule: to 16, but the last part of the packet never beyond the MTU. */
static size_t
padded(size_t len, size_t mtu)
{
	size_t last = len;

	if (mtu == 0)
		return (len + 15) / 16 * 16;
	if (last > mtu)
		last %= mtu;
	return len - last + MIN(mtu, (last + 15) / 16 * 16);
}

static void
packets_are_padded_with_zeroes_to_16_but_not_beyond_the_mtu(void **state)
{
	static const uint32_t mtus[] = {1420, 1280, 1421, 576, 0};
	uint8_t packet[2000], plain[2100];

	foreign_shake(&f, FOREIGN_AT);
	for (size_t m = 0; m < ARRAY_LEN(mtus); m++) {
		f.rig.mtu = mtus[m];
		for (size_t len = 28; len <= sizeof(packet); len++) {
			const struct rig_datagram *out;

			packet4(packet, GATE_IP, FOREIGN_IP, len, len);
			packet[len - 1] = 0x99;
			rig_empty(&f.rig);
			assert_int_equal(rig_packet(&f.rig, packet, len), 1);
			out = rig_one(&f.rig, WG_MSG_DATA);
			assert_int_equal(out->len, padded(len, mtus[m]) + WG_DATA_OVERHEAD);
			assert_true(oracle_take_data(&f.o, plain, out->data, out->len));
			assert_memory_equal(plain, packet, len);
			for (size_t i = len; i < out->len - WG_DATA_OVERHEAD; i++)
				assert_int_equal(plain[i], 0);
		}
	}
}

static void
counters_begin_at_0_and_rise_by_one(void **state)
{
	foreign_answer(&f); /* the keepalive was 0 */
	for (uint64_t i = 1; i < 3000; i++) {
		rig_empty(&f.rig);
		assert_int_equal(foreign_packet(&f), 1);
		assert_int_equal(le64_load(f.rig.out[0].data + 8), i);
	}
}

static void
a_counter_is_accepted_once(void **state)
{
	foreign_shake(&f, FOREIGN_AT);
	f.o.counter = 0;
	assert_int_equal(foreign_data(&f, FOREIGN_AT), WG_DROP_REPLAY); /* the confirmation had it */
	for (uint64_t i = 1; i < 200; i++) {
		f.o.counter = i;
		assert_int_equal(foreign_data(&f, FOREIGN_AT), WG_DROP_NONE);
		f.o.counter = i;
		assert_int_equal(foreign_data(&f, FOREIGN_AT), WG_DROP_REPLAY);
	}
	assert_int_equal(f.rig.n_in, 199);
}

static void
the_first_counter_may_be_0(void **state)
{
	uint8_t packet[64], data[96], initiation[ORACLE_INITIATION];

	foreign_initiation(&f, initiation);
	assert_int_equal(rig_datagram(&f.rig, initiation, sizeof(initiation), FOREIGN_AT), WG_DROP_NONE);
	assert_true(oracle_take_response(&f.o, rig_one(&f.rig, WG_MSG_RESPONSE)->data, WG_RESPONSE_LEN));
	packet4(packet, FOREIGN_IP, GATE_IP, sizeof(packet), 1);
	oracle_data(&f.o, data, 0, packet, sizeof(packet));
	assert_int_equal(rig_datagram(&f.rig, data, sizeof(data), FOREIGN_AT), WG_DROP_NONE);
	assert_int_equal(rig_datagram(&f.rig, data, sizeof(data), FOREIGN_AT), WG_DROP_REPLAY);
}

static void
the_window_reaches_8128_back(void **state)
{
	foreign_shake(&f, FOREIGN_AT);
	f.o.counter = 100000;
	assert_int_equal(foreign_data(&f, FOREIGN_AT), WG_DROP_NONE);
	f.o.counter = 100000 - 8128;
	assert_int_equal(foreign_data(&f, FOREIGN_AT), WG_DROP_NONE);
	f.o.counter = 100000 - 8128;
	assert_int_equal(foreign_data(&f, FOREIGN_AT), WG_DROP_REPLAY);
	f.o.counter = 100000 - 8129;
	assert_int_equal(foreign_data(&f, FOREIGN_AT), WG_DROP_REPLAY);
	f.o.counter = 1;
	assert_int_equal(foreign_data(&f, FOREIGN_AT), WG_DROP_REPLAY);
}

static void
a_forged_counter_moves_no_window(void **state)
{
	uint8_t data[32];

	foreign_shake(&f, FOREIGN_AT);
	oracle_data(&f.o, data, 5, "", 0);
	le64_store(data + 8, 1ULL << 40);
	assert_int_equal(rig_datagram(&f.rig, data, sizeof(data), FOREIGN_AT), WG_DROP_AUTHENTICATION);
	f.o.counter = 5;
	assert_int_equal(foreign_data(&f, FOREIGN_AT), WG_DROP_NONE);
}

static void
counters_beyond_the_limit_are_refused(void **state)
{
	foreign_shake(&f, FOREIGN_AT);
	f.o.counter = WG_REJECT_AFTER_MESSAGES;
	assert_int_equal(foreign_data(&f, FOREIGN_AT), WG_DROP_KEY_EXPIRED);
	f.o.counter = UINT64_MAX;
	assert_int_equal(foreign_data(&f, FOREIGN_AT), WG_DROP_KEY_EXPIRED);
	f.o.counter = WG_REJECT_AFTER_MESSAGES - 1;
	assert_int_equal(foreign_data(&f, FOREIGN_AT), WG_DROP_NONE);
	f.o.counter = WG_REJECT_AFTER_MESSAGES - 1;
	assert_int_equal(foreign_data(&f, FOREIGN_AT), WG_DROP_REPLAY);
}

static void
one_wrong_bit_is_fatal_and_moves_nothing(void **state)
{
	uint8_t packet[64], data[96];
	struct wg_peer_view view;
	char text[ENDPOINT_TEXT_LEN];

	foreign_shake(&f, FOREIGN_AT);
	packet4(packet, FOREIGN_IP, GATE_IP, sizeof(packet), 1);
	oracle_data(&f.o, data, 1, packet, sizeof(packet));
	for (unsigned bit = 0; bit < 8 * sizeof(data); bit++) {
		data[bit / 8] ^= (uint8_t)BIT(bit % 8);
		assert_int_not_equal(rig_datagram(&f.rig, data, sizeof(data), "198.51.100.66:1"),
				     WG_DROP_NONE);
		data[bit / 8] ^= (uint8_t)BIT(bit % 8);
	}
	for (size_t len = 0; len < sizeof(data); len++)
		assert_int_not_equal(rig_datagram(&f.rig, data, len, "198.51.100.66:1"), WG_DROP_NONE);
	rig_pump(&f.rig);
	wg_peer_view(f.peer, &view);
	endpoint_text(text, &view.endpoint);
	assert_string_equal(text, FOREIGN_AT);
	assert_int_equal(f.rig.n_in, 0);
	assert_int_equal(rig_datagram(&f.rig, data, sizeof(data), FOREIGN_AT), WG_DROP_NONE);

	/* Seen before: authentic, but it moves nothing either. */
	assert_int_equal(rig_datagram(&f.rig, data, sizeof(data), "198.51.100.66:1"), WG_DROP_REPLAY);
	rig_run(&f.rig, SECONDS(1));
	wg_peer_view(f.peer, &view);
	endpoint_text(text, &view.endpoint);
	assert_string_equal(text, FOREIGN_AT);
}

static void
an_endpoint_follows_authentic_data_even_if_its_inside_is_refused(void **state)
{
	uint8_t packet[64];
	char text[ENDPOINT_TEXT_LEN];

	foreign_shake(&f, FOREIGN_AT);
	packet4(packet, "10.0.0.99", GATE_IP, sizeof(packet), 1);
	assert_int_equal(foreign_send(&f, f.o.counter++, packet, sizeof(packet), "198.51.100.7:70"),
			 WG_DROP_SOURCE);
	rig_empty(&f.rig);
	assert_int_equal(foreign_packet(&f), 1);
	endpoint_text(text, &f.rig.out[0].route.to);
	assert_string_equal(text, "198.51.100.7:70");
}

static void
a_packet_must_fit_its_own_length(void **state)
{
	static const struct {
		unsigned version, total, len;
		enum wg_drop drop;
	} cases[] = {
		{4, 64, 64, WG_DROP_NONE},
		{4, 50, 64, WG_DROP_NONE},
		{4, 20, 20, WG_DROP_NONE},
		{4, 65, 64, WG_DROP_INNER_LENGTH},
		{4, 19, 64, WG_DROP_INNER_LENGTH},
		{4, 0, 64, WG_DROP_INNER_LENGTH},
		{4, 20, 19, WG_DROP_INNER_LENGTH},
		{4, 1, 1, WG_DROP_INNER_LENGTH},
		{4, 65535, 64, WG_DROP_INNER_LENGTH},
		{6, 64, 64, WG_DROP_NONE},
		{6, 50, 64, WG_DROP_NONE},
		{6, 40, 40, WG_DROP_NONE},
		{6, 65, 64, WG_DROP_INNER_LENGTH},
		{6, 40, 39, WG_DROP_INNER_LENGTH},
		{6, 65535, 64, WG_DROP_INNER_LENGTH},
		{0, 64, 64, WG_DROP_INNER_VERSION},
		{5, 64, 64, WG_DROP_INNER_VERSION},
		{15, 64, 64, WG_DROP_INNER_VERSION},
		{7, 64, 1, WG_DROP_INNER_VERSION},
	};
	struct cidr cidr;

	assert_int_equal(cidr_parse(&cidr, "2001:db8::2/128"), 0);
	assert_int_equal(wg_peer_allow(f.rig.device, f.peer, &cidr), 0);
	foreign_shake(&f, FOREIGN_AT);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t packet[64];
		enum wg_drop drop;

		if (cases[i].version == 6) {
			packet6(packet, "2001:db8::2", "2001:db8::1", sizeof(packet), i);
			be16_store(packet + 4, (uint16_t)(cases[i].total - 40));
		} else {
			packet4(packet, FOREIGN_IP, GATE_IP, sizeof(packet), i);
			be16_store(packet + 2, (uint16_t)cases[i].total);
			packet[0] = (uint8_t)(cases[i].version << 4 | 5);
		}
		rig_empty(&f.rig);
		drop = foreign_send(&f, f.o.counter++, packet, cases[i].len, FOREIGN_AT);
		if (drop != cases[i].drop)
			fail_msg("case %zu: %s", i, wg_drop_name(drop));
		assert_int_equal(f.rig.n_in, drop == WG_DROP_NONE);
		if (drop == WG_DROP_NONE)
			assert_int_equal(f.rig.in[0].len, cases[i].total);
	}
}

static void
a_source_must_be_the_senders_own_by_the_longest_prefix(void **state)
{
	struct public_key key = {.b = {9, 9}};
	uint8_t packet[64];
	struct cidr cidr;

	/* The peer has 10.0.0.0/8, but a part of that is somebody else's. */
	assert_int_equal(cidr_parse(&cidr, "10.0.0.0/8"), 0);
	assert_int_equal(wg_peer_allow(f.rig.device, f.peer, &cidr), 0);
	rig_peer(&f.rig, &key, "10.1.0.0/16,10.0.0.3/32", NULL);
	foreign_shake(&f, FOREIGN_AT);
	{
		static const struct {
			const char *source;
			enum wg_drop drop;
		} cases[] = {
			{"10.0.0.2", WG_DROP_NONE},     {"10.2.0.1", WG_DROP_NONE},
			{"10.1.2.3", WG_DROP_SOURCE},   {"10.0.0.3", WG_DROP_SOURCE},
			{"11.0.0.1", WG_DROP_SOURCE},   {"0.0.0.0", WG_DROP_SOURCE},
			{"127.0.0.1", WG_DROP_SOURCE},  {"10.1.0.0", WG_DROP_SOURCE},
			{"10.0.255.255", WG_DROP_NONE}, {"10.0.0.2", WG_DROP_NONE},
			{"10.1.2.3", WG_DROP_SOURCE},
		};

		for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
			packet4(packet, cases[i].source, GATE_IP, sizeof(packet), i);
			assert_int_equal(foreign_send(&f, f.o.counter++, packet, sizeof(packet), FOREIGN_AT),
					 cases[i].drop);
		}
		packet6(packet, "::10.0.0.2", "2001:db8::1", sizeof(packet), 1);
		assert_int_equal(foreign_send(&f, f.o.counter++, packet, sizeof(packet), FOREIGN_AT),
				 WG_DROP_SOURCE);
	}
	/* What is taken away is refused at once, whatever a path remembers. */
	packet4(packet, "10.2.0.1", GATE_IP, sizeof(packet), 1);
	assert_int_equal(wg_peer_disallow(f.rig.device, f.peer, &cidr), 0);
	assert_int_equal(foreign_send(&f, f.o.counter++, packet, sizeof(packet), FOREIGN_AT), WG_DROP_SOURCE);
	assert_int_equal(foreign_data(&f, FOREIGN_AT), WG_DROP_NONE);
	wg_peer_disallow_all(f.rig.device, f.peer);
	assert_int_equal(foreign_data(&f, FOREIGN_AT), WG_DROP_SOURCE);
}

static void
a_mark_on_the_way_is_merged_in_and_ecn_is_shown_outside(void **state)
{
	uint8_t packet[64], data[96];
	struct wg_arrival arrival;

	foreign_shake(&f, FOREIGN_AT);
	for (unsigned inner = 0; inner < 4; inner++)
		for (unsigned outer = 0; outer < 4; outer++) {
			packet4(packet, FOREIGN_IP, GATE_IP, sizeof(packet), 1);
			packet[1] = (uint8_t)(0xb8 | inner);
			oracle_data(&f.o, data, f.o.counter++, packet, sizeof(packet));
			arrival_from(&arrival, FOREIGN_AT);
			arrival.tos = (uint8_t)(0x20 | outer);
			rig_empty(&f.rig);
			assert_int_equal(rig_arrive(&f.rig, data, sizeof(data), &arrival), WG_DROP_NONE);
			assert_int_equal(f.rig.in[0].data[1], 0xb8 | (inner && outer == 3        ? 3
								      : inner == 2 && outer == 1 ? 1
												 : inner));
		}
	for (unsigned tos = 0; tos < 256; tos += 3) {
		packet4(packet, GATE_IP, FOREIGN_IP, sizeof(packet), 1);
		packet[1] = (uint8_t)tos;
		rig_empty(&f.rig);
		assert_int_equal(rig_packet(&f.rig, packet, sizeof(packet)), 1);
		assert_int_equal(f.rig.out[0].tos, (tos & 3) == 3 ? 2 : tos & 3);
	}
}

static void
an_oversized_datagram_is_only_that(void **state)
{
	uint8_t *big = calloc(1, 65535);

	foreign_shake(&f, FOREIGN_AT);
	packet4(big, FOREIGN_IP, GATE_IP, 65475, 1);
	rig_empty(&f.rig);
	assert_int_equal(foreign_send(&f, f.o.counter++, big, 65475, FOREIGN_AT), WG_DROP_NONE);
	assert_int_equal(f.rig.in[0].len, 65475);
	le32_store(big, WG_MSG_DATA);
	assert_int_equal(rig_datagram(&f.rig, big, 65507, FOREIGN_AT), WG_DROP_NO_SESSION);
	memset(big, 0xff, 65507);
	assert_int_equal(rig_datagram(&f.rig, big, 65507, FOREIGN_AT), WG_DROP_TYPE);
	free(big);
}

static void
an_unknown_receiver_index_is_no_session(void **state)
{
	uint8_t data[64] = {0};
	unsigned other = 0;

	foreign_shake(&f, FOREIGN_AT);
	for (uint32_t i = 0; i < 20000; i++) {
		le32_store(data, WG_MSG_DATA);
		le32_store(data + 4, f.o.remote_index + 1 + i * 214013U);
		if (le32_load(data + 4) == f.o.remote_index)
			continue;
		other += rig_datagram(&f.rig, data, sizeof(data), FOREIGN_AT) != WG_DROP_NO_SESSION;
	}
	assert_int_equal(other, 0);
}

static void
packets_wait_for_the_handshake_and_the_oldest_give_way(void **state)
{
	uint8_t packet[64], plain[64], response[ORACLE_RESPONSE];

	for (uint64_t i = 0; i < 130; i++) {
		packet4(packet, GATE_IP, FOREIGN_IP, sizeof(packet), i);
		assert_int_equal(rig_packet(&f.rig, packet, sizeof(packet)), 0);
	}
	assert_int_equal(rig_drops(&f.rig, WG_DROP_STAGED_OVERFLOW), 2);
	assert_true(
		oracle_take_initiation(&f.o, rig_one(&f.rig, WG_MSG_INITIATION)->data, WG_INITIATION_LEN));
	oracle_response(&f.o, response);
	rig_empty(&f.rig);
	assert_int_equal(rig_datagram(&f.rig, response, sizeof(response), FOREIGN_AT), WG_DROP_NONE);
	assert_int_equal(f.rig.n_out, 128); /* and no keepalive: the data confirm */
	for (uint64_t i = 0; i < 128; i++) {
		assert_int_equal(le64_load(f.rig.out[i].data + 8), i);
		assert_true(oracle_take_data(&f.o, plain, f.rig.out[i].data, f.rig.out[i].len));
		assert_int_equal(packet_id(plain), i + 2);
	}
}

static void
what_is_too_long_to_wait_is_dropped(void **state)
{
	uint8_t packet[2100];

	packet4(packet, GATE_IP, FOREIGN_IP, 2048, 1);
	assert_int_equal(rig_packet(&f.rig, packet, 2048), 0);
	packet4(packet, GATE_IP, FOREIGN_IP, 2049, 1);
	assert_int_equal(rig_packet(&f.rig, packet, 2049), -WG_DROP_TOO_LONG);
	assert_int_equal(rig_drops(&f.rig, WG_DROP_TOO_LONG), 1);
}

static void
all_peers_together_keep_no_more_than_the_path_allows(void **state)
{
	struct rig rig;
	uint8_t packet[64];
	unsigned waiting = 0;

	rig_init_config(&rig, "small", &(struct wg_device_config){.workers = 1}, 10);
	for (unsigned i = 0; i < 8; i++) {
		struct public_key key = {.b = {(uint8_t)(i + 10), 3}};
		char ip[16];

		snprintf(ip, sizeof(ip), "10.0.1.%u", i);
		rig_peer(&rig, &key, ip, FOREIGN_AT);
		for (unsigned k = 0; k < 5; k++) {
			packet4(packet, GATE_IP, ip, sizeof(packet), k);
			waiting += rig_packet(&rig, packet, sizeof(packet)) == 0;
		}
	}
	assert_true(waiting - rig_drops(&rig, WG_DROP_STAGED_OVERFLOW) <= 10 || waiting <= 10);
	rig_run(&rig, SECONDS(120));
	assert_true(rig_drops(&rig, WG_DROP_STAGED_PURGED) <= 10);
	assert_true(rig_drops(&rig, WG_DROP_STAGED_PURGED) >= 1);
	assert_int_equal(rig_drops(&rig, WG_DROP_STAGED_PURGED) + rig_drops(&rig, WG_DROP_STAGED_OVERFLOW),
			 40);
	rig_done(&rig);
}

static void
without_an_endpoint_nothing_waits(void **state)
{
	const struct public_key key = {.b = {5, 5, 5}};
	uint8_t packet[64];

	rig_peer(&f.rig, &key, "10.0.0.5/32", NULL);
	packet4(packet, GATE_IP, "10.0.0.5", sizeof(packet), 1);
	assert_int_equal(rig_packet(&f.rig, packet, sizeof(packet)), -WG_DROP_NO_ENDPOINT);
	assert_int_equal(rig_drops(&f.rig, WG_DROP_NO_ENDPOINT), 1);
	rig_run(&f.rig, SECONDS(10));
	assert_int_equal(f.rig.n_out, 0);
}

/* Opens a batch in one call, as a worker does with a superframe. */
#define BATCH 64

static void
the_same_message_twice_in_one_batch_is_taken_once(void **state)
{
	static uint8_t data[BATCH][96];
	struct path_in in[BATCH];
	struct wg_arrival arrival;
	uint8_t packet[64];
	unsigned taken = 0;

	foreign_shake(&f, FOREIGN_AT);
	arrival_from(&arrival, FOREIGN_AT);
	for (unsigned i = 0; i < BATCH; i++) {
		packet4(packet, FOREIGN_IP, GATE_IP, sizeof(packet), i / 4);
		oracle_data(&f.o, data[i], 10 + i / 4, packet, sizeof(packet));
		in[i] = (struct path_in){
			.data = data[i], .len = 96, .arrival = &arrival, .plain = data[i] + 16};
	}
	path_open(f.rig.path[0], in, BATCH, f.rig.now);
	for (unsigned i = 0; i < BATCH; i++) {
		assert_int_equal(in[i].drop, i % 4 == 0 ? WG_DROP_NONE : WG_DROP_REPLAY);
		taken += in[i].drop == WG_DROP_NONE;
	}
	assert_int_equal(taken, BATCH / 4);
	assert_int_equal(rig_drops(&f.rig, WG_DROP_REPLAY), BATCH - BATCH / 4);
}

static void
a_batch_of_good_and_bad_is_judged_one_by_one(void **state)
{
	static uint8_t data[BATCH][96];
	struct path_in in[BATCH];
	struct wg_arrival arrival;
	uint8_t packet[64];

	foreign_shake(&f, FOREIGN_AT);
	arrival_from(&arrival, FOREIGN_AT);
	for (unsigned i = 0; i < BATCH; i++) {
		packet4(packet, i % 8 == 3 ? "10.0.0.77" : FOREIGN_IP, GATE_IP, sizeof(packet), i);
		if (i % 8 == 4)
			packet[0] = 0;
		oracle_data(&f.o, data[i], 10 + i, packet, sizeof(packet));
		if (i % 8 == 1)
			data[i][50] ^= 1;
		if (i % 8 == 2)
			data[i][5] ^= 1;
		in[i] = (struct path_in){
			.data = data[i], .len = 96, .arrival = &arrival, .plain = data[i] + 16};
	}
	path_open(f.rig.path[0], in, BATCH, f.rig.now);
	for (unsigned i = 0; i < BATCH; i++) {
		static const enum wg_drop expected[8] = {[1] = WG_DROP_AUTHENTICATION,
							 [2] = WG_DROP_NO_SESSION,
							 [3] = WG_DROP_SOURCE,
							 [4] = WG_DROP_INNER_VERSION};

		assert_int_equal(in[i].drop, expected[i % 8]);
		if (in[i].drop == WG_DROP_NONE) {
			assert_int_equal(in[i].plain_len, 64);
			assert_int_equal(packet_id(in[i].plain), i);
			assert_true(wg_peer_id_equal(in[i].peer, f.rig.sessions[0].peer));
		}
	}
}

static void
plaintext_may_go_elsewhere(void **state)
{
	uint8_t packet[64], data[96], before[96], elsewhere[64];
	struct wg_arrival arrival;
	struct path_in in = {.data = data, .len = sizeof(data), .arrival = &arrival, .plain = elsewhere};

	foreign_shake(&f, FOREIGN_AT);
	arrival_from(&arrival, FOREIGN_AT);
	packet4(packet, FOREIGN_IP, GATE_IP, sizeof(packet), 5);
	oracle_data(&f.o, data, 9, packet, sizeof(packet));
	memcpy(before, data, sizeof(data));
	path_open(f.rig.path[0], &in, 1, f.rig.now);
	assert_int_equal(in.drop, WG_DROP_NONE);
	assert_memory_equal(elsewhere, packet, sizeof(packet));
	assert_memory_equal(data, before, sizeof(data));
}

static void
a_batch_is_sealed_in_order(void **state)
{
	static uint8_t room[BATCH][WG_DATA_HEADER + 100 + PATH_TAIL];
	struct path_out out[BATCH];
	const struct wg_route *route = NULL;
	uint8_t plain[112];
	char text[ENDPOINT_TEXT_LEN];

	foreign_shake(&f, FOREIGN_AT);
	for (unsigned i = 0; i < BATCH; i++) {
		packet4(room[i] + WG_DATA_HEADER, GATE_IP, FOREIGN_IP, 28 + i, i);
		out[i] = (struct path_out){.data = room[i], .len = 28 + i};
	}
	assert_int_equal(
		path_seal(f.rig.path[0], f.rig.sessions[0].peer, out, BATCH, 1420, false, f.rig.now, &route),
		BATCH);
	endpoint_text(text, &route->to);
	assert_string_equal(text, FOREIGN_AT);
	for (unsigned i = 0; i < BATCH; i++) {
		assert_int_equal(le64_load(out[i].data + 8), i);
		assert_true(oracle_take_data(&f.o, plain, out[i].data, out[i].len));
		assert_int_equal(packet_id(plain), i);
	}
}

static void
flush_collect(void *ctx, struct wg_peer_id peer, const struct wg_route *route, struct path_out *out,
	      unsigned n)
{
	uint8_t plain[64];

	for (unsigned i = 0; i < n; i++) {
		const uint64_t k = (*(uint64_t *)ctx)++;

		assert_int_equal(le64_load(out[i].data + 8), k);
		assert_true(oracle_take_data(&f.o, plain, out[i].data, out[i].len));
		assert_int_equal(packet_id(plain), k);
	}
}

/* Between the session's coming and the flush the order must hold, too. */
static void
what_comes_while_others_wait_waits_behind_them(void **state)
{
	uint8_t room[WG_DATA_HEADER + 64 + PATH_TAIL];
	struct wg_order order = {
		.type = WG_ORDER_KEYPAIR_INSTALL,
		.install = {.local_index = 5, .remote_index = 6, .birth = f.rig.now.boot, .initiator = true}};
	const struct wg_route *route;
	struct wg_peer_view view;
	uint64_t sent = 0;

	wg_peer_view(f.peer, &view);
	order.peer = view.id;
	memset(order.install.sending, 1, AEAD_KEY_LEN);
	memset(order.install.receiving, 2, AEAD_KEY_LEN);
	memset(f.o.receiving, 1, sizeof(f.o.receiving));
	f.o.index = 6;
	for (unsigned i = 0; i < 6; i++) {
		struct path_out out = {.data = room, .len = 64};

		if (i == 3)
			assert_int_equal(path_order(f.rig.path[0], &order, f.rig.now), 0);
		packet4(room + WG_DATA_HEADER, GATE_IP, FOREIGN_IP, 64, i);
		assert_int_equal(path_seal(f.rig.path[0], view.id, &out, 1, 1420, false, f.rig.now, &route),
				 0);
	}
	path_flush(f.rig.path[0], f.rig.now, flush_collect, &sent);
	assert_int_equal(sent, 6);
}

static unsigned
reported(unsigned flag)
{
	struct wg_report report;

	return path_reports(f.rig.path[0], f.rig.now, &report, 1) == 1 && report.flags & flag;
}

/* The path asks once a session, however much still comes on it. */
static void
the_last_minutes_handshake_is_asked_for_once(void **state)
{
	struct wg_arrival arrival;
	uint8_t data[32];
	unsigned asked = 0;

	foreign_answer(&f);
	rig_run(&f.rig, WG_LAST_MINUTE - SECONDS(1));
	arrival_from(&arrival, FOREIGN_AT);
	for (unsigned i = 0; i < 15; i++) {
		struct path_in in = {
			.data = data, .len = sizeof(data), .arrival = &arrival, .plain = data + 16};

		oracle_data(&f.o, data, i, "", 0);
		path_open(f.rig.path[0], &in, 1, f.rig.now);
		assert_int_equal(in.drop, WG_DROP_NONE);
		asked += reported(WG_REPORT_HANDSHAKE_WANTED) != 0;
		assert_int_equal(asked, i >= 1);
		f.rig.now.boot += SECONDS(1);
	}
}

static void
messages_may_lie_at_any_address(void **state)
{
	uint8_t room[8 + 96 + 64], packet[64], plain[64];
	struct wg_arrival arrival;
	const struct wg_route *route;

	foreign_shake(&f, FOREIGN_AT);
	arrival_from(&arrival, FOREIGN_AT);
	for (unsigned at = 0; at < 8; at++) {
		struct path_in in = {
			.data = room + at, .len = 96, .arrival = &arrival, .plain = room + at + 16};
		struct path_out out = {.data = room + at, .len = 64};

		packet4(packet, FOREIGN_IP, GATE_IP, sizeof(packet), at);
		oracle_data(&f.o, room + at, 10 + at, packet, sizeof(packet));
		path_open(f.rig.path[0], &in, 1, f.rig.now);
		assert_int_equal(in.drop, WG_DROP_NONE);
		assert_memory_equal(in.plain, packet, sizeof(packet));

		packet4(room + at + WG_DATA_HEADER, GATE_IP, FOREIGN_IP, 64, at);
		assert_int_equal(path_seal(f.rig.path[0], f.rig.sessions[0].peer, &out, 1, 1420, false,
					   f.rig.now, &route),
				 1);
		assert_true(oracle_take_data(&f.o, plain, out.data, out.len));
	}
}

static void
too_short_a_message_is_dropped_by_the_path_itself(void **state)
{
	struct wg_arrival arrival;

	foreign_shake(&f, FOREIGN_AT);
	arrival_from(&arrival, FOREIGN_AT);
	for (uint32_t len = 0; len < 32; len++) {
		uint8_t *data = calloc(1, len ? len : 1);
		struct path_in in = {.data = data, .len = len, .arrival = &arrival, .plain = data};

		path_open(f.rig.path[0], &in, 1, f.rig.now);
		assert_int_equal(in.drop, WG_DROP_LENGTH);
		free(data);
	}
	assert_int_equal(path_seal(f.rig.path[0], f.rig.sessions[0].peer, NULL, 0, 1420, false, f.rig.now,
				   &(const struct wg_route *){NULL}),
			 0);
}

/* Boot time counts suspend: one long step instead of many. */
static void
a_suspend_ages_sessions_and_causes_no_storm(void **state)
{
	static const nsec_t asleep[] = {SECONDS(200), SECONDS(3600), SECONDS(86400)};

	for (size_t i = 0; i < ARRAY_LEN(asleep); i++) {
		foreign_shake(&f, FOREIGN_AT);
		wg_peer_keepalive_set(f.rig.device, f.peer, 25, f.rig.now, rig_effects(&f.rig));
		assert_int_equal(foreign_data(&f, FOREIGN_AT), WG_DROP_NONE);
		assert_int_equal(foreign_packet(&f), 1);
		rig_empty(&f.rig);
		f.rig.now.boot += asleep[i];
		f.rig.now.wall += asleep[i];
		assert_int_not_equal(foreign_data(&f, FOREIGN_AT), WG_DROP_NONE);
		for (unsigned k = 0; k < 10; k++)
			rig_event(&f.rig, WG_EVENT_TICK);
		assert_int_equal(rig_count(&f.rig, WG_MSG_INITIATION), 1);
		assert_int_equal(f.rig.n_out, 1);
		assert_true(rig_deadline(&f.rig) > f.rig.now.boot);
		wg_peer_keepalive_set(f.rig.device, f.peer, 0, f.rig.now, rig_effects(&f.rig));
	}
}

static void
counts_of_bytes_are_reported(void **state)
{
	struct wg_peer_view view;

	foreign_shake(&f, FOREIGN_AT);
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(foreign_data(&f, FOREIGN_AT), WG_DROP_NONE);
		assert_int_equal(foreign_packet(&f), 1);
	}
	rig_run(&f.rig, SECONDS(1));
	wg_peer_view(f.peer, &view);
	/* As the kernel counts: whole WireGuard messages, handshakes too. */
	assert_int_equal(view.rx_bytes, WG_INITIATION_LEN + WG_DATA_MIN + 10 * 96);
	assert_int_equal(view.tx_bytes, WG_RESPONSE_LEN + 10 * 96);
	assert_int_equal(view.last_handshake / SECONDS(1), (RIG_WALL + SECONDS(1)) / SECONDS(1));
}

static bool
may_batch(void)
{
	return path_may_batch(f.rig.path[0], f.rig.sessions[0].peer, f.rig.now.boot);
}

/* A card that spoils batches shows in nothing else: handshakes pass, and no answer ever comes. */
static void
batches_that_are_never_answered_are_given_up_when_handshakes_are(void **state)
{
	foreign_answer(&f);
	assert_true(may_batch());
	rig_run(&f.rig, WG_NEW_HANDSHAKE_TIMEOUT);
	assert_true(may_batch()); /* the peer may be gone */
	foreign_answer(&f);
	assert_false(may_batch());
	assert_true(may_batch()); /* it was said */

	rig_run(&f.rig, WG_NEW_HANDSHAKE_TIMEOUT);
	assert_int_equal(foreign_data(&f, FOREIGN_AT), WG_DROP_NONE);
	foreign_answer(&f);
	assert_true(may_batch()); /* an answer came */
	rig_run(&f.rig, WG_NEW_HANDSHAKE_TIMEOUT - 1);
	foreign_answer(&f);
	assert_true(may_batch()); /* not long enough */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_packet_comes_out_as_it_went_in),
		TEST(packets_are_padded_with_zeroes_to_16_but_not_beyond_the_mtu),
		TEST(counters_begin_at_0_and_rise_by_one),
		TEST(a_counter_is_accepted_once),
		TEST(the_first_counter_may_be_0),
		TEST(the_window_reaches_8128_back),
		TEST(a_forged_counter_moves_no_window),
		TEST(counters_beyond_the_limit_are_refused),
		TEST(one_wrong_bit_is_fatal_and_moves_nothing),
		TEST(an_endpoint_follows_authentic_data_even_if_its_inside_is_refused),
		TEST(a_packet_must_fit_its_own_length),
		TEST(a_source_must_be_the_senders_own_by_the_longest_prefix),
		TEST(a_mark_on_the_way_is_merged_in_and_ecn_is_shown_outside),
		TEST(an_oversized_datagram_is_only_that),
		TEST(an_unknown_receiver_index_is_no_session),
		TEST(packets_wait_for_the_handshake_and_the_oldest_give_way),
		TEST(what_is_too_long_to_wait_is_dropped),
		TEST(all_peers_together_keep_no_more_than_the_path_allows),
		TEST(without_an_endpoint_nothing_waits),
		TEST(the_same_message_twice_in_one_batch_is_taken_once),
		TEST(a_batch_of_good_and_bad_is_judged_one_by_one),
		TEST(plaintext_may_go_elsewhere),
		TEST(a_batch_is_sealed_in_order),
		TEST(what_comes_while_others_wait_waits_behind_them),
		TEST(the_last_minutes_handshake_is_asked_for_once),
		TEST(messages_may_lie_at_any_address),
		TEST(too_short_a_message_is_dropped_by_the_path_itself),
		TEST(a_suspend_ages_sessions_and_causes_no_storm),
		TEST(counts_of_bytes_are_reported),
		TEST(batches_that_are_never_answered_are_given_up_when_handshakes_are),
	};

	return cmocka_run_group_tests_name("data", tests, NULL, NULL);
}
