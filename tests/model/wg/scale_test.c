/*
 * A hundred thousand peers: everything is still right, and what it took is printed.  Fewer of them shake
 * hands, which takes a tenth of a millisecond and more each; WARREN_SCALE=full lets all.
 */
#include "server/wg/device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <malloc.h>
#include <string.h>

#include "server/wg/cookie.h"
#include "server/wg/messages.h"
#include "server/wg/noise.h"
#include "server/wg/owner.h"
#include "server/wg/path.h"
#include "tests/model/wg/random.h"

#define PEERS   100000U
#define DOMAINS 1000U
#define WORKERS 2U
#define SHAKING 2000U
#define IDLE    1536U /* bytes that a peer may take that does nothing */

static struct wg_device *device;
static struct wg_domain *domains[DOMAINS];
static struct wg_path *paths[WORKERS];
static struct aead aead[WORKERS];
static struct wg_now now;
static struct wg_peer **peers;
static unsigned *keepalives; /* ordered, by peer number */
static uint64_t sent;

static nsec_t
cpu_time(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return SECONDS(t.tv_sec) + t.tv_nsec;
}

static void
say(const char *what, nsec_t took, unsigned n)
{
	print_message("# %u %s: %lld ms, %lld ns each\n", n, what, (long long)(took / MILLISECONDS(1)),
		      (long long)(took / n));
}

static void
fill(void *ctx, void *buf, size_t len)
{
	uint8_t *p = buf;

	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)random_below(256);
}

static void
on_send(void *ctx, const struct wg_datagram *datagram)
{
	sent++;
}

static void
on_order(void *ctx, unsigned worker, struct wg_order *order)
{
	if (order->peer.serial)
		assert_int_equal(worker, wg_owner(order->peer.number, WORKERS));
	if (order->type == WG_ORDER_KEEPALIVE)
		keepalives[order->peer.number]++;
	assert_int_equal(path_order(paths[worker], order, now), 0);
}

static const struct wg_effects effects = {.send = on_send, .order = on_order};

static struct public_key
key_of(unsigned i)
{
	struct public_key key = {{0x42}};

	le32_store(key.b + 8, i);
	return key;
}

static struct cidr
address_of(unsigned i)
{
	return (struct cidr){
		.ip = {.family = AF_INET, .addr = {10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i}},
		.len = 32};
}

static void
event(enum wg_event_type type, struct wg_domain *domain)
{
	const struct wg_event e = {.type = type, .domain = domain};

	wg_step(device, &e, now, &effects);
}

static int
begin(void **state)
{
	const struct wg_device_config config = {.random.fill = fill, .workers = WORKERS};
	struct private_key secret;

	now = (struct wg_now){.boot = SECONDS(100), .wall = SECONDS(1800000000)};
	assert_int_equal(wg_device_new(&config, &device), 0);
	for (unsigned i = 0; i < WORKERS; i++) {
		struct path_config path = {.worker = i, .index = wg_index(device), .aead = &aead[i]};

		aead_sodium_init(&aead[i]);
		assert_int_equal(path_new(&path, &paths[i]), 0);
	}
	private_key_generate(&secret);
	wg_private_key_set(device, &secret, now, &effects);
	peers = calloc(PEERS, sizeof(struct wg_peer *));
	keepalives = calloc(WG_PEERS_MAX, sizeof(*keepalives));
	assert_true(peers && keepalives);
	return 0;
}

static int
end(void **state)
{
	for (unsigned i = 0; i < WORKERS; i++) {
		path_free(paths[i]);
		aead_done(&aead[i]);
	}
	wg_device_free(device);
	free(peers);
	free(keepalives);
	return 0;
}

static void
domains_add(void)
{
	for (unsigned i = 0; i < DOMAINS; i++) {
		assert_int_equal(wg_domain_add(device, &domains[i]), 0);
		event(WG_EVENT_UP, domains[i]);
	}
}

static void
peer_add(unsigned i)
{
	const struct public_key key = key_of(i);
	const struct cidr cidr = address_of(i);

	assert_int_equal(wg_peer_add(device, domains[i % DOMAINS], &key, &effects, &peers[i]), 0);
	assert_int_equal(wg_peer_allow(device, peers[i], &cidr), 0);
}

static struct wg_peer_id
id_of(const struct wg_peer *peer)
{
	struct wg_peer_view view;

	wg_peer_view(peer, &view);
	return view.id;
}

