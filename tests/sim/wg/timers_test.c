/* The timers: passive and persistent keepalives, new handshakes, retries, giving up, zeroing. */
#include "tests/sim/wg/sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

static unsigned
traced(const struct sim *sim, const char *what)
{
	unsigned n = 0;

	for (const char *at = sim->trace_len ? sim->trace : ""; (at = strstr(at, what)); at++)
		n++;
	return n;
}

static struct sim *
sim_in_session(uint64_t seed)
{
	struct sim *sim = sim_new(2, seed, true);

	sim_send(sim, ALICE, BOB);
	sim_run_until(sim, SECONDS(20));
	assert_true(sim_arrived(sim, 1));
	sim_forget(sim);
	return sim;
}

static void
keepalive_set(struct sim *sim, unsigned node, unsigned peer, uint16_t seconds)
{
	struct rig *rig = &sim->node[node].rig;

	wg_peer_keepalive_set(rig->device, sim->node[node].peer[peer], seconds, sim_now(sim),
			      rig_effects(rig));
	sim_settle(sim, node);
}

static void
data_is_answered_within_ten_seconds_and_a_keepalive_is_not(void **state)
{
	struct sim *sim = sim_in_session(1);

	sim_send(sim, BOB, ALICE);
	sim_run_until(sim, SECONDS(100));
	expect_trace(sim, "20.000 bob > data\n"
			  "20.010 alice = 2\n"
			  "30.010-30.100 alice > keepalive\n");
	sim_free(sim);
}

static void
data_the_other_way_makes_the_keepalive_needless(void **state)
{
	struct sim *sim = sim_in_session(2);

	sim_send(sim, BOB, ALICE);
	sim_run_until(sim, SECONDS(29));
	sim_send(sim, ALICE, BOB);
	sim_run_until(sim, SECONDS(100));
	expect_trace(sim, "20.000 bob > data\n"
			  "20.010 alice = 2\n"
			  "29.000 alice > data\n"
			  "29.010 bob = 3\n"
			  "39.010-39.100 bob > keepalive\n");
	sim_free(sim);
}

static void
more_data_before_the_keepalive_asks_for_another_one(void **state)
{
	struct sim *sim = sim_in_session(3);

	sim_send(sim, ALICE, BOB);
	sim_run_until(sim, SECONDS(25));
	sim_send(sim, ALICE, BOB);
	sim_run_until(sim, SECONDS(100));
	expect_trace(sim, "20.000 alice > data\n"
			  "20.010 bob = 2\n"
			  "25.000 alice > data\n"
			  "25.010 bob = 3\n"
			  "30.010-30.100 bob > keepalive\n"
			  "40.010-40.200 bob > keepalive\n");
	sim_free(sim);
}

static void
traffic_both_ways_needs_no_keepalives(void **state)
{
	struct sim *sim = sim_in_session(4);

	for (unsigned i = 0; i < 60; i++) {
		sim_send(sim, ALICE, BOB);
		sim_send(sim, BOB, ALICE);
		sim_run(sim, SECONDS(1));
	}
	assert_int_equal(traced(sim, "keepalive"), 0);
	sim_free(sim);
}

static void
one_way_traffic_draws_a_keepalive_each_ten_seconds_and_no_more(void **state)
{
	struct sim *sim = sim_in_session(5);

	for (unsigned i = 0; i < 900; i++) {
		sim_send(sim, ALICE, BOB);
		sim_run(sim, MILLISECONDS(100));
	}
	assert_in_range(traced(sim, "bob > keepalive"), 8, 9);
	assert_int_equal(traced(sim, "alice > keepalive"), 0);
	assert_int_equal(traced(sim, "initiation"), 0);
	sim_free(sim);
}

static void
unanswered_data_starts_a_handshake_after_15_seconds(void **state)
{
	struct sim *sim = sim_in_session(6);

	sim->link[ALICE][BOB].cut = true;
	sim_send(sim, ALICE, BOB);
	sim_run_until(sim, SECONDS(28));
	sim_send(sim, ALICE, BOB); /* the first one counts */
	sim_run_until(sim, SECONDS(36));
	expect_trace(sim, "20.000 alice > data\n"
			  "28.000 alice > data\n"
			  "35.000-35.400 alice > initiation\n");
	sim->link[ALICE][BOB].cut = false;
	sim_run_until(sim, SECONDS(60));
	expect_trace(sim, "40.000-40.800 alice > initiation\n"
			  "40.010-40.810 bob > response\n"
			  "40.020-40.820 alice > keepalive\n");
	sim_free(sim);
}

