/* The life of a session: how it begins, is confirmed, is renewed, ends, and what is lost on the way. */
#include "tests/sim/wg/sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

/* Two peers with a session that alice began at 0; its trace is taken. */
static struct sim *
sim_in_session(void)
{
	struct sim *sim = sim_new(2, 1, true);

	sim_send(sim, ALICE, BOB);
	sim_run_until(sim, SECONDS(11));
	expect_trace(sim, "0.000 alice > initiation\n"
			  "0.010 bob > response\n"
			  "0.020 alice > data\n"
			  "0.030 bob = 1\n"
			  "10.030-10.100 bob > keepalive\n");
	return sim;
}

static void
a_first_packet_shakes_hands_and_follows_at_once(void **state)
{
	sim_free(sim_in_session());
}

static void
an_idle_session_is_silent_for_ever(void **state)
{
	struct sim *sim = sim_in_session();

	sim_run_until(sim, SECONDS(4000));
	expect_trace(sim, "");
	sim_free(sim);
}

static void
a_handshake_without_data_is_confirmed_by_a_keepalive(void **state)
{
	struct sim *sim = sim_new(2, 2, true);

	wg_peer_initiate(sim->node[ALICE].rig.device, sim->node[ALICE].peer[BOB], sim_now(sim),
			 rig_effects(&sim->node[ALICE].rig));
	sim_settle(sim, ALICE);
	sim_run_until(sim, SECONDS(60));
	expect_trace(sim, "0.000 alice > initiation\n"
			  "0.010 bob > response\n"
			  "0.020 alice > keepalive\n");
	assert_int_equal(sim->node[ALICE].rig.handshakes, 1);
	assert_int_equal(sim->node[BOB].rig.handshakes, 1);
	sim_free(sim);
}

static void
the_initiator_renews_on_the_first_send_after_120_seconds(void **state)
{
	struct sim *sim = sim_in_session();

	sim_run_until(sim, SECONDS(120));
	sim_send(sim, ALICE, BOB); /* the session is 119.98 s old */
	sim_run_until(sim, MILLISECONDS(120100));
	sim_send(sim, ALICE, BOB);
	sim_run_until(sim, SECONDS(121));
	sim_send(sim, BOB, ALICE); /* on the new one */
	sim_run_until(sim, SECONDS(200));
	expect_trace(sim, "120.000 alice > data\n"
			  "120.010 bob = 2\n"
			  "120.100 alice > data\n"
			  "120.100 alice > initiation\n"
			  "120.110 bob = 3\n"
			  "120.110 bob > response\n"
			  "120.120 alice > keepalive\n"
			  "121.000 bob > data\n"
			  "121.010 alice = 4\n"
			  "131.010-131.100 alice > keepalive\n");
	sim_free(sim);
}

static void
time_alone_renews_nothing(void **state)
{
	struct sim *sim = sim_in_session();

	sim_run_until(sim, SECONDS(179));
	expect_trace(sim, "");
	sim_free(sim);
}

static void
the_responder_renews_nothing_but_a_keepalive_of_the_initiator_does(void **state)
{
	struct sim *sim = sim_in_session();

	sim_run_until(sim, SECONDS(121));
	sim_send(sim, BOB, ALICE);
	sim_run_until(sim, SECONDS(170));
	expect_trace(sim, "121.000 bob > data\n"
			  "121.010 alice = 2\n"
			  "131.010-131.100 alice > keepalive\n"
			  "131.010-131.100 alice > initiation\n"
			  "131.020-131.110 bob > response\n"
			  "131.030-131.120 alice > keepalive\n");
	sim_free(sim);
}

static void
the_initiator_renews_on_receiving_in_the_last_minute(void **state)
{
	struct sim *sim = sim_in_session();

	sim_run_until(sim, SECONDS(166));
	sim_send(sim, BOB, ALICE);
	sim_run_until(sim, SECONDS(180));
	expect_trace(sim, "166.000 bob > data\n"
			  "166.010 alice = 2\n"
			  "166.010 alice > initiation\n"
			  "166.020 bob > response\n"
			  "166.030 alice > keepalive\n");
	sim_free(sim);
}

static void
receiving_before_the_last_minute_renews_nothing(void **state)
{
	struct sim *sim = sim_in_session();

	sim_run_until(sim, SECONDS(164));
	sim_send(sim, BOB, ALICE);
	sim_run_until(sim, SECONDS(173));
	expect_trace(sim, "164.000 bob > data\n"
			  "164.010 alice = 2\n");
	sim_free(sim);
}

static void
the_responder_does_not_renew_in_the_last_minute(void **state)
{
	struct sim *sim = sim_in_session();

	sim_lose(sim, ALICE, WG_MSG_INITIATION, 3); /* alice would renew on her send */
	sim_run_until(sim, SECONDS(170));
	sim_send(sim, ALICE, BOB);
	sim_run_until(sim, SECONDS(171));
	expect_trace(sim, "170.000 alice > data\n"
			  "170.000 alice > initiation\n"
			  "170.010 bob = 2\n");
	sim_free(sim);
}

