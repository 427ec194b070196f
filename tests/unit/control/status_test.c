/* Status: each trouble is said when it is there, and only then, with a remedy; the endpoint and net's words.
 */
#include "server/control/status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/errors.h"
#include "base/text.h"

struct fixture {
	struct board board;
	struct config config;
	struct reach reach;
	struct status_facts facts;
	struct status status;
};

static const char *
drop_words(const char *name)
{
	return "words";
}

static void
rung_words(const char *name, const char **cost, const char **remedy)
{
	*cost = "it is slow";
	*remedy = "make it fast";
}

static const struct status_words words = {drop_words, rung_words};

static void
pool_there(struct fixture *f)
{
	struct wanted *wanted = &f->board.wanted;

	if (!wanted->domains)
		wanted->domains = calloc(1, sizeof(*wanted->domains));
	assert_non_null(wanted->domains);
	wanted->n_domains = wanted->domains[0].n_pools = 1;
	wanted->domains[0].pools[0] = f->config.pool;
}

/* All is well. */
static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	assert_int_equal(board_init(&f->board), 0);
	config_init(&f->config);
	text_copy(f->config.uplink, sizeof(f->config.uplink), "up0");
	f->board.tunnel_up = f->board.present_valid = f->board.net_up = f->board.wanted.known = true;
	f->board.tunnel_since = 0;
	f->board.present.has_datagrams = true;
	f->board.net = (struct network_state){
		.known = true, .applied = true, .uplink_up = true, .world_sees = "peer"};
	pool_there(f);
	f->reach = (struct reach){.origin = REACH_CONFIGURED, .address = "192.0.2.1:51820"};
	f->facts = (struct status_facts){.config = &f->config,
					 .reach = &f->reach,
					 .n_resolvers = 1,
					 .now = SECONDS(1000),
					 .wall = 1796000000,
					 .words = &words};
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	board_done(&f->board);
	free(f);
	return 0;
}

static void
compose(struct fixture *f)
{
	status_compose(&f->board, &f->facts, &f->status);
}

static void
expect_only(struct fixture *f, const char *code)
{
	compose(f);
	assert_int_equal(f->status.n_troubles, 1);
	assert_string_equal(f->status.troubles[0].code, code);
	assert_true(f->status.troubles[0].words[0] && f->status.troubles[0].remedy[0]);
}

static void
when_all_is_well_no_trouble_is_said(void **state)
{
	struct fixture *f = *state;

	compose(f);
	assert_int_equal(f->status.n_troubles, 0);
	assert_true(f->status.has_peers);
}

static void
each_process_that_is_down_is_said(void **state)
{
	struct fixture *f = *state;

	f->board.tunnel_up = false;
	expect_only(f, "tunnel_down");
	f->board.tunnel_up = true;
	f->board.net_up = false;
	expect_only(f, "net_down");
	f->board.net_up = true;
	f->board.database = -ERR_DATABASE;
	expect_only(f, "database_down");
	assert_false(f->status.has_peers);
	f->board.database = -ERR_DATABASE_NEWER;
	expect_only(f, "database_newer");
	f->board.database = -ERR_DATABASE_ROLE;
	expect_only(f, "database_role");
}

static void
what_is_set_up_wrongly_is_said(void **state)
{
	struct fixture *f = *state;

	f->reach = (struct reach){.origin = REACH_NONE, .note = "no route"};
	expect_only(f, "endpoint_none");
	f->reach = (struct reach){
		.origin = REACH_ROUTE, .address = "10.0.0.1:1", .closed = true, .note = "private"};
	expect_only(f, "endpoint_private");
	f->reach = (struct reach){.origin = REACH_CONFIGURED, .address = "192.0.2.1:1"};
	f->facts.n_resolvers = 0;
	expect_only(f, "dns_none");
	f->facts.n_resolvers = 1;
	assert_int_equal(cidr_parse(&f->config.pool, "10.9.0.0/16"), 0);
	expect_only(f, "pool_differs");
}

