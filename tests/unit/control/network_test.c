/*
 * What control asks of net for the networks behind peers: what net itself would take, whatever peers wish,
 * and what is left out is said.  And that a plan is told once.
 */
#include "base/text.h"
#include "server/control/network.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "server/net/plan.h"
#include "server/proc/message.h"

#define PEERS_MAX 8

struct fixture {
	struct wanted wanted;
	struct config config;
	struct network_wish wish;
	size_t n;
	struct gateway_peer peers[PEERS_MAX];
	struct cidr routes[PEERS_MAX][PEER_ROUTES_MAX];
	struct net_plan plan; /* as net reads it */
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	config_init(&f->config);
	text_copy(f->config.uplink, sizeof(f->config.uplink), "up0");
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	wanted_done(&f->wanted);
	free(f->wish.plan);
	free(f);
	return 0;
}

static void
peer_there(struct fixture *f, bool disabled)
{
	struct gateway_peer *peer = &f->peers[f->n];
	char text[IP_TEXT_LEN];

	snprintf(text, sizeof(text), "10.82.0.%zu", f->n + 2);
	*peer = (struct gateway_peer){.id = {(int64_t)f->n + 1},
				      .tenant = {1},
				      .key = {{(uint8_t)(f->n + 1)}},
				      .disabled = disabled,
				      .routes = f->routes[f->n]};
	assert_int_equal(ip_parse(&peer->address4, text), 0);
	f->n++;
}

/* To the last peer. */
static void
route_there(struct fixture *f, const char *text)
{
	struct gateway_peer *peer = &f->peers[f->n - 1];

	assert_true(peer->n_routes < PEER_ROUTES_MAX);
	assert_int_equal(cidr_parse(&peer->routes[peer->n_routes++], text), 0);
}

/* From the feed to the plan as net reads it. */
static void
plan(struct fixture *f)
{
	struct gateway_pool pools[2] = {{.tenant = {1}}, {.tenant = {1}}};
	struct gateway_tenant tenant = {.id = {1}};
	const struct gateway_feed feed = {.n_peers = f->n,
					  .n_pools = 2,
					  .n_tenants = 1,
					  .peers = f->peers,
					  .pools = pools,
					  .tenants = &tenant};
	char error[NET_ERROR_LEN];

	assert_int_equal(cidr_parse(&pools[0].network, "10.82.0.0/16"), 0);
	assert_int_equal(cidr_parse(&pools[1].network, "fd01:2:3:4::/64"), 0);
	assert_int_equal(wanted_apply(&f->wanted, &feed, tenant.id, true), 0);
	free(f->wish.plan);
	network_plan(&f->wish, &f->wanted, &f->config);
	assert_non_null(f->wish.plan);
	if (net_plan_parse(&f->plan, f->wish.plan, strlen(f->wish.plan), error) < 0)
		fail_msg("%s: %s", error, f->wish.plan);
}

/* The same with @n tenants: number k has the pool 10.(100 + k).0.0/16; the last of @empty has none. */
static void
plan_tenants(struct fixture *f, size_t n, size_t empty)
{
	struct gateway_pool pools[32] = {0};
	struct gateway_tenant tenants[32] = {0};
	const struct gateway_feed feed = {.n_peers = f->n,
					  .n_pools = n - empty,
					  .n_tenants = n,
					  .peers = f->peers,
					  .pools = pools,
					  .tenants = tenants};
	char error[NET_ERROR_LEN], text[32];

	for (size_t i = 0; i < n; i++) {
		tenants[i].id.v = pools[i].tenant.v = (int64_t)i + 1;
		snprintf(tenants[i].name, sizeof(tenants[i].name), "tenant-%zu", i);
		snprintf(text, sizeof(text), "10.%zu.0.0/16", 100 + i);
		assert_int_equal(cidr_parse(&pools[i].network, i ? text : "10.82.0.0/16"), 0);
	}
	assert_int_equal(wanted_apply(&f->wanted, &feed, tenants[0].id, true), 0);
	free(f->wish.plan);
	network_plan(&f->wish, &f->wanted, &f->config);
	assert_non_null(f->wish.plan);
	if (net_plan_parse(&f->plan, f->wish.plan, strlen(f->wish.plan), error) < 0)
		fail_msg("%s: %s", error, f->wish.plan);
}