static void
anything_authentic_that_comes_stops_the_new_handshake(void **state)
{
	struct sim *sim = sim_in_session(7);

	sim_send(sim, ALICE, BOB);
	sim_run_until(sim, SECONDS(29));
	sim_send(sim, BOB, ALICE);
	sim_run_until(sim, SECONDS(38));
	assert_int_equal(traced(sim, "initiation"), 0);
	sim_free(sim);
}

static void
initiate(struct sim *sim, unsigned node, unsigned peer)
{
	struct rig *rig = &sim->node[node].rig;

	wg_peer_initiate(rig->device, sim->node[node].peer[peer], sim_now(sim), rig_effects(rig));
	sim_settle(sim, node);
}

static void
a_handshake_that_comes_stops_the_new_handshake_too(void **state)
{
	struct sim *sim = sim_in_session(25);

	sim_lose(sim, ALICE, WG_MSG_DATA, 1);
	sim_send(sim, ALICE, BOB);
	sim_run_until(sim, SECONDS(25));
	sim_lose(sim, BOB, WG_MSG_DATA, 1); /* nothing follows the initiation */
	initiate(sim, BOB, ALICE);
	sim_run_until(sim, SECONDS(60));
	expect_trace(sim, "20.000 alice > data\n"
			  "25.000 bob > initiation\n"
			  "25.010 alice > response\n"
			  "25.020 bob > keepalive\n");
	sim_free(sim);
}

static void
a_handshake_that_goes_out_makes_the_keepalive_needless(void **state)
{
	struct sim *sim = sim_in_session(26);

	sim_send(sim, BOB, ALICE);
	sim_run_until(sim, SECONDS(25));
	sim->link[ALICE][BOB].cut = true;
	initiate(sim, ALICE, BOB);
	sim_run_until(sim, SECONDS(34));
	expect_trace(sim, "20.000 bob > data\n"
			  "20.010 alice = 2\n"
			  "25.000 alice > initiation\n"
			  "30.000-30.400 alice > initiation\n");
	sim_free(sim);
}

static void
keepalives_that_go_unanswered_start_no_handshake(void **state)
{
	struct sim *sim = sim_in_session(8);

	sim_send(sim, BOB, ALICE);
	sim_run_until(sim, MILLISECONDS(20020));
	sim->link[ALICE][BOB].cut = true; /* alice's passive keepalive goes into the void */
	sim_run_until(sim, SECONDS(34));
	assert_int_equal(traced(sim, "alice > keepalive"), 1);
	sim_run_until(sim, SECONDS(100));
	assert_int_equal(traced(sim, "alice > initiation"), 0);
	sim_free(sim);
}

/* When the k-th initiation of the trace left, in milliseconds. */
static int64_t
initiation_at(const struct sim *sim, unsigned k)
{
	const char *line = sim->trace;

	for (;; line = strchr(line, '\n') + 1) {
		const char *end = strchr(line, '\n');

		assert_non_null(end);
		if (memmem(line, (size_t)(end - line), "> initiation", 12) && k-- == 0)
			break;
	}
	return strtoll(line, NULL, 10) * 1000 + strtoll(strchr(line, '.') + 1, NULL, 10);
}

static void
a_handshake_is_retried_every_five_seconds_and_a_bit_and_given_up_after_twenty_sends(void **state)
{
	struct sim *sim = sim_new(2, 9, true);
	bool jittered = false;

	sim->link[ALICE][BOB].cut = true;
	sim_send(sim, ALICE, BOB);
	sim_run_until(sim, SECONDS(1000));
	assert_int_equal(traced(sim, "initiation"), 20);
	for (unsigned k = 1; k < 20; k++) {
		const int64_t gap = initiation_at(sim, k) - initiation_at(sim, k - 1);

		assert_in_range(gap, 5000, 5400);
		jittered = jittered || gap > 5010;
	}
	assert_true(jittered);
	assert_int_equal(rig_drops(&sim->node[ALICE].rig, WG_DROP_STAGED_PURGED), 1);
	sim_forget(sim);

	/* Not for ever: the next packet tries again. */
	sim->link[ALICE][BOB].cut = false;
	sim_send(sim, ALICE, BOB);
	sim_run_until(sim, SECONDS(1001));
	expect_trace(sim, "1000.000 alice > initiation\n"
			  "1000.010 bob > response\n"
			  "1000.020 alice > data\n"
			  "1000.030 bob = 2\n");
	sim_free(sim);
}

