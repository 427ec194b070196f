/* What the data plane is told, and what it tells. */
#include "server/store/gateway.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/errors.h"
#include "tests/store/fixture.h"

#define WRITERS 6
#define ROUNDS  30

static struct home a, b;

static int
up(void **state)
{
	fixture_up(state);
	home_new(&a, 20);
	home_new(&b, 20);
	return 0;
}

struct reading {
	uint64_t since;
	struct gateway_feed feed;
};

static int
read_work(struct tx *tx, void *arg)
{
	struct reading *reading = arg;

	gateway_feed_done(&reading->feed);
	return gateway_read(tx, reading->since, &reading->feed);
}

/* Reads what is new; the next reading goes on from there. */
static void
next(struct reading *reading)
{
	assert_int_equal(store_run_gateway(fixture.store, read_work, reading), 0);
	reading->since = reading->feed.revision;
}

static const struct gateway_peer *
find(const struct reading *reading, struct peer_id id)
{
	for (size_t i = 0; i < reading->feed.n_peers; i++)
		if (reading->feed.peers[i].id.v == id.v)
			return &reading->feed.peers[i];
	return NULL;
}

static void
all_tenants_are_in_one_reading(void **state)
{
	struct cidr route;
	struct peer_new fresh = {.user = a.user.id,
				 .name = "routed",
				 .key = key_new(),
				 .psk = {.len = 1, .b = "p"},
				 .expires_at = 1900000000,
				 .n_routes = 1,
				 .routes = &route};
	struct reading reading = {0};
	const struct gateway_peer *seen;
	struct peer one, two;
	struct tx *tx;

	assert_int_equal(cidr_parse(&route, "192.168.1.0/24"), 0);
	tx = begin(&a);
	assert_int_equal(peer_insert(tx, &fresh, &one), 0);
	commit(&tx);
	assert_int_equal(add(&b, "other", &two), 0);
	next(&reading);
	assert_int_equal(reading.feed.n_tenants, 2);
	assert_string_equal(reading.feed.tenants[0].name, a.tenant.name);
	assert_int_equal(reading.feed.n_pools, 4);
	assert_int_equal(reading.feed.n_peers, 2);
	seen = find(&reading, one.id);
	assert_int_equal(seen->tenant.v, a.tenant.id.v);
	assert_memory_equal(seen->key.b, one.key.b, KEY_LEN);
	assert_int_equal(seen->psk.len, 1);
	assert_true(ip_equal(&seen->address4, &one.address4));
	assert_true(ip_equal(&seen->address6, &one.address6));
	assert_int_equal(seen->n_routes, 1);
	assert_int_equal(seen->routes[0].len, 24);
	assert_int_equal(seen->expires_at, 1900000000);
	assert_false(seen->disabled || seen->gone);
	assert_int_equal(find(&reading, two.id)->tenant.v, b.tenant.id.v);
	gateway_feed_done(&reading.feed);
}

static void
only_what_changed_comes_again_and_the_gone_come_first(void **state)
{
	const struct public_key key = key_new();
	struct reading reading = {0};
	struct peer one, two, three, now;
	struct tx *tx;

	assert_int_equal(add_key(&a, "first", &key, &one), 0);
	assert_int_equal(add(&b, "second", &two), 0);
	next(&reading);
	next(&reading);
	assert_null(find(&reading, one.id));
	assert_null(find(&reading, two.id));
	assert_int_equal(reading.feed.n_pools, 4); /* always all */

	tx = begin(&b);
	assert_int_equal(peer_set_expiry(tx, two.id, 1900000001, &now), 0);
	commit(&tx);
	assert_int_equal(drop(&a, one.id), 0);
	assert_int_equal(add_key(&a, "third", &key, &three), 0); /* its key is another's now */
	next(&reading);
	assert_int_equal(reading.feed.n_peers, 3);
	assert_int_equal(reading.feed.peers[0].id.v, one.id.v);
	assert_true(reading.feed.peers[0].gone);
	assert_memory_equal(reading.feed.peers[0].key.b, key.b, KEY_LEN);
	assert_int_equal(reading.feed.peers[0].address4.family, 0);
	assert_int_equal(find(&reading, two.id)->expires_at, 1900000001);
	assert_memory_equal(find(&reading, three.id)->key.b, key.b, KEY_LEN);

	reading.since = 0; /* from the beginning nobody is told of what is gone */
	next(&reading);
	assert_null(find(&reading, one.id));
	assert_non_null(find(&reading, three.id));

	sql("UPDATE tenant_user SET disabled_at = now() WHERE id = %" PRId64, b.user.id.v);
	next(&reading);
	assert_true(find(&reading, two.id)->disabled);
	sql("UPDATE tenant_user SET disabled_at = NULL WHERE id = %" PRId64, b.user.id.v);
	next(&reading);
	assert_false(find(&reading, two.id)->disabled);
	tx = begin(&a);
	assert_int_equal(tenant_set_peers_may_meet(tx, true), 0);
	commit(&tx);
	next(&reading);
	assert_true(reading.feed.tenants[0].peers_may_meet);
	assert_false(reading.feed.tenants[1].peers_may_meet);
	gateway_feed_done(&reading.feed);
}

