/*
 * Rules that others broke or that are easy to miss, as far as no other file of this folder or of tests/sim
 * has them.  A few look inside: at a counter that no test could reach by sending, at what was wiped.
 */
#include "tests/unit/wg/foreign.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "server/wg/device_state.h"
#include "server/wg/path_state.h"

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

static struct session *
current_session(void)
{
	struct wg_peer_view view;

	wg_peer_view(f.peer, &view);
	return path_peer_by_id(f.rig.path[0], view.id)->sessions.current;
}

static void
initiate(void)
{
	wg_peer_initiate(f.rig.device, f.peer, f.rig.now, rig_effects(&f.rig));
	rig_pump(&f.rig);
}

/* Either role asks for the next session after 2^60 messages, and sends none beyond the last counter. */
static void
used_up_by(void (*shake)(void))
{
	shake();
	rig_run(&f.rig, SECONDS(6));
	rig_empty(&f.rig);
	current_session()->counter = WG_REKEY_AFTER_MESSAGES - 1;
	assert_int_equal(foreign_packet(&f), 1);
	rig_one(&f.rig, WG_MSG_DATA);
	assert_int_equal(foreign_packet(&f), 1);
	assert_int_equal(rig_count(&f.rig, WG_MSG_INITIATION), 1);

	current_session()->counter = WG_REJECT_AFTER_MESSAGES - 1;
	rig_empty(&f.rig);
	assert_int_equal(foreign_packet(&f), 1);
	assert_int_equal(le64_load(f.rig.out[0].data + 8), WG_REJECT_AFTER_MESSAGES - 1);
	assert_int_equal(foreign_packet(&f), 0);
	assert_int_equal(rig_count(&f.rig, WG_MSG_DATA), 1);
}

static void
shake(void)
{
	foreign_shake(&f, FOREIGN_AT);
}

static void
answer(void)
{
	foreign_answer(&f);
}

static void
a_session_that_is_used_up_is_renewed_by_the_responder_too(void **state)
{
	used_up_by(shake);
}

static void
a_session_that_is_used_up_is_renewed_by_the_initiator(void **state)
{
	used_up_by(answer);
}

/* What does not fit any more goes out on the next session, behind nothing and before what comes later. */
static void
a_batch_across_the_last_counter_waits_whole(void **state)
{
	static uint8_t rooms[4][WG_DATA_HEADER + 64 + PATH_TAIL];
	struct path_out out[4];
	const struct wg_route *route;
	struct wg_peer_view view;

	foreign_answer(&f);
	wg_peer_view(f.peer, &view);
	rig_run(&f.rig, SECONDS(6));
	rig_empty(&f.rig);
	current_session()->counter = WG_REJECT_AFTER_MESSAGES - 2;
	for (unsigned i = 0; i < 4; i++) {
		packet4(rooms[i] + WG_DATA_HEADER, GATE_IP, FOREIGN_IP, 64, i);
		out[i] = (struct path_out){.data = rooms[i], .len = 64};
	}
	assert_int_equal(path_seal(f.rig.path[0], view.id, out, 4, RIG_MTU, false, f.rig.now, &route), 0);
	rig_pump(&f.rig);
	rig_one(&f.rig, WG_MSG_INITIATION);
	foreign_shake(&f, FOREIGN_AT);
	rig_pump(&f.rig);
	assert_non_null(current_session());
	assert_int_equal(path_peer_by_id(f.rig.path[0], view.id)->staged.count, 0);
}

static void
our_response_does_not_stop_our_own_retries(void **state)
{
	uint8_t initiation[ORACLE_INITIATION];

	initiate();
	rig_empty(&f.rig);
	foreign_initiation(&f, initiation);
	assert_int_equal(rig_datagram(&f.rig, initiation, sizeof(initiation), FOREIGN_AT), WG_DROP_NONE);
	rig_one(&f.rig, WG_MSG_RESPONSE);
	rig_empty(&f.rig);
	rig_run(&f.rig, MILLISECONDS(5400));
	rig_one(&f.rig, WG_MSG_INITIATION);
}

static void
the_first_packet_on_our_response_stops_our_own_retries(void **state)
{
	initiate();
	foreign_shake(&f, FOREIGN_AT);
	rig_run(&f.rig, SECONDS(6));
	assert_int_equal(f.rig.n_out, 0);
}

static void
zeroing_forgets_no_timestamp(void **state)
{
	uint8_t initiation[ORACLE_INITIATION];

	foreign_initiation(&f, initiation);
	assert_int_equal(rig_datagram(&f.rig, initiation, sizeof(initiation), FOREIGN_AT), WG_DROP_NONE);
	rig_run(&f.rig, WG_ZERO_KEYS_TIME + SECONDS(60));
	assert_null(current_session());
	assert_int_equal(rig_datagram(&f.rig, initiation, sizeof(initiation), FOREIGN_AT), WG_DROP_TIMESTAMP);
	foreign_shake(&f, FOREIGN_AT);
}