static void
expect_routes(const struct fixture *f, const char *routes)
{
	char got[1024] = "", text[CIDR_TEXT_LEN];

	for (size_t i = 0; i < f->plan.domains[0].routes.n; i++) {
		cidr_text(text, &f->plan.domains[0].routes.v[i]);
		snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%s", i ? " " : "", text);
	}
	assert_string_equal(got, routes);
}

static void
expect_problem(const struct fixture *f, size_t i, const char *code, const char *words)
{
	assert_true(i < f->wish.n_problems);
	assert_string_equal(f->wish.problems[i].code, code);
	if (!strstr(f->wish.problems[i].words, words))
		fail_msg("\"%s\" does not say \"%s\"", f->wish.problems[i].words, words);
	assert_true(strlen(f->wish.problems[i].remedy) > 10);
}

static void
peers_without_routes_make_none(void **state)
{
	struct fixture *f = *state;

	peer_there(f, false);
	peer_there(f, false);
	plan(f);
	expect_routes(f, "");
	assert_int_equal(f->wish.n_problems, 0);
}

static void
the_routes_of_all_peers_that_may_are_in_the_plan_in_one_order(void **state)
{
	struct fixture *f = *state;

	peer_there(f, false);
	route_there(f, "fd07::/48");
	route_there(f, "192.168.7.0/24");
	peer_there(f, true);
	route_there(f, "192.168.9.0/24");
	peer_there(f, false);
	f->peers[2].expires_at = 1;
	route_there(f, "172.16.5.4/32");
	plan(f);
	expect_routes(f, "172.16.5.4/32 192.168.7.0/24 fd07::/48");
	assert_int_equal(f->wish.n_problems, 0);

	f->peers[0].disabled = true;
	f->peers[1].disabled = false;
	plan(f);
	expect_routes(f, "172.16.5.4/32 192.168.9.0/24");
}

static void
a_network_within_another_is_led_to_by_that_ones_route(void **state)
{
	struct fixture *f = *state;

	peer_there(f, false);
	route_there(f, "192.168.7.0/24");
	route_there(f, "192.168.7.128/25");
	route_there(f, "192.168.255.0/24");
	peer_there(f, false);
	route_there(f, "192.168.0.0/16");
	route_there(f, "192.168.7.0/24");
	route_there(f, "192.169.0.0/24");
	plan(f);
	expect_routes(f, "192.168.0.0/16 192.169.0.0/24");
	assert_int_equal(f->wish.n_problems, 0);
}

/* Each by itself, with a good one beside it that holds nevertheless; and the plan is one that net takes. */
static void
a_route_that_net_would_not_take_is_left_out_and_said(void **state)
{
	static const char *const lines[][2] = {
		{"10.82.7.0/24", "10.82.7.0/24 overlaps a pool"},
		{"10.0.0.0/8", "10.0.0.0/8 overlaps a pool"},
		{"fd01:2:3::/48", "overlaps a pool"},
		{"127.0.0.0/8", "no host can have"},
		{"0.0.0.0/5", "no host can have"},
		{"128.0.0.0/1", "no host can have"},
		{"169.254.0.0/16", "no host can have"},
		{"224.0.0.0/4", "no host can have"},
		{"255.255.255.255/32", "no host can have"},
		{"::1/128", "no host can have"},
		{"::/3", "no host can have"},
		{"fe80::/10", "no host can have"},
		{"ff00::/8", "no host can have"},
		{"192.0.2.0/25", "192.0.2.0/25 is the uplink's own network"},
		{"192.0.0.0/8", "is the uplink's own network"},
		{"198.51.100.0/24", "is the uplink's own network"},
	};

	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		struct fixture *f = *state;

		f->n = 0;
		assert_int_equal(cidr_parse(&f->config.uplink_address.v[0], "192.0.2.9/24"), 0);
		assert_int_equal(ip_parse(&f->config.uplink_gateway.v[0], "198.51.100.1"), 0);
		f->config.uplink_address.n = f->config.uplink_gateway.n = 1;
		peer_there(f, false);
		route_there(f, lines[i][0]);
		route_there(f, "192.168.7.0/24");
		plan(f);
		expect_routes(f, "192.168.7.0/24");
		assert_int_equal(f->wish.n_problems, 1);
		expect_problem(f, 0, "routes_unfit", lines[i][1]);
	}
}

