/* What changes under way: endpoints, keys, peers, the interface, load. */
#include "tests/sim/wg/sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

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
a_peer_that_moves_is_followed_by_its_data(void **state)
{
	static const char *const places[] = {"198.51.100.7:9999", "198.51.100.7:9998", "[2001:db8::7]:51820",
					     "[fe80::7]:1", "203.0.113.1:51820"};
	struct sim *sim = sim_in_session(1);

	for (unsigned i = 0; i < ARRAY_LEN(places); i++) {
		uint64_t there, back;

		sim_move(sim, ALICE, places[i]);
		there = sim_send(sim, ALICE, BOB);
		sim_run(sim, SECONDS(1));
		back = sim_send(sim, BOB, ALICE);
		sim_run(sim, SECONDS(1));
		assert_true(sim_arrived(sim, there));
		assert_true(sim_arrived(sim, back));
	}
	assert_true(sim->node[BOB].rig.endpoints >= ARRAY_LEN(places));
	sim_free(sim);
}

static void
a_peer_that_moves_is_followed_by_its_keepalive_and_its_handshake(void **state)
{
	struct sim *sim = sim_in_session(2);
	uint64_t back;

	sim_move(sim, ALICE, "198.51.100.7:9999");
	wg_peer_keepalive_set(sim->node[ALICE].rig.device, sim->node[ALICE].peer[BOB], 60, sim_now(sim),
			      rig_effects(&sim->node[ALICE].rig));
	sim_settle(sim, ALICE);
	sim_run(sim, SECONDS(1));
	back = sim_send(sim, BOB, ALICE);
	sim_run(sim, SECONDS(1));
	assert_true(sim_arrived(sim, back));

	sim_restart(sim, ALICE);
	sim_move(sim, ALICE, "[2001:db8::8]:7");
	wg_peer_initiate(sim->node[ALICE].rig.device, sim->node[ALICE].peer[BOB], sim_now(sim),
			 rig_effects(&sim->node[ALICE].rig));
	sim_settle(sim, ALICE);
	sim_run(sim, SECONDS(1)); /* the response found her */
	assert_int_equal(sim->node[ALICE].rig.handshakes, 1);
	sim_free(sim);
}

static void
a_peer_without_endpoint_is_reached_after_it_spoke(void **state)
{
	struct sim *sim = sim_new(2, 3, false);
	uint64_t early, late;

	sim_peer(sim, ALICE, BOB, true);
	sim_peer(sim, BOB, ALICE, false);
	early = sim_send(sim, BOB, ALICE);
	assert_int_equal(sim->node[BOB].rig.received[WG_DROP_NO_ENDPOINT], 1);
	sim_send(sim, ALICE, BOB);
	sim_run(sim, SECONDS(1));
	late = sim_send(sim, BOB, ALICE);
	sim_run(sim, SECONDS(1));
	assert_false(sim_arrived(sim, early));
	assert_true(sim_arrived(sim, late));
	sim_free(sim);
}

static void
under_load_an_initiation_needs_a_cookie_and_waits_for_its_retry(void **state)
{
	struct sim *sim = sim_new(2, 4, true);

	sim->node[BOB].rig.loaded = true;
	sim_send(sim, ALICE, BOB);
	sim_run_until(sim, SECONDS(12));
	expect_trace(sim, "0.000 alice > initiation\n"
			  "0.010 bob ! cookie_wanted\n"
			  "0.010 bob > cookie\n"
			  "5.000-5.400 alice > initiation\n"
			  "5.010-5.410 bob > response\n"
			  "5.020-5.420 alice > data\n"
			  "5.030-5.430 bob = 1\n");
	sim_free(sim);
}

static void
under_load_a_response_needs_a_cookie_too(void **state)
{
	struct sim *sim = sim_new(2, 5, true);

	sim->node[ALICE].rig.loaded = true;
	sim_send(sim, ALICE, BOB);
	sim_run_until(sim, SECONDS(12));
	expect_trace(sim, "0.000 alice > initiation\n"
			  "0.010 bob > response\n"
			  "0.020 alice ! cookie_wanted\n"
			  "0.020 alice > cookie\n"
			  "5.000-5.400 alice > initiation\n"
			  "5.010-5.410 bob > response\n"
			  "5.020-5.420 alice > data\n"
			  "5.030-5.430 bob = 1\n");
	sim_free(sim);
}