static void
packets_wait_until_the_handshake_is_given_up(void **state)
{
	struct sim *sim = sim_new(2, 10, true);
	struct rig *rig = &sim->node[ALICE].rig;

	sim->link[ALICE][BOB].cut = true;
	sim_send(sim, ALICE, BOB);
	sim_run_until(sim, SECONDS(99));
	assert_int_equal(rig_drops(rig, WG_DROP_STAGED_PURGED), 0);
	sim_run_until(sim, SECONDS(108));
	assert_int_equal(rig_drops(rig, WG_DROP_STAGED_PURGED), 1);
	sim_free(sim);
}

static void
a_link_that_returns_late_still_delivers_what_waited(void **state)
{
	struct sim *sim = sim_new(2, 11, true);

	sim->link[ALICE][BOB].cut = true;
	sim_send(sim, ALICE, BOB);
	sim_run_until(sim, SECONDS(90));
	sim->link[ALICE][BOB].cut = false;
	sim_run_until(sim, SECONDS(96));
	assert_true(sim_arrived(sim, 1));
	sim_free(sim);
}

static void
steady_traffic_never_gives_up(void **state)
{
	struct sim *sim = sim_new(2, 12, true);
	uint64_t last = 0;

	sim->link[ALICE][BOB].cut = true;
	for (unsigned i = 0; i < 300; i++) {
		last = sim_send(sim, ALICE, BOB);
		sim_run(sim, SECONDS(1));
	}
	assert_in_range(traced(sim, "initiation"), 300 * 1000 / 5400, 300 / 5 + 1);
	assert_int_equal(rig_drops(&sim->node[ALICE].rig, WG_DROP_STAGED_PURGED), 0);
	sim->link[ALICE][BOB].cut = false;
	sim_run(sim, SECONDS(6));
	assert_true(sim_arrived(sim, last));
	sim_free(sim);
}

/* So that retries come between the packets: each packet makes the count begin again. */
static void
steady_traffic_never_gives_up_even_between_retries(void **state)
{
	struct sim *sim = sim_new(2, 24, true);

	sim->link[ALICE][BOB].cut = true;
	for (unsigned i = 0; i < 430; i++) {
		sim_send(sim, ALICE, BOB);
		sim_run(sim, MILLISECONDS(700));
	}
	assert_in_range(traced(sim, "initiation"), 300 * 1000 / 6000, 301 / 5 + 1);
	assert_int_equal(rig_drops(&sim->node[ALICE].rig, WG_DROP_STAGED_PURGED), 0);
	sim_free(sim);
}

static void
at_most_one_initiation_leaves_in_five_seconds(void **state)
{
	struct sim *sim = sim_new(2, 13, true);

	sim->link[ALICE][BOB].cut = true;
	for (unsigned i = 0; i < 600; i++) {
		struct rig *rig = &sim->node[ALICE].rig;

		sim_send(sim, ALICE, BOB);
		wg_peer_initiate(rig->device, sim->node[ALICE].peer[BOB], sim_now(sim), rig_effects(rig));
		sim_settle(sim, ALICE);
		sim_run(sim, MILLISECONDS(100));
	}
	for (unsigned k = 1; k < traced(sim, "initiation"); k++)
		assert_true(initiation_at(sim, k) - initiation_at(sim, k - 1) >= 5000);
	sim_free(sim);
}

static void
a_response_starts_the_five_seconds_too(void **state)
{
	struct sim *sim = sim_new(2, 14, true);

	sim_lose(sim, ALICE, WG_MSG_DATA, 1); /* bob's session stays unconfirmed */
	sim_send(sim, ALICE, BOB);
	sim_run_until(sim, SECONDS(1));
	sim_send(sim, BOB, ALICE);
	sim_run_until(sim, SECONDS(4));
	sim_send(sim, BOB, ALICE);
	sim_run_until(sim, MILLISECONDS(5000));
	assert_int_equal(sim->node[BOB].sent[WG_MSG_INITIATION], 0);
	sim_run_until(sim, MILLISECONDS(5050));
	sim_send(sim, BOB, ALICE);
	assert_int_equal(sim->node[BOB].sent[WG_MSG_INITIATION], 1);
	sim_free(sim);
}

