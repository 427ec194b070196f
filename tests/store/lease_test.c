/* Addresses: who gets which, who had which. */
#include "server/store/lease.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>

#include "base/errors.h"
#include "tests/store/fixture.h"

#define THREADS 8

static void
assert_ip(const struct ip *ip, const char *words)
{
	char text[IP_TEXT_LEN];

	ip_text(text, ip);
	assert_string_equal(text, words);
}

static struct ip
nth(const struct home *home, uint64_t number)
{
	struct ip ip;

	assert_int_equal(cidr_nth(&ip, &home->pool, number), 0);
	return ip;
}

static void
assert_nth(const struct ip *ip, const struct home *home, uint64_t number)
{
	const struct ip expected = nth(home, number);
	char text[IP_TEXT_LEN];

	ip_text(text, &expected);
	assert_ip(ip, text);
}

static void
the_first_peers_get_the_first_numbers_alike_in_both_families(void **state)
{
	struct home a, b;
	struct peer peer;

	home_new(&a, 24);
	home_new(&b, 24);
	for (unsigned i = POOL_FIRST; i < 12; i++) {
		char name[16];

		snprintf(name, sizeof(name), "p%u", i);
		assert_int_equal(add(&a, name, &peer), 0);
		assert_nth(&peer.address4, &a, i);
		assert_int_equal(peer.address6.family, AF_INET6);
		assert_int_equal(peer.address6.addr[0], 0xfd);
		assert_int_equal(peer.address6.addr[15], i);
		assert_int_equal(add(&b, name, &peer), 0);
		assert_nth(&peer.address4, &b, i);
	}
}

static void
a_returning_peer_gets_its_addresses_by_name_and_by_key(void **state)
{
	const struct public_key key = key_new();
	struct home a, b;
	struct peer first, other, again;

	home_new(&a, 24);
	home_new(&b, 24);
	assert_int_equal(add(&a, "before", &other), 0);
	assert_int_equal(add_key(&a, "laptop", &key, &first), 0);
	assert_int_equal(drop(&a, first.id), 0);
	assert_int_equal(add(&a, "other", &other), 0);
	assert_false(ip_equal(&other.address4, &first.address4));

	assert_int_equal(add(&a, "laptop", &again), 0);
	assert_int_not_equal(again.id.v, first.id.v);
	assert_true(ip_equal(&again.address4, &first.address4));
	assert_true(ip_equal(&again.address6, &first.address6));
	assert_int_equal(drop(&a, again.id), 0);

	assert_int_equal(add_key(&a, "renamed", &key, &again), 0);
	assert_true(ip_equal(&again.address4, &first.address4));
	assert_true(ip_equal(&again.address6, &first.address6));
	assert_int_equal(drop(&a, again.id), 0);

	/* The same name and key of another user's, and of another tenant's, is somebody else. */
	assert_int_equal(add_key(&b, "laptop", &key, &again), 0);
	assert_int_equal(drop(&b, again.id), 0);
	{
		struct tx *tx = begin(&a);

		assert_int_equal(user_ensure(tx, "uid:1001", &a.user), 0);
		commit(&tx);
	}
	assert_int_equal(add_key(&a, "laptop", &key, &again), 0);
	assert_false(ip_equal(&again.address4, &first.address4));
	assert_false(ip_equal(&again.address6, &first.address6));
}

static void
a_peer_whose_address_went_to_another_gets_a_new_one(void **state)
{
	struct home a, b;
	struct peer first, thief, again;

	home_new(&a, 29); /* five addresses */
	home_new(&b, 29);
	assert_int_equal(rest(&a, 0), 0);
	assert_int_equal(add(&a, "laptop", &first), 0);
	assert_int_equal(drop(&a, first.id), 0);
	for (unsigned i = 0; i < 5; i++) {
		char name[16];

		snprintf(name, sizeof(name), "p%u", i);
		assert_int_equal(add(&a, name, &thief), 0);
	}
	assert_true(ip_equal(&thief.address4, &first.address4)); /* the longest-free went first */
	assert_int_equal(add(&a, "laptop", &again), -ERR_POOL_FULL);
	{
		struct tx *tx = begin(&a);

		assert_int_equal(peer_find_name(tx, "p0", &thief), 0);
		tx_free(tx);
	}
	assert_int_equal(drop(&a, thief.id), 0);
	assert_int_equal(add(&a, "laptop", &again), 0);
	assert_true(ip_equal(&again.address4, &thief.address4));
}

