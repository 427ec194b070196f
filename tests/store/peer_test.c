/* Peers, users and tenants, as values that come and go. */
#include "server/store/peer.h"

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
#include "base/text.h"
#include "tests/store/fixture.h"

static struct home a, b;

static int
up(void **state)
{
	fixture_up(state);
	home_new(&a, 24);
	home_new(&b, 24);
	return 0;
}

static struct cidr
cidr_of(const char *text)
{
	struct cidr cidr;

	assert_int_equal(cidr_parse(&cidr, text), 0);
	return cidr;
}

static int
insert(const struct home *home, const struct peer_new *fresh, struct peer *ret)
{
	struct tx *tx = begin(home);
	int r = peer_insert(tx, fresh, ret);

	if (r == 0)
		r = tx_commit(tx);
	tx_free(tx);
	return r;
}

static size_t
audited(const struct home *home)
{
	return strtoul(sql("SELECT seq FROM audit_head WHERE tenant_id = %" PRId64, home->tenant.id.v), NULL,
		       10);
}

static void
a_peer_comes_back_as_it_was_put_in(void **state)
{
	const struct cidr routes[] = {cidr_of("192.168.7.0/24"), cidr_of("fd99::/64"),
				      cidr_of("203.0.113.9/32")};
	const struct peer_new fresh = {.user = a.user.id,
				       .name = "J\xc3\xbcrgens \"Laptop\", {1} \\x",
				       .key = key_new(),
				       .psk = {.len = 5, .b = {0, 1, 2, 255, 0}},
				       .expires_at = 2000000000,
				       .n_routes = 3,
				       .routes = routes};
	struct peer peer, again;
	struct tx *tx;

	assert_int_equal(insert(&a, &fresh, &peer), 0);
	tx = begin(&a);
	assert_int_equal(peer_get(tx, peer.id, &again), 0);
	assert_memory_equal(&again, &peer, sizeof(peer));
	assert_int_equal(peer_find_name(tx, fresh.name, &again), 0);
	assert_memory_equal(&again, &peer, sizeof(peer));
	assert_int_equal(peer_find_key(tx, &fresh.key, &again), 0);
	assert_memory_equal(&again, &peer, sizeof(peer));
	tx_free(tx);
	assert_string_equal(peer.name, fresh.name);
	assert_string_equal(peer.user_name, "uid:1000");
	assert_memory_equal(peer.key.b, fresh.key.b, KEY_LEN);
	assert_int_equal(peer.psk.len, 5);
	assert_memory_equal(peer.psk.b, fresh.psk.b, 5);
	assert_int_equal(peer.expires_at, 2000000000);
	assert_int_equal(peer.disabled_at, 0);
	assert_true(peer.created_at > 1700000000);
	assert_int_equal(peer.n_routes, 3);
	for (size_t i = 0; i < 3; i++) {
		assert_true(ip_equal(&peer.routes[i].ip, &routes[i].ip));
		assert_int_equal(peer.routes[i].len, routes[i].len);
	}
	assert_int_equal(peer.last_endpoint.ip.family, 0);
	assert_int_equal(peer.last_handshake_at, 0);
}