static void
a_new_private_key_receives_on_old_sessions_and_sends_on_none(void **state)
{
	struct sim *sim = sim_in_session(6);
	struct rig *bob = &sim->node[BOB].rig;
	struct private_key other;

	rig_secret(&other, "another secret of bob");
	wg_private_key_set(bob->device, &other, sim_now(sim), rig_effects(bob));
	sim_settle(sim, BOB);
	sim_send(sim, ALICE, BOB);
	sim_run_until(sim, SECONDS(21));
	expect_trace(sim, "20.000 alice > data\n"
			  "20.010 bob = 2\n");
	sim_send(sim, BOB, ALICE);
	sim_run_until(sim, SECONDS(22));
	expect_trace(sim, "21.000 bob > initiation\n"
			  "21.010 alice ! unknown_peer\n");
	sim_free(sim);
}

static void
a_new_private_key_waits_for_no_five_seconds(void **state)
{
	struct sim *sim = sim_in_session(7);
	struct rig *bob = &sim->node[BOB].rig;
	struct private_key other;

	wg_peer_initiate(sim->node[ALICE].rig.device, sim->node[ALICE].peer[BOB], sim_now(sim),
			 rig_effects(&sim->node[ALICE].rig));
	sim_settle(sim, ALICE);
	sim_run_until(sim, SECONDS(21));
	sim_forget(sim); /* bob answered at 20.010 */
	rig_secret(&other, "another secret of bob");
	wg_private_key_set(bob->device, &other, sim_now(sim), rig_effects(bob));
	sim_settle(sim, BOB);
	sim_send(sim, BOB, ALICE);
	sim_run_until(sim, SECONDS(22));
	expect_trace(sim, "21.000 bob > initiation\n"
			  "21.010 alice ! unknown_peer\n");
	sim_free(sim);
}

static void
the_same_private_key_again_disturbs_nothing(void **state)
{
	struct sim *sim = sim_in_session(8);
	struct rig *bob = &sim->node[BOB].rig;

	wg_private_key_set(bob->device, &bob->secret, sim_now(sim), rig_effects(bob));
	sim_settle(sim, BOB);
	sim_send(sim, BOB, ALICE);
	sim_run_until(sim, SECONDS(21));
	expect_trace(sim, "20.000 bob > data\n"
			  "20.010 alice = 2\n");
	sim_free(sim);
}

static void
a_changed_psk_leaves_the_session_and_fails_the_next_handshake(void **state)
{
	struct sim *sim = sim_in_session(9);
	struct preshared_key psk = {.b = {1, 2, 3}};

	wg_peer_psk_set(sim->node[BOB].rig.device, sim->node[BOB].peer[ALICE], &psk);
	sim_send(sim, ALICE, BOB);
	sim_send(sim, BOB, ALICE);
	sim_run_until(sim, SECONDS(119));
	expect_trace(sim, "20.000 alice > data\n"
			  "20.000 bob > data\n"
			  "20.010 bob = 2\n"
			  "20.010 alice = 3\n"
			  "30.010-30.100 alice > keepalive\n"
			  "30.010-30.100 bob > keepalive\n");
	sim_run_until(sim, SECONDS(121));
	sim_send(sim, ALICE, BOB);
	sim_run_until(sim, SECONDS(122));
	expect_trace(sim, "121.000 alice > data\n"
			  "121.000 alice > initiation\n"
			  "121.010 bob = 4\n"
			  "121.010 bob > response\n"
			  "121.020 alice ! handshake\n");

	/* Both have it: the retry goes through. */
	wg_peer_psk_set(sim->node[ALICE].rig.device, sim->node[ALICE].peer[BOB], &psk);
	sim_run_until(sim, SECONDS(128));
	expect_trace(sim, "126.000-126.400 alice > initiation\n"
			  "126.010-126.410 bob > response\n"
			  "126.020-126.420 alice > keepalive\n");
	sim_free(sim);
}

static void
a_removed_peer_is_a_stranger(void **state)
{
	struct sim *sim = sim_in_session(10);
	struct rig *bob = &sim->node[BOB].rig;

	wg_peer_remove(bob->device, sim->node[BOB].peer[ALICE], rig_effects(bob));
	sim->node[BOB].peer[ALICE] = NULL;
	sim_settle(sim, BOB);
	sim_send(sim, ALICE, BOB);
	sim_send(sim, BOB, ALICE);
	assert_int_equal(wg_peer_count(bob->device), 0);
	assert_null(wg_peer_find(bob->device, &sim->node[ALICE].rig.public));
	sim_run_until(sim, SECONDS(36));
	expect_trace(sim, "20.000 alice > data\n"
			  "20.010 bob ! no_session\n"
			  "35.000-35.400 alice > initiation\n"
			  "35.010-35.410 bob ! unknown_peer\n");
	sim_free(sim);
}

