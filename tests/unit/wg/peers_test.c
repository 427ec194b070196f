/* Peers and identity: what can be added, found, changed and removed. */
#include "tests/unit/wg/foreign.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

static struct rig rig;

static int
begin(void **state)
{
	rig_init(&rig, "gate", 2);
	return 0;
}

static int
end(void **state)
{
	rig_done(&rig);
	return 0;
}

static struct public_key
key_of(unsigned n)
{
	struct private_key secret = {.b = {8, (uint8_t)n, (uint8_t)(n >> 8)}};
	struct public_key key;

	public_key_derive(&key, &secret);
	return key;
}

static void
a_peer_is_added_once_and_found_by_its_key(void **state)
{
	const struct public_key key = key_of(1), other = key_of(2);
	struct wg_peer *peer, *again;
	struct wg_peer_view view;

	assert_null(wg_peer_find(rig.device, &key));
	assert_int_equal(wg_peer_add(rig.device, rig.domain, &key, rig_effects(&rig), &peer), 0);
	assert_int_equal(wg_peer_add(rig.device, rig.domain, &key, rig_effects(&rig), &again), -EEXIST);
	assert_ptr_equal(wg_peer_find(rig.device, &key), peer);
	assert_null(wg_peer_find(rig.device, &other));
	assert_int_equal(wg_peer_count(rig.device), 1);
	wg_peer_view(peer, &view);
	assert_memory_equal(view.key.b, key.b, KEY_LEN);
	assert_ptr_equal(wg_peer_by_id(rig.device, view.id), peer);
	assert_int_equal(view.access, WG_ACTIVE);
	assert_int_equal(view.end, 0);
	assert_int_equal(view.endpoint.ip.family, 0);
	assert_int_equal(view.last_handshake, 0);
	assert_int_equal(view.keepalive, 0);
	assert_true(key_is_zero(view.psk.b));
	assert_int_equal(view.rx_bytes, 0);
	assert_int_equal(view.tx_bytes, 0);
	rig_pump(&rig);
	assert_int_equal(rig.ordered[WG_ORDER_PEER_ADD], 1);
}

static void
our_own_key_is_no_peer(void **state)
{
	struct wg_peer *peer;

	assert_int_equal(wg_peer_add(rig.device, rig.domain, &rig.public, rig_effects(&rig), &peer),
			 -EKEYREJECTED);
	assert_int_equal(wg_peer_count(rig.device), 0);
}

/* As X25519 uses it, and as the kernel gives it back. */
static void
clamp(struct private_key *key)
{
	key->b[0] &= 248;
	key->b[31] = (uint8_t)((key->b[31] & 127) | 64);
}

static void
a_private_key_that_is_a_peers_removes_that_peer(void **state)
{
	struct private_key secret;
	struct public_key key;

	rig_secret(&secret, "some peer");
	public_key_derive(&key, &secret);
	rig_peer(&rig, &key, "10.0.0.2/32", NULL);
	wg_private_key_set(rig.device, &secret, rig.now, rig_effects(&rig));
	rig_pump(&rig);
	assert_null(wg_peer_find(rig.device, &key));
	assert_int_equal(wg_peer_count(rig.device), 0);
	wg_private_key_get(rig.device, &rig.secret);
	clamp(&secret);
	assert_memory_equal(rig.secret.b, secret.b, KEY_LEN);
	{
		uint8_t to[4] = {10, 0, 0, 2};

		assert_int_equal(allowedips_lookup4(wg_domain_allowed(rig.domain), to).serial, 0);
	}
}