static void
what_the_uplink_means_is_said(void **state)
{
	struct fixture *f = *state;

	text_copy(f->config.uplink, sizeof(f->config.uplink), "pasta");
	expect_only(f, "world_sees_host");
	assert_string_equal(f->status.uplink_kind, "pasta");
	text_copy(f->config.uplink, sizeof(f->config.uplink), "up0");
	f->board.net.n_problems = 1;
	f->board.net.problems[0] = (struct network_problem){"rules", "nft refused", "look"};
	expect_only(f, "net_rules");
	assert_string_equal(f->status.troubles[0].words, "nft refused");
}

static void
silence_is_said_after_30_s_and_not_when_somebody_was_ever_there(void **state)
{
	struct fixture *f = *state;
	struct gateway_peer peer = {.id = {1}, .tenant = {1}, .key = {{1}}};
	struct gateway_feed feed = {.n_peers = 1, .peers = &peer};

	assert_int_equal(wanted_apply(&f->board.wanted, &feed, (struct tenant_id){1}, true), 0);
	pool_there(f);
	f->board.peers_since = f->facts.now - SECONDS(30);
	compose(f);
	assert_true(f->status.has_waited && !f->status.silent);
	f->board.peers_since = f->facts.now - SECONDS(31);
	expect_only(f, "silent");
	assert_true(f->status.silent && f->status.n_causes >= 2);
	assert_non_null(strstr(f->status.causes[0], "51820"));
	f->board.tunnel_since = f->facts.now - SECONDS(5); /* a tunnel that is new has not waited longer */
	compose(f);
	assert_int_equal(f->status.waited, 5);
	f->board.tunnel_since = 0;
	f->board.present.datagrams = 1;
	compose(f);
	assert_false(f->status.silent || f->status.has_waited);
	f->board.present.datagrams = 0;
	f->board.wanted.v[0].last_handshake_at = 1;
	compose(f);
	assert_false(f->status.silent);
}

static void
a_rung_that_was_given_up_is_said_and_one_that_never_was_only_shown(void **state)
{
	struct fixture *f = *state;

	f->board.present.n_rungs = 2;
	f->board.present.rungs[0] = (struct uapi_rung){.name = "tun_uso_read", .state = "off"};
	f->board.present.rungs[1] = (struct uapi_rung){.name = "udp4_gso", .state = "down", .downs = 1};
	expect_only(f, "rung_down");
	assert_non_null(strstr(f->status.troubles[0].words, "udp4_gso"));
	assert_non_null(strstr(f->status.troubles[0].words, "it is slow"));
	assert_string_equal(f->status.troubles[0].remedy, "make it fast");
	assert_true(status_rung_is_missing(&f->status.rungs[0]) &&
		    status_rung_is_missing(&f->status.rungs[1]));
}

static void
the_endpoint_is_the_configured_one_else_of_the_default_route(void **state)
{
	struct fixture *f = *state;
	struct ip source = {0};
	struct reach reach;

	reach_describe(&f->config, &source, &reach);
	assert_int_equal(reach.origin, REACH_NONE);
	assert_true(reach.note[0]);
	assert_int_equal(ip_parse(&source, "203.0.113.5"), 0);
	reach_describe(&f->config, &source, &reach);
	assert_string_equal(reach.address, "203.0.113.5:51820");
	assert_false(reach.closed || reach.note[0]);
	assert_int_equal(ip_parse(&source, "192.168.1.5"), 0);
	reach_describe(&f->config, &source, &reach);
	assert_true(reach.closed && strstr(reach.note, "WARREN_ENDPOINT") && strstr(reach.note, "51820"));
	assert_int_equal(ip_parse(&source, "2001:db8::5"), 0);
	reach_describe(&f->config, &source, &reach);
	assert_string_equal(reach.address, "[2001:db8::5]:51820");
	strcpy(f->config.endpoint, "vpn.example.org:4500");
	reach_describe(&f->config, &source, &reach);
	assert_int_equal(reach.origin, REACH_CONFIGURED);
	assert_string_equal(reach.address, "vpn.example.org:4500");
	strcpy(f->config.endpoint, "100.64.0.1:4500");
	reach_describe(&f->config, &source, &reach);
	assert_true(reach.closed);
}