static void
a_peer_added_again_begins_anew(void **state)
{
	struct sim *sim = sim_in_session(11);
	struct rig *bob = &sim->node[BOB].rig;

	wg_peer_remove(bob->device, sim->node[BOB].peer[ALICE], rig_effects(bob));
	sim_settle(sim, BOB);
	sim_peer(sim, BOB, ALICE, true);
	sim_send(sim, ALICE, BOB); /* on the session of the one before */
	sim_send(sim, BOB, ALICE);
	sim_run_until(sim, SECONDS(21));
	expect_trace(sim, "20.000 alice > data\n"
			  "20.000 bob > initiation\n"
			  "20.010 bob ! no_session\n"
			  "20.010 alice > response\n"
			  "20.020 bob > data\n"
			  "20.030 alice = 3\n");
	sim_free(sim);
}

static void
an_interface_that_is_down_knows_no_session_and_answers_nobody(void **state)
{
	struct sim *sim = sim_in_session(12);

	rig_event(&sim->node[BOB].rig, WG_EVENT_DOWN);
	sim_settle(sim, BOB);
	sim_send(sim, ALICE, BOB);
	sim_run_until(sim, SECONDS(36));
	expect_trace(sim, "20.000 alice > data\n"
			  "20.010 bob ! no_session\n"
			  "35.000-35.400 alice > initiation\n"
			  "35.010-35.410 bob ! down\n");
	rig_event(&sim->node[BOB].rig, WG_EVENT_UP);
	sim_settle(sim, BOB);
	expect_trace(sim, "");
	sim_send(sim, BOB, ALICE); /* nothing of before holds it up */
	sim_run_until(sim, SECONDS(37));
	expect_trace(sim, "36.000 bob > initiation\n"
			  "36.010 alice > response\n"
			  "36.020 bob > data\n"
			  "36.030 alice = 3\n");
	sim_free(sim);
}

static void
an_interface_that_was_down_waits_for_no_five_seconds(void **state)
{
	struct sim *sim = sim_new(2, 16, true);
	struct rig *alice = &sim->node[ALICE].rig;

	sim_send(sim, ALICE, BOB);
	sim_run_until(sim, SECONDS(1));
	sim_forget(sim);
	rig_event(alice, WG_EVENT_DOWN);
	rig_event(alice, WG_EVENT_UP);
	sim_settle(sim, ALICE);
	sim_send(sim, ALICE, BOB);
	sim_run_until(sim, SECONDS(2));
	expect_trace(sim, "1.000 alice > initiation\n"
			  "1.010 bob > response\n"
			  "1.020 alice > data\n"
			  "1.030 bob = 2\n");
	sim_free(sim);
}

static void
what_waited_is_dropped_when_the_interface_goes_down(void **state)
{
	struct sim *sim = sim_new(2, 17, true);
	struct rig *alice = &sim->node[ALICE].rig;

	sim->link[ALICE][BOB].cut = true;
	sim_send(sim, ALICE, BOB);
	rig_event(alice, WG_EVENT_DOWN);
	assert_int_equal(rig_drops(alice, WG_DROP_STAGED_PURGED), 1);
	rig_event(alice, WG_EVENT_UP);
	sim_settle(sim, ALICE);
	sim->link[ALICE][BOB].cut = false;
	sim_run_until(sim, SECONDS(10));
	expect_trace(sim, "0.000 alice > initiation\n");
	sim_send(sim, ALICE, BOB);
	sim_run_until(sim, SECONDS(11));
	assert_false(sim_arrived(sim, 1));
	assert_true(sim_arrived(sim, 2));
	sim_free(sim);
}

static void
an_interface_that_comes_up_sends_its_persistent_keepalives(void **state)
{
	struct sim *sim = sim_in_session(13);
	struct rig *bob = &sim->node[BOB].rig;

	rig_event(bob, WG_EVENT_DOWN);
	wg_peer_keepalive_set(bob->device, sim->node[BOB].peer[ALICE], 25, sim_now(sim), rig_effects(bob));
	sim_settle(sim, BOB);
	sim_run_until(sim, SECONDS(60));
	expect_trace(sim, "");
	rig_event(bob, WG_EVENT_UP);
	sim_settle(sim, BOB);
	sim_run_until(sim, SECONDS(61));
	expect_trace(sim, "60.000 bob > initiation\n"
			  "60.010 alice > response\n"
			  "60.020 bob > keepalive\n");
	sim_free(sim);
}

static void
access_set(struct sim *sim, unsigned at, unsigned peer, enum wg_access access, time_t end)
{
	struct rig *rig = &sim->node[at].rig;

	wg_peer_access_set(rig->device, sim->node[at].peer[peer], access, end, sim_now(sim),
			   rig_effects(rig));
	sim_settle(sim, at);
}

