/* Domains: tenants behind one port and one identity that cannot reach into each other. */
#include "tests/unit/wg/foreign.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

/* The gate with its first domain, in which the foreign peer is, and a second one with the same addresses. */
static struct foreign f;
static struct wg_domain *other;
static struct public_key other_key;
static struct wg_peer *other_peer;
static struct oracle other_oracle;

static int
begin(void **state)
{
	foreign_init(&f);
	other = rig_domain(&f.rig);
	oracle_init(&other_oracle, "other", f.rig.public.b);
	memcpy(other_key.b, other_oracle.public, KEY_LEN);
	other_peer = rig_peer_in(&f.rig, other, &other_key, FOREIGN_IP "/32,10.9.0.0/16", "192.0.2.9:9");
	return 0;
}

static int
end(void **state)
{
	foreign_done(&f);
	return 0;
}

static enum wg_drop
other_initiates(void)
{
	uint8_t initiation[ORACLE_INITIATION], stamp[12];

	rig_empty(&f.rig);
	oracle_timestamp(stamp, f.rig.now.wall);
	oracle_initiation(&other_oracle, initiation, stamp);
	return rig_datagram(&f.rig, initiation, sizeof(initiation), "192.0.2.9:9");
}

static enum wg_drop
other_sends(const char *source)
{
	uint8_t packet[64], message[96];

	packet4(packet, source, GATE_IP, sizeof(packet), 1);
	oracle_data(&other_oracle, message, other_oracle.counter++, packet, sizeof(packet));
	return rig_datagram(&f.rig, message, sizeof(message), "192.0.2.9:9");
}

static void
other_shakes(void)
{
	const struct rig_datagram *response;

	assert_int_equal(other_initiates(), WG_DROP_NONE);
	response = rig_one(&f.rig, WG_MSG_RESPONSE);
	assert_true(oracle_take_response(&other_oracle, response->data, response->len));
	assert_int_equal(other_sends(FOREIGN_IP), WG_DROP_NONE);
	rig_empty(&f.rig);
}

static int
packet_to(struct wg_domain *domain, const char *to)
{
	uint8_t packet[64];

	packet4(packet, GATE_IP, to, sizeof(packet), 1);
	rig_empty(&f.rig);
	return rig_packet_in(&f.rig, domain, packet, sizeof(packet), false);
}

static void
a_new_domain_is_down_and_empty(void **state)
{
	struct wg_domain *domain;
	struct wg_peer *peer;
	struct public_key key = {{77}};

	assert_int_equal(wg_domain_add(f.rig.device, &domain), 0);
	assert_int_equal(wg_domain_peer_count(domain), 0);
	assert_null(wg_peer_next(domain, NULL));
	assert_int_not_equal(wg_domain_number(domain), wg_domain_number(other));
	assert_int_equal(wg_peer_add(f.rig.device, domain, &key, rig_effects(&f.rig), &peer), 0);
	wg_peer_endpoint_set(f.rig.device, peer, &(struct endpoint){.ip = {.family = AF_INET}, .port = 1},
			     f.rig.now, rig_effects(&f.rig));
	wg_peer_initiate(f.rig.device, peer, f.rig.now, rig_effects(&f.rig));
	rig_pump(&f.rig);
	assert_int_equal(f.rig.n_out, 0);
}

static void
a_key_is_in_one_domain_and_the_device_tells_which(void **state)
{
	struct wg_peer_view view;
	struct wg_peer *peer = NULL;

	assert_int_equal(wg_peer_add(f.rig.device, f.rig.domain, &other_key, rig_effects(&f.rig), &peer),
			 -EEXIST);
	assert_null(peer);
	wg_peer_view(wg_peer_find(f.rig.device, &other_key), &view);
	assert_ptr_equal(view.domain, other);
	assert_int_equal(wg_domain_peer_count(f.rig.domain), 1);
	assert_int_equal(wg_domain_peer_count(other), 1);
	assert_int_equal(wg_peer_count(f.rig.device), 2);
}

static void
the_same_address_in_two_domains_is_two_peers(void **state)
{
	foreign_shake(&f, FOREIGN_AT);
	other_shakes();
	assert_int_equal(packet_to(f.rig.domain, FOREIGN_IP), 1);
	assert_int_equal(f.rig.out[0].route.to.port, 51820);
	assert_int_equal(packet_to(other, FOREIGN_IP), 1);
	assert_int_equal(f.rig.out[0].route.to.port, 9);
}

