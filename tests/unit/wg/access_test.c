/* Access of a peer: active, quarantined, cut, ended.  Nobody else is needed for it to hold. */
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
access_set(enum wg_access access, nsec_t from_now)
{
	const time_t at = from_now ? (f.rig.now.wall + from_now) / SECONDS(1) : 0;

	wg_peer_access_set(f.rig.device, f.peer, access, at, f.rig.now, rig_effects(&f.rig));
	rig_pump(&f.rig);
	rig_empty(&f.rig);
}

static int
packet_from(bool quarantine)
{
	uint8_t packet[64];

	packet4(packet, GATE_IP, FOREIGN_IP, sizeof(packet), 1);
	return rig_packet_from(&f.rig, packet, sizeof(packet), quarantine);
}

static enum wg_drop
initiate(void)
{
	uint8_t initiation[ORACLE_INITIATION];

	rig_empty(&f.rig);
	foreign_initiation(&f, initiation);
	return rig_datagram(&f.rig, initiation, sizeof(initiation), FOREIGN_AT);
}

/* Nothing passes either way and nobody is answered, for that reason. */
static void
assert_shut(enum wg_drop why)
{
	assert_int_equal(foreign_data(&f, FOREIGN_AT), why);
	assert_int_equal(foreign_send(&f, f.o.counter++, "", 0, FOREIGN_AT), why);
	assert_int_equal(packet_from(false), -(int)why);
	assert_int_equal(packet_from(true), -(int)why);
	rig_empty(&f.rig);
	rig_run(&f.rig, MILLISECONDS(100));
	{
		const struct oracle before = f.o;

		assert_int_equal(initiate(), why);
		f.o = before;
	}
	assert_int_equal(f.rig.n_out, 0);
	assert_int_equal(f.rig.n_in, 0);
}

static void
an_active_peer_has_the_first_tun_only(void **state)
{
	assert_int_equal(foreign_data(&f, FOREIGN_AT), WG_DROP_NONE);
	assert_false(f.rig.in[0].quarantined);
	assert_int_equal(packet_from(false), 1);
	assert_int_equal(packet_from(true), -WG_DROP_QUARANTINE);
	assert_int_equal(rig_drops(&f.rig, WG_DROP_QUARANTINE), 1);
}

static void
a_quarantined_peer_has_the_second_tun_only(void **state)
{
	access_set(WG_QUARANTINED, 0);
	assert_int_equal(foreign_data(&f, FOREIGN_AT), WG_DROP_NONE);
	assert_true(f.rig.in[0].quarantined);
	assert_int_equal(packet_from(false), -WG_DROP_QUARANTINE);
	assert_int_equal(packet_from(true), 1);
	rig_run(&f.rig, SECONDS(1));
	assert_int_equal(initiate(), WG_DROP_NONE);
}

static void
a_cut_peer_is_shut_out(void **state)
{
	access_set(WG_CUT, 0);
	assert_shut(WG_DROP_CUT);
	assert_int_not_equal(wg_peer_count(f.rig.device), 0);
	assert_true(rig_drops(&f.rig, WG_DROP_CUT) >= 4);
}

static void
a_cut_peer_hears_nothing_from_us_of_our_own(void **state)
{
	wg_peer_keepalive_set(f.rig.device, f.peer, 5, f.rig.now, rig_effects(&f.rig));
	rig_pump(&f.rig);
	access_set(WG_CUT, 0);
	wg_peer_initiate(f.rig.device, f.peer, f.rig.now, rig_effects(&f.rig));
	rig_pump(&f.rig);
	rig_run(&f.rig, SECONDS(700));
	assert_int_equal(f.rig.n_out, 0);
}

static void
a_persistent_keepalive_goes_on_after_a_cut(void **state)
{
	wg_peer_keepalive_set(f.rig.device, f.peer, 25, f.rig.now, rig_effects(&f.rig));
	rig_pump(&f.rig);
	access_set(WG_CUT, 0);
	rig_run(&f.rig, SECONDS(100));
	assert_int_equal(f.rig.n_out, 0);
	access_set(WG_ACTIVE, 0);
	rig_run(&f.rig, SECONDS(26));
	assert_int_equal(f.rig.n_out, 1);
}

