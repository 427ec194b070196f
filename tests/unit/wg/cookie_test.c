/* Under load: cookies on both sides, and how many handshakes one source gets. */
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
	f.rig.loaded = true;
	rig_run(&f.rig, SECONDS(1000)); /* the first secret is old */
	return 0;
}

static int
end(void **state)
{
	foreign_done(&f);
	return 0;
}

static enum wg_drop
initiate(const char *from)
{
	uint8_t initiation[ORACLE_INITIATION];

	rig_empty(&f.rig);
	foreign_initiation(&f, initiation);
	return rig_datagram(&f.rig, initiation, sizeof(initiation), from);
}

/* The foreign peer asks from @from and learns its cookie. */
static void
cookie_get(const char *from)
{
	const struct rig_datagram *reply;
	char text[ENDPOINT_TEXT_LEN];

	f.o.has_cookie = false;
	assert_int_equal(initiate(from), WG_DROP_COOKIE_WANTED);
	reply = rig_one(&f.rig, WG_MSG_COOKIE);
	endpoint_text(text, &reply->route.to);
	assert_string_equal(text, from);
	assert_true(oracle_take_cookie(&f.o, reply->data, reply->len));
	rig_empty(&f.rig);
}

static void
an_initiation_gets_a_cookie_and_with_it_a_response(void **state)
{
	cookie_get(FOREIGN_AT);
	assert_int_equal(initiate(FOREIGN_AT), WG_DROP_NONE);
	rig_one(&f.rig, WG_MSG_RESPONSE);
}

static void
the_cookie_reply_leaves_from_where_it_was_asked(void **state)
{
	uint8_t initiation[ORACLE_INITIATION];
	struct wg_arrival arrival;

	arrival_from(&arrival, "[2001:db8::9]:4");
	assert_int_equal(ip_parse(&arrival.to, "2001:db8::1"), 0);
	foreign_initiation(&f, initiation);
	assert_int_equal(rig_arrive(&f.rig, initiation, sizeof(initiation), &arrival), WG_DROP_COOKIE_WANTED);
	assert_true(ip_equal(&rig_one(&f.rig, WG_MSG_COOKIE)->route.from, &arrival.to));
}

static void
nonces_of_cookie_replies_differ(void **state)
{
	uint8_t nonces[50][24];

	for (unsigned i = 0; i < ARRAY_LEN(nonces); i++) {
		assert_int_equal(initiate(FOREIGN_AT), WG_DROP_COOKIE_WANTED);
		memcpy(nonces[i], rig_one(&f.rig, WG_MSG_COOKIE)->data + 8, 24);
		for (unsigned k = 0; k < i; k++)
			assert_memory_not_equal(nonces[i], nonces[k], 24);
	}
}

static void
a_cookie_is_bound_to_address_and_port(void **state)
{
	static const char *const places[][4] = {
		{"192.0.2.2:51820", "192.0.2.2:51821", "192.0.2.3:51820", "192.0.2.2:52076"},
		{"[2001:db8::2]:51820", "[2001:db8::2]:51821", "[2001:db8::3]:51820",
		 "[2001:db8:1::2]:51820"},
	};

	for (unsigned i = 0; i < 2; i++) {
		cookie_get(places[i][0]);
		for (unsigned k = 1; k < 4; k++)
			assert_int_equal(initiate(places[i][k]), WG_DROP_COOKIE_WANTED);
		assert_int_equal(initiate(places[i][0]), WG_DROP_NONE);
		rig_run(&f.rig, SECONDS(1));
	}
}

static void
a_wrong_first_mac_gets_not_even_a_cookie(void **state)
{
	uint8_t initiation[ORACLE_INITIATION];

	foreign_initiation(&f, initiation);
	initiation[120] ^= 1;
	assert_int_equal(rig_datagram(&f.rig, initiation, sizeof(initiation), FOREIGN_AT), WG_DROP_MAC1);
	assert_int_equal(f.rig.n_out, 0);
}

static void
one_wrong_bit_in_the_second_mac_is_no_mac(void **state)
{
	cookie_get(FOREIGN_AT);
	for (unsigned bit = 0; bit < 128; bit += 5) {
		uint8_t initiation[ORACLE_INITIATION];

		foreign_initiation(&f, initiation);
		initiation[132 + bit / 8] ^= (uint8_t)BIT(bit % 8);
		assert_int_equal(rig_datagram(&f.rig, initiation, sizeof(initiation), FOREIGN_AT),
				 WG_DROP_COOKIE_WANTED);
	}
}