static void
a_cut_peer_gets_nothing_in_or_out_and_no_handshake(void **state)
{
	struct sim *sim = sim_in_session(14);

	access_set(sim, BOB, ALICE, WG_CUT, 0);
	sim_send(sim, ALICE, BOB);
	sim_send(sim, BOB, ALICE);
	assert_int_equal(sim->node[BOB].rig.received[WG_DROP_CUT], 1);
	sim_run_until(sim, SECONDS(36));
	expect_trace(sim, "20.000 alice > data\n"
			  "20.010 bob ! cut\n"
			  "35.000-35.400 alice > initiation\n"
			  "35.010-35.410 bob ! cut\n");
	access_set(sim, BOB, ALICE, WG_ACTIVE, 0);
	sim_run_until(sim, SECONDS(42));
	assert_int_equal(sim->node[ALICE].rig.handshakes, 2);
	sim_free(sim);
}

static void
access_ends_by_itself_in_both_directions(void **state)
{
	struct sim *sim = sim_in_session(15);

	access_set(sim, BOB, ALICE, WG_ACTIVE, (RIG_WALL + SECONDS(1) + SECONDS(30)) / SECONDS(1));
	sim_run_until(sim, MILLISECONDS(29900));
	sim_send(sim, ALICE, BOB);
	sim_send(sim, BOB, ALICE);
	sim_run_until(sim, SECONDS(30));
	expect_trace(sim, "29.900 alice > data\n"
			  "29.900 bob > data\n"
			  "29.910 bob = 2\n"
			  "29.910 alice = 3\n");
	sim_send(sim, ALICE, BOB);
	sim_send(sim, BOB, ALICE);
	assert_int_equal(sim->node[BOB].rig.received[WG_DROP_ENDED], 1);
	sim_run_until(sim, MILLISECONDS(30100));
	expect_trace(sim, "30.000 alice > data\n"
			  "30.010 bob ! ended\n");
	sim_run_until(sim, SECONDS(46)); /* bob sends no keepalive to whom he may not speak */
	expect_trace(sim, "45.000-45.400 alice > initiation\n"
			  "45.010-45.410 bob ! ended\n");
	sim_free(sim);
}

/* A peer takes no stamp that is older than the last: ours go on. */
static void
a_clock_that_is_set_back_shakes_hands_all_the_same(void **state)
{
	struct sim *sim = sim_new(2, 99, true);

	sim_send(sim, ALICE, BOB);
	sim_run_until(sim, SECONDS(125));
	sim_forget(sim);
	sim_wall_set(sim, ALICE, -SECONDS(3600));
	sim_send(sim, ALICE, BOB);
	sim_run_until(sim, SECONDS(126));
	expect_trace(sim, "125.000 alice > data\n"
			  "125.000 alice > initiation\n"
			  "125.010 bob = 2\n"
			  "125.010 bob > response\n"
			  "125.020 alice > keepalive\n");
	sim_free(sim);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_peer_that_moves_is_followed_by_its_data),
		cmocka_unit_test(a_peer_that_moves_is_followed_by_its_keepalive_and_its_handshake),
		cmocka_unit_test(a_peer_without_endpoint_is_reached_after_it_spoke),
		cmocka_unit_test(under_load_an_initiation_needs_a_cookie_and_waits_for_its_retry),
		cmocka_unit_test(under_load_a_response_needs_a_cookie_too),
		cmocka_unit_test(a_new_private_key_receives_on_old_sessions_and_sends_on_none),
		cmocka_unit_test(a_new_private_key_waits_for_no_five_seconds),
		cmocka_unit_test(the_same_private_key_again_disturbs_nothing),
		cmocka_unit_test(a_changed_psk_leaves_the_session_and_fails_the_next_handshake),
		cmocka_unit_test(a_removed_peer_is_a_stranger),
		cmocka_unit_test(a_peer_added_again_begins_anew),
		cmocka_unit_test(an_interface_that_is_down_knows_no_session_and_answers_nobody),
		cmocka_unit_test(an_interface_that_was_down_waits_for_no_five_seconds),
		cmocka_unit_test(what_waited_is_dropped_when_the_interface_goes_down),
		cmocka_unit_test(an_interface_that_comes_up_sends_its_persistent_keepalives),
		cmocka_unit_test(a_cut_peer_gets_nothing_in_or_out_and_no_handshake),
		cmocka_unit_test(access_ends_by_itself_in_both_directions),
		cmocka_unit_test(a_clock_that_is_set_back_shakes_hands_all_the_same),
	};

	return cmocka_run_group_tests_name("change", tests, NULL, NULL);
}