static void
a_keepalive_sends_what_waits_instead_of_nothing(void **state)
{
	uint8_t response[ORACLE_RESPONSE];
	const struct rig_datagram *initiation;

	assert_int_equal(foreign_packet(&f), 0);
	wg_peer_keepalive_set(f.rig.device, f.peer, 25, f.rig.now, rig_effects(&f.rig));
	rig_pump(&f.rig);
	initiation = rig_one(&f.rig, WG_MSG_INITIATION);
	assert_true(oracle_take_initiation(&f.o, initiation->data, initiation->len));
	oracle_response(&f.o, response);
	rig_empty(&f.rig);
	assert_int_equal(rig_datagram(&f.rig, response, sizeof(response), FOREIGN_AT), WG_DROP_NONE);
	assert_int_equal(rig_one(&f.rig, WG_MSG_DATA)->len, 64 + WG_DATA_OVERHEAD);
}

/* What a merged frame brings during a renewal: each message is opened with its own session. */
static void
a_batch_of_old_and_new_sessions_is_opened_by_each(void **state)
{
	uint8_t packets[8][64], messages[8][96];
	struct wg_arrival arrival;
	struct path_in in[8];
	struct oracle old;

	foreign_shake(&f, FOREIGN_AT);
	old = f.o;
	rig_run(&f.rig, SECONDS(10));
	foreign_shake(&f, FOREIGN_AT);
	arrival_from(&arrival, FOREIGN_AT);
	for (unsigned i = 0; i < 8; i++) {
		struct oracle *by = i % 3 ? &f.o : &old;

		packet4(packets[i], FOREIGN_IP, GATE_IP, 64, i);
		oracle_data(by, messages[i], by->counter++, packets[i], 64);
		in[i] = (struct path_in){.data = messages[i],
					 .len = 96,
					 .arrival = &arrival,
					 .plain = messages[i] + WG_DATA_HEADER};
	}
	path_open(f.rig.path[0], in, 8, f.rig.now);
	for (unsigned i = 0; i < 8; i++) {
		assert_int_equal(in[i].drop, WG_DROP_NONE);
		assert_int_equal(in[i].plain_len, 64);
		assert_memory_equal(in[i].plain, packets[i], 64);
	}
}

/* An IPv6 source that was read as IPv4 sent everything to nowhere. */
static void
an_endpoint_of_either_family_is_learned_whole(void **state)
{
	static const char *const places[] = {"[2001:db8:1:2:3:4:5:6]:6000", "198.51.100.77:7000",
					     "[2001:db8::1]:8000", FOREIGN_AT};
	uint8_t initiation[ORACLE_INITIATION];
	struct wg_peer_view view;
	struct endpoint expected;

	foreign_shake(&f, FOREIGN_AT);
	for (unsigned i = 0; i < ARRAY_LEN(places); i++) {
		assert_int_equal(endpoint_parse(&expected, places[i]), 0);
		rig_empty(&f.rig);
		if (i % 2) {
			rig_run(&f.rig, SECONDS(1));
			foreign_initiation(&f, initiation);
			assert_int_equal(rig_datagram(&f.rig, initiation, sizeof(initiation), places[i]),
					 WG_DROP_NONE);
			assert_true(endpoint_equal(&rig_one(&f.rig, WG_MSG_RESPONSE)->route.to, &expected));
			assert_true(oracle_take_response(&f.o, f.rig.out[0].data, f.rig.out[0].len));
			assert_int_equal(foreign_data(&f, places[i]), WG_DROP_NONE);
		} else {
			assert_int_equal(foreign_data(&f, places[i]), WG_DROP_NONE);
		}
		rig_run(&f.rig, SECONDS(1));
		rig_empty(&f.rig);
		assert_int_equal(foreign_packet(&f), 1);
		assert_true(endpoint_equal(&f.rig.out[0].route.to, &expected));
		wg_peer_view(f.peer, &view);
		assert_true(endpoint_equal(&view.endpoint, &expected));
	}
}

static bool
staged_holds(const char *mark)
{
	const struct staged *staged = &f.rig.path[0]->staged;

	return memmem(staged->memory, (size_t)staged->slot_len * 256, mark, strlen(mark)) != NULL;
}

static void
what_waited_is_wiped_when_it_was_sent(void **state)
{
	static const char mark[] = "nobody else's business";
	uint8_t packet[100];

	packet4(packet, GATE_IP, FOREIGN_IP, sizeof(packet), 1);
	memcpy(packet + 40, mark, sizeof(mark));
	assert_int_equal(rig_packet(&f.rig, packet, sizeof(packet)), 0);
	assert_true(staged_holds(mark));
	foreign_shake(&f, FOREIGN_AT);
	assert_false(staged_holds(mark));
}

/* Loading a hundred thousand peers is no hundred thousand DHs. */
static void
static_static_is_made_when_needed_and_wiped_with_our_key(void **state)
{
	static const uint8_t zeroes[KEY_LEN];
	struct private_key key;

	assert_int_equal(f.peer->ss_state, SS_UNKNOWN);
	foreign_shake(&f, FOREIGN_AT);
	assert_int_equal(f.peer->ss_state, SS_READY);
	assert_memory_not_equal(f.peer->static_static, zeroes, KEY_LEN);
	rig_secret(&key, "another");
	wg_private_key_set(f.rig.device, &key, f.rig.now, rig_effects(&f.rig));
	assert_int_equal(f.peer->ss_state, SS_UNKNOWN);
	assert_memory_equal(f.peer->static_static, zeroes, KEY_LEN);
}