/* rig.c holds each delivered packet against the domain of its peer. */
static void
what_a_peer_sends_comes_out_in_its_own_domain(void **state)
{
	foreign_shake(&f, FOREIGN_AT);
	other_shakes();
	assert_int_equal(foreign_data(&f, FOREIGN_AT), WG_DROP_NONE);
	assert_int_equal(f.rig.in[0].domain, wg_domain_number(f.rig.domain));
	rig_empty(&f.rig);
	assert_int_equal(other_sends("10.9.1.2"), WG_DROP_NONE);
	assert_int_equal(f.rig.in[0].domain, wg_domain_number(other));
}

static void
an_address_of_another_domain_is_nobodys_here(void **state)
{
	uint8_t packet[64];

	foreign_shake(&f, FOREIGN_AT);
	assert_int_equal(packet_to(f.rig.domain, "10.9.0.1"), -WG_DROP_NO_PEER);
	packet4(packet, "10.9.0.1", GATE_IP, sizeof(packet), 1);
	assert_int_equal(foreign_send(&f, f.o.counter++, packet, sizeof(packet), FOREIGN_AT), WG_DROP_SOURCE);
}

static void
a_walk_sees_one_domain_oldest_first(void **state)
{
	struct wg_peer *added[20], *peer = NULL;

	for (unsigned i = 0; i < ARRAY_LEN(added); i++) {
		const struct public_key key = {{(uint8_t)(i + 1), 1}};

		assert_int_equal(wg_peer_add(f.rig.device, i % 2 ? other : f.rig.domain, &key,
					     rig_effects(&f.rig), &added[i]),
				 0);
	}
	peer = wg_peer_next(other, NULL);
	assert_ptr_equal(peer, other_peer);
	for (unsigned i = 1; i < ARRAY_LEN(added); i += 2)
		assert_ptr_equal(peer = wg_peer_next(other, peer), added[i]);
	assert_null(wg_peer_next(other, peer));
	assert_int_equal(wg_domain_peer_count(other), 11);
	wg_peer_remove(f.rig.device, added[9], rig_effects(&f.rig));
	assert_ptr_equal(wg_peer_next(other, added[7]), added[11]);
	assert_int_equal(wg_domain_peer_count(other), 10);
}

static void
a_domain_that_goes_down_leaves_the_others_alone(void **state)
{
	foreign_shake(&f, FOREIGN_AT);
	other_shakes();
	rig_event_in(&f.rig, WG_EVENT_DOWN, other);
	assert_int_equal(other_sends(FOREIGN_IP), WG_DROP_NO_SESSION);
	assert_int_equal(foreign_data(&f, FOREIGN_AT), WG_DROP_NONE);
	rig_run(&f.rig, SECONDS(1));
	assert_int_equal(other_initiates(), WG_DROP_DOWN);
	assert_int_equal(f.rig.n_out, 0);
	rig_event_in(&f.rig, WG_EVENT_UP, other);
	rig_run(&f.rig, SECONDS(1));
	other_shakes();
	foreign_shake(&f, FOREIGN_AT);
}

static void
persistent_keepalives_begin_when_their_own_domain_comes_up(void **state)
{
	rig_event_in(&f.rig, WG_EVENT_DOWN, other);
	wg_peer_keepalive_set(f.rig.device, other_peer, 20, f.rig.now, rig_effects(&f.rig));
	rig_event(&f.rig, WG_EVENT_DOWN);
	rig_event(&f.rig, WG_EVENT_UP);
	assert_int_equal(f.rig.n_out, 0);
	rig_event_in(&f.rig, WG_EVENT_UP, other);
	assert_int_equal(rig_one(&f.rig, WG_MSG_INITIATION)->route.to.port, 9);
}

static void
a_device_without_a_domain_that_is_up_asks_no_mac(void **state)
{
	uint8_t junk[ORACLE_INITIATION] = {WG_MSG_INITIATION};

	assert_int_equal(rig_datagram(&f.rig, junk, sizeof(junk), FOREIGN_AT), WG_DROP_MAC1);
	rig_event(&f.rig, WG_EVENT_DOWN);
	assert_int_equal(rig_datagram(&f.rig, junk, sizeof(junk), FOREIGN_AT), WG_DROP_MAC1);
	wg_domain_remove(f.rig.device, other, rig_effects(&f.rig));
	assert_int_equal(rig_datagram(&f.rig, junk, sizeof(junk), FOREIGN_AT), WG_DROP_DOWN);
}