static void
look_up(unsigned i, bool there)
{
	const struct public_key key = key_of(i);
	const struct cidr cidr = address_of(i);
	const struct wg_peer_id found =
		allowedips_lookup4(wg_domain_allowed(domains[i % DOMAINS]), cidr.ip.addr);

	assert_ptr_equal(wg_peer_find(device, &key), there ? peers[i] : NULL);
	if (there)
		assert_true(wg_peer_id_equal(found, id_of(peers[i])));
	else
		assert_int_equal(found.serial, 0);
	/* Nobody else's domain has it. */
	assert_int_equal(
		allowedips_lookup4(wg_domain_allowed(domains[(i + 1) % DOMAINS]), cidr.ip.addr).serial, 0);
}

static unsigned
walk(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < DOMAINS; i++) {
		uint32_t here = 0;

		for (struct wg_peer *peer = NULL; (peer = wg_peer_next(domains[i], peer));) {
			struct wg_peer_view view;

			wg_peer_view(peer, &view);
			assert_ptr_equal(view.domain, domains[i]);
			here++;
		}
		assert_int_equal(here, wg_domain_peer_count(domains[i]));
		n += here;
	}
	return n;
}

static void
they_are_added_found_walked_changed_and_removed(void **state)
{
	nsec_t at = cpu_time();

	domains_add();
	say("domains added", cpu_time() - at, DOMAINS);
	at = cpu_time();
	for (unsigned i = 0; i < PEERS; i++)
		peer_add(i);
	say("peers added, an address each", cpu_time() - at, PEERS);
	assert_int_equal(wg_peer_count(device), PEERS);
	at = cpu_time();
	for (unsigned i = 0; i < PEERS; i++)
		look_up(i, true);
	say("peers found by key and by address", cpu_time() - at, PEERS);
	at = cpu_time();
	assert_int_equal(walk(), PEERS);
	say("peers walked", cpu_time() - at, PEERS);
	at = cpu_time();
	for (unsigned i = 0; i < PEERS; i += 100) {
		const struct cidr cidr = address_of(i + PEERS);

		wg_peer_disallow_all(device, peers[i]);
		assert_int_equal(wg_peer_allow(device, peers[i], &cidr), 0);
		wg_peer_rate_set(device, peers[i], 1000000, 1000000, &effects);
		wg_peer_access_set(device, peers[i], WG_QUARANTINED, 0, now, &effects);
	}
	say("peers changed: address, rate, access", cpu_time() - at, PEERS / 100);
	at = cpu_time();
	wg_reclaim(device, wg_epoch(device));
	say("reclamations", cpu_time() - at, 1);

	for (unsigned i = 0; i < PEERS; i += 2)
		wg_peer_remove(device, peers[i], &effects);
	for (unsigned i = 0; i < PEERS; i++)
		look_up(i, i % 2);
	for (unsigned i = 0; i < PEERS; i += 2)
		peer_add(i);
	for (unsigned i = 0; i < PEERS; i++)
		look_up(i, true);
	at = cpu_time();
	for (unsigned i = 0; i < DOMAINS; i++)
		wg_domain_remove(device, domains[i], &effects);
	say("domains removed with their peers", cpu_time() - at, DOMAINS);
	assert_int_equal(wg_peer_count(device), 0);
	at = cpu_time();
	wg_reclaim(device, wg_epoch(device));
	say("reclamations of everything", cpu_time() - at, 1);
}

/* All are due at once: no tick takes long, none is served twice before all were once. */
static void
keepalives_that_are_due_together_are_served_in_turn(void **state)
{
	const struct endpoint to = {.ip = {.family = AF_INET, .addr = {192, 0, 2, 1}}, .port = 1};
	unsigned ticks = 0;
	nsec_t at, longest = 0;

	domains_add();
	for (unsigned i = 0; i < PEERS; i++) {
		peer_add(i);
		wg_peer_endpoint_set(device, peers[i], &to, now, &effects);
		wg_peer_keepalive_set(device, peers[i], 25, now, &effects);
	}
	for (unsigned i = 0; i < WORKERS; i++) { /* what they report is another test's */
		struct wg_report report;

		while (path_reports(paths[i], now, &report, 1) == 1)
			continue;
	}
	for (unsigned round = 1; round <= 3; round++) {
		now.boot += SECONDS(25);
		memset(keepalives, 0, WG_PEERS_MAX * sizeof(*keepalives));
		for (ticks = 0; wg_deadline(device) <= now.boot; ticks++) {
			at = cpu_time();
			event(WG_EVENT_TICK, NULL);
			longest = MAX(longest, cpu_time() - at);
			assert_true(ticks <= PEERS);
		}
		assert_in_range(ticks, PEERS / WG_TICK_PEERS, PEERS / WG_TICK_PEERS + 2);
		for (unsigned i = 0; i < PEERS; i++)
			assert_int_equal(keepalives[id_of(peers[i]).number], 1);
	}
	say("peers at most in a tick, the longest one", longest, WG_TICK_PEERS);
}