static void
a_cookie_is_good_for_two_minutes(void **state)
{
	cookie_get(FOREIGN_AT); /* from a secret made just now */
	rig_run(&f.rig, SECONDS(119));
	assert_int_equal(initiate(FOREIGN_AT), WG_DROP_NONE);
	rig_run(&f.rig, SECONDS(2));
	assert_int_equal(initiate(FOREIGN_AT), WG_DROP_COOKIE_WANTED);
}

static void
without_load_a_wrong_second_mac_does_not_matter(void **state)
{
	f.rig.loaded = false;
	memset(f.o.cookie, 7, 16);
	f.o.has_cookie = true;
	assert_int_equal(initiate(FOREIGN_AT), WG_DROP_NONE);
	rig_one(&f.rig, WG_MSG_RESPONSE);
}

static void
a_response_needs_a_cookie_too(void **state)
{
	uint8_t response[ORACLE_RESPONSE];
	const struct rig_datagram *out;

	wg_peer_initiate(f.rig.device, f.peer, f.rig.now, rig_effects(&f.rig));
	out = rig_one(&f.rig, WG_MSG_INITIATION);
	assert_true(oracle_take_initiation(&f.o, out->data, out->len));
	oracle_response(&f.o, response);
	rig_empty(&f.rig);
	assert_int_equal(rig_datagram(&f.rig, response, sizeof(response), FOREIGN_AT), WG_DROP_COOKIE_WANTED);
	out = rig_one(&f.rig, WG_MSG_COOKIE);
	assert_true(oracle_take_cookie(&f.o, out->data, out->len));
	oracle_seal_macs(&f.o, response, sizeof(response));
	rig_empty(&f.rig);
	assert_int_equal(rig_datagram(&f.rig, response, sizeof(response), FOREIGN_AT), WG_DROP_NONE);
	rig_one(&f.rig, WG_MSG_DATA);
}

/* Our side as the one that gets a cookie. */

static const uint8_t cookie[16] = {9, 8, 7, 6, 5, 4, 3, 2, 1};

static bool
mac2_right(const struct rig_datagram *out)
{
	static const uint8_t none[16];
	uint8_t mac[16];

	oracle_mac(mac, cookie, 16, out->data, out->len - 16);
	if (memcmp(mac, out->data + out->len - 16, 16) == 0)
		return true;
	assert_memory_equal(out->data + out->len - 16, none, 16);
	return false;
}

/* The gate's initiation is answered by a cookie from @from. */
static enum wg_drop
cookie_give(const char *from)
{
	uint8_t reply[ORACLE_COOKIE];
	const struct rig_datagram *initiation;

	rig_empty(&f.rig);
	wg_peer_initiate(f.rig.device, f.peer, f.rig.now, rig_effects(&f.rig));
	rig_pump(&f.rig);
	initiation = rig_one(&f.rig, WG_MSG_INITIATION);
	assert_false(mac2_right(initiation));
	oracle_cookie_reply(&f.o, reply, initiation->data, initiation->len, cookie);
	rig_empty(&f.rig);
	return rig_datagram(&f.rig, reply, sizeof(reply), from);
}

static void
a_cookie_makes_us_resend_nothing_and_move_nothing(void **state)
{
	struct wg_peer_view view;
	char text[ENDPOINT_TEXT_LEN];

	assert_int_equal(cookie_give("198.51.100.66:1"), WG_DROP_NONE);
	assert_int_equal(f.rig.n_out, 0);
	wg_peer_view(f.peer, &view);
	endpoint_text(text, &view.endpoint);
	assert_string_equal(text, FOREIGN_AT);
	rig_run(&f.rig, MILLISECONDS(5400));
	assert_true(mac2_right(rig_one(&f.rig, WG_MSG_INITIATION)));
	endpoint_text(text, &f.rig.out[0].route.to);
	assert_string_equal(text, FOREIGN_AT);
}