static void
an_old_session_is_not_used_to_send_and_the_packet_waits(void **state)
{
	struct sim *sim = sim_in_session();

	sim_run_until(sim, MILLISECONDS(180021));
	sim_send(sim, BOB, ALICE);
	sim_run_until(sim, SECONDS(200));
	expect_trace(sim, "180.021 bob > initiation\n"
			  "180.031 alice > response\n"
			  "180.041 bob > data\n"
			  "180.051 alice = 2\n"
			  "190.051-190.100 alice > keepalive\n");
	sim_free(sim);
}

static void
a_session_is_used_to_the_last_second(void **state)
{
	struct sim *sim = sim_in_session();

	sim_run_until(sim, MILLISECONDS(179900));
	sim_send(sim, BOB, ALICE);
	sim_run_until(sim, MILLISECONDS(179915));
	expect_trace(sim, "179.900 bob > data\n"
			  "179.910 alice = 2\n"
			  "179.910 alice > initiation\n");
	sim_free(sim);
}

static void
what_arrives_on_an_old_session_is_dropped(void **state)
{
	struct sim *sim = sim_in_session();

	sim->link[ALICE][BOB].delay = SECONDS(185);
	sim_send(sim, ALICE, BOB); /* at 11 s */
	sim->link[ALICE][BOB].delay = SIM_DELAY;
	sim_run_until(sim, SECONDS(195));
	sim_forget(sim);
	sim_run_until(sim, SECONDS(197));
	expect_trace(sim, "196.000 bob ! key_expired\n");
	sim_free(sim);
}

static void
what_was_sealed_before_a_renewal_is_still_taken_after_it(void **state)
{
	struct sim *sim = sim_in_session();

	sim_run_until(sim, SECONDS(119));
	sim->link[BOB][ALICE].delay = SECONDS(5);
	sim_send(sim, BOB, ALICE);
	sim->link[BOB][ALICE].delay = SIM_DELAY;
	sim_run_until(sim, SECONDS(121));
	sim_send(sim, ALICE, BOB); /* renews */
	sim_run_until(sim, SECONDS(122));
	sim_forget(sim);
	sim_run_until(sim, SECONDS(125));
	expect_trace(sim, "124.000 alice = 2\n");
	sim_free(sim);
}

static void
the_responder_sends_nothing_before_the_session_is_confirmed(void **state)
{
	struct sim *sim = sim_new(2, 3, true);

	wg_peer_initiate(sim->node[ALICE].rig.device, sim->node[ALICE].peer[BOB], sim_now(sim),
			 rig_effects(&sim->node[ALICE].rig));
	sim_settle(sim, ALICE);
	sim_run_until(sim, MILLISECONDS(12));
	sim_send(sim, BOB, ALICE);
	sim_run_until(sim, SECONDS(15));
	expect_trace(sim, "0.000 alice > initiation\n"
			  "0.010 bob > response\n"
			  "0.020 alice > keepalive\n"
			  "0.030 bob > data\n"
			  "0.040 alice = 1\n"
			  "10.040-10.100 alice > keepalive\n");
	sim_free(sim);
}

static void
a_lost_confirmation_costs_the_responder_one_more_handshake(void **state)
{
	struct sim *sim = sim_new(2, 4, true);
	uint64_t first, second;

	sim_lose(sim, ALICE, WG_MSG_DATA, 1);
	wg_peer_initiate(sim->node[ALICE].rig.device, sim->node[ALICE].peer[BOB], sim_now(sim),
			 rig_effects(&sim->node[ALICE].rig));
	sim_settle(sim, ALICE);
	sim_run_until(sim, MILLISECONDS(12));
	first = sim_send(sim, BOB, ALICE);
	sim_run_until(sim, SECONDS(5));
	assert_int_equal(sim->node[BOB].sent[WG_MSG_DATA], 0);
	sim_run_until(sim, SECONDS(6));
	second = sim_send(sim, BOB, ALICE);
	sim_run_until(sim, MILLISECONDS(6040));
	assert_true(sim_arrived(sim, first));
	assert_true(sim_arrived(sim, second));
	sim_free(sim);
}

static void
a_lost_response_is_asked_for_again(void **state)
{
	struct sim *sim = sim_new(2, 5, true);

	sim_lose(sim, BOB, WG_MSG_RESPONSE, 1);
	sim_send(sim, ALICE, BOB);
	sim_run_until(sim, SECONDS(12));
	expect_trace(sim, "0.000 alice > initiation\n"
			  "0.010 bob > response\n"
			  "5.000-5.400 alice > initiation\n"
			  "5.010-5.410 bob > response\n"
			  "5.020-5.420 alice > data\n"
			  "5.030-5.430 bob = 1\n");
	sim_free(sim);
}