static void
what_is_not_valid_is_refused_and_leaves_no_trace(void **state)
{
	static const char *const names[] = {
		"",
		"a\nb",
		"a\x7f",
		"\xc2\x85",
		"\xff",
		"\xc0\x80",
		"\xed\xa0\x80",
		"\xe2\x82",
		"0123456789012345678901234567890123456789012345678901234567890123"};
	static const char *const routes[] = {"0.0.0.0/0", "::/0", "192.168.7.1/24", "fd99::1/64"};
	const size_t before = audited(&a);
	struct peer_new fresh = {.user = a.user.id, .name = "fine", .key = key_new()};
	struct peer_new bad;
	struct cidr route, many[PEER_ROUTES_MAX + 1];
	struct peer peer;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		bad = fresh;
		bad.name = names[i];
		assert_int_equal(insert(&a, &bad, &peer), -ERR_INVALID);
	}
	bad = fresh;
	memset(&bad.key, 0, sizeof(bad.key));
	assert_int_equal(insert(&a, &bad, &peer), -ERR_INVALID);
	bad = fresh;
	bad.expires_at = -1;
	assert_int_equal(insert(&a, &bad, &peer), -ERR_INVALID);
	bad.expires_at = INT64_MAX;
	assert_int_equal(insert(&a, &bad, &peer), -ERR_INVALID);
	bad = fresh;
	bad.psk.len = PEER_SEALED_MAX + 1;
	assert_int_equal(insert(&a, &bad, &peer), -ERR_INVALID);
	bad = fresh;
	bad.n_routes = 1;
	bad.routes = &route;
	for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
		route = cidr_of(routes[i]);
		assert_int_equal(insert(&a, &bad, &peer), -ERR_INVALID);
	}
	route = a.pool;
	assert_int_equal(insert(&a, &bad, &peer), -ERR_INVALID);
	route.len = 8;
	route.ip.addr[1] = 0;
	assert_int_equal(insert(&a, &bad, &peer), -ERR_INVALID);
	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		many[i] = cidr_of("192.168.7.0/24");
	bad.n_routes = ARRAY_LEN(many);
	bad.routes = many;
	assert_int_equal(insert(&a, &bad, &peer), -ERR_INVALID);
	bad = fresh;
	bad.user.v = 424242;
	assert_int_equal(insert(&a, &bad, &peer), -ERR_NOT_FOUND);
	assert_int_equal(audited(&a), before);
	assert_int_equal(insert(&a, &fresh, &peer), 0);
}

static void
a_name_is_unique_in_its_tenant_and_a_key_in_the_server(void **state)
{
	const struct public_key key = key_new();
	const struct peer_new again = {.user = a.user.id, .name = "unique-2", .key = key};
	struct peer peer, other, still;
	struct tx *tx;

	assert_int_equal(add_key(&a, "unique", &key, &peer), 0);
	assert_int_equal(add(&a, "unique", &other), -ERR_CONFLICT);
	assert_int_equal(add_key(&a, "unique-2", &key, &other), -ERR_CONFLICT);
	assert_int_equal(add_key(&b, "unique-2", &key, &other), -ERR_CONFLICT); /* the same answer */
	assert_int_equal(add(&b, "unique", &other), 0);

	tx = begin(&b);
	assert_int_equal(peer_rekey(tx, other.id, &key, &still), -ERR_CONFLICT);
	assert_int_equal(peer_get(tx, other.id, &still), 0); /* the transaction is whole */
	assert_memory_equal(&still, &other, sizeof(still));
	commit(&tx);
	tx = begin(&a);
	assert_int_equal(peer_insert(tx, &again, &still), -ERR_CONFLICT);
	assert_int_equal(peer_get(tx, peer.id, &still), 0);
	commit(&tx);

	assert_int_equal(drop(&a, peer.id), 0);
	assert_int_equal(drop(&a, peer.id), -ERR_NOT_FOUND);
	assert_int_equal(add_key(&b, "unique-2", &key, &other), 0); /* both are free again */
	assert_int_equal(add(&a, "unique", &peer), 0);
}

static void
told_twice_changes_nothing(void **state)
{
	const struct public_key key = key_new();
	const struct sealed psk = {.len = 2, .b = "hi"};
	const size_t before = audited(&a);
	struct peer peer, now, twice;
	struct tx *tx;

	assert_int_equal(add(&a, "twice", &peer), 0);
	for (int i = 0; i < 2; i++) {
		tx = begin(&a);
		assert_int_equal(peer_set_disabled(tx, peer.id, true, &now), 0);
		assert_int_equal(peer_set_expiry(tx, peer.id, 1900000000, &now), 0);
		assert_int_equal(peer_rekey(tx, peer.id, &key, &now), 0);
		assert_int_equal(peer_set_psk(tx, peer.id, &psk, &now), 0);
		commit(&tx);
		if (i)
			assert_memory_equal(&now, &twice, sizeof(now));
		twice = now;
	}
	assert_true(now.disabled_at > 0);
	assert_int_equal(now.expires_at, 1900000000);
	assert_memory_equal(now.key.b, key.b, KEY_LEN);
	assert_int_equal(now.psk.len, 2);
	assert_true(ip_equal(&now.address4, &peer.address4)); /* a lost QR, same address */
	assert_int_equal(audited(&a), before + 5);

	tx = begin(&a);
	assert_int_equal(peer_set_disabled(tx, peer.id, false, &now), 0);
	assert_int_equal(peer_set_expiry(tx, peer.id, 0, &now), 0);
	assert_int_equal(peer_set_psk(tx, peer.id, &(struct sealed){0}, &now), 0);
	assert_int_equal(peer_set_expiry(tx, peer.id, -5, &now), -ERR_INVALID);
	assert_int_equal(peer_rekey(tx, peer.id, &(struct public_key){0}, &now), -ERR_INVALID);
	commit(&tx);
	assert_int_equal(now.disabled_at, 0);
	assert_int_equal(now.expires_at, 0);
	assert_int_equal(now.psk.len, 0);
}