static void
what_waited_for_a_cut_peer_is_not_sent_later(void **state)
{
	uint8_t response[ORACLE_RESPONSE];

	foreign_done(&f);
	foreign_init(&f);
	assert_int_equal(foreign_packet(&f), 0);
	assert_true(
		oracle_take_initiation(&f.o, rig_one(&f.rig, WG_MSG_INITIATION)->data, WG_INITIATION_LEN));
	oracle_response(&f.o, response);
	access_set(WG_CUT, 0);
	assert_int_not_equal(rig_datagram(&f.rig, response, sizeof(response), FOREIGN_AT), WG_DROP_NONE);
	rig_run(&f.rig, SECONDS(20));
	assert_int_equal(f.rig.n_out, 0);
}

static void
what_waited_for_an_active_peer_is_not_sent_to_a_quarantined_one(void **state)
{
	uint8_t response[ORACLE_RESPONSE], plain[64];

	foreign_done(&f);
	foreign_init(&f);
	assert_int_equal(foreign_packet(&f), 0);
	assert_true(
		oracle_take_initiation(&f.o, rig_one(&f.rig, WG_MSG_INITIATION)->data, WG_INITIATION_LEN));
	oracle_response(&f.o, response);
	access_set(WG_QUARANTINED, 0);
	assert_int_equal(rig_datagram(&f.rig, response, sizeof(response), FOREIGN_AT), WG_DROP_NONE);
	for (size_t i = 0; i < f.rig.n_out; i++) {
		assert_int_equal(f.rig.out[i].len, WG_DATA_MIN); /* a keepalive at most */
		assert_true(oracle_take_data(&f.o, plain, f.rig.out[i].data, f.rig.out[i].len));
	}
}

static void
an_end_shuts_out_to_the_second(void **state)
{
	access_set(WG_ACTIVE, SECONDS(60));
	rig_run(&f.rig, SECONDS(60) - MILLISECONDS(1));
	rig_empty(&f.rig);
	assert_int_equal(foreign_data(&f, FOREIGN_AT), WG_DROP_NONE);
	assert_int_equal(packet_from(false), 1);
	rig_run(&f.rig, MILLISECONDS(1));
	assert_shut(WG_DROP_ENDED);
	rig_run(&f.rig, SECONDS(700));
	assert_int_equal(f.rig.n_out, 0);
}

static void
an_end_holds_with_the_wall_clock_set_back(void **state)
{
	access_set(WG_ACTIVE, SECONDS(60));
	rig_run(&f.rig, SECONDS(30));
	f.rig.now.wall -= SECONDS(3600);
	assert_int_equal(foreign_data(&f, FOREIGN_AT), WG_DROP_NONE);
	rig_run(&f.rig, SECONDS(30));
	rig_empty(&f.rig);
	assert_int_equal(foreign_data(&f, FOREIGN_AT), WG_DROP_ENDED);
	assert_int_equal(packet_from(false), -WG_DROP_ENDED);
	f.rig.now.wall += SECONDS(3600); /* so that the timestamp is not what stops it */
	rig_run(&f.rig, SECONDS(1));
	f.rig.now.wall -= SECONDS(1800);
	{
		uint8_t initiation[ORACLE_INITIATION], stamp[12];

		oracle_timestamp(stamp, f.rig.now.wall + SECONDS(7200));
		oracle_initiation(&f.o, initiation, stamp);
		rig_empty(&f.rig);
		assert_int_equal(rig_datagram(&f.rig, initiation, sizeof(initiation), FOREIGN_AT),
				 WG_DROP_ENDED);
	}
	assert_int_equal(f.rig.n_out, 0);
}

/* Told again by who knows only the date: what was computed when the clock was right stays. */
static void
the_same_end_told_again_is_not_moved_by_the_clock(void **state)
{
	static const enum wg_access again[] = {WG_ACTIVE, WG_QUARANTINED};

	for (size_t i = 0; i < ARRAY_LEN(again); i++) {
		const time_t end_at = f.rig.now.wall / SECONDS(1) + 60;

		wg_peer_access_set(f.rig.device, f.peer, WG_ACTIVE, end_at, f.rig.now, rig_effects(&f.rig));
		rig_pump(&f.rig);
		f.rig.now.wall -= SECONDS(3600);
		wg_peer_access_set(f.rig.device, f.peer, again[i], end_at, f.rig.now, rig_effects(&f.rig));
		rig_pump(&f.rig);
		assert_int_equal(foreign_data(&f, FOREIGN_AT), WG_DROP_NONE);
		rig_run(&f.rig, SECONDS(60));
		assert_int_equal(foreign_data(&f, FOREIGN_AT), WG_DROP_ENDED);
		assert_int_equal(packet_from(again[i] == WG_QUARANTINED), -WG_DROP_ENDED);
		f.rig.now.wall += SECONDS(3600);
	}
}

