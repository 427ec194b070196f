/* Allowed IPs against a list that is searched from end to end; then with readers that hold no lock. */
#include "server/wg/allowedips.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "tests/model/wg/random.h"

#define PEERS  2000
#define ROUTES 6000

static struct allowedips_pool *pool;
static struct allowedips *table;
static struct allowedips_list lists[PEERS];

static struct route {
	struct cidr cidr; /* masked */
	uint32_t peer;
} routes[ROUTES];
static unsigned n_routes;

static struct wg_peer_id
id_of(uint32_t peer)
{
	return (struct wg_peer_id){.number = peer, .serial = peer * 3 + 1};
}

static int
begin(void **state)
{
	memset(lists, 0, sizeof(lists));
	n_routes = 0;
	assert_int_equal(allowedips_pool_new(ROUTES, &pool), 0);
	return allowedips_new(pool, &table);
}

static int
end(void **state)
{
	allowedips_free(table);
	allowedips_pool_free(pool);
	table = NULL;
	return 0;
}

static struct route *
route_find(const struct cidr *cidr)
{
	struct cidr masked = *cidr;

	cidr_mask(&masked);
	for (unsigned i = 0; i < n_routes; i++)
		if (routes[i].cidr.len == masked.len && ip_equal(&routes[i].cidr.ip, &masked.ip))
			return &routes[i];
	return NULL;
}

static void
model_insert(const struct cidr *cidr, uint32_t peer)
{
	struct route *route = route_find(cidr);
	int r = allowedips_insert(table, cidr, id_of(peer), &lists[peer]);

	if (!route && n_routes == ROUTES) {
		assert_int_equal(r, -ENOSPC);
		return;
	}
	assert_int_equal(r, 0);
	if (!route) {
		route = &routes[n_routes++];
		route->cidr = *cidr;
		cidr_mask(&route->cidr);
	}
	route->peer = peer;
}

static void
model_remove(const struct cidr *cidr, uint32_t peer)
{
	struct route *route = route_find(cidr);
	const int r = allowedips_remove(table, cidr, &lists[peer]);

	if (!route || route->peer != peer) {
		assert_int_equal(r, -ENOENT);
		return;
	}
	assert_int_equal(r, 0);
	*route = routes[--n_routes];
}

static struct wg_peer_id
model_lookup(const struct ip *ip)
{
	int best = -1;
	struct wg_peer_id ret = {0};

	for (unsigned i = 0; i < n_routes; i++)
		if (routes[i].cidr.len > best && cidr_contains(&routes[i].cidr, ip)) {
			best = routes[i].cidr.len;
			ret = id_of(routes[i].peer);
		}
	return ret;
}

static void
random_ip(struct ip *ip)
{
	memset(ip, 0, sizeof(*ip));
	ip->family = random_below(2) ? AF_INET : AF_INET6;
	for (unsigned i = 0; i < ip_bits(ip) / 8; i++)
		ip->addr[i] = (uint8_t)random_below(256);
}