static void
peers_are_listed_by_name_in_pages(void **state)
{
	static const char *const names[] = {"A", "Z", "_", "a", "a-b", "ab", "b", "z", "\xc3\xa4"};
	struct home c;
	struct peer peer;
	struct peers page;
	struct tx *tx;
	char after[PEER_NAME_MAX + 1] = "";
	size_t seen = 0;

	home_new(&c, 24);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		assert_int_equal(add(&c, names[(i * 5) % ARRAY_LEN(names)], &peer), 0);
	tx = begin(&c);
	do {
		assert_int_equal(peer_list(tx, after, 2, &page), 0);
		for (size_t i = 0; i < page.n; i++)
			assert_string_equal(page.v[i].name, names[seen++]);
		if (page.n)
			text_copy(after, sizeof(after), page.v[page.n - 1].name);
		peers_done(&page);
	} while (seen < ARRAY_LEN(names));
	assert_int_equal(peer_list(tx, after, 2, &page), 0);
	assert_int_equal(page.n, 0);
	peers_done(&page);
	assert_int_equal(peer_list(tx, "", 0, &page), -EINVAL);
	assert_int_equal(peer_list(tx, "", PEER_LIST_MAX + 1, &page), -EINVAL);
	tx_free(tx);
}

static void
nothing_is_changed_by_nobody(void **state)
{
	const struct peer_new fresh = {.user = a.user.id, .name = "nobodys", .key = key_new()};
	struct peer peer;
	struct user user;
	struct pool_id pool;
	const struct cidr cidr = cidr_of("172.20.0.0/24");
	struct tx *tx;

	assert_int_equal(tx_begin(fixture.store, a.tenant.id, &tx), 0);
	assert_int_equal(peer_insert(tx, &fresh, &peer), -EINVAL);
	assert_int_equal(user_ensure(tx, "uid:77", &user), -EINVAL);
	assert_int_equal(pool_insert(tx, &cidr, &pool), -EINVAL);
	assert_int_equal(tenant_set_rest(tx, 5), -EINVAL);
	assert_int_equal(tenant_set_peers_may_meet(tx, true), -EINVAL);
	assert_int_equal(user_ensure(tx, "uid:1000", &user), 0); /* that one is there */
	assert_int_equal(user.id.v, a.user.id.v);
	tx_free(tx);
}

static void
users_are_made_once_and_their_names_checked(void **state)
{
	char longest[USER_NAME_MAX + 2];
	struct user user, again;
	struct tx *tx = begin(&a);

	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(user_ensure(tx, "", &user), -EINVAL);
	assert_int_equal(user_ensure(tx, "a\tb", &user), -EINVAL);
	assert_int_equal(user_ensure(tx, longest, &user), -EINVAL);
	assert_int_equal(user_ensure(tx, longest + 1, &user), 0);
	assert_int_equal(user_ensure(tx, longest + 1, &again), 0);
	assert_int_equal(user.id.v, again.id.v);
	assert_int_equal(user_get(tx, user.id, &again), 0);
	assert_string_equal(again.name, longest + 1);
	assert_int_equal(again.disabled_at, 0);
	commit(&tx);
}