static void
a_freed_address_rests(void **state)
{
	struct home a, b;
	struct peer peer, last;

	home_new(&a, 29);
	home_new(&b, 29);
	assert_int_equal(a.tenant.rest_seconds, TENANT_REST_DEFAULT);
	for (unsigned i = 0; i < 5; i++) {
		char name[16];

		snprintf(name, sizeof(name), "p%u", i);
		assert_int_equal(add(&a, name, &last), 0);
	}
	assert_int_equal(drop(&a, last.id), 0);
	assert_int_equal(add(&a, "other", &peer), -ERR_POOL_FULL);
	assert_int_equal(add(&b, "other", &peer), 0); /* not the neighbour's trouble */
	sql("UPDATE free_address SET freed_at = freed_at - interval '1 day 1 second' WHERE tenant_id = "
	    "%" PRId64 " AND freed_at > "
	    "'-infinity'",
	    a.tenant.id.v);
	sql("UPDATE lease SET during = tstzrange(lower(during) - interval '1 day 1 second', upper(during) - "
	    "interval '1 day 1 "
	    "second') WHERE tenant_id = %" PRId64 " AND NOT upper_inf(during)",
	    a.tenant.id.v);
	assert_int_equal(add(&a, "other", &peer), 0);
	assert_true(ip_equal(&peer.address4, &last.address4));
	assert_true(ip_equal(&peer.address6, &last.address6));
}

static void
a_full_pool_says_so_and_keeps_nothing(void **state)
{
	struct home a, b;
	struct peer peer;
	struct pools pools;
	struct tx *tx;

	home_new(&a, 30); /* one address */
	home_new(&b, 30);
	assert_int_equal(add(&a, "one", &peer), 0);
	assert_nth(&peer.address4, &a, POOL_FIRST);
	assert_int_equal(add(&a, "two", &peer), -ERR_POOL_FULL);
	assert_int_equal(add(&b, "two", &peer), 0);

	/* Whoever overlooks it cannot commit the half of a peer. */
	tx = begin(&a);
	{
		const struct peer_new fresh = {.user = a.user.id, .name = "three", .key = key_new()};

		assert_int_equal(peer_insert(tx, &fresh, &peer), -ERR_POOL_FULL);
	}
	assert_int_equal(tx_commit(tx), -ERR_POOL_FULL);
	tx_free(tx);

	tx = begin(&a);
	assert_int_equal(peer_find_name(tx, "two", &peer), -ERR_NOT_FOUND);
	assert_int_equal(peer_find_name(tx, "three", &peer), -ERR_NOT_FOUND);
	assert_int_equal(pool_list(tx, &pools), 0);
	assert_int_equal(pools.n, 2);
	assert_int_equal(pools.v[0].size, 1);
	assert_int_equal(pools.v[0].leased, 1);
	assert_int_equal(pools.v[1].leased, 1);
	assert_int_equal(pools.v[0].resting, 0);
	pools_done(&pools);
	tx_free(tx);
}

static void
a_second_pool_takes_what_the_first_cannot(void **state)
{
	struct home a, b;
	struct peer peer;
	struct pool_id id;
	struct cidr more;
	struct tx *tx;

	home_new(&a, 30);
	home_new(&b, 24);
	more = a.pool;
	more.ip.addr[2] = 9;
	more.len = 24;
	tx = begin(&a);
	assert_int_equal(pool_insert(tx, &more, &id), 0);
	commit(&tx);
	assert_int_equal(add(&a, "one", &peer), 0);
	assert_true(cidr_contains(&a.pool, &peer.address4));
	assert_int_equal(add(&a, "two", &peer), 0);
	assert_true(cidr_contains(&more, &peer.address4));
	assert_int_equal(drop(&a, peer.id), 0);
	assert_int_equal(add(&a, "two", &peer), 0); /* and comes back into the second one */
	assert_true(cidr_contains(&more, &peer.address4));
}