/* The other end of a peer. */
struct end {
	struct noise_identity identity;
	uint8_t static_static[KEY_LEN], message[WG_INITIATION_LEN];
	struct wg_peer *peer;
};

static void
end_initiate(struct end *from, const struct public_key *gate)
{
	struct noise_handshake handshake = {0};
	struct cookie cookie = {0};
	struct private_key ephemeral;
	uint8_t timestamp[NOISE_TIMESTAMP_LEN] = {0};

	be64_store(timestamp, (uint64_t)now.wall);
	private_key_generate(&ephemeral);
	assert_int_equal(noise_initiation_write(&handshake, &from->identity, gate, from->static_static,
						&ephemeral, timestamp, 1, from->message),
			 0);
	cookie_macs_add(&cookie, gate, from->message, sizeof(from->message), now.boot);
}

static void
a_storm_of_initiations_is_answered_among_them(void **state)
{
	const char *scale = getenv("WARREN_SCALE");
	const unsigned n = scale && strcmp(scale, "full") == 0 ? PEERS : SHAKING;
	struct end *ends = calloc(n, sizeof(*ends));
	struct public_key gate;
	nsec_t at;

	assert_non_null(ends);
	domains_add();
	wg_public_key_get(device, &gate);
	for (unsigned i = n; i < PEERS; i++)
		peer_add(i);
	for (unsigned i = 0; i < n; i++) {
		struct end *one = &ends[i];

		one->identity.present = true;
		private_key_generate(&one->identity.secret);
		public_key_derive(&one->identity.key, &one->identity.secret);
		assert_int_equal(noise_static_static(&one->identity, &gate, one->static_static), 0);
		assert_int_equal(
			wg_peer_add(device, domains[i % DOMAINS], &one->identity.key, &effects, &one->peer),
			0);
	}
	for (unsigned round = 0; round < 2; round++) {
		now.boot += SECONDS(10);
		now.wall += SECONDS(10);
		for (unsigned i = 0; i < n; i++)
			end_initiate(&ends[i], &gate);
		sent = 0;
		at = cpu_time();
		for (unsigned i = 0; i < n; i++) {
			const struct wg_event e = {
				.type = WG_EVENT_DATAGRAM,
				.datagram = {
					.data = ends[i].message,
					.len = WG_INITIATION_LEN,
					.arrival.from = {.ip = {.family = AF_INET, .addr = {1}}, .port = 1}}};

			wg_step(device, &e, now, &effects);
		}
		say(round ? "handshakes answered again" : "first handshakes answered", cpu_time() - at, n);
		assert_int_equal(sent, n);
		for (unsigned i = 1; i < WG_DROP_COUNT; i++)
			assert_int_equal(wg_counted(wg_device_counters(device), i), 0);
	}
	free(ends);
}

/* As much as a peer takes that has an address of each family and the two sessions of a renewal. */
static void
a_peer_that_does_nothing_is_small(void **state)
{
	const size_t before = mallinfo2().uordblks;
	size_t domains_take, takes;

	domains_add();
	domains_take = mallinfo2().uordblks - before;
	for (unsigned i = 0; i < PEERS; i++)
		peer_add(i);
	for (unsigned i = 0; i < PEERS; i++) {
		const struct wg_peer_id id = id_of(peers[i]);
		struct wg_order order = {.type = WG_ORDER_KEYPAIR_INSTALL, .peer = id};

		for (unsigned k = 0; k < 2; k++) {
			order.install.initiator = true;
			assert_int_equal(path_order(paths[wg_owner(id.number, WORKERS)], &order, now), 0);
		}
	}
	takes = mallinfo2().uordblks - before - domains_take;
	print_message("# %zu bytes a domain, %zu a peer with two sessions and an address\n",
		      domains_take / DOMAINS, takes / PEERS);
	for (unsigned i = 0; i < PEERS; i++) {
		struct cidr cidr = address_of(i);

		cidr.ip.family = AF_INET6;
		memmove(cidr.ip.addr + 12, cidr.ip.addr, 4);
		cidr.len = 128;
		assert_int_equal(wg_peer_allow(device, peers[i], &cidr), 0);
	}
	takes = mallinfo2().uordblks - before - domains_take;
	print_message("# %zu with an IPv6 address, too\n", takes / PEERS);
#ifndef WARREN_SANITIZED /* which counts otherwise */
	assert_true(takes / PEERS <= IDLE);
#endif
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(they_are_added_found_walked_changed_and_removed),
		TEST(keepalives_that_are_due_together_are_served_in_turn),
		TEST(a_storm_of_initiations_is_answered_among_them),
		TEST(a_peer_that_does_nothing_is_small),
	};

	random_begin();
	return cmocka_run_group_tests_name("scale", tests, NULL, NULL);
}