static void
tenants_have_settings_and_are_found_by_the_gateway(void **state)
{
	struct tenants tenants;
	struct tenant tenant;
	struct tx *tx = begin(&a);

	assert_int_equal(tenant_get(tx, &tenant), 0);
	assert_memory_equal(&tenant, &a.tenant, sizeof(tenant));
	assert_false(tenant.peers_may_meet);
	assert_int_equal(tenant_set_peers_may_meet(tx, true), 0);
	assert_int_equal(tenant_set_peers_may_meet(tx, true), 0);
	assert_int_equal(tenant_set_rest(tx, 77), 0);
	assert_int_equal(tenant_set_rest(tx, -1), -EINVAL);
	assert_int_equal(tenant_set_rest(tx, 11LL * 365 * 86400), -EINVAL);
	commit(&tx);

	assert_int_equal(tx_begin_gateway(fixture.store, &tx), 0);
	assert_int_equal(tenant_find(tx, a.tenant.name, &tenant), 0);
	assert_int_equal(tenant.id.v, a.tenant.id.v);
	assert_true(tenant.peers_may_meet);
	assert_int_equal(tenant.rest_seconds, 77);
	assert_int_equal(tenant_find(tx, "nobody", &tenant), -ERR_NOT_FOUND);
	assert_int_equal(tenant_find(tx, "No'body", &tenant), -ERR_NOT_FOUND);
	assert_int_equal(tenant_list(tx, &tenants), 0);
	assert_true(tenants.n >= 2);
	assert_string_equal(tenants.v[0].name, "tenant-1");
	tenants_done(&tenants);
	tx_free(tx);
}

static void
a_tenants_name_and_pool_are_checked(void **state)
{
	static const char *const names[] = {
		"",    "-a",  "a-",       "A",
		"a.b", "a b", "\xc3\xa4", "0123456789012345678901234567890123456789012345678901234567890123"};
	const struct cidr pool = cidr_of("172.21.0.0/24"), six = cidr_of("fd07::/64"),
			  host = cidr_of("172.21.0.1/24");
	struct tenant tenant, again;

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		assert_int_equal(
			tenant_ensure(fixture.store, names[i], &pool, &nobody_in_particular, &tenant),
			-EINVAL);
	assert_int_equal(tenant_ensure(fixture.store, "fine", &six, &nobody_in_particular, &tenant),
			 -ERR_INVALID);
	assert_int_equal(tenant_ensure(fixture.store, "fine", &host, &nobody_in_particular, &tenant),
			 -ERR_INVALID);
	assert_int_equal(tenant_ensure(fixture.store, "fine", &pool, &nobody_in_particular, &tenant), 1);
	assert_int_equal(tenant_ensure(fixture.store, "fine", &a.pool, &nobody_in_particular, &again), 0);
	assert_memory_equal(&tenant, &again, sizeof(tenant));
	assert_string_equal(sql("SELECT count(*) FROM pool WHERE tenant_id = %" PRId64, tenant.id.v), "2");
	assert_string_equal(sql("SELECT count(*) FROM pool AS p, server AS s WHERE p.tenant_id = %" PRId64
				" AND p.network << s.ula AND masklen(p.network) = 64",
				tenant.id.v),
			    "1");
}

static void *
ensure(void *arg)
{
	const struct cidr pool = cidr_of("172.22.0.0/24");
	struct tenant tenant;

	*(int *)arg = tenant_ensure(fixture.store, "raced", &pool, &nobody_in_particular, &tenant);
	return NULL;
}

static void
a_tenant_is_made_once_in_a_race(void **state)
{
	pthread_t threads[8];
	int results[8], made = 0;

	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, ensure, &results[i]), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		pthread_join(threads[i], NULL);
		assert_in_range(results[i], 0, 1);
		made += results[i];
	}
	assert_int_equal(made, 1);
	assert_string_equal(sql("SELECT count(*) FROM tenant WHERE name = 'raced'"), "1");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_peer_comes_back_as_it_was_put_in),
		cmocka_unit_test(what_is_not_valid_is_refused_and_leaves_no_trace),
		cmocka_unit_test(a_name_is_unique_in_its_tenant_and_a_key_in_the_server),
		cmocka_unit_test(told_twice_changes_nothing),
		cmocka_unit_test(peers_are_listed_by_name_in_pages),
		cmocka_unit_test(nothing_is_changed_by_nobody),
		cmocka_unit_test(users_are_made_once_and_their_names_checked),
		cmocka_unit_test(tenants_have_settings_and_are_found_by_the_gateway),
		cmocka_unit_test(a_tenants_name_and_pool_are_checked),
		cmocka_unit_test(a_tenant_is_made_once_in_a_race),
	};

	return cmocka_run_group_tests_name("peers", tests, up, fixture_down);
}