static void
an_end_holds_with_the_wall_clock_set_forward(void **state)
{
	access_set(WG_ACTIVE, SECONDS(60));
	f.rig.now.wall += SECONDS(61);
	assert_shut(WG_DROP_ENDED);
}

static void
an_end_in_the_past_ends_at_once_even_with_the_clock_set_back_after(void **state)
{
	access_set(WG_ACTIVE, -SECONDS(10));
	assert_shut(WG_DROP_ENDED);
	f.rig.now.wall -= SECONDS(3600);
	assert_int_equal(foreign_data(&f, FOREIGN_AT), WG_DROP_ENDED);
	assert_int_equal(packet_from(false), -WG_DROP_ENDED);
}

static void
a_renewed_access_goes_on_where_it_was(void **state)
{
	access_set(WG_ACTIVE, SECONDS(10));
	rig_run(&f.rig, SECONDS(11));
	assert_int_equal(foreign_data(&f, FOREIGN_AT), WG_DROP_ENDED);
	access_set(WG_ACTIVE, SECONDS(3600));
	rig_run(&f.rig, SECONDS(1));
	foreign_shake(&f, FOREIGN_AT);
	assert_int_equal(foreign_data(&f, FOREIGN_AT), WG_DROP_NONE);
	assert_int_equal(packet_from(false), 1);
	access_set(WG_ACTIVE, 0);
	rig_run(&f.rig, SECONDS(8000));
	foreign_shake(&f, FOREIGN_AT);
	assert_int_equal(foreign_data(&f, FOREIGN_AT), WG_DROP_NONE);
}

static void
an_end_ends_a_quarantine_too(void **state)
{
	access_set(WG_QUARANTINED, SECONDS(10));
	assert_int_equal(packet_from(true), 1);
	rig_run(&f.rig, SECONDS(10));
	assert_shut(WG_DROP_ENDED);
}

static void
access_is_one_peers_alone(void **state)
{
	const struct public_key key = {.b = {8, 8}};
	struct wg_peer *other = rig_peer(&f.rig, &key, "10.0.0.8/32", FOREIGN_AT);

	wg_peer_access_set(f.rig.device, other, WG_CUT, 1, f.rig.now, rig_effects(&f.rig));
	rig_pump(&f.rig);
	assert_int_equal(foreign_data(&f, FOREIGN_AT), WG_DROP_NONE);
	assert_int_equal(packet_from(false), 1);
}

static void
the_view_shows_what_was_set(void **state)
{
	struct wg_peer_view view;

	wg_peer_view(f.peer, &view);
	assert_int_equal(view.access, WG_ACTIVE);
	assert_int_equal(view.end, 0);
	wg_peer_access_set(f.rig.device, f.peer, WG_QUARANTINED, 2000000000, f.rig.now, rig_effects(&f.rig));
	rig_pump(&f.rig);
	wg_peer_view(f.peer, &view);
	assert_int_equal(view.access, WG_QUARANTINED);
	assert_int_equal(view.end, 2000000000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_active_peer_has_the_first_tun_only),
		TEST(a_quarantined_peer_has_the_second_tun_only),
		TEST(a_cut_peer_is_shut_out),
		TEST(a_cut_peer_hears_nothing_from_us_of_our_own),
		TEST(a_persistent_keepalive_goes_on_after_a_cut),
		TEST(what_waited_for_a_cut_peer_is_not_sent_later),
		TEST(what_waited_for_an_active_peer_is_not_sent_to_a_quarantined_one),
		TEST(an_end_shuts_out_to_the_second),
		TEST(an_end_holds_with_the_wall_clock_set_back),
		TEST(the_same_end_told_again_is_not_moved_by_the_clock),
		TEST(an_end_holds_with_the_wall_clock_set_forward),
		TEST(an_end_in_the_past_ends_at_once_even_with_the_clock_set_back_after),
		TEST(a_renewed_access_goes_on_where_it_was),
		TEST(an_end_ends_a_quarantine_too),
		TEST(access_is_one_peers_alone),
		TEST(the_view_shows_what_was_set),
	};

	return cmocka_run_group_tests_name("access", tests, NULL, NULL);
}