static void
no_two_pools_of_the_server_overlap(void **state)
{
	static const char *const refused[] = {"10.0.0.0/7", "10.1.0.0/31", "10.1.2.3/24", "fd00::/31",
					      "fd00::/121"};
	struct home a, b;
	struct pool_id id;
	struct cidr cidr;
	struct tenant tenant;
	struct tx *tx;

	home_new(&a, 24);
	home_new(&b, 24);
	tx = begin(&a);
	assert_int_equal(pool_insert(tx, &a.pool, &id), -ERR_POOL_OVERLAP);
	cidr = b.pool;
	assert_int_equal(pool_insert(tx, &cidr, &id), -ERR_POOL_OVERLAP);
	cidr.len = 26;
	assert_int_equal(pool_insert(tx, &cidr, &id), -ERR_POOL_OVERLAP);
	cidr.len = 16;
	assert_int_equal(pool_insert(tx, &cidr, &id), -ERR_POOL_OVERLAP);
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		assert_int_equal(cidr_parse(&cidr, refused[i]), 0);
		assert_int_equal(pool_insert(tx, &cidr, &id), -ERR_INVALID);
	}
	commit(&tx); /* none of that hurt the transaction */
	assert_int_equal(tenant_ensure(fixture.store, "overlapping", &b.pool, &nobody_in_particular, &tenant),
			 -ERR_POOL_OVERLAP);
	assert_string_equal(sql("SELECT count(*) FROM tenant WHERE name = 'overlapping'"), "0");
}

static void
who_had_an_address_is_one_question(void **state)
{
	struct home a, b;
	struct peer one, two;
	struct leases leases;
	struct lease lease;
	struct tx *tx;

	home_new(&a, 30);
	home_new(&b, 30);
	assert_int_equal(rest(&a, 0), 0);
	assert_int_equal(add(&a, "one", &one), 0);
	assert_int_equal(drop(&a, one.id), 0);
	assert_int_equal(add(&a, "two", &two), 0);
	assert_true(ip_equal(&one.address4, &two.address4));

	tx = begin(&a);
	assert_int_equal(lease_history(tx, &one.address4, 10, &leases), 0);
	assert_int_equal(leases.n, 2);
	assert_string_equal(leases.v[0].peer_name, "two");
	assert_int_equal(leases.v[0].to, 0);
	assert_string_equal(leases.v[1].peer_name, "one");
	assert_string_equal(leases.v[1].user_name, "uid:1000");
	assert_true(leases.v[1].from < leases.v[1].to);
	assert_true(leases.v[1].to <= leases.v[0].from);
	assert_int_equal(lease_holder(tx, &one.address4, leases.v[1].from, &lease), 0);
	assert_int_equal(lease.peer.v, one.id.v);
	assert_int_equal(lease_holder(tx, &one.address4, leases.v[1].to - 1, &lease), 0);
	assert_int_equal(lease.peer.v, one.id.v);
	assert_int_equal(lease_holder(tx, &one.address4, leases.v[0].from, &lease), 0);
	assert_int_equal(lease.peer.v, two.id.v);
	assert_int_equal(lease_holder(tx, &one.address4, leases.v[1].from - 1, &lease), -ERR_NOT_FOUND);
	assert_int_equal(lease_holder(tx, &one.address4, INT64_MAX, &lease), -ERR_NOT_FOUND);
	tx_free(tx);

	tx = begin(&b); /* the neighbour learns nothing */
	assert_int_equal(lease_holder(tx, &one.address4, leases.v[0].from, &lease), -ERR_NOT_FOUND);
	leases_done(&leases);
	assert_int_equal(lease_history(tx, &one.address4, 10, &leases), 0);
	assert_int_equal(leases.n, 0);
	leases_done(&leases);
	tx_free(tx);
}