static void
keys_are_given_back_as_set_and_zeroes_clear_them(void **state)
{
	const struct private_key none = {.b = {0}};
	struct private_key secret;
	struct public_key public;
	uint8_t initiation[ORACLE_INITIATION], stamp[12];
	struct oracle o;

	wg_private_key_get(rig.device, &secret);
	clamp(&rig.secret);
	assert_memory_equal(secret.b, rig.secret.b, KEY_LEN);
	wg_public_key_get(rig.device, &public);
	assert_memory_equal(public.b, rig.public.b, KEY_LEN);

	oracle_init(&o, "foreign", rig.public.b);
	memcpy(public.b, o.public, KEY_LEN);
	rig_peer(&rig, &public, "10.0.0.2/32", FOREIGN_AT);
	wg_private_key_set(rig.device, &none, rig.now, rig_effects(&rig));
	rig_pump(&rig);
	wg_private_key_get(rig.device, &secret);
	assert_true(key_is_zero(secret.b));
	wg_public_key_get(rig.device, &public);
	assert_true(key_is_zero(public.b));
	oracle_timestamp(stamp, rig.now.wall);
	oracle_initiation(&o, initiation, stamp);
	assert_int_equal(rig_datagram(&rig, initiation, sizeof(initiation), FOREIGN_AT), WG_DROP_DOWN);
	{
		uint8_t packet[64];

		packet4(packet, GATE_IP, FOREIGN_IP, sizeof(packet), 1);
		rig_packet(&rig, packet, sizeof(packet));
		rig_run(&rig, SECONDS(200));
		assert_int_equal(rig.n_out, 0);
	}
	wg_private_key_set(rig.device, &rig.secret, rig.now, rig_effects(&rig));
	rig_pump(&rig);
	oracle_timestamp(stamp, rig.now.wall);
	oracle_initiation(&o, initiation, stamp);
	assert_int_equal(rig_datagram(&rig, initiation, sizeof(initiation), FOREIGN_AT), WG_DROP_NONE);
}

static void
a_device_holds_as_many_peers_as_it_may(void **state)
{
	struct rig small;
	struct wg_peer *peer = NULL;

	rig_init_config(&small, "small", &(struct wg_device_config){.workers = 1, .peers_max = 10}, 0);
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 10; i++) {
			const struct public_key key = key_of(i);

			assert_int_equal(
				wg_peer_add(small.device, small.domain, &key, rig_effects(&small), &peer), 0);
		}
		{
			const struct public_key key = key_of(99);

			assert_int_equal(
				wg_peer_add(small.device, small.domain, &key, rig_effects(&small), &peer),
				-ENOSPC);
		}
		while ((peer = wg_peer_next(small.domain, NULL)))
			wg_peer_remove(small.device, peer, rig_effects(&small));
		rig_pump(&small);
		assert_int_equal(wg_peer_count(small.device), 0);
	}
	rig_done(&small);
}

static void
a_walk_meets_every_peer_once_and_may_remove_on_the_way(void **state)
{
	unsigned seen = 0;
	struct wg_peer *next, *peer;

	for (unsigned i = 0; i < 200; i++) {
		const struct public_key key = key_of(i);

		assert_int_equal(wg_peer_add(rig.device, rig.domain, &key, rig_effects(&rig), &peer), 0);
	}
	for (peer = wg_peer_next(rig.domain, NULL); peer; peer = wg_peer_next(rig.domain, peer))
		seen++;
	assert_int_equal(seen, 200);
	for (peer = wg_peer_next(rig.domain, NULL); peer; peer = next) {
		next = wg_peer_next(rig.domain, peer);
		if (seen-- % 2)
			wg_peer_remove(rig.device, peer, rig_effects(&rig));
	}
	rig_pump(&rig);
	assert_int_equal(wg_peer_count(rig.device), 100);
	assert_int_equal(rig.ordered[WG_ORDER_PEER_REMOVE], 100);
}