static void
routes_beyond_the_limit_are_left_out_and_said(void **state)
{
	struct fixture *f = *state;
	char text[CIDR_TEXT_LEN];

	assert_int_equal(NETWORK_ROUTES_MAX, NET_ROUTES_MAX);
	for (size_t i = 0; i < NET_ROUTES_MAX + 2; i++) {
		if (i % PEER_ROUTES_MAX == 0)
			peer_there(f, false);
		snprintf(text, sizeof(text), "172.16.%zu.0/24", i);
		route_there(f, text);
	}
	plan(f);
	assert_int_equal(f->plan.domains[0].routes.n, NET_ROUTES_MAX);
	cidr_text(text, &f->plan.domains[0].routes.v[NET_ROUTES_MAX - 1]);
	assert_string_equal(text, "172.16.127.0/24");
	assert_int_equal(f->wish.n_problems, 1);
	expect_problem(f, 0, "routes_too_many",
		       "Of 130 networks behind peers the first 128 can be reached: 172.16.128.0/24");
	f->peers[0].disabled = true;
	plan(f);
	assert_int_equal(f->plan.domains[0].routes.n, NET_ROUTES_MAX + 2 - PEER_ROUTES_MAX);
	assert_int_equal(f->wish.n_problems, 0);
}

struct net_end {
	int fd; /* net's */
	struct loop *loop;
	struct network *network;
	size_t n_states;
	struct network_state state;
};

static void
on_state(void *arg, const struct network_state *state, nsec_t now)
{
	struct net_end *end = arg;

	end->state = *state;
	end->n_states++;
	loop_stop(end->loop, 0);
}

static void
on_nothing(void *arg, nsec_t now)
{
}

static void
end_open(struct net_end *end)
{
	const struct network_events events = {end, on_state, on_nothing, on_nothing};
	int fds[2];

	assert_int_equal(channel_pair(SOCK_SEQPACKET, fds), 0);
	end->fd = fds[0];
	assert_true(fcntl(end->fd, F_SETFL, O_NONBLOCK) == 0);
	assert_int_equal(loop_new(&end->loop), 0);
	assert_int_equal(network_new(&end->network, end->loop, &events), 0);
	network_channel(end->network, fds[1], 0);
}

static void
end_close(struct net_end *end)
{
	network_free(end->network);
	loop_free(end->loop);
	close(end->fd);
}

/* How many plans came. */
static unsigned
told(struct net_end *end)
{
	static struct message message;
	unsigned n = 0;

	while (channel_recv(end->fd, MESSAGE_FROM_CONTROL, &message) == 0) {
		assert_int_equal(message.type, MESSAGE_NET_PLAN);
		message_done(&message);
		n++;
	}
	return n;
}

static void
want(struct net_end *end, struct fixture *f)
{
	plan(f);
	network_want(end->network, &f->wish, 0);
	assert_null(f->wish.plan); /* taken, or freed */
}

static void
a_plan_is_told_when_it_differs_and_only_then(void **state)
{
	struct fixture *f = *state;
	struct net_end end = {0};

	end_open(&end);
	peer_there(f, false);
	want(&end, f);
	assert_int_equal(told(&end), 1);
	want(&end, f);
	want(&end, f);
	assert_int_equal(told(&end), 0);
	route_there(f, "192.168.7.0/24");
	want(&end, f);
	assert_int_equal(told(&end), 1);
	f->peers[0].expires_at = 1; /* of no concern to net */
	want(&end, f);
	assert_int_equal(told(&end), 0);
	f->peers[0].disabled = true;
	want(&end, f);
	assert_int_equal(told(&end), 1);
	end_close(&end);
}