static void
a_response_that_takes_four_seconds_is_taken(void **state)
{
	struct sim *sim = sim_new(2, 6, true);

	sim->link[BOB][ALICE].delay = SECONDS(4);
	sim_send(sim, ALICE, BOB);
	sim_run_until(sim, SECONDS(13));
	expect_trace(sim, "0.000 alice > initiation\n"
			  "0.010 bob > response\n"
			  "4.010 alice > data\n"
			  "4.020 bob = 1\n");
	sim_free(sim);
}

static void
crossed_initiations_undo_each_other_and_a_retry_heals_it(void **state)
{
	struct sim *sim = sim_new(2, 7, true);
	uint64_t a, b;

	a = sim_send(sim, ALICE, BOB);
	b = sim_send(sim, BOB, ALICE);
	sim_run_until(sim, SECONDS(1));
	expect_trace(sim, "0.000 alice > initiation\n"
			  "0.000 bob > initiation\n"
			  "0.010 bob > response\n"
			  "0.010 alice > response\n"
			  "0.020 alice ! no_handshake\n"
			  "0.020 bob ! no_handshake\n");
	sim_run_until(sim, SECONDS(12));
	assert_true(sim_arrived(sim, a));
	assert_true(sim_arrived(sim, b));
	sim_free(sim);
}

static void
traffic_both_ways_survives_renewals_without_loss(void **state)
{
	struct sim *sim = sim_new(2, 8, true);

	for (unsigned i = 0; i < 4000; i++) {
		sim_send(sim, ALICE, BOB);
		if (i >= 10)
			sim_send(sim, BOB, ALICE);
		sim_run(sim, MILLISECONDS(100));
	}
	sim_run(sim, SECONDS(1));
	for (uint64_t i = 1; i <= sim->n_packets; i++)
		assert_true(sim_arrived(sim, i));
	assert_int_equal(sim->node[ALICE].sent[WG_MSG_INITIATION], 4); /* 0, 120, 240, 360 s */
	assert_int_equal(sim->node[BOB].sent[WG_MSG_INITIATION], 0);
	assert_null(strstr(sim->trace, "!"));
	sim_free(sim);
}

static void
a_peer_that_lost_its_memory_is_back_when_it_sends(void **state)
{
	struct sim *sim = sim_in_session();

	sim_restart(sim, BOB);
	sim_send(sim, BOB, ALICE);
	sim_run_until(sim, SECONDS(12));
	expect_trace(sim, "11.000 bob > initiation\n"
			  "11.010 alice > response\n"
			  "11.020 bob > data\n"
			  "11.030 alice = 2\n");
	sim_free(sim);
}

static void
a_peer_that_lost_its_memory_is_found_again_after_15_seconds(void **state)
{
	struct sim *sim = sim_in_session();

	sim_restart(sim, BOB);
	sim_send(sim, ALICE, BOB);
	sim_run_until(sim, SECONDS(30));
	expect_trace(sim, "11.000 alice > data\n"
			  "11.010 bob ! no_session\n"
			  "26.000-26.400 alice > initiation\n"
			  "26.010-26.410 bob > response\n"
			  "26.020-26.420 alice > keepalive\n");
	sim_free(sim);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_first_packet_shakes_hands_and_follows_at_once),
		cmocka_unit_test(an_idle_session_is_silent_for_ever),
		cmocka_unit_test(a_handshake_without_data_is_confirmed_by_a_keepalive),
		cmocka_unit_test(the_initiator_renews_on_the_first_send_after_120_seconds),
		cmocka_unit_test(time_alone_renews_nothing),
		cmocka_unit_test(the_responder_renews_nothing_but_a_keepalive_of_the_initiator_does),
		cmocka_unit_test(the_initiator_renews_on_receiving_in_the_last_minute),
		cmocka_unit_test(receiving_before_the_last_minute_renews_nothing),
		cmocka_unit_test(the_responder_does_not_renew_in_the_last_minute),
		cmocka_unit_test(an_old_session_is_not_used_to_send_and_the_packet_waits),
		cmocka_unit_test(a_session_is_used_to_the_last_second),
		cmocka_unit_test(what_arrives_on_an_old_session_is_dropped),
		cmocka_unit_test(what_was_sealed_before_a_renewal_is_still_taken_after_it),
		cmocka_unit_test(the_responder_sends_nothing_before_the_session_is_confirmed),
		cmocka_unit_test(a_lost_confirmation_costs_the_responder_one_more_handshake),
		cmocka_unit_test(a_lost_response_is_asked_for_again),
		cmocka_unit_test(a_response_that_takes_four_seconds_is_taken),
		cmocka_unit_test(crossed_initiations_undo_each_other_and_a_retry_heals_it),
		cmocka_unit_test(traffic_both_ways_survives_renewals_without_loss),
		cmocka_unit_test(a_peer_that_lost_its_memory_is_back_when_it_sends),
		cmocka_unit_test(a_peer_that_lost_its_memory_is_found_again_after_15_seconds),
	};

	return cmocka_run_group_tests_name("session", tests, NULL, NULL);
}