static void
an_id_never_names_a_successor(void **state)
{
	struct wg_peer_view first, second;
	const struct public_key a = key_of(1), b = key_of(2);
	struct wg_peer *peer = rig_peer(&rig, &a, "10.0.0.2/32", FOREIGN_AT);

	wg_peer_view(peer, &first);
	for (unsigned i = 0; i < 100; i++) {
		wg_peer_remove(rig.device, peer, rig_effects(&rig));
		rig_pump(&rig);
		assert_null(wg_peer_by_id(rig.device, first.id));
		peer = rig_peer(&rig, i % 2 ? &a : &b, "10.0.0.2/32", FOREIGN_AT);
		wg_peer_view(peer, &second);
		assert_false(wg_peer_id_equal(first.id, second.id));
		assert_null(wg_peer_by_id(rig.device, first.id));
	}
	assert_null(wg_peer_by_id(rig.device, (struct wg_peer_id){.number = WG_PEERS_MAX - 1, .serial = 1}));
	assert_null(wg_peer_by_id(rig.device, (struct wg_peer_id){0}));
}

static void
packets_for_a_removed_peer_find_no_peer(void **state)
{
	const struct public_key key = key_of(1);
	struct wg_peer *peer = rig_peer(&rig, &key, "10.0.0.2/32", FOREIGN_AT);
	struct wg_peer_view view;
	uint8_t packet[64], room[WG_DATA_HEADER + 64 + PATH_TAIL] = {0};
	struct path_out out = {.data = room, .len = 64};
	const struct wg_route *route;

	wg_peer_view(peer, &view);
	packet4(packet, GATE_IP, "10.0.0.2", sizeof(packet), 1);
	assert_int_equal(rig_packet(&rig, packet, sizeof(packet)), 0);
	wg_peer_remove(rig.device, peer, rig_effects(&rig));
	rig_pump(&rig);
	assert_int_equal(rig_packet(&rig, packet, sizeof(packet)), -WG_DROP_NO_PEER);
	memcpy(room + WG_DATA_HEADER, packet, sizeof(packet));
	assert_int_equal(path_seal(rig.path[rig.worker_of[view.id.number]], view.id, &out, 1, 1420, false,
				   rig.now, &route),
			 -WG_DROP_NO_PEER);
	rig_run(&rig, SECONDS(700));
	assert_int_equal(rig_count(&rig, WG_MSG_INITIATION), 1); /* the one before */
}

static void
allowed_ips_move_to_whom_they_are_given_last(void **state)
{
	const struct public_key ka = key_of(1), kb = key_of(2);
	struct wg_peer *a = rig_peer(&rig, &ka, "10.0.0.0/24,10.0.0.2/32,2001:db8::/64", NULL);
	struct wg_peer *b = rig_peer(&rig, &kb, "10.0.0.77/24", NULL); /* host bits do not matter */
	const struct allowedips_node *node = NULL;
	struct wg_peer_view va, vb;
	uint8_t two[4] = {10, 0, 0, 2}, three[4] = {10, 0, 0, 3};
	struct cidr cidr;
	unsigned n = 0;

	wg_peer_view(a, &va);
	wg_peer_view(b, &vb);
	assert_true(wg_peer_id_equal(allowedips_lookup4(wg_domain_allowed(rig.domain), two), va.id));
	assert_true(wg_peer_id_equal(allowedips_lookup4(wg_domain_allowed(rig.domain), three), vb.id));
	while ((node = allowedips_next(wg_peer_allowed(a), node)))
		n++;
	assert_int_equal(n, 2);
	assert_int_equal(cidr_parse(&cidr, "10.0.0.0/24"), 0);
	assert_int_equal(wg_peer_disallow(rig.device, a, &cidr), -ENOENT);
	assert_int_equal(wg_peer_disallow(rig.device, b, &cidr), 0);
	assert_int_equal(allowedips_lookup4(wg_domain_allowed(rig.domain), three).serial, 0);
	cidr.len = 33;
	assert_int_equal(wg_peer_allow(rig.device, a, &cidr), -EINVAL);
	cidr.ip.family = 0;
	cidr.len = 0;
	assert_int_equal(wg_peer_allow(rig.device, a, &cidr), -EINVAL);
}