static void
a_removed_domain_takes_its_peers_along(void **state)
{
	const unsigned number = wg_domain_number(other);

	foreign_shake(&f, FOREIGN_AT);
	other_shakes();
	wg_domain_remove(f.rig.device, other, rig_effects(&f.rig));
	rig_pump(&f.rig);
	assert_null(wg_peer_find(f.rig.device, &other_key));
	assert_int_equal(wg_peer_count(f.rig.device), 1);
	assert_int_equal(other_sends(FOREIGN_IP), WG_DROP_NO_SESSION);
	rig_run(&f.rig, SECONDS(1));
	assert_int_equal(other_initiates(), WG_DROP_UNKNOWN_PEER);
	assert_int_equal(foreign_data(&f, FOREIGN_AT), WG_DROP_NONE);

	other = rig_domain(&f.rig);
	assert_int_equal(wg_domain_number(other), number);
	assert_int_equal(packet_to(other, FOREIGN_IP), -WG_DROP_NO_PEER);
}

/* Under the sanitizer: who looked before the removal may go on until it is quiescent. */
static void
a_removed_domains_table_waits_for_its_readers(void **state)
{
	const struct allowedips *table = wg_domain_allowed(other);
	const uint8_t address[4] = {10, 9, 0, 1};
	const uint64_t before = wg_epoch(f.rig.device), version = allowedips_version(table);
	struct wg_domain *next;

	assert_int_not_equal(allowedips_lookup4(table, address).serial, 0);
	wg_domain_remove(f.rig.device, other, rig_effects(&f.rig));
	wg_reclaim(f.rig.device, before);
	assert_int_equal(allowedips_lookup4(table, address).serial, 0);
	assert_int_not_equal(allowedips_version(table), version);
	assert_int_equal(wg_domain_add(f.rig.device, &next), 0);
	assert_int_not_equal(allowedips_version(wg_domain_allowed(next)), allowedips_version(table));
	wg_reclaim(f.rig.device, wg_epoch(f.rig.device));
}

static void
there_are_as_many_domains_as_there_may_be(void **state)
{
	static struct wg_domain *all[WG_DOMAINS_MAX];
	unsigned n = 0;
	int r;

	while ((r = wg_domain_add(f.rig.device, &all[n])) == 0)
		n++;
	assert_int_equal(r, -ENOSPC);
	assert_int_equal(n, WG_DOMAINS_MAX - 2);
	wg_domain_remove(f.rig.device, all[1000], rig_effects(&f.rig));
	wg_domain_remove(f.rig.device, all[7], rig_effects(&f.rig));
	assert_int_equal(wg_domain_add(f.rig.device, &all[7]), 0);
	assert_int_equal(wg_domain_number(all[7]), 9);
	assert_int_equal(wg_domain_add(f.rig.device, &all[1000]), 0);
	assert_int_equal(wg_domain_number(all[1000]), 1002);
	assert_int_equal(wg_domain_add(f.rig.device, &all[0]), -ENOSPC);
}

static void
our_own_key_is_taken_from_whatever_domain_has_it(void **state)
{
	struct private_key key;
	struct public_key public;

	rig_secret(&key, "later");
	public_key_derive(&public, &key);
	rig_peer_in(&f.rig, other, &public, "10.8.0.1/32", NULL);
	wg_private_key_set(f.rig.device, &key, f.rig.now, rig_effects(&f.rig));
	rig_pump(&f.rig);
	assert_null(wg_peer_find(f.rig.device, &public));
	assert_int_equal(wg_domain_peer_count(other), 1);
	assert_int_equal(packet_to(other, "10.8.0.1"), -WG_DROP_NO_PEER);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(a_new_domain_is_down_and_empty),
		TEST(a_key_is_in_one_domain_and_the_device_tells_which),
		TEST(the_same_address_in_two_domains_is_two_peers),
		TEST(what_a_peer_sends_comes_out_in_its_own_domain),
		TEST(an_address_of_another_domain_is_nobodys_here),
		TEST(a_walk_sees_one_domain_oldest_first),
		TEST(a_domain_that_goes_down_leaves_the_others_alone),
		TEST(persistent_keepalives_begin_when_their_own_domain_comes_up),
		TEST(a_device_without_a_domain_that_is_up_asks_no_mac),
		TEST(a_removed_domain_takes_its_peers_along),
		TEST(a_removed_domains_table_waits_for_its_readers),
		TEST(there_are_as_many_domains_as_there_may_be),
		TEST(our_own_key_is_taken_from_whatever_domain_has_it),
	};

	return cmocka_run_group_tests_name("domain", tests, NULL, NULL);
}