static void
a_new_private_key_forgets_the_handshake_that_was_begun(void **state)
{
	uint8_t response[ORACLE_RESPONSE];
	struct private_key key;

	initiate();
	assert_true(oracle_take_initiation(&f.o, f.rig.out[0].data, f.rig.out[0].len));
	oracle_response(&f.o, response);
	rig_secret(&key, "another");
	wg_private_key_set(f.rig.device, &key, f.rig.now, rig_effects(&f.rig));
	wg_private_key_set(f.rig.device, &f.rig.secret, f.rig.now, rig_effects(&f.rig));
	rig_pump(&f.rig);
	assert_int_equal(rig_datagram(&f.rig, response, sizeof(response), FOREIGN_AT), WG_DROP_NO_HANDSHAKE);
}

/* 5 s and up to a third of one, all of it used. */
static void
retries_are_five_seconds_and_a_jitter_apart(void **state)
{
	nsec_t least = NSEC_NEVER, most = 0;
	unsigned n = 0;

	for (unsigned round = 0; round < 15; round++) {
		nsec_t last;

		rig_run(&f.rig, SECONDS(10));
		rig_empty(&f.rig);
		initiate();
		last = f.rig.now.boot;
		for (unsigned i = 0; i <= WG_MAX_TIMER_HANDSHAKES; i++) {
			rig_empty(&f.rig);
			while (f.rig.n_out == 0 && f.rig.now.boot - last < SECONDS(7))
				rig_run(&f.rig, MILLISECONDS(1));
			rig_one(&f.rig, WG_MSG_INITIATION);
			least = MIN(least, f.rig.now.boot - last);
			most = MAX(most, f.rig.now.boot - last);
			last = f.rig.now.boot;
			n++;
		}
		rig_empty(&f.rig);
		rig_run(&f.rig, SECONDS(200));
		assert_int_equal(f.rig.n_out, 0); /* given up */
	}
	assert_int_equal(n, 15 * 19);
	assert_in_range(least, WG_REKEY_TIMEOUT, WG_REKEY_TIMEOUT + MILLISECONDS(20));
	assert_in_range(most, WG_REKEY_TIMEOUT + WG_REKEY_JITTER - MILLISECONDS(20),
			WG_REKEY_TIMEOUT + WG_REKEY_JITTER + MILLISECONDS(1));
}

/* The pool of replay windows is empty: fewer are taken out of order, none twice, and nothing stops. */
static void
a_path_without_a_replay_window_to_give_goes_on(void **state)
{
	struct replay_pool *pool = &f.rig.path[0]->sessions.pool;

	foreign_shake(&f, FOREIGN_AT);
	pool->max = 0;
	replay_pool_done(pool);
	for (unsigned i = 0; i < 2000; i++)
		assert_int_equal(foreign_data(&f, FOREIGN_AT), WG_DROP_NONE);
	assert_false(current_session()->replay.wide);
	f.o.counter -= 100;
	assert_int_equal(foreign_data(&f, FOREIGN_AT), WG_DROP_REPLAY);
	f.o.counter += 300;
	assert_int_equal(foreign_data(&f, FOREIGN_AT), WG_DROP_NONE);
	f.o.counter -= 100;
	assert_int_equal(foreign_data(&f, FOREIGN_AT), WG_DROP_NONE);
	assert_int_equal(foreign_send(&f, f.o.counter - 1, "", 0, FOREIGN_AT), WG_DROP_REPLAY);
	pool->max = WG_REPLAY_MAX;
	rig_run(&f.rig, SECONDS(1));
	assert_int_equal(foreign_data(&f, FOREIGN_AT), WG_DROP_NONE);
	assert_true(current_session()->replay.wide);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(a_session_that_is_used_up_is_renewed_by_the_responder_too),
		TEST(a_session_that_is_used_up_is_renewed_by_the_initiator),
		TEST(a_batch_across_the_last_counter_waits_whole),
		TEST(our_response_does_not_stop_our_own_retries),
		TEST(the_first_packet_on_our_response_stops_our_own_retries),
		TEST(zeroing_forgets_no_timestamp),
		TEST(a_keepalive_sends_what_waits_instead_of_nothing),
		TEST(a_batch_of_old_and_new_sessions_is_opened_by_each),
		TEST(an_endpoint_of_either_family_is_learned_whole),
		TEST(what_waited_is_wiped_when_it_was_sent),
		TEST(static_static_is_made_when_needed_and_wiped_with_our_key),
		TEST(a_new_private_key_forgets_the_handshake_that_was_begun),
		TEST(retries_are_five_seconds_and_a_jitter_apart),
		TEST(a_path_without_a_replay_window_to_give_goes_on),
	};

	return cmocka_run_group_tests_name("rules", tests, NULL, NULL);
}