/* A transaction that began before and commits after the reading of another is the trap of every feed. */
static void
a_transaction_that_was_open_during_a_reading_comes_with_the_next(void **state)
{
	struct reading reading = {0};
	struct peer slow, fast, now;
	struct tx *tx;

	assert_int_equal(add(&a, "slow", &slow), 0);
	tx = begin(&a);
	assert_int_equal(peer_set_disabled(tx, slow.id, true, &now), 0);
	assert_int_equal(add(&b, "fast", &fast), 0);
	next(&reading);
	assert_false(find(&reading, slow.id)->disabled);
	assert_non_null(find(&reading, fast.id));
	next(&reading);
	commit(&tx);
	next(&reading);
	assert_true(find(&reading, slow.id)->disabled);
	gateway_feed_done(&reading.feed);
}

struct writer {
	unsigned number;
	int failed;
};

static atomic_uint running;

static int
toggle_work(struct tx *tx, void *arg)
{
	struct peer *peer = arg;
	int r = tx_actor(tx, &nobody_in_particular);

	return r < 0 ? r : peer_set_expiry(tx, peer->id, peer->expires_at + 1, peer);
}

/* Adds, changes and removes, every fourth in a transaction that stays open for a while. */
static void *
write_much(void *arg)
{
	const struct timespec pause = {.tv_nsec = 3 * 1000 * 1000};
	struct writer *writer = arg;
	const struct home *home = writer->number % 2 ? &a : &b;

	for (unsigned i = 0; i < ROUNDS; i++) {
		struct peer peer, now;
		char name[32];

		snprintf(name, sizeof(name), "w%u-%u", writer->number, i);
		writer->failed += add(home, name, &peer) != 0;
		if (i % 4 == 0) {
			struct tx *tx = NULL;

			if (tx_begin(fixture.store, home->tenant.id, &tx) < 0 ||
			    tx_actor(tx, &nobody_in_particular) < 0 ||
			    peer_set_disabled(tx, peer.id, true, &now) < 0)
				writer->failed++;
			nanosleep(&pause, NULL);
			if (!tx || tx_commit(tx) < 0)
				writer->failed++;
			tx_free(tx);
		} else if (i % 4 == 1) {
			writer->failed += drop(home, peer.id) != 0;
		} else {
			peer.expires_at = 1900000000;
			writer->failed += store_run(fixture.store, home->tenant.id, toggle_work, &peer) != 0;
		}
	}
	atomic_fetch_sub(&running, 1);
	return NULL;
}

#define KNOWN_MAX 4096

/* What a reader knows, by id. */
struct known {
	bool there, disabled;
	time_t expires_at;
};

static void
learn(struct known *known, const struct reading *reading)
{
	for (size_t i = 0; i < reading->feed.n_peers; i++) {
		const struct gateway_peer *peer = &reading->feed.peers[i];

		assert_true(peer->id.v < KNOWN_MAX);
		known[peer->id.v] = (struct known){!peer->gone, peer->disabled, peer->expires_at};
	}
}

static void
a_reader_of_changes_ends_with_the_truth_under_concurrent_commits(void **state)
{
	static struct known known[KNOWN_MAX], truth[KNOWN_MAX];
	struct writer writers[WRITERS];
	pthread_t threads[WRITERS];
	struct reading reading = {0}, whole = {0};
	size_t readings = 0;

	next(&reading);
	learn(known, &reading);
	atomic_store(&running, WRITERS);
	for (unsigned i = 0; i < WRITERS; i++) {
		writers[i] = (struct writer){.number = i};
		assert_int_equal(pthread_create(&threads[i], NULL, write_much, &writers[i]), 0);
	}
	while (atomic_load(&running)) {
		next(&reading);
		learn(known, &reading);
		readings++;
	}
	for (unsigned i = 0; i < WRITERS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(writers[i].failed, 0);
	}
	next(&reading);
	learn(known, &reading);
	next(&whole);
	whole.since = 0;
	next(&whole);
	learn(truth, &whole);
	assert_memory_equal(known, truth, sizeof(known));
	assert_true(readings > 5);
	gateway_feed_done(&reading.feed);
	gateway_feed_done(&whole.feed);
}

struct notes {
	struct gateway_note *v;
	size_t n;
};

static int
notes_work(struct tx *tx, void *arg)
{
	const struct notes *notes = arg;

	return gateway_notes(tx, notes->v, notes->n);
}

static int
note(struct peer_id id, const char *endpoint, time_t at)
{
	struct gateway_note one = {.peer = id, .handshake_at = at};

	if (endpoint)
		assert_int_equal(endpoint_parse(&one.endpoint, endpoint), 0);
	return store_run_gateway(fixture.store, notes_work, &(struct notes){&one, 1});
}