static void
what_was_not_asked_for_is_among_the_problems_of_the_state(void **state)
{
	static const char well[] =
		"{\"applied\":true,\"uplink\":{\"ifname\":\"up0\",\"up\":true},\"outside_sees\":\"peer\","
		"\"outside_sees_words\":\"w\",\"problems\":[],\"domains\":[]}";
	struct fixture *f = *state;
	struct net_end *end = calloc(1, sizeof(*end));

	assert_non_null(end);
	end_open(end);
	peer_there(f, false);
	route_there(f, "224.0.0.0/4");
	want(end, f);
	assert_int_equal(told(end), 1);
	assert_int_equal(channel_send(end->fd, MESSAGE_NET_STATE, well, strlen(well), NULL, 0), 0);
	assert_int_equal(loop_run(end->loop), 0);
	assert_int_equal(end->n_states, 1);
	assert_true(end->state.applied);
	assert_int_equal(end->state.n_problems, 1);
	assert_string_equal(end->state.problems[0].code, "routes_unfit");

	f->peers[0].n_routes =
		0; /* the same plan, but nothing is left out any more: net is asked for a state */
	want(end, f);
	assert_int_equal(told(end), 1);
	assert_int_equal(channel_send(end->fd, MESSAGE_NET_STATE, well, strlen(well), NULL, 0), 0);
	assert_int_equal(loop_run(end->loop), 0);
	assert_int_equal(end->state.n_problems, 0);
	end_close(end);
	free(end);
}

static void
each_tenant_has_a_device_with_its_own_pool(void **state)
{
	struct fixture *f = *state;

	plan_tenants(f, 3, 1);
	assert_int_equal(f->plan.n_domains, 2); /* one has no pool yet */
	assert_string_equal(f->plan.domains[0].ifname, "wg0");
	assert_string_equal(f->plan.domains[1].ifname, "wg2");
	assert_string_equal(f->plan.domains[1].name, "tenant-1");
	assert_int_equal(f->plan.domains[1].addresses.v[0].ip.addr[1], 101);
	assert_int_equal(f->wish.n_problems, 0);
}

static void
a_network_behind_peers_of_two_tenants_is_the_first_ones(void **state)
{
	struct fixture *f = *state;

	peer_there(f, false);
	route_there(f, "192.168.7.0/24");
	peer_there(f, false);
	f->peers[1].tenant.v = 2;
	f->peers[1].address4.addr[1] = 101;
	route_there(f, "192.168.7.0/25");
	route_there(f, "192.168.8.0/24");
	plan_tenants(f, 2, 0);
	assert_int_equal(f->plan.domains[0].routes.n, 1);
	assert_int_equal(f->plan.domains[1].routes.n, 1);
	assert_int_equal(f->plan.domains[1].routes.v[0].ip.addr[2], 8);
	assert_int_equal(f->wish.n_problems, 1);
	assert_string_equal(f->wish.problems[0].code, "routes_unfit");
	assert_non_null(
		strstr(f->wish.problems[0].words, "192.168.7.0/25 is behind another tenant's peer too"));
}

static void
tenants_beyond_what_a_set_of_rules_holds_have_no_device_and_that_is_said(void **state)
{
	struct fixture *f = *state;

	plan_tenants(f, 20, 0);
	assert_int_equal(f->plan.n_domains, NET_DOMAINS_MAX);
	assert_int_equal(f->wish.n_problems, 1);
	assert_string_equal(f->wish.problems[0].code, "domains_too_many");
	assert_non_null(strstr(f->wish.problems[0].words, "4 more have none"));
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(peers_without_routes_make_none),
		TEST(the_routes_of_all_peers_that_may_are_in_the_plan_in_one_order),
		TEST(a_network_within_another_is_led_to_by_that_ones_route),
		TEST(a_route_that_net_would_not_take_is_left_out_and_said),
		TEST(routes_beyond_the_limit_are_left_out_and_said),
		TEST(each_tenant_has_a_device_with_its_own_pool),
		TEST(a_network_behind_peers_of_two_tenants_is_the_first_ones),
		TEST(tenants_beyond_what_a_set_of_rules_holds_have_no_device_and_that_is_said),
		TEST(a_plan_is_told_when_it_differs_and_only_then),
		TEST(what_was_not_asked_for_is_among_the_problems_of_the_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