static void
history_may_not_overlap(void **state)
{
	struct home a, b;
	struct peer one, two;
	PGresult *result;
	char text[512];

	home_new(&a, 24);
	home_new(&b, 24);
	assert_int_equal(add(&a, "one", &one), 0);
	assert_int_equal(drop(&a, one.id), 0);
	assert_int_equal(add(&b, "two", &two), 0);
	/* Even the superuser, and even across tenants. */
	snprintf(text, sizeof(text),
		 "INSERT INTO lease (tenant_id, pool_id, peer_id, pool_offset, address, during) SELECT "
		 "n.tenant_id, n.pool_id, "
		 "n.peer_id, 99, o.address, tstzrange(lower(o.during), upper(o.during)) FROM lease AS o, "
		 "lease AS n WHERE "
		 "o.peer_id = %" PRId64 " AND n.peer_id = %" PRId64
		 " AND family(o.address) = 4 AND family(n.address) = 4",
		 one.id.v, two.id.v);
	result = PQexec(fixture.superuser, text);
	assert_string_equal(PQresultErrorField(result, PG_DIAG_SQLSTATE), "23P01");
	PQclear(result);
	snprintf(text, sizeof(text),
		 "UPDATE lease SET pool_offset = (SELECT min(pool_offset) FROM lease WHERE peer_id = %" PRId64
		 "), "
		 "during = tstzrange(now(), NULL), pool_id = (SELECT pool_id FROM lease WHERE peer_id = "
		 "%" PRId64 " ORDER BY id LIMIT 1), "
		 "tenant_id = %" PRId64 ", peer_id = %" PRId64 " WHERE peer_id = %" PRId64
		 " AND family(address) = 4",
		 two.id.v, two.id.v, b.tenant.id.v, two.id.v, one.id.v);
	result = PQexec(fixture.superuser, text);
	assert_string_equal(PQresultErrorField(result, PG_DIAG_SQLSTATE), "23505");
	PQclear(result);
}

static void
time_that_goes_back_does_not_overlap_either(void **state)
{
	struct home a, b;
	struct peer one, two;
	struct leases leases;
	struct tx *tx;

	home_new(&a, 30);
	home_new(&b, 30);
	assert_int_equal(rest(&a, 0), 0);
	assert_int_equal(add(&a, "one", &one), 0);
	/* As if the clock had been an hour ahead until now. */
	sql("UPDATE lease SET during = tstzrange(now() + interval '1 hour', NULL) WHERE peer_id = %" PRId64
	    "",
	    one.id.v);
	assert_int_equal(drop(&a, one.id), 0);
	assert_string_equal(sql("SELECT count(*) FROM lease WHERE peer_id = %" PRId64
				" AND upper(during) > now()",
				one.id.v),
			    "2");
	assert_int_equal(add(&a, "one", &two), 0);
	assert_true(ip_equal(&one.address4, &two.address4));
	tx = begin(&a);
	assert_int_equal(lease_history(tx, &one.address4, 10, &leases), 0);
	assert_int_equal(leases.n, 2);
	assert_true(leases.v[0].from >= leases.v[1].to);
	leases_done(&leases);
	tx_free(tx);
}

static void
a_lease_by_hand_is_the_same_twice_and_ends(void **state)
{
	struct home a, b;
	struct peer peer;
	struct ip first, again;
	struct cidr more;
	struct pool_id id;
	struct tx *tx;

	home_new(&a, 24);
	home_new(&b, 24);
	assert_int_equal(add(&a, "one", &peer), 0);
	assert_int_equal(cidr_parse(&more, "fd12:3456::/120"), 0);
	tx = begin(&a);
	assert_int_equal(pool_insert(tx, &more, &id), 0);
	assert_int_equal(lease_take(tx, id, peer.id, &first), 0);
	assert_true(cidr_contains(&more, &first));
	assert_int_equal(lease_take(tx, id, peer.id, &again), 0);
	assert_true(ip_equal(&first, &again));
	assert_int_equal(lease_end(tx, peer.id), 3);
	assert_int_equal(lease_end(tx, peer.id), 0);
	assert_int_equal(lease_take(tx, id, peer.id, &again), 0);
	assert_true(ip_equal(&first, &again));
	commit(&tx);

	tx = begin(&b);
	assert_int_equal(lease_take(tx, id, peer.id, &again), -ERR_NOT_FOUND);
	assert_int_equal(lease_end(tx, peer.id), 0);
	tx_free(tx);
}