static void
we_use_a_cookie_for_115_seconds(void **state)
{
	const nsec_t got = f.rig.now.boot;
	bool before = false, after = false;

	assert_int_equal(cookie_give(FOREIGN_AT), WG_DROP_NONE);
	while (f.rig.now.boot < got + SECONDS(140)) {
		rig_empty(&f.rig);
		rig_run(&f.rig, SECONDS(1));
		wg_peer_initiate(f.rig.device, f.peer, f.rig.now, rig_effects(&f.rig));
		rig_pump(&f.rig);
		for (size_t i = 0; i < f.rig.n_out; i++) {
			if (f.rig.now.boot - SECONDS(1) >= got + SECONDS(115)) {
				assert_false(mac2_right(&f.rig.out[i]));
				after = true;
			} else if (f.rig.now.boot < got + SECONDS(115)) {
				assert_true(mac2_right(&f.rig.out[i]));
				before = true;
			}
		}
	}
	assert_true(before && after);
}

static void
we_use_a_cookie_to_the_second(void **state)
{
	const nsec_t got = f.rig.now.boot;

	f.rig.loaded = false;
	assert_int_equal(cookie_give(FOREIGN_AT), WG_DROP_NONE);
	rig_run_until(&f.rig, got + SECONDS(115) - MILLISECONDS(1));
	assert_int_equal(initiate(FOREIGN_AT), WG_DROP_NONE);
	assert_true(mac2_right(rig_one(&f.rig, WG_MSG_RESPONSE)));
	rig_run(&f.rig, MILLISECONDS(21));
	assert_int_equal(initiate(FOREIGN_AT), WG_DROP_NONE);
	assert_false(mac2_right(rig_one(&f.rig, WG_MSG_RESPONSE)));
}

static void
a_cookie_reply_counts_once_and_only_for_what_we_sent(void **state)
{
	uint8_t reply[ORACLE_COOKIE], initiation[ORACLE_INITIATION];

	wg_peer_initiate(f.rig.device, f.peer, f.rig.now, rig_effects(&f.rig));
	rig_pump(&f.rig);
	memcpy(initiation, rig_one(&f.rig, WG_MSG_INITIATION)->data, sizeof(initiation));

	initiation[116] ^= 1; /* a mac1 that we did not send */
	oracle_cookie_reply(&f.o, reply, initiation, sizeof(initiation), cookie);
	assert_int_equal(rig_datagram(&f.rig, reply, sizeof(reply), FOREIGN_AT), WG_DROP_COOKIE_REPLY);
	initiation[116] ^= 1;
	for (unsigned i = 4; i < ORACLE_COOKIE; i++) { /* index, nonce, cookie, tag */
		oracle_cookie_reply(&f.o, reply, initiation, sizeof(initiation), cookie);
		reply[i] ^= 0x10;
		assert_int_equal(rig_datagram(&f.rig, reply, sizeof(reply), FOREIGN_AT),
				 WG_DROP_COOKIE_REPLY);
	}
	oracle_cookie_reply(&f.o, reply, initiation, sizeof(initiation), cookie);
	assert_int_equal(rig_datagram(&f.rig, reply, sizeof(reply), FOREIGN_AT), WG_DROP_NONE);
	assert_int_equal(rig_datagram(&f.rig, reply, sizeof(reply), FOREIGN_AT), WG_DROP_COOKIE_REPLY);
}

static void
a_cookie_for_our_response_is_found_by_its_session(void **state)
{
	uint8_t reply[ORACLE_COOKIE];
	const struct rig_datagram *response;

	f.rig.loaded = false;
	assert_int_equal(initiate(FOREIGN_AT), WG_DROP_NONE);
	response = rig_one(&f.rig, WG_MSG_RESPONSE);
	oracle_cookie_reply(&f.o, reply, response->data, response->len, cookie);
	assert_int_equal(rig_datagram(&f.rig, reply, sizeof(reply), FOREIGN_AT), WG_DROP_NONE);
	rig_run(&f.rig, SECONDS(1));
	assert_int_equal(initiate(FOREIGN_AT), WG_DROP_NONE);
	assert_true(mac2_right(rig_one(&f.rig, WG_MSG_RESPONSE)));
}

/* How many of @n initiations from @from, at once, are let through. */
static unsigned
through(unsigned n, const char *from)
{
	unsigned passed = 0;

	for (unsigned i = 0; i < n; i++) {
		const enum wg_drop drop = initiate(from);

		assert_int_not_equal(drop, WG_DROP_COOKIE_WANTED);
		if (drop == WG_DROP_RATE_LIMITED)
			assert_int_equal(f.rig.n_out, 0); /* in silence */
		else
			passed++;
	}
	return passed;
}