static void
keys_are_zeroed_540_seconds_after_the_last_session(void **state)
{
	struct sim *sim = sim_in_session(15);
	struct rig *rig = &sim->node[ALICE].rig;
	const unsigned before = rig->ordered[WG_ORDER_KEYPAIRS_CLEAR];

	sim_run_until(sim, SECONDS(540));
	assert_int_equal(rig->ordered[WG_ORDER_KEYPAIRS_CLEAR], before);
	sim_run_until(sim, MILLISECONDS(540200));
	assert_int_equal(rig->ordered[WG_ORDER_KEYPAIRS_CLEAR], before + 1);
	sim_run_until(sim, SECONDS(5000));
	assert_int_equal(rig->ordered[WG_ORDER_KEYPAIRS_CLEAR], before + 1);
	sim_free(sim);
}

static void
giving_up_zeroes_nothing_early_and_postpones_nothing(void **state)
{
	struct sim *sim = sim_in_session(16);
	struct rig *rig = &sim->node[ALICE].rig;
	const unsigned before = rig->ordered[WG_ORDER_KEYPAIRS_CLEAR];

	sim_run_until(sim, SECONDS(100));
	sim->link[ALICE][BOB].cut = true;
	sim_send(sim, ALICE, BOB);
	sim_run_until(sim, SECONDS(540)); /* the handshake was given up at about 220 s */
	assert_int_equal(rig->ordered[WG_ORDER_KEYPAIRS_CLEAR], before);
	sim_run_until(sim, MILLISECONDS(540200));
	assert_int_equal(rig->ordered[WG_ORDER_KEYPAIRS_CLEAR], before + 1);
	sim_free(sim);
}

static void
zeroing_leaves_the_peer_able_to_shake_hands(void **state)
{
	struct sim *sim = sim_in_session(17);

	sim_run_until(sim, SECONDS(600));
	sim_send(sim, BOB, ALICE);
	sim_run_until(sim, SECONDS(601));
	expect_trace(sim, "600.000 bob > initiation\n"
			  "600.010 alice > response\n"
			  "600.020 bob > data\n"
			  "600.030 alice = 2\n");
	sim_free(sim);
}

static void
a_persistent_keepalive_goes_out_at_once_and_renews_the_session(void **state)
{
	struct sim *sim = sim_new(2, 18, true);

	keepalive_set(sim, ALICE, BOB, 25);
	sim_run_until(sim, SECONDS(151));
	expect_trace(sim, "0.000 alice > initiation\n"
			  "0.010 bob > response\n"
			  "0.020 alice > keepalive\n"
			  "25.020-25.100 alice > keepalive\n"
			  "50.020-50.200 alice > keepalive\n"
			  "75.020-75.300 alice > keepalive\n"
			  "100.020-100.400 alice > keepalive\n"
			  "125.020-125.500 alice > keepalive\n"
			  "125.020-125.500 alice > initiation\n"
			  "125.030-125.510 bob > response\n"
			  "125.040-125.520 alice > keepalive\n"
			  "150.040-150.600 alice > keepalive\n");
	sim_free(sim);
}

static void
traffic_either_way_puts_the_persistent_keepalive_off(void **state)
{
	struct sim *sim = sim_in_session(19);

	keepalive_set(sim, ALICE, BOB, 5);
	for (unsigned i = 0; i < 20; i++) {
		sim_run(sim, SECONDS(2));
		sim_send(sim, ALICE, BOB);
		sim_run(sim, SECONDS(2));
		sim_send(sim, BOB, ALICE);
	}
	assert_int_equal(traced(sim, "alice > keepalive"), 1); /* when it was set */
	sim_free(sim);
}

static void
setting_the_same_keepalive_again_sends_nothing(void **state)
{
	struct sim *sim = sim_in_session(20);

	keepalive_set(sim, ALICE, BOB, 25);
	sim_run_until(sim, SECONDS(30));
	keepalive_set(sim, ALICE, BOB, 25);
	keepalive_set(sim, ALICE, BOB, 25);
	sim_run_until(sim, SECONDS(46));
	expect_trace(sim, "20.000 alice > keepalive\n"
			  "45.000-45.100 alice > keepalive\n");
	keepalive_set(sim, ALICE, BOB, 0);
	sim_run_until(sim, SECONDS(119));
	expect_trace(sim, "");
	sim_free(sim);
}

static void
a_persistent_keepalive_finds_a_peer_that_was_away_for_long(void **state)
{
	struct sim *sim = sim_new(2, 21, true);

	sim->link[ALICE][BOB].cut = true;
	keepalive_set(sim, ALICE, BOB, 25);
	sim_run_until(sim, SECONDS(400));
	assert_int_equal(sim->node[ALICE].rig.handshakes, 0);
	sim->link[ALICE][BOB].cut = false;
	sim_run_until(sim, SECONDS(433));
	assert_int_equal(sim->node[ALICE].rig.handshakes, 1);
	sim_free(sim);
}