static void
settings_are_shown_as_set(void **state)
{
	const struct public_key key = key_of(1);
	struct wg_peer *peer = rig_peer(&rig, &key, "10.0.0.2/32", "[2001:db8::5]:5");
	struct preshared_key psk = {.b = {1, 2, 3}};
	struct wg_peer_view view;
	char text[ENDPOINT_TEXT_LEN];

	wg_peer_psk_set(rig.device, peer, &psk);
	wg_peer_keepalive_set(rig.device, peer, 65535, rig.now, rig_effects(&rig));
	rig_pump(&rig);
	wg_peer_view(peer, &view);
	assert_memory_equal(view.psk.b, psk.b, KEY_LEN);
	assert_int_equal(view.keepalive, 65535);
	endpoint_text(text, &view.endpoint);
	assert_string_equal(text, "[2001:db8::5]:5");
}

static void
a_new_endpoint_is_used_at_once(void **state)
{
	const struct public_key key = key_of(1);
	struct wg_peer *peer = rig_peer(&rig, &key, "10.0.0.2/32", FOREIGN_AT);
	struct endpoint to;
	char text[ENDPOINT_TEXT_LEN];

	wg_peer_initiate(rig.device, peer, rig.now, rig_effects(&rig));
	rig_pump(&rig);
	rig_empty(&rig);
	assert_int_equal(endpoint_parse(&to, "198.51.100.1:7"), 0);
	wg_peer_endpoint_set(rig.device, peer, &to, rig.now, rig_effects(&rig));
	rig_run(&rig, MILLISECONDS(5400));
	endpoint_text(text, &rig_one(&rig, WG_MSG_INITIATION)->route.to);
	assert_string_equal(text, "198.51.100.1:7");
}

static void
assert_endpoint(const struct wg_peer *peer, const char *expected)
{
	struct wg_peer_view view;
	char text[ENDPOINT_TEXT_LEN];

	wg_peer_view(peer, &view);
	endpoint_text(text, &view.endpoint);
	assert_string_equal(text, expected);
}

/* Orders and reports cross on their way: the later of what was learned counts, at both ends. */
static void
an_endpoint_learned_earlier_does_not_replace_a_later_one(void **state)
{
	const struct public_key key = key_of(1);
	struct wg_peer *peer = rig_peer(&rig, &key, "10.0.0.2/32", FOREIGN_AT);
	struct wg_event event = {.type = WG_EVENT_REPORT};
	struct wg_order order = {.type = WG_ORDER_ROUTE};
	uint8_t room[WG_DATA_HEADER + 64 + PATH_TAIL];
	struct path_out out = {.data = room, .len = 64};
	const struct wg_route *route;
	struct wg_peer_view view;
	char text[ENDPOINT_TEXT_LEN];

	wg_peer_view(peer, &view);
	event.report =
		(struct wg_report){.peer = view.id, .flags = WG_REPORT_ROUTE, .learned = rig.now.boot - 1};
	assert_int_equal(endpoint_parse(&event.report.route.to, "198.51.100.1:1"), 0);
	wg_step(rig.device, &event, rig.now, rig_effects(&rig));
	assert_endpoint(peer, FOREIGN_AT);
	event.report.learned = rig.now.boot + 1;
	wg_step(rig.device, &event, rig.now, rig_effects(&rig));
	assert_endpoint(peer, "198.51.100.1:1");

	/* The path has FOREIGN_AT since now.boot. */
	order.peer = view.id;
	order.route.learned = rig.now.boot - 1;
	assert_int_equal(endpoint_parse(&order.route.route.to, "198.51.100.2:2"), 0);
	assert_int_equal(path_order(rig.path[rig.worker_of[view.id.number]], &order, rig.now), 0);
	order = (struct wg_order){.type = WG_ORDER_KEYPAIR_INSTALL,
				  .peer = view.id,
				  .install = {.birth = rig.now.boot, .initiator = true}};
	memset(order.install.sending, 1, AEAD_KEY_LEN);
	assert_int_equal(path_order(rig.path[rig.worker_of[view.id.number]], &order, rig.now), 0);
	packet4(room + WG_DATA_HEADER, GATE_IP, "10.0.0.2", 64, 1);
	assert_int_equal(path_seal(rig.path[rig.worker_of[view.id.number]], view.id, &out, 1, 1420, false,
				   rig.now, &route),
			 1);
	endpoint_text(text, &route->to);
	assert_string_equal(text, FOREIGN_AT);
}