/* Near something that is there, so that prefixes nest. */
static void
near_ip(struct ip *ip)
{
	if (n_routes == 0 || random_below(8) == 0) {
		random_ip(ip);
		return;
	}
	*ip = routes[random_below(n_routes)].cidr.ip;
	for (uint64_t n = random_below(4); n > 0; n--) {
		const uint64_t bit = random_below(ip_bits(ip));

		ip->addr[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
	}
}

static void
query(unsigned n)
{
	while (n--) {
		struct ip ip;
		struct wg_peer_id got, expected;

		near_ip(&ip);
		expected = model_lookup(&ip);
		got = ip.family == AF_INET ? allowedips_lookup4(table, ip.addr)
					   : allowedips_lookup6(table, ip.addr);
		if (got.serial != expected.serial || (got.serial && got.number != expected.number)) {
			char text[IP_TEXT_LEN];

			ip_text(text, &ip);
			fail_msg("%s is %u's, not %u's", text, expected.number, got.number);
		}
	}
}

/* Each list holds exactly the model's routes of its peer. */
static void
lists_agree(void)
{
	unsigned total = 0;

	for (uint32_t peer = 0; peer < PEERS; peer++) {
		const struct allowedips_node *node = NULL;

		while ((node = allowedips_next(&lists[peer], node))) {
			struct cidr cidr;
			const struct route *route;

			allowedips_cidr(node, &cidr);
			route = route_find(&cidr);
			assert_non_null(route);
			assert_int_equal(route->peer, peer);
			assert_int_equal(route->cidr.len, cidr.len);
			assert_true(ip_equal(&route->cidr.ip, &cidr.ip));
			total++;
		}
	}
	assert_int_equal(total, n_routes);
}

static void
reclaim(void)
{
	allowedips_reclaim(pool, allowedips_epoch(pool));
}

static void
two_thousand_peers_agree_with_a_list(void **state)
{
	for (unsigned step = 0; step < 24000; step++) {
		struct cidr cidr;
		const uint32_t peer = (uint32_t)random_below(PEERS);

		near_ip(&cidr.ip);
		cidr.len = (uint8_t)random_below(ip_bits(&cidr.ip) + 1);
		if (cidr.len < 4 && random_below(4))
			cidr.len = (uint8_t)ip_bits(&cidr.ip);
		switch (random_below(8)) {
		case 0:
			model_remove(&cidr, peer);
			break;
		case 1:
			if (n_routes) { /* exists: the right peer or another one */
				const struct route route = routes[random_below(n_routes)];

				model_remove(&route.cidr, random_below(4) ? route.peer : peer);
			}
			break;
		case 2:
			if (n_routes) { /* moves */
				const struct route route = routes[random_below(n_routes)];

				model_insert(&route.cidr, peer);
			}
			break;
		default:
			model_insert(&cidr, peer);
			break;
		}
		if (step % 16 == 0)
			query(4);
		if (step % 64 == 0)
			reclaim();
	}
	lists_agree();
	query(20000);
	for (uint32_t peer = 0; peer < PEERS; peer++) {
		allowedips_remove_all(table, &lists[peer]);
		assert_null(allowedips_next(&lists[peer], NULL));
		for (unsigned i = n_routes; i-- > 0;)
			if (routes[i].peer == peer)
				routes[i] = routes[--n_routes];
		if (peer % 16 == 0)
			query(2);
		if (peer % 256 == 0)
			reclaim();
	}
	assert_int_equal(n_routes, 0);
	query(100);
}

static void
a_full_table_refuses_and_has_room_again_after_a_removal(void **state)
{
	struct cidr cidr = {.ip = {.family = AF_INET, .addr = {10}}, .len = 32};

	for (unsigned i = 0; i <= ROUTES; i++) {
		cidr.ip.addr[2] = (uint8_t)(i >> 8);
		cidr.ip.addr[3] = (uint8_t)i;
		model_insert(&cidr, i % PEERS);
	}
	assert_int_equal(n_routes, ROUTES);
	for (unsigned round = 0; round < 3; round++) {
		cidr.ip.addr[2] = cidr.ip.addr[3] = 0;
		model_remove(&cidr, round == 0 ? 0 : 7);
		reclaim();
		model_insert(&cidr, 7); /* what is moved needs no room */
		model_insert(&cidr, 7);
		query(200);
	}
}

static void
edges_of_prefixes(void **state)
{
	static const char *const nested[] = {"0.0.0.0/0",
					     "0.0.0.0/1",
					     "128.0.0.0/1",
					     "10.0.0.0/8",
					     "10.0.0.0/31",
					     "10.0.0.0/32",
					     "10.0.0.1/32",
					     "::/0",
					     "8000::/1",
					     "2001:db8::/64",
					     "2001:db8::/127",
					     "2001:db8::1/128",
					     "2001:db8::/63",
					     "255.255.255.255/32",
					     "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"};
	static const char *const asked[] = {"0.0.0.0",        "127.255.255.255",
					    "128.0.0.0",      "255.255.255.255",
					    "10.0.0.0",       "10.0.0.1",
					    "10.0.0.2",       "::",
					    "7fff::",         "8000::",
					    "2001:db8::",     "2001:db8::1",
					    "2001:db8::2",    "2001:db8:0:1::",
					    "2001:db8:0:2::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"};

	for (unsigned order = 0; order < 30; order++) {
		for (unsigned i = 0; i < ARRAY_LEN(nested); i++) {
			struct cidr cidr;

			assert_int_equal(
				cidr_parse(&cidr, nested[(i * (2 * order + 1) + order) % ARRAY_LEN(nested)]),
				0);
			if (random_below(3))
				model_insert(&cidr, (uint32_t)random_below(PEERS));
			else if (route_find(&cidr))
				model_remove(&cidr, route_find(&cidr)->peer);
			for (unsigned k = 0; k < ARRAY_LEN(asked); k++) {
				struct ip ip;
				struct wg_peer_id got;

				assert_int_equal(ip_parse(&ip, asked[k]), 0);
				got = ip.family == AF_INET ? allowedips_lookup4(table, ip.addr)
							   : allowedips_lookup6(table, ip.addr);
				assert_int_equal(got.serial, model_lookup(&ip).serial);
			}
		}
		reclaim();
	}
}

static void
the_version_changes_with_the_table(void **state)
{
	struct cidr cidr;
	uint64_t before = allowedips_version(table);

	assert_int_equal(cidr_parse(&cidr, "10.0.0.0/8"), 0);
	model_insert(&cidr, 1);
	assert_int_not_equal(allowedips_version(table), before);
	before = allowedips_version(table);
	model_insert(&cidr, 2);
	assert_int_not_equal(allowedips_version(table), before);
	before = allowedips_version(table);
	model_remove(&cidr, 2);
	assert_int_not_equal(allowedips_version(table), before);
	before = allowedips_version(table);
	allowedips_lookup4(table, cidr.ip.addr);
	assert_int_equal(allowedips_version(table), before);
}

static void
what_is_no_prefix_is_refused(void **state)
{
	struct cidr cidr = {.ip = {.family = AF_INET}, .len = 33};

	assert_int_equal(allowedips_insert(table, &cidr, id_of(1), &lists[1]), -EINVAL);
	cidr.ip.family = AF_INET6;
	cidr.len = 129;
	assert_int_equal(allowedips_insert(table, &cidr, id_of(1), &lists[1]), -EINVAL);
	cidr.ip.family = 0;
	cidr.len = 0;
	assert_int_equal(allowedips_insert(table, &cidr, id_of(1), &lists[1]), -EINVAL);
	cidr.ip.family = AF_UNIX;
	assert_int_equal(allowedips_insert(table, &cidr, id_of(1), &lists[1]), -EINVAL);
	assert_null(allowedips_next(&lists[1], NULL));
}

/*
 * Readers without locks.  10/8 and 2001:db8::/32 are peer 1's for the whole time; narrower prefixes of
 * peers 2 and 3 come and go below them.  So an address below is always one of the three's, one beside is
 * nobody's, and under the sanitizer no reader may touch what was reclaimed.
 */
#define READERS 2

static atomic_uint_fast64_t published;
static struct reader {
	pthread_t thread;
	atomic_uint_fast64_t quiet;
	uint64_t random, lookups;
	bool wrong;
} readers[READERS];
static atomic_bool stop;

static void *
read_on(void *arg)
{
	struct reader *reader = arg;

	while (!atomic_load(&stop)) {
		const uint64_t epoch = atomic_load(&published);

		atomic_store(&reader->quiet, epoch); /* nothing is held here */
		for (unsigned i = 0; i < 64; i++) {
			const uint64_t r = random_step(&reader->random);
			uint8_t four[4] = {10, (uint8_t)(r >> 8 & 3), (uint8_t)(r >> 16 & 3),
					   (uint8_t)(r >> 24 & 3)};
			uint8_t six[16] = {
				0x20, 0x01, 0x0d, 0xb8, (uint8_t)(r >> 32 & 3), (uint8_t)(r >> 40 & 3)};
			struct wg_peer_id a, b;

			a = allowedips_lookup4(table, four);
			b = allowedips_lookup6(table, six);
			if (a.serial != id_of(a.number).serial || a.number < 1 || a.number > 3 ||
			    b.serial != id_of(b.number).serial || b.number < 1 || b.number > 3)
				reader->wrong = true;
			four[0] = 11;
			six[0] = 0x30;
			if (allowedips_lookup4(table, four).serial || allowedips_lookup6(table, six).serial)
				reader->wrong = true;
			reader->lookups += 4;
		}
	}
	atomic_store(&reader->quiet, UINT64_MAX);
	return NULL;
}

static void
readers_without_locks_see_old_or_new_and_never_garbage(void **state)
{
	struct cidr cidr;
	uint64_t asked = 0, reclaimed = 0;

	assert_int_equal(cidr_parse(&cidr, "10.0.0.0/8"), 0);
	assert_int_equal(allowedips_insert(table, &cidr, id_of(1), &lists[1]), 0);
	assert_int_equal(cidr_parse(&cidr, "2001:db8::/32"), 0);
	assert_int_equal(allowedips_insert(table, &cidr, id_of(1), &lists[1]), 0);
	atomic_store(&stop, false);
	atomic_store(&published, 0);
	for (unsigned i = 0; i < READERS; i++) {
		readers[i].random = random_below(UINT32_MAX) + 1;
		readers[i].lookups = 0;
		atomic_store(&readers[i].quiet, 0);
		assert_int_equal(pthread_create(&readers[i].thread, NULL, read_on, &readers[i]), 0);
	}
	for (unsigned step = 0; step < 60000; step++) {
		const uint32_t peer = 2 + (uint32_t)random_below(2);
		uint64_t quiet = UINT64_MAX;

		cidr.ip = (struct ip){.family = AF_INET,
				      .addr = {10, (uint8_t)random_below(4), (uint8_t)random_below(4),
					       (uint8_t)random_below(4)}};
		cidr.len = (uint8_t)(9 + random_below(24));
		if (random_below(2)) {
			cidr.ip = (struct ip){.family = AF_INET6,
					      .addr = {0x20, 0x01, 0x0d, 0xb8, (uint8_t)random_below(4),
						       (uint8_t)random_below(4)}};
			cidr.len = (uint8_t)(33 + random_below(96));
		}
		switch (random_below(4)) {
		case 0:
			if (random_below(50) == 0)
				allowedips_remove_all(table, &lists[peer]);
			else
				(void)allowedips_remove(table, &cidr, &lists[peer]);
			break;
		case 1: {
			const struct allowedips_node *node = allowedips_next(&lists[peer], NULL);

			if (node) {
				allowedips_cidr(node, &cidr);
				assert_int_equal(allowedips_remove(table, &cidr, &lists[peer]), 0);
			}
			break;
		}
		default: {
			const int r = allowedips_insert(table, &cidr, id_of(peer), &lists[peer]);

			assert_true(r == 0 || r == -ENOSPC);
			break;
		}
		}
		if (step % 8)
			continue;
		for (unsigned i = 0; i < READERS; i++) {
			const uint64_t q = atomic_load(&readers[i].quiet);

			quiet = q < quiet ? q : quiet;
		}
		if (quiet >= asked) { /* all have seen what was asked */
			allowedips_reclaim(pool, asked);
			reclaimed++;
			asked = allowedips_epoch(pool);
			atomic_store(&published, asked);
		}
	}
	atomic_store(&stop, true);
	for (unsigned i = 0; i < READERS; i++) {
		assert_int_equal(pthread_join(readers[i].thread, NULL), 0);
		assert_false(readers[i].wrong);
		assert_true(readers[i].lookups > 0);
	}
	assert_true(reclaimed > 1);
}

/*
 * Tables that come and go, as domains do: a reader takes the one that is shown and looks things up in it
 * while the writer empties and retires it.  It gives what was in it or nothing.
 */
static struct allowedips *_Atomic shown;

static void *
read_what_is_shown(void *arg)
{
	struct reader *reader = arg;

	while (!atomic_load(&stop)) {
		const struct allowedips *now;

		atomic_store(&reader->quiet, atomic_load(&published)); /* nothing is held here */
		now = atomic_load(&shown);
		for (unsigned i = 0; i < 64; i++) {
			const uint8_t four[4] = {10, 1, 2, (uint8_t)random_step(&reader->random)};
			const struct wg_peer_id id = allowedips_lookup4(now, four);

			if (id.serial != 0 && id.serial != id_of(id.number).serial)
				reader->wrong = true;
			if (allowedips_version(now) == 0)
				reader->wrong = true;
			reader->lookups++;
		}
	}
	atomic_store(&reader->quiet, UINT64_MAX);
	return NULL;
}

static void
table_fill(struct allowedips *new, struct allowedips_list *list, uint32_t peer)
{
	struct cidr cidr = {.ip = {.family = AF_INET, .addr = {10, 1, 2}}};

	for (unsigned i = 0; i < 16; i++) {
		cidr.len = (uint8_t)(8 + random_below(25));
		cidr.ip.addr[3] = (uint8_t)random_below(256);
		assert_int_equal(allowedips_insert(new, &cidr, id_of(peer), list), 0);
	}
}

static void
a_table_outlives_its_domain_until_no_reader_is_in_it(void **state)
{
	struct allowedips *current, *next;
	uint64_t asked = 0, reclaimed = 0;

	assert_int_equal(allowedips_new(pool, &current), 0);
	table_fill(current, &lists[0], 0);
	atomic_store(&shown, current);
	atomic_store(&stop, false);
	atomic_store(&published, 0);
	for (unsigned i = 0; i < READERS; i++) {
		readers[i] = (struct reader){.random = random_below(UINT32_MAX) + 1};
		assert_int_equal(pthread_create(&readers[i].thread, NULL, read_what_is_shown, &readers[i]),
				 0);
	}
	for (uint32_t step = 1; step < 4000; step++) {
		uint64_t quiet = UINT64_MAX;

		assert_int_equal(allowedips_new(pool, &next), 0);
		table_fill(next, &lists[step % PEERS], step % PEERS);
		atomic_store(&shown, next);
		allowedips_remove_all(current, &lists[(step - 1) % PEERS]);
		allowedips_retire(current);
		current = next;
		for (unsigned i = 0; i < READERS; i++)
			quiet = MIN(quiet, (uint64_t)atomic_load(&readers[i].quiet));
		if (quiet >= asked) {
			allowedips_reclaim(pool, asked);
			reclaimed++;
			asked = allowedips_epoch(pool);
			atomic_store(&published, asked);
		}
	}
	atomic_store(&stop, true);
	for (unsigned i = 0; i < READERS; i++) {
		assert_int_equal(pthread_join(readers[i].thread, NULL), 0);
		assert_false(readers[i].wrong);
		assert_true(readers[i].lookups > 0);
	}
	assert_true(reclaimed > 1);
	allowedips_free(current);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(two_thousand_peers_agree_with_a_list, begin, end),
		cmocka_unit_test_setup_teardown(a_full_table_refuses_and_has_room_again_after_a_removal,
						begin, end),
		cmocka_unit_test_setup_teardown(edges_of_prefixes, begin, end),
		cmocka_unit_test_setup_teardown(the_version_changes_with_the_table, begin, end),
		cmocka_unit_test_setup_teardown(what_is_no_prefix_is_refused, begin, end),
		cmocka_unit_test_setup_teardown(readers_without_locks_see_old_or_new_and_never_garbage, begin,
						end),
		cmocka_unit_test_setup_teardown(a_table_outlives_its_domain_until_no_reader_is_in_it, begin,
						end),
	};

	random_begin();
	return cmocka_run_group_tests_name("allowedips", tests, NULL, NULL);
}
