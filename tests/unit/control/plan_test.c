/* Wanted minus present: revokes first, the least that has to be said, and nothing the second time. */
#include "server/control/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define NOW    ((time_t)1796000000)
#define KEY(n) #n "00000000000000000000000000000000000000000000000000000000000000"

static const struct tenant_id own = {1};

/* A peer as the feed has it: key NN00…, address 10.0.0.NN. */
static struct gateway_peer
peer(int64_t id, uint8_t n)
{
	return (struct gateway_peer){.id = {id},
				     .tenant = own,
				     .key = {{n}},
				     .address4 = {.family = AF_INET, .addr = {10, 0, 0, n}}};
}

struct world {
	struct plan plan;
	struct wanted wanted;
	struct tunnel_state present;
};

static void
feed(struct world *world, struct gateway_peer *peers, size_t n, bool whole)
{
	const struct gateway_feed all = {.n_peers = n, .peers = peers};

	assert_int_equal(wanted_apply(&world->wanted, &all, own, whole), 0);
}

static void
world_done(struct world *world)
{
	plan_done(&world->plan);
	wanted_done(&world->wanted);
	tunnel_state_done(&world->present);
}

/* Carries out every step; all that was said, one request after another.  To be freed. */
static char *
carry_out(struct world *world, size_t initiations)
{
	const struct plan_limits limits = {PLAN_PEERS_MAX, initiations, NOW};
	struct plan_step step;
	char *said = NULL;
	size_t len;
	FILE *out = open_memstream(&said, &len);

	for (int n = 0;; n++) {
		assert_true(n < 100);
		assert_int_equal(plan_next(&world->plan, &world->wanted, &world->present, &limits, &step), 0);
		if (step.change == CHANGE_NONE)
			break;
		fputs(step.text, out);
		assert_int_equal(plan_step_applied(&step, &world->wanted, &world->present), 0);
		plan_step_done(&step);
	}
	plan_step_done(&step);
	fclose(out);
	return said;
}

static void
expect(struct world *world, size_t initiations, const char *text)
{
	char *said = carry_out(world, initiations);

	assert_string_equal(said, text);
	free(said);
	said = carry_out(world, initiations);
	assert_string_equal(said, ""); /* twice changes nothing */
	free(said);
}

static void
present(struct world *world, const char *text)
{
	tunnel_state_done(&world->present);
	plan_stale(&world->plan);
	assert_int_equal(tunnel_state_parse(&world->present, text, strlen(text)), 0);
}

static void
a_new_peer_is_told_with_its_end_in_one_request(void **state)
{
	struct world world = {0};
	struct gateway_peer a = peer(1, 0x0a);
	struct cidr route;

	assert_int_equal(cidr_parse(&route, "192.0.2.0/24"), 0);
	a.expires_at = NOW + 60;
	a.n_routes = 1;
	a.routes = &route;
	feed(&world, &a, 1, true);
	expect(&world, 0,
	       "set=1\npublic_key=" KEY(
		       0a) "\nwarren_state=active\nwarren_end=1796000060\nreplace_allowed_ips=true\n"
			   "allowed_ip=192.0.2.0/24\nallowed_ip=10.0.0.10/32\n\n");
	world_done(&world);
}

/* As the feed of two tenants; a peer of the second, @id and @n as peer() has them. */
static void
feed_two(struct world *world, struct gateway_peer *peers, size_t n, size_t n_tenants)
{
	struct gateway_tenant tenants[] = {{.id = {1}, .name = "default"}, {.id = {7}, .name = "second"}};
	const struct gateway_feed all = {
		.n_peers = n, .peers = peers, .n_tenants = n_tenants, .tenants = tenants};

	assert_int_equal(wanted_apply(&world->wanted, &all, own, true), 0);
}

static void
a_peer_is_told_to_its_tenants_domain(void **state)
{
	struct world world = {0};
	struct gateway_peer peers[] = {peer(1, 0x0a), peer(2, 0x0b)};

	peers[1].tenant.v = 7;
	feed_two(&world, peers, 2, 2);
	expect(&world, 0,
	       "set=1\npublic_key=" KEY(
		       0a) "\nwarren_state=active\nwarren_end=0\nreplace_allowed_ips=true\n"
			   "allowed_ip=10.0.0.10/32\n"
			   "warren_domain=wg7\npublic_key=" KEY(
				   0b) "\nwarren_state=active\nwarren_end=0\n"
				       "replace_allowed_ips=true\nallowed_ip=10.0.0.11/32\n\n");
	world_done(&world);
}