static void
one_source_gets_a_burst_of_five_and_twenty_a_second(void **state)
{
	cookie_get(FOREIGN_AT);
	assert_int_equal(through(20, FOREIGN_AT), 5);
	rig_run(&f.rig, MILLISECONDS(51));
	assert_int_equal(through(5, FOREIGN_AT), 1);
	rig_run(&f.rig, MILLISECONDS(101));
	assert_int_equal(through(5, FOREIGN_AT), 2);
	rig_run(&f.rig, SECONDS(30));
	assert_int_equal(through(20, FOREIGN_AT), 5);
	for (unsigned i = 0; i < 40; i++) {
		rig_run(&f.rig, MILLISECONDS(51));
		assert_int_equal(through(1, FOREIGN_AT), 1);
	}
}

static void
ports_of_one_address_share_a_bucket(void **state)
{
	cookie_get("192.0.2.2:1");
	assert_int_equal(through(5, "192.0.2.2:1"), 5);
	cookie_get("192.0.2.2:2");
	assert_int_equal(through(1, "192.0.2.2:2"), 0);
	cookie_get("192.0.2.3:2");
	assert_int_equal(through(6, "192.0.2.3:2"), 5);
}

static void
addresses_of_one_ipv6_64_share_a_bucket(void **state)
{
	cookie_get("[2001:db8:0:1::1]:1");
	assert_int_equal(through(5, "[2001:db8:0:1::1]:1"), 5);
	cookie_get("[2001:db8:0:1:ffff::2]:1");
	assert_int_equal(through(1, "[2001:db8:0:1:ffff::2]:1"), 0);
	cookie_get("[2001:db8:0:2::1]:1");
	assert_int_equal(through(6, "[2001:db8:0:2::1]:1"), 5);
}

static void
without_load_no_bucket_is_filled(void **state)
{
	cookie_get(FOREIGN_AT);
	f.rig.loaded = false;
	for (unsigned i = 0; i < 50; i++)
		assert_int_not_equal(initiate(FOREIGN_AT), WG_DROP_RATE_LIMITED);
	f.rig.loaded = true;
	assert_int_equal(through(6, FOREIGN_AT), 5);
}

static void
a_flood_from_many_sources_does_not_shut_out_a_new_one_for_long(void **state)
{
	char from[ENDPOINT_TEXT_LEN];

	for (unsigned i = 0; i < 3000; i++) {
		snprintf(from, sizeof(from), "10.%u.%u.1:1", i / 256, i % 256);
		cookie_get(from);
		assert_int_equal(through(1, from), 1);
	}
	rig_run(&f.rig, SECONDS(3));
	cookie_get(FOREIGN_AT);
	assert_int_equal(through(6, FOREIGN_AT), 5);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_initiation_gets_a_cookie_and_with_it_a_response),
		TEST(the_cookie_reply_leaves_from_where_it_was_asked),
		TEST(nonces_of_cookie_replies_differ),
		TEST(a_cookie_is_bound_to_address_and_port),
		TEST(a_wrong_first_mac_gets_not_even_a_cookie),
		TEST(one_wrong_bit_in_the_second_mac_is_no_mac),
		TEST(a_cookie_is_good_for_two_minutes),
		TEST(without_load_a_wrong_second_mac_does_not_matter),
		TEST(a_response_needs_a_cookie_too),
		TEST(a_cookie_makes_us_resend_nothing_and_move_nothing),
		TEST(we_use_a_cookie_for_115_seconds),
		TEST(we_use_a_cookie_to_the_second),
		TEST(a_cookie_reply_counts_once_and_only_for_what_we_sent),
		TEST(a_cookie_for_our_response_is_found_by_its_session),
		TEST(one_source_gets_a_burst_of_five_and_twenty_a_second),
		TEST(ports_of_one_address_share_a_bucket),
		TEST(addresses_of_one_ipv6_64_share_a_bucket),
		TEST(without_load_no_bucket_is_filled),
		TEST(a_flood_from_many_sources_does_not_shut_out_a_new_one_for_long),
	};

	return cmocka_run_group_tests_name("cookie", tests, NULL, NULL);
}