static void
persistent_keepalives_on_both_sides_are_no_storm(void **state)
{
	struct sim *sim = sim_in_session(22);

	keepalive_set(sim, ALICE, BOB, 1);
	keepalive_set(sim, BOB, ALICE, 1);
	sim_run_until(sim, SECONDS(110));
	assert_in_range(traced(sim, "keepalive"), 85, 190);
	sim_free(sim);
}

static void
setting_what_is_set_resets_no_retry(void **state)
{
	struct sim *sim = sim_new(2, 23, true);
	struct rig *rig = &sim->node[ALICE].rig;

	sim->link[ALICE][BOB].cut = true;
	sim_send(sim, ALICE, BOB);
	for (unsigned i = 0; i < 200; i++) {
		struct cidr cidr;

		sim_run(sim, SECONDS(1));
		wg_private_key_set(rig->device, &rig->secret, sim_now(sim), rig_effects(rig));
		wg_peer_endpoint_set(rig->device, sim->node[ALICE].peer[BOB], &sim->node[BOB].at,
				     sim_now(sim), rig_effects(rig));
		wg_peer_keepalive_set(rig->device, sim->node[ALICE].peer[BOB], 0, sim_now(sim),
				      rig_effects(rig));
		wg_peer_psk_set(rig->device, sim->node[ALICE].peer[BOB], &(struct preshared_key){0});
		wg_peer_access_set(rig->device, sim->node[ALICE].peer[BOB], WG_ACTIVE, 0, sim_now(sim),
				   rig_effects(rig));
		assert_int_equal(cidr_parse(&cidr, "10.0.0.2/32"), 0);
		assert_int_equal(wg_peer_allow(rig->device, sim->node[ALICE].peer[BOB], &cidr), 0);
		sim_settle(sim, ALICE);
	}
	assert_int_equal(traced(sim, "initiation"), 20);
	sim_free(sim);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(data_is_answered_within_ten_seconds_and_a_keepalive_is_not),
		cmocka_unit_test(data_the_other_way_makes_the_keepalive_needless),
		cmocka_unit_test(more_data_before_the_keepalive_asks_for_another_one),
		cmocka_unit_test(traffic_both_ways_needs_no_keepalives),
		cmocka_unit_test(one_way_traffic_draws_a_keepalive_each_ten_seconds_and_no_more),
		cmocka_unit_test(unanswered_data_starts_a_handshake_after_15_seconds),
		cmocka_unit_test(anything_authentic_that_comes_stops_the_new_handshake),
		cmocka_unit_test(a_handshake_that_comes_stops_the_new_handshake_too),
		cmocka_unit_test(a_handshake_that_goes_out_makes_the_keepalive_needless),
		cmocka_unit_test(keepalives_that_go_unanswered_start_no_handshake),
		cmocka_unit_test(
			a_handshake_is_retried_every_five_seconds_and_a_bit_and_given_up_after_twenty_sends),
		cmocka_unit_test(packets_wait_until_the_handshake_is_given_up),
		cmocka_unit_test(a_link_that_returns_late_still_delivers_what_waited),
		cmocka_unit_test(steady_traffic_never_gives_up),
		cmocka_unit_test(steady_traffic_never_gives_up_even_between_retries),
		cmocka_unit_test(at_most_one_initiation_leaves_in_five_seconds),
		cmocka_unit_test(a_response_starts_the_five_seconds_too),
		cmocka_unit_test(keys_are_zeroed_540_seconds_after_the_last_session),
		cmocka_unit_test(giving_up_zeroes_nothing_early_and_postpones_nothing),
		cmocka_unit_test(zeroing_leaves_the_peer_able_to_shake_hands),
		cmocka_unit_test(a_persistent_keepalive_goes_out_at_once_and_renews_the_session),
		cmocka_unit_test(traffic_either_way_puts_the_persistent_keepalive_off),
		cmocka_unit_test(setting_the_same_keepalive_again_sends_nothing),
		cmocka_unit_test(a_persistent_keepalive_finds_a_peer_that_was_away_for_long),
		cmocka_unit_test(persistent_keepalives_on_both_sides_are_no_storm),
		cmocka_unit_test(setting_what_is_set_resets_no_retry),
	};

	return cmocka_run_group_tests_name("timers", tests, NULL, NULL);
}