/* Its key is in one domain only: it goes from there first, and never is in both. */
static void
a_peer_that_changes_tenants_leaves_the_one_before_it_comes_to_the_other(void **state)
{
	struct world world = {0};
	struct gateway_peer a = peer(1, 0x0a);

	a.tenant.v = 7;
	present(&world, "warren_domain=wg0\npublic_key=" KEY(0a) "\nallowed_ip=10.0.0.10/32\n"
								 "warren_domain=wg7\nerrno=0\n\n");
	feed_two(&world, &a, 1, 2);
	expect(&world, 0,
	       "set=1\npublic_key=" KEY(
		       0a) "\nremove=true\n\n"
			   "set=1\nwarren_domain=wg7\npublic_key=" KEY(
				   0a) "\nwarren_state=active\nwarren_end=0\n"
				       "replace_allowed_ips=true\nallowed_ip=10.0.0.10/32\n\n");
	world_done(&world);
}

static void
a_tenant_that_is_gone_leaves_no_domain(void **state)
{
	struct world world = {0};
	struct gateway_peer a = peer(1, 0x0a);

	present(&world, "warren_domain=wg0\nwarren_domain=wg7\npublic_key=" KEY(
				0b) "\nallowed_ip=10.0.0.11/32\nwarren_domain=wg9\nerrno=0\n\n");
	feed_two(&world, &a, 1, 1);
	expect(&world, 0,
	       "set=1\nwarren_domain=wg7\npublic_key=" KEY(
		       0b) "\nremove=true\n\n"
			   "set=1\nwarren_domain=wg7\nwarren_remove_domain=true\n"
			   "warren_domain=wg9\nwarren_remove_domain=true\n\n"
			   "set=1\npublic_key=" KEY(
				   0a) "\nwarren_state=active\nwarren_end=0\n"
				       "replace_allowed_ips=true\nallowed_ip=10.0.0.10/32\n\n");
	world_done(&world);
}

/* Its rows are deleted without a word; whoever has its peer's key then is another peer. */
static void
a_key_of_a_tenant_that_is_gone_may_be_anothers(void **state)
{
	struct world world = {0};
	struct gateway_peer a = peer(1, 0x0a);
	const struct gateway_tenant other = {.id = {9}, .name = "third"};
	struct gateway_feed later = {.n_tenants = 1, .tenants = (struct gateway_tenant *)&other};

	a.tenant.v = 7;
	feed_two(&world, &a, 1, 2);
	free(carry_out(&world, 0));
	assert_int_equal(wanted_apply(&world.wanted, &later, own, false), 0);
	expect(&world, 0,
	       "set=1\nwarren_domain=wg7\npublic_key=" KEY(
		       0a) "\nremove=true\n\nset=1\nwarren_domain=wg7\nwarren_remove_domain=true\n\n");
	a = peer(2, 0x0a);
	a.tenant.v = 9;
	later.n_peers = 1;
	later.peers = &a;
	assert_int_equal(wanted_apply(&world.wanted, &later, own, false), 0);
	expect(&world, 0,
	       "set=1\nwarren_domain=wg9\npublic_key=" KEY(0a) "\nwarren_state=active\nwarren_end=0\n"
							       "replace_allowed_ips=true\n"
							       "allowed_ip=10.0.0.10/32\n\n");
	world_done(&world);
}

static void
revokes_go_before_grants(void **state)
{
	struct world world = {0};
	struct gateway_peer peers[] = {peer(1, 0x0a), peer(2, 0x0b)};

	peers[1].disabled = true;
	present(&world, "public_key=" KEY(0b) "\nallowed_ip=10.0.0.11/32\n"
					      "public_key=" KEY(0c) "\nallowed_ip=10.0.0.10/32\nerrno=0\n\n");
	feed(&world, peers, 2, true);
	expect(&world, 0,
	       "set=1\npublic_key=" KEY(
		       0c) "\nremove=true\n\n"
			   "set=1\npublic_key=" KEY(
				   0b) "\nupdate_only=true\nwarren_state=cut\n\n"
				       "set=1\npublic_key=" KEY(
					       0a) "\nwarren_state=active\nwarren_end=0\n"
						   "replace_allowed_ips=true\nallowed_ip=10.0.0.10/32\n\n");
	world_done(&world);
}