static void
an_ipv6_pool_is_used_to_the_last_address(void **state)
{
	struct home a, b;
	struct cidr small;
	struct pool_id id;
	struct ip ip;
	struct tx *tx;
	const unsigned all = 254;

	home_new(&a, 16);
	home_new(&b, 16);
	assert_int_equal(cidr_parse(&small, "fd12:3457::/120"), 0);
	tx = begin(&a);
	assert_int_equal(pool_insert(tx, &small, &id), 0);
	commit(&tx);
	for (unsigned i = 0; i <= all; i++) {
		char name[16];
		struct peer peer;

		snprintf(name, sizeof(name), "p%u", i);
		assert_int_equal(add(&a, name, &peer), 0);
		tx = begin(&a);
		assert_int_equal(lease_take(tx, id, peer.id, &ip), i == all ? -ERR_POOL_FULL : 0);
		if (i < all) {
			assert_true(cidr_contains(&small, &ip));
			commit(&tx);
		}
		tx_free(tx);
	}
}

struct racer {
	const struct home *home;
	unsigned number, got, full, failed;
};

static void *
race(void *arg)
{
	struct racer *racer = arg;

	for (unsigned i = 0; i < 40; i++) {
		struct peer peer;
		char name[32];
		int r;

		snprintf(name, sizeof(name), "p%u-%u", racer->number, i);
		r = add(racer->home, name, &peer);
		racer->got += r == 0;
		racer->full += r == -ERR_POOL_FULL;
		racer->failed += r < 0 && r != -ERR_POOL_FULL;
	}
	return NULL;
}

static void
racing_threads_never_get_the_same_address_and_use_all(void **state)
{
	pthread_t threads[THREADS];
	struct racer racers[THREADS];
	struct home a, b;
	unsigned got[2] = {0}, full = 0;

	home_new(&a, 25); /* 125 addresses for 160 */
	home_new(&b, 16);
	for (unsigned i = 0; i < THREADS; i++) {
		racers[i] = (struct racer){.home = i % 2 ? &a : &b, .number = i};
		assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(racers[i].failed, 0);
		got[i % 2] += racers[i].got;
		full += racers[i].full;
	}
	assert_int_equal(got[1], 125);
	assert_int_equal(full, 35);
	assert_int_equal(got[0], 160);
	assert_string_equal(sql("SELECT count(DISTINCT address) FROM lease WHERE tenant_id = %" PRId64
				" AND family(address) = 4",
				a.tenant.id.v),
			    "125");
	assert_string_equal(
		sql("SELECT count(*) FROM free_address WHERE tenant_id = %" PRId64 "", a.tenant.id.v), "0");
	assert_string_equal(
		sql("SELECT count(DISTINCT address) FROM lease WHERE tenant_id = %" PRId64 "", b.tenant.id.v),
		"320");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_peers_get_the_first_numbers_alike_in_both_families),
		cmocka_unit_test(a_returning_peer_gets_its_addresses_by_name_and_by_key),
		cmocka_unit_test(a_peer_whose_address_went_to_another_gets_a_new_one),
		cmocka_unit_test(a_freed_address_rests),
		cmocka_unit_test(a_full_pool_says_so_and_keeps_nothing),
		cmocka_unit_test(a_second_pool_takes_what_the_first_cannot),
		cmocka_unit_test(no_two_pools_of_the_server_overlap),
		cmocka_unit_test(who_had_an_address_is_one_question),
		cmocka_unit_test(history_may_not_overlap),
		cmocka_unit_test(time_that_goes_back_does_not_overlap_either),
		cmocka_unit_test(a_lease_by_hand_is_the_same_twice_and_ends),
		cmocka_unit_test(an_ipv6_pool_is_used_to_the_last_address),
		cmocka_unit_test(racing_threads_never_get_the_same_address_and_use_all),
	};

	return cmocka_run_group_tests_name("leases", tests, fixture_up, fixture_down);
}