static void
assert_seen(const struct home *home, struct peer_id id, const char *endpoint, time_t at)
{
	char text[ENDPOINT_TEXT_LEN];
	struct peer peer;
	struct tx *tx = begin(home);

	assert_int_equal(peer_get(tx, id, &peer), 0);
	endpoint_text(text, &peer.last_endpoint);
	assert_string_equal(text, endpoint);
	assert_int_equal(peer.last_handshake_at, at);
	tx_free(tx);
}

static void
the_newest_that_was_seen_of_a_peer_stays(void **state)
{
	struct reading reading = {0};
	struct gateway_note many[2500] = {0};
	struct peer one, two;

	assert_int_equal(add(&a, "seen", &one), 0);
	assert_int_equal(add(&b, "seen", &two), 0);
	next(&reading);
	assert_int_equal(note(one.id, "192.0.2.1:4711", 1000), 0);
	assert_seen(&a, one.id, "192.0.2.1:4711", 1000);
	assert_int_equal(note(one.id, "192.0.2.9:1", 999), 0);
	assert_seen(&a, one.id, "192.0.2.1:4711", 1000);
	assert_int_equal(note(one.id, "[2001:db8::1]:4712", 1000), 0); /* it moved within the session */
	assert_seen(&a, one.id, "[2001:db8::1]:4712", 1000);
	assert_int_equal(note(one.id, NULL, 1001), 0);
	assert_seen(&a, one.id, "[2001:db8::1]:4712", 1001);
	assert_int_equal(note(one.id, "192.0.2.9:1", 0), 0); /* of unknown age: not newer */
	assert_seen(&a, one.id, "[2001:db8::1]:4712", 1001);
	assert_int_equal(note(two.id, "192.0.2.2:5", 0), 0);
	assert_seen(&b, two.id, "192.0.2.2:5", 0);
	assert_int_equal(note((struct peer_id){777777}, "192.0.2.2:5", 5), 0); /* unknown */
	assert_int_equal(note(one.id, NULL, -1), -EINVAL);

	for (size_t i = 0; i < ARRAY_LEN(many); i++) {
		many[i].peer = i % 2 ? one.id : two.id;
		many[i].handshake_at = 2000 + (time_t)(i * 7919 % ARRAY_LEN(many));
		assert_int_equal(endpoint_parse(&many[i].endpoint, "192.0.2.3:7"), 0);
		many[i].endpoint.port = (uint16_t)(many[i].handshake_at);
	}
	assert_int_equal(store_run_gateway(fixture.store, notes_work, &(struct notes){many, ARRAY_LEN(many)}),
			 0);
	assert_seen(&a, one.id, "192.0.2.3:4499", 4499);
	assert_seen(&b, two.id, "192.0.2.3:4498", 4498);

	next(&reading); /* what the gateway wrote itself is no news to it */
	assert_null(find(&reading, one.id));
	reading.since = 0;
	next(&reading);
	assert_int_equal(find(&reading, one.id)->last_endpoint.port, 4499);
	assert_int_equal(find(&reading, one.id)->last_handshake_at, 4499);
	assert_int_equal(drop(&a, one.id), 0);
	assert_int_equal(note(one.id, "192.0.2.1:4711", 9000), 0); /* removed */
	gateway_feed_done(&reading.feed);
}

static bool
readable(const struct listener *listener, int ms)
{
	struct pollfd fd = {.fd = listener_fd(listener), .events = POLLIN};

	return poll(&fd, 1, ms) == 1;
}

static void
a_change_is_hinted_and_a_cut_is_told(void **state)
{
	_cleanup_(listener_freep) struct listener *listener = NULL;
	struct peer peer;
	int r;

	assert_int_equal(listener_open("host=/nonexistent", &listener), -ERR_DATABASE);
	assert_int_equal(listener_open(fixture.conninfo, &listener), 0);
	assert_int_equal(listener_read(listener), 0);
	assert_int_equal(add(&a, "hinted", &peer), 0);
	while ((r = listener_read(listener)) == 0)
		assert_true(readable(listener, 5000));
	assert_int_equal(r, 1);
	assert_int_equal(listener_read(listener), 0);
	assert_int_equal(note(peer.id, "192.0.2.1:1", 1), 0); /* none of its own */
	assert_false(readable(listener, 50));
	sql("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE query = 'LISTEN "
	    "warren_changed'");
	while ((r = listener_read(listener)) == 0)
		assert_true(readable(listener, 5000));
	assert_int_equal(r, -ERR_DATABASE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_tenants_are_in_one_reading),
		cmocka_unit_test(only_what_changed_comes_again_and_the_gone_come_first),
		cmocka_unit_test(a_transaction_that_was_open_during_a_reading_comes_with_the_next),
		cmocka_unit_test(a_reader_of_changes_ends_with_the_truth_under_concurrent_commits),
		cmocka_unit_test(the_newest_that_was_seen_of_a_peer_stays),
		cmocka_unit_test(a_change_is_hinted_and_a_cut_is_told),
	};

	return cmocka_run_group_tests_name("feed", tests, up, fixture_down);
}