static void
only_what_differs_is_said(void **state)
{
	struct world world = {0};
	struct gateway_peer a = peer(1, 0x0a);

	present(&world, "public_key=" KEY(0a) "\nallowed_ip=10.0.0.10/32\nwarren_end=5\nerrno=0\n\n");
	a.expires_at = NOW;
	feed(&world, &a, 1, true);
	expect(&world, 0, "set=1\npublic_key=" KEY(0a) "\nupdate_only=true\nwarren_end=1796000000\n\n");
	world_done(&world);
}

static void
a_new_key_takes_the_old_one_away_first(void **state)
{
	struct world world = {0};
	struct gateway_peer a = peer(1, 0x0a);

	feed(&world, &a, 1, true);
	free(carry_out(&world, 0));
	a = peer(1, 0x0b);
	a.address4.addr[3] = 0x0a;
	feed(&world, &a, 1, false);
	expect(&world, 0,
	       "set=1\npublic_key=" KEY(
		       0a) "\nremove=true\n\n"
			   "set=1\npublic_key=" KEY(
				   0b) "\nwarren_state=active\nwarren_end=0\nreplace_allowed_ips=true\n"
				       "allowed_ip=10.0.0.10/32\n\n");
	world_done(&world);
}

static void
two_who_change_places_both_arrive(void **state)
{
	struct world world = {0};
	struct gateway_peer peers[] = {peer(1, 0x0a), peer(2, 0x0b)};
	char *said;

	feed(&world, peers, 2, true);
	free(carry_out(&world, 0));
	peers[0].address4.addr[3] = 0x0b;
	peers[1].address4.addr[3] = 0x0a;
	feed(&world, peers, 2, false);
	said = carry_out(&world, 0);
	assert_non_null(strstr(
		said, KEY(0a) "\nupdate_only=true\nreplace_allowed_ips=true\nallowed_ip=10.0.0.11/32\n"));
	assert_non_null(strstr(
		said, KEY(0b) "\nupdate_only=true\nreplace_allowed_ips=true\nallowed_ip=10.0.0.10/32\n"));
	free(said);
	world_done(&world);
}

static void
peers_of_unknown_tenants_and_with_sealed_keys_stay_outside(void **state)
{
	struct world world = {0};
	struct gateway_peer peers[] = {peer(1, 0x0a), peer(2, 0x0b)};
	char *said;

	peers[0].tenant.v = 2;
	peers[1].psk.len = 7;
	feed(&world, peers, 2, true);
	said = carry_out(&world, 0);
	assert_null(strstr(said, KEY(0a)));
	assert_non_null(strstr(said, KEY(0b) "\nwarren_state=cut\n"));
	free(said);
	world_done(&world);
}

static void
a_new_tunnel_initiates_to_the_recent_ones_as_many_as_may(void **state)
{
	struct world world = {0};
	struct gateway_peer peers[] = {peer(1, 0x0a), peer(2, 0x0b), peer(3, 0x0c), peer(4, 0x0d),
				       peer(5, 0x0e)};
	const struct endpoint there = {.ip = {.family = AF_INET, .addr = {192, 0, 2, 1}}, .port = 4711};
	const struct plan_limits one = {PLAN_PEERS_MAX, 1, NOW};
	struct plan_step step;

	for (size_t i = 0; i < ARRAY_LEN(peers); i++) {
		peers[i].last_endpoint = there;
		peers[i].last_handshake_at = NOW - 10;
	}
	peers[2].last_handshake_at = NOW - RECENT_SECONDS;
	peers[3].expires_at = NOW;
	peers[4].disabled = true;
	feed(&world, peers, ARRAY_LEN(peers), true);
	assert_int_equal(plan_mark_recent(&world.wanted, &world.present, NOW), 4);
	assert_int_equal(plan_next(&world.plan, &world.wanted, &world.present, &one, &step), 0);
	assert_int_equal(step.change, CHANGE_GRANT);
	assert_int_equal(step.n, 5);
	assert_true(step.told[0].initiate);
	assert_false(step.told[1].initiate);
	assert_non_null(strstr(step.text, "endpoint=192.0.2.1:4711\n"));
	assert_int_equal(plan_step_applied(&step, &world.wanted, &world.present), 0);
	plan_step_done(&step);
	expect(&world, 1, "set=1\npublic_key=" KEY(0b) "\nupdate_only=true\nwarren_initiate=true\n\n");
	world_done(&world);
}