static void
private_addresses_are_known(void **state)
{
	static const char *const closed[] = {"10.1.2.3",    "172.16.0.1",  "172.31.255.255", "192.168.0.1",
					     "100.127.0.1", "169.254.1.1", "127.0.0.1",      "fd00::1",
					     "fe80::1",     "::1"};
	static const char *const open_ones[] = {"9.255.255.255", "172.15.0.1", "172.32.0.1", "100.63.0.1",
						"100.128.0.1",   "8.8.8.8",    "2001:db8::1"};
	struct ip ip;

	for (size_t i = 0; i < ARRAY_LEN(closed); i++) {
		assert_int_equal(ip_parse(&ip, closed[i]), 0);
		assert_true(ip_is_private(&ip));
	}
	for (size_t i = 0; i < ARRAY_LEN(open_ones); i++) {
		assert_int_equal(ip_parse(&ip, open_ones[i]), 0);
		assert_false(ip_is_private(&ip));
	}
}

static void
resolvers_are_the_first_two_that_others_can_use(void **state)
{
	struct ip_list list;
	char text[IP_TEXT_LEN];

	resolvers_parse(
		"# nameserver 9.9.9.9\nsearch x\nnameserver 127.0.0.53\n nameserver "
		"9.9.9.9\nnameserver\t192.0.2.1\n"
		"nameserver fe80::1%eth0\nnameserver ::1\nnameserver 2001:db8::53\nnameserver 192.0.2.3",
		&list);
	assert_int_equal(list.n, 2);
	ip_text(text, &list.v[0]);
	assert_string_equal(text, "192.0.2.1");
	ip_text(text, &list.v[1]);
	assert_string_equal(text, "2001:db8::53");
	resolvers_parse("", &list);
	assert_int_equal(list.n, 0);
}

static void
nets_words_are_read_or_refused_whole(void **state)
{
	static const char good[] = "{\"applied\":true,\"domains\":[],\"uplink\":{\"kind\":\"pasta\","
				   "\"ifname\":\"eth0\",\"present\":true,\"up\":true},"
				   "\"outside_sees\":\"host\",\"outside_sees_words\":\"w\",\"refusals\":[],"
				   "\"problems\":[{\"code\":\"rules\",\"words\":"
				   "\"w\",\"remedy\":\"r\"}]}";
	static const char *const bad[] = {
		"",
		"[]",
		"{}",
		"{\"applied\":1,\"uplink\":{\"ifname\":\"e\",\"up\":true},\"outside_sees\":\"host\","
		"\"outside_sees_words\":\"w\",\"problems\":[]}",
		"{\"applied\":true,\"uplink\":{\"ifname\":\"e\",\"up\":true},\"outside_sees\":\"all\","
		"\"outside_sees_words\":\"w\","
		"\"problems\":[]}",
		"{\"applied\":true,\"uplink\":{\"ifname\":\"e\",\"up\":true},\"outside_sees\":\"host\","
		"\"outside_sees_words\":\"w\","
		"\"problems\":[{\"code\":\"A b\",\"words\":\"w\",\"remedy\":\"r\"}]}",
	};
	struct network_state net = {.applied = true}, before = net;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_true(network_state_parse(&net, bad[i], strlen(bad[i])) < 0);
		assert_memory_equal(&net, &before, sizeof(net));
	}
	assert_int_equal(network_state_parse(&net, good, strlen(good)), 0);
	assert_true(net.known && net.applied && net.uplink_up && net.n_problems == 1);
	assert_string_equal(net.ifname, "eth0");
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(when_all_is_well_no_trouble_is_said),
		TEST(each_process_that_is_down_is_said),
		TEST(what_is_set_up_wrongly_is_said),
		TEST(what_the_uplink_means_is_said),
		TEST(silence_is_said_after_30_s_and_not_when_somebody_was_ever_there),
		TEST(a_rung_that_was_given_up_is_said_and_one_that_never_was_only_shown),
		TEST(the_endpoint_is_the_configured_one_else_of_the_default_route),
		cmocka_unit_test(private_addresses_are_known),
		cmocka_unit_test(resolvers_are_the_first_two_that_others_can_use),
		cmocka_unit_test(nets_words_are_read_or_refused_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