static void
many_peers_are_all_served_by_ticks(void **state)
{
	struct public_key key;

	for (unsigned i = 0; i < 1000; i++) {
		char ip[16];

		key = key_of(i);
		snprintf(ip, sizeof(ip), "10.1.%u.%u", i / 256, i % 256);
		wg_peer_initiate(rig.device, rig_peer(&rig, &key, ip, FOREIGN_AT), rig.now,
				 rig_effects(&rig));
	}
	rig_pump(&rig);
	assert_int_equal(rig_count(&rig, WG_MSG_INITIATION), 1000);
	rig_empty(&rig);
	rig_run(&rig, MILLISECONDS(5400));
	assert_int_equal(rig_count(&rig, WG_MSG_INITIATION), 1000);
}

static void
a_report_of_a_peer_that_is_gone_is_ignored(void **state)
{
	const struct public_key key = key_of(1);
	struct wg_peer *peer = rig_peer(&rig, &key, "10.0.0.2/32", FOREIGN_AT);
	struct wg_event event = {.type = WG_EVENT_REPORT};
	struct wg_peer_view view;

	wg_peer_view(peer, &view);
	event.report = (struct wg_report){.peer = view.id,
					  .flags = UINT32_MAX,
					  .sent = rig.now.boot,
					  .received = rig.now.boot,
					  .data_sent = rig.now.boot,
					  .data_received = rig.now.boot};
	wg_peer_remove(rig.device, peer, rig_effects(&rig));
	rig_pump(&rig);
	rig_peer(&rig, &key, "10.0.0.2/32", FOREIGN_AT); /* the number may be the same, the serial is not */
	wg_step(rig.device, &event, rig.now, rig_effects(&rig));
	event.report.peer = (struct wg_peer_id){.number = WG_PEERS_MAX - 1, .serial = UINT32_MAX};
	wg_step(rig.device, &event, rig.now, rig_effects(&rig));
	event.report.peer = (struct wg_peer_id){0};
	wg_step(rig.device, &event, rig.now, rig_effects(&rig));
	rig_pump(&rig);
	rig_run(&rig, SECONDS(700));
	assert_int_equal(rig.n_out, 0);
	assert_int_equal(rig.handshakes, 0);
	assert_int_equal(rig.endpoints, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_peer_is_added_once_and_found_by_its_key),
		TEST(our_own_key_is_no_peer),
		TEST(a_private_key_that_is_a_peers_removes_that_peer),
		TEST(keys_are_given_back_as_set_and_zeroes_clear_them),
		TEST(a_device_holds_as_many_peers_as_it_may),
		TEST(a_walk_meets_every_peer_once_and_may_remove_on_the_way),
		TEST(an_id_never_names_a_successor),
		TEST(packets_for_a_removed_peer_find_no_peer),
		TEST(allowed_ips_move_to_whom_they_are_given_last),
		TEST(settings_are_shown_as_set),
		TEST(a_new_endpoint_is_used_at_once),
		TEST(an_endpoint_learned_earlier_does_not_replace_a_later_one),
		TEST(many_peers_are_all_served_by_ticks),
		TEST(a_report_of_a_peer_that_is_gone_is_ignored),
	};

	return cmocka_run_group_tests_name("peers", tests, NULL, NULL);
}