static void
who_has_come_by_himself_is_not_initiated_to(void **state)
{
	struct world world = {0};
	struct gateway_peer a = peer(1, 0x0a);
	const struct endpoint there = {.ip = {.family = AF_INET, .addr = {192, 0, 2, 1}}, .port = 4711};

	a.last_endpoint = there;
	a.last_handshake_at = NOW - 10;
	feed(&world, &a, 1, true);
	plan_mark_recent(&world.wanted, &world.present, NOW);
	assert_true(wanted_note(&world.wanted, &a.key, &there, NOW));
	free(carry_out(&world, 0));
	expect(&world, 5, "");
	world_done(&world);
}

static void
a_refused_peer_is_left_out_but_still_revoked(void **state)
{
	struct world world = {0};
	struct gateway_peer a = peer(1, 0x0a);

	feed(&world, &a, 1, true);
	world.wanted.v[0].refused = true;
	expect(&world, 0, "");
	present(&world, "public_key=" KEY(0a) "\nallowed_ip=0.0.0.0/0\nallowed_ip=10.0.0.10/32\nerrno=0\n\n");
	expect(&world, 0,
	       "set=1\npublic_key=" KEY(
		       0a) "\nupdate_only=true\nreplace_allowed_ips=true\nallowed_ip=10.0.0.10/32\n\n");
	world_done(&world);
}

static void
what_was_seen_and_is_newer_than_the_feed_stays(void **state)
{
	struct world world = {0};
	struct gateway_peer peers[] = {peer(1, 0x0a), peer(2, 0x0b)};
	const struct endpoint there = {.ip = {.family = AF_INET, .addr = {192, 0, 2, 1}}, .port = 4711};
	struct gateway_note notes[4];

	feed(&world, peers, 2, true);
	assert_true(wanted_note(&world.wanted, &peers[0].key, &there, NOW));
	assert_false(wanted_note(&world.wanted, &peers[0].key, &there, NOW - 1));
	feed(&world, peers, 2, false);
	assert_int_equal(wanted_by_id(&world.wanted, peers[0].id)->last_handshake_at, NOW);
	assert_int_equal(wanted_take_notes(&world.wanted, notes, 4), 1);
	assert_int_equal(notes[0].handshake_at, NOW);
	assert_int_equal(wanted_take_notes(&world.wanted, notes + 1, 3), 0);
	wanted_unwritten(&world.wanted, notes, 1);
	assert_int_equal(wanted_take_notes(&world.wanted, notes, 4), 1);
	world_done(&world);
}

static void
a_whole_feed_drops_those_it_does_not_name_and_gone_ones_go(void **state)
{
	struct world world = {0};
	struct gateway_peer peers[] = {peer(1, 0x0a), peer(2, 0x0b), peer(3, 0x0c)};

	feed(&world, peers, 3, true);
	peers[0].gone = true;
	feed(&world, peers, 1, false);
	assert_null(wanted_by_key(&world.wanted, &peers[0].key));
	feed(&world, peers + 2, 1, true);
	assert_int_equal(world.wanted.n, 1);
	assert_non_null(wanted_by_key(&world.wanted, &peers[2].key));
	world_done(&world);
}

/* Random wants against random presents always end where wanted and present are one. */
static void
from_anywhere_it_ends_at_what_is_wanted(void **state)
{
	uint32_t seed = 20261124;

	print_message("# seed %u\n", seed);
	for (int round = 0; round < 200; round++) {
		struct world world = {0};
		struct gateway_peer peers[12];
		const struct public_key stranger = {{0xff, (uint8_t)round}};
		size_t n = 0;

		for (uint8_t i = 1; i <= 12; i++) {
			seed = seed * 1664525 + 1013904223;
			if (seed >> 31)
				continue;
			peers[n] = peer(i, i);
			peers[n].disabled = (seed >> 30) & 1;
			peers[n].expires_at = (seed >> 29) & 1 ? NOW + (seed & 255) : 0;
			n++;
		}
		feed(&world, peers, n, true);
		assert_non_null(tunnel_state_ensure(&world.present, &stranger));
		for (size_t i = 0; i < n; i += 2) {
			struct tunnel_peer *has = tunnel_state_ensure(&world.present, &peers[i].key);

			has->access.end = NOW + (time_t)(seed >> 20);
			has->access.state = (enum access_state)(seed % ACCESS_COUNT);
		}
		free(carry_out(&world, 0));
		assert_int_equal(world.present.n_peers, n);
		for (size_t i = 0; i < n; i++) {
			assert_int_equal(world.present.peers[i].access.end, peers[i].expires_at);
			assert_int_equal(world.present.peers[i].access.state,
					 peers[i].disabled ? ACCESS_CUT : ACCESS_ACTIVE);
		}
		world_done(&world);
	}
}

static double
milliseconds(nsec_t began)
{
	return (double)(clock_boottime() - began) / (double)MILLISECONDS(1);
}

/* All of @n are told; the steps it takes. */
static size_t
steps_all(struct world *world, double *first, double *last)
{
	const struct plan_limits limits = {PLAN_PEERS_MAX, 0, NOW};
	struct plan_step step = {0};
	size_t n = 0;

	for (;; n++) {
		const nsec_t began = clock_boottime();

		assert_int_equal(plan_next(&world->plan, &world->wanted, &world->present, &limits, &step), 0);
		if (step.change == CHANGE_NONE)
			break;
		assert_int_equal(plan_step_applied(&step, &world->wanted, &world->present), 0);
		plan_step_done(&step);
		*(n ? last : first) = milliseconds(began);
	}
	plan_step_done(&step);
	return n;
}

/* What a step costs is said, not asserted: machines differ, and do other things too. */
static void
a_step_costs_what_it_tells_and_not_what_there_is(void **state)
{
	static const size_t sizes[] = {1000, 10000, 100000};

	for (size_t k = 0; k < ARRAY_LEN(sizes); k++) {
		const size_t n = sizes[k];
		struct gateway_peer *peers = calloc(n, sizeof(*peers));
		struct world world = {0};
		double first = 0, last = 0, one = 0, fed;
		nsec_t began;

		assert_non_null(peers);
		for (size_t i = 0; i < n; i++) {
			peers[i] = peer((int64_t)i + 1, 0);
			memcpy(peers[i].key.b, &(uint32_t){(uint32_t)i * 2654435761U}, 4);
			memcpy(peers[i].address4.addr, &(uint32_t){(uint32_t)i + 1}, 4);
		}
		began = clock_boottime();
		feed(&world, peers, n, true);
		fed = milliseconds(began);
		began = clock_boottime();
		assert_int_equal(steps_all(&world, &first, &last), (n + PLAN_PEERS_MAX - 1) / PLAN_PEERS_MAX);
		print_message("# %zu peers: read %.1f ms, all told %.1f ms, first step %.2f ms, last %.2f ms",
			      n, fed, milliseconds(began), first, last);
		peers[n / 2].disabled = true;
		began = clock_boottime();
		feed(&world, &peers[n / 2], 1, false);
		fed = milliseconds(began);
		assert_int_equal(steps_all(&world, &one, &last), 1);
		print_message("; one is disabled: read %.3f ms, its step %.3f ms\n", fed, one);
		assert_int_equal(world.present.n_peers, n);
		world_done(&world);
		free(peers);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_peer_is_told_with_its_end_in_one_request),
		cmocka_unit_test(revokes_go_before_grants),
		cmocka_unit_test(only_what_differs_is_said),
		cmocka_unit_test(a_new_key_takes_the_old_one_away_first),
		cmocka_unit_test(two_who_change_places_both_arrive),
		cmocka_unit_test(a_step_costs_what_it_tells_and_not_what_there_is),
		cmocka_unit_test(a_peer_is_told_to_its_tenants_domain),
		cmocka_unit_test(a_peer_that_changes_tenants_leaves_the_one_before_it_comes_to_the_other),
		cmocka_unit_test(a_tenant_that_is_gone_leaves_no_domain),
		cmocka_unit_test(a_key_of_a_tenant_that_is_gone_may_be_anothers),
		cmocka_unit_test(peers_of_unknown_tenants_and_with_sealed_keys_stay_outside),
		cmocka_unit_test(a_new_tunnel_initiates_to_the_recent_ones_as_many_as_may),
		cmocka_unit_test(who_has_come_by_himself_is_not_initiated_to),
		cmocka_unit_test(a_refused_peer_is_left_out_but_still_revoked),
		cmocka_unit_test(what_was_seen_and_is_newer_than_the_feed_stays),
		cmocka_unit_test(a_whole_feed_drops_those_it_does_not_name_and_gone_ones_go),
		cmocka_unit_test(from_anywhere_it_ends_at_what_is_wanted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
