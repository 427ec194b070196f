/* NET_PLAN: what is taken, and that everything else is refused in words that name the place. */
#include "server/net/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/errors.h"

static struct net_plan plan;
static char error[NET_ERROR_LEN];

#define DOMAIN                                                                                               \
	"{\"name\":\"default\",\"ifname\":\"wg0\",\"mtu\":1420,\"peers_may_meet\":false,"                    \
	"\"addresses\":[\"10.82.0.1/16\",\"fd01:2:3:4::1/64\"]}"
#define PASTA                 "{\"kind\":\"pasta\"}"
#define PLAN(domains, uplink) "{\"domains\":[" domains "],\"uplink\":" uplink "}"

static int
parse(const char *text)
{
	return net_plan_parse(&plan, text, strlen(text), error);
}

static void
assert_refused(const char *text, const char *words)
{
	memset(&plan, 0x5a, sizeof(plan));
	assert_int_equal(parse(text), -ERR_INVALID);
	assert_int_equal(plan.n_domains, 0x5a5a5a5a5a5a5a5aULL);
	if (!strstr(error, words))
		fail_msg("\"%s\" does not say \"%s\"", error, words);
	assert_true(strlen(error) < NET_ERROR_LEN - 1);
}

static void
a_whole_plan_is_read(void **state)
{
	char text[CIDR_TEXT_LEN];

	assert_int_equal(parse(PLAN(DOMAIN, "{\"kind\":\"interface\",\"ifname\":\"eth0.7\",\"addresses\":"
					    "[\"192.0.2.9/24\",\"2001:db8::9/128\"],\"gateways\":"
					    "[\"192.0.2.1\",\"fe80::1\"]}")),
			 0);
	assert_int_equal(plan.n_domains, 1);
	assert_string_equal(plan.domains[0].name, "default");
	assert_string_equal(plan.domains[0].ifname, "wg0");
	assert_int_equal(plan.domains[0].mtu, 1420);
	assert_false(plan.domains[0].peers_may_meet);
	assert_int_equal(plan.domains[0].addresses.n, 2);
	cidr_text(text, &plan.domains[0].addresses.v[0]);
	assert_string_equal(text, "10.82.0.1/16");
	assert_int_equal(plan.uplink.kind, NET_UPLINK_INTERFACE);
	assert_string_equal(plan.uplink.ifname, "eth0.7");
	assert_int_equal(plan.uplink.addresses.n, 2);
	assert_int_equal(plan.uplink.n_gateways, 2);
	assert_int_equal(plan.uplink.gateways[1].family, AF_INET6);
}

static void
pasta_needs_no_more_than_its_name(void **state)
{
	assert_int_equal(parse(PLAN(DOMAIN, PASTA)), 0);
	assert_int_equal(plan.uplink.kind, NET_UPLINK_PASTA);
	assert_string_equal(plan.uplink.ifname, "");
	assert_int_equal(parse(PLAN(DOMAIN, "{\"kind\":\"pasta\",\"ifname\":\"uplink0\"}")), 0);
	assert_string_equal(plan.uplink.ifname, "uplink0");
}

static void
only_links_that_lend_an_address_are_said_to(void **state)
{
	assert_true(net_uplink_lends(NET_UPLINK_PASTA));
	assert_false(net_uplink_lends(NET_UPLINK_INTERFACE));
	assert_int_equal(NET_UPLINK_COUNT, 2); /* a new kind must be thought about here */
}

static void
what_is_no_plan_is_refused(void **state)
{
	assert_refused("", "not JSON");
	assert_refused("{", "not JSON");
	assert_refused("[]", "an object is required");
	assert_refused("{}", "domains: an array");
	assert_refused("{\"domains\":[],\"uplink\":" PASTA "}", "domains: an array of 1 to 16");
	assert_refused("{\"domains\":[7],\"uplink\":" PASTA "}", "domains[0]: an object");
	assert_refused("{\"domains\":[" DOMAIN "]}", "uplink: an object");
	assert_refused("{\"domains\":[" DOMAIN "],\"uplink\":" PASTA ",\"uplink\":" PASTA "}", "not JSON");
	assert_refused("{\"domains\":[" DOMAIN "],\"uplink\":" PASTA ",\"x\":1}", "key 'x' is unknown");
	assert_refused(PLAN(DOMAIN, PASTA) "x", "not JSON");
	assert_int_equal(net_plan_parse(&plan, "{\"a\0b\":1}", 9, error), -ERR_INVALID);
}

static void
a_domain_out_of_bounds_is_refused(void **state)
{
	static const struct {
		const char *from, *to, *words;
	} lines[] = {
		{"\"default\"", "\"\"", "domains[0].name"},
		{"\"default\"", "\"Default\"", "domains[0].name"},
		{"\"default\"", "\"a;b\"", "domains[0].name"},
		{"\"default\"", "7", "domains[0].name: a string"},
		{"\"wg0\"", "\"0wg\"", "domains[0].ifname"},
		{"\"wg0\"", "\"wg/0\"", "domains[0].ifname"},
		{"\"wg0\"", "\"abcdefghijklmnop\"", "is not 1 to 15 of"},
		{"\"wg0\"", "\"lo\"", "cannot be a TUN"},
		{"\"wg0\"", "\"all\"", "cannot be a TUN"},
		{"1420", "1279", "domains[0].mtu: an integer of 1280 to 65455"},
		{"1420", "65456", "domains[0].mtu"},
		{"1420", "-1", "domains[0].mtu"},
		{"1420", "1420.5", "domains[0].mtu"},
		{"1420", "99999999999999999999", "not JSON"},
		{"false", "0", "true or false"},
		{"false", "null", "true or false"},
		{"10.82.0.1/16", "10.82.0.0/16", "is the network"},
		{"10.82.0.1/16", "10.82.0.1", "is not an address with a prefix"},
		{"10.82.0.1/16", "10.82.0.1/32", "is not 8 to 30"},
		{"10.82.0.1/16", "10.82.0.1/7", "is not 8 to 30"},
		{"10.82.0.1/16", "10.82.0.1/33", "is not an address with a prefix"},
		{"10.82.0.1/16", "127.0.0.1/8", "a host can have"},
		{"10.82.0.1/16", "169.254.0.1/16", "a host can have"},
		{"10.82.0.1/16", "224.0.0.1/8", "a host can have"},
		{"10.82.0.1/16", "255.0.0.1/8", "a host can have"},
		{"10.82.0.1/16", "::ffff:10.0.0.1/112", "a host can have"},
		{"10.82.0.1/16", "fe80::1/64", "a host can have"},
		{"10.82.0.1/16", "fd00::1/127", "is not 32 to 126"},
		{"10.82.0.1/16", "fd01:2:3:4::1/64", "one address comes twice"},
		{"\"10.82.0.1/16\"", "10", "is not an address with a prefix"},
		{"\"name\"", "\"nome\"", "key 'nome' is unknown"},
	};
	const char *const whole = PLAN(DOMAIN, PASTA);

	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		const char *at = strstr(whole, lines[i].from);
		char text[1024];

		assert_non_null(at);
		snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - whole), whole, lines[i].to,
			 at + strlen(lines[i].from));
		assert_refused(text, lines[i].words);
	}
}

static void
an_uplink_out_of_bounds_is_refused(void **state)
{
	static const struct {
		const char *uplink, *words;
	} lines[] = {
		{"[]", "uplink: an object"},
		{"{}", "uplink.kind"},
		{"{\"kind\":\"none\"}", "uplink.kind: 'pasta' or 'interface'"},
		{"{\"kind\":\"interface\"}", "uplink.ifname: an interface is required"},
		{"{\"kind\":\"interface\",\"ifname\":\"\"}", "uplink.ifname"},
		{"{\"kind\":\"interface\",\"ifname\":\"../../x\"}", "uplink.ifname"},
		{"{\"kind\":\"interface\",\"ifname\":\"..\"}", "uplink.ifname"},
		{"{\"kind\":\"interface\",\"ifname\":\"-x\"}", "uplink.ifname"},
		{"{\"kind\":\"interface\",\"ifname\":\"a b\"}", "uplink.ifname"},
		{"{\"kind\":\"interface\",\"ifname\":\"a;b\"}", "uplink.ifname"},
		{"{\"kind\":\"interface\",\"ifname\":\"lo\"}", "leads nowhere"},
		{"{\"kind\":\"interface\",\"ifname\":\"wg0\"}", "is the TUN of domain 'default'"},
		{"{\"kind\":\"interface\",\"ifname\":\"e\",\"addresses\":\"x\"}",
		 "uplink.addresses: an array"},
		{"{\"kind\":\"interface\",\"ifname\":\"e\",\"addresses\":[\"0.0.0.0/0\"]}",
		 "uplink.addresses"},
		{"{\"kind\":\"interface\",\"ifname\":\"e\",\"gateways\":[\"x\"]}",
		 "uplink.gateways: 'x' is not"},
		{"{\"kind\":\"interface\",\"ifname\":\"e\",\"gateways\":[\"10.0.0.1\",\"10.0.0.2\"]}",
		 "of a family"},
		{"{\"kind\":\"interface\",\"ifname\":\"e\",\"gateways\":[\"10.0.0.1\",\"::1\",\"::2\"]}",
		 "at most 2"},
		{"{\"kind\":\"pasta\",\"addresses\":[\"10.0.0.1/8\"]}", "brings its own"},
		{"{\"kind\":\"pasta\",\"gateways\":[\"10.0.0.1\"]}", "brings its own"},
		{"{\"kind\":\"interface\",\"ifname\":\"e\",\"addresses\":[\"10.82.5.1/24\"]}",
		 "uplink.addresses: one lies within those of 'default'"},
		{"{\"kind\":\"interface\",\"ifname\":\"e\",\"gateways\":[\"10.82.5.1\"]}",
		 "uplink.gateways: one lies within the addresses of 'default'"},
		{"{\"kind\":\"pasta\",\"mtu\":1}", "uplink: key 'mtu' is unknown"},
	};

	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		char text[1024];

		snprintf(text, sizeof(text), PLAN(DOMAIN, "%s"), lines[i].uplink);
		assert_refused(text, lines[i].words);
	}
}

#define SECOND(name, ifname, address)                                                                        \
	"{\"name\":\"" name "\",\"ifname\":\"" ifname                                                        \
	"\",\"mtu\":576,\"peers_may_meet\":true,\"addresses\":[\"" address "\"]}"

static void
domains_may_not_overlap(void **state)
{
	assert_int_equal(parse(PLAN(DOMAIN "," SECOND("b", "wg1", "10.83.0.1/16"), PASTA)), 0);
	assert_int_equal(plan.n_domains, 2);
	assert_true(plan.domains[1].peers_may_meet);
	assert_int_equal(plan.domains[1].mtu, 576); /* no IPv6 there */
	assert_refused(PLAN(DOMAIN "," SECOND("b", "wg1", "10.82.7.1/24"), PASTA),
		       "overlap those of 'default'");
	assert_refused(PLAN(DOMAIN "," SECOND("b", "wg1", "10.0.0.1/8"), PASTA), "domains[1].addresses");
	assert_refused(PLAN(DOMAIN "," SECOND("default", "wg1", "10.83.0.1/16"), PASTA),
		       "'default' comes twice");
	assert_refused(PLAN(DOMAIN "," SECOND("b", "wg0", "10.83.0.1/16"), PASTA), "'wg0' comes twice");
}

#define ROUTED(routes)                                                                                       \
	"{\"name\":\"default\",\"ifname\":\"wg0\",\"mtu\":1420,\"peers_may_meet\":false,"                    \
	"\"addresses\":[\"10.82.0.1/16\",\"fd01:2:3:4::1/64\"],\"routes\":" routes "}"
#define ROUTED_TOO(address, routes)                                                                          \
	"{\"name\":\"b\",\"ifname\":\"wg1\",\"mtu\":1420,\"peers_may_meet\":false,"                          \
	"\"addresses\":[\"" address "\"],\"routes\":" routes "}"

static void
networks_behind_peers_are_read(void **state)
{
	char text[CIDR_TEXT_LEN];

	assert_int_equal(parse(PLAN(DOMAIN, PASTA)), 0);
	assert_int_equal(plan.domains[0].routes.n, 0);
	assert_int_equal(parse(PLAN(ROUTED("[]"), PASTA)), 0);
	assert_int_equal(plan.domains[0].routes.n, 0);
	assert_int_equal(parse(PLAN(ROUTED("[\"192.168.7.0/24\",\"172.16.5.4/32\",\"fd07::/48\"]"), PASTA)),
			 0);
	assert_int_equal(plan.domains[0].routes.n, 3);
	cidr_text(text, &plan.domains[0].routes.v[0]);
	assert_string_equal(text, "192.168.7.0/24");
	cidr_text(text, &plan.domains[0].routes.v[2]);
	assert_string_equal(text, "fd07::/48");
}

static void
a_route_out_of_bounds_is_refused(void **state)
{
	static const struct {
		const char *routes, *words;
	} lines[] = {
		{"7", "domains[0].routes: an array of at most 128"},
		{"null", "domains[0].routes: an array"},
		{"[7]", "'' is not a network"},
		{"[\"192.168.7.0\"]", "'192.168.7.0' is not a network"},
		{"[\"192.168.7.0/33\"]", "is not a network"},
		{"[\"192.168.7.1/24\"]", "192.168.7.1/24 has host bits"},
		{"[\"fd07::1/48\"]", "fd07::1/48 has host bits"},
		{"[\"0.0.0.0/0\"]", "no host can have"},
		{"[\"::/0\"]", "no host can have"},
		{"[\"0.0.0.0/1\"]", "no host can have"},
		{"[\"128.0.0.0/1\"]", "no host can have"},
		{"[\"8000::/1\"]", "no host can have"},
		{"[\"127.0.0.0/8\"]", "no host can have"},
		{"[\"127.0.0.1/32\"]", "no host can have"},
		{"[\"169.254.0.0/16\"]", "no host can have"},
		{"[\"169.254.169.254/32\"]", "no host can have"},
		{"[\"224.0.0.0/8\"]", "no host can have"},
		{"[\"255.255.255.255/32\"]", "no host can have"},
		{"[\"::1/128\"]", "no host can have"},
		{"[\"::ffff:192.168.7.0/120\"]", "no host can have"},
		{"[\"fe80::/64\"]", "no host can have"},
		{"[\"ff02::/16\"]", "no host can have"},
		{"[\"10.82.7.0/24\"]", "10.82.7.0/24 overlaps what 'default' has"},
		{"[\"10.0.0.0/8\"]", "10.0.0.0/8 overlaps what 'default' has"},
		{"[\"fd01:2:3::/48\"]", "overlaps what 'default' has"},
		{"[\"192.168.7.0/24\",\"192.168.7.0/24\"]", "192.168.7.0/24 overlaps another one"},
		{"[\"192.168.0.0/16\",\"192.168.7.0/24\"]", "192.168.7.0/24 overlaps another one"},
		{"[\"192.168.7.0/24\",\"192.168.0.0/16\"]", "192.168.0.0/16 overlaps another one"},
	};

	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		char text[1024];

		snprintf(text, sizeof(text), PLAN(ROUTED("%s"), PASTA), lines[i].routes);
		assert_refused(text, lines[i].words);
	}
}

static void
routes_of_two_domains_are_apart(void **state)
{
#define SEVEN "[\"192.168.7.0/24\"]"
	assert_int_equal(
		parse(PLAN(ROUTED(SEVEN) "," ROUTED_TOO("10.83.0.1/16", "[\"192.168.8.0/24\"]"), PASTA)), 0);
	assert_int_equal(plan.domains[1].routes.n, 1);
	assert_refused(PLAN(ROUTED(SEVEN) "," ROUTED_TOO("10.83.0.1/16", SEVEN), PASTA),
		       "domains[1].routes: 192.168.7.0/24 overlaps what 'default' has");
	assert_refused(PLAN(ROUTED(SEVEN) "," ROUTED_TOO("10.83.0.1/16", "[\"10.82.4.0/24\"]"), PASTA),
		       "domains[1].routes: 10.82.4.0/24 overlaps what 'default' has");
	assert_refused(PLAN(ROUTED(SEVEN) "," ROUTED_TOO("192.168.7.1/24", "[]"), PASTA),
		       "domains[1].addresses: they overlap a route of 'default'");
	assert_refused(PLAN(ROUTED(SEVEN) "," ROUTED_TOO("10.83.0.1/16", "[\"fd07::/48\"]"), PASTA),
		       "of a family that the domain has no address of");
}

static void
what_is_on_the_uplink_is_not_behind_a_peer(void **state)
{
#define ON(more) "{\"kind\":\"interface\",\"ifname\":\"e\"," more "}"
	assert_int_equal(parse(PLAN(ROUTED(SEVEN), ON("\"addresses\":[\"192.168.6.9/24\"]"))), 0);
	assert_refused(PLAN(ROUTED(SEVEN), ON("\"addresses\":[\"192.168.7.9/24\"]")),
		       "uplink.addresses: their network overlaps a route of 'default'");
	assert_refused(PLAN(ROUTED(SEVEN), ON("\"addresses\":[\"192.168.6.9/16\"]")),
		       "uplink.addresses: their network overlaps a route of 'default'");
	assert_refused(PLAN(ROUTED(SEVEN), ON("\"gateways\":[\"192.168.7.1\"]")),
		       "uplink.gateways: one lies within a route of 'default'");
}

/* As many as there may be, in all domains together, and one more. */
static void
routes_have_a_limit(void **state)
{
	static char text[NET_ROUTES_MAX * 40 + 2048];
	const size_t halves[][2] = {{NET_ROUTES_MAX, 0},
				    {NET_ROUTES_MAX / 2, NET_ROUTES_MAX / 2},
				    {NET_ROUTES_MAX + 1, 0},
				    {NET_ROUTES_MAX / 2, NET_ROUTES_MAX / 2 + 1}};

	for (size_t i = 0; i < ARRAY_LEN(halves); i++) {
		static char routes[2][NET_ROUTES_MAX * 20 + 32];

		for (size_t k = 0; k < 2; k++) {
			size_t at = 0;

			routes[k][0] = '\0';
			for (size_t m = 0; m < halves[i][k]; m++)
				at += (size_t)snprintf(routes[k] + at, sizeof(routes[k]) - at,
						       "%s\"172.%zu.%zu.0/24\"", m ? "," : "", 16 + k, m);
		}
		snprintf(text, sizeof(text),
			 PLAN(ROUTED("[%s]") "," ROUTED_TOO("10.83.0.1/16", "[%s]"), PASTA), routes[0],
			 routes[1]);
		if (i < 2)
			assert_int_equal(parse(text), 0);
		else
			assert_refused(text, i == 2 ? "domains[0].routes: an array of at most 128"
						    : "domains[1].routes: more than 128 in all");
	}
}

/* Neither a crash nor a plan from any cut or any flipped byte; sanitizers watch. */
static void
a_damaged_plan_is_refused_or_whole(void **state)
{
	const char whole[] = PLAN(ROUTED(SEVEN),
				  "{\"kind\":\"interface\",\"ifname\":\"eth0\",\"gateways\":[\"10.0.0.1\"]}");
	char text[sizeof(whole)];

	for (size_t len = 0; len < sizeof(whole) - 1; len++)
		assert_int_equal(net_plan_parse(&plan, whole, len, error), -ERR_INVALID);
	for (size_t i = 0; i < sizeof(whole) - 1; i++)
		for (int bit = 0; bit < 8; bit++) {
			memcpy(text, whole, sizeof(whole));
			text[i] = (char)(text[i] ^ (1 << bit));
			if (net_plan_parse(&plan, text, sizeof(whole) - 1, error) < 0)
				assert_true(strlen(error) > 0);
			else
				assert_in_range(plan.n_domains, 1, NET_DOMAINS_MAX);
		}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_plan_is_read),
		cmocka_unit_test(pasta_needs_no_more_than_its_name),
		cmocka_unit_test(only_links_that_lend_an_address_are_said_to),
		cmocka_unit_test(what_is_no_plan_is_refused),
		cmocka_unit_test(a_domain_out_of_bounds_is_refused),
		cmocka_unit_test(an_uplink_out_of_bounds_is_refused),
		cmocka_unit_test(domains_may_not_overlap),
		cmocka_unit_test(networks_behind_peers_are_read),
		cmocka_unit_test(a_route_out_of_bounds_is_refused),
		cmocka_unit_test(routes_of_two_domains_are_apart),
		cmocka_unit_test(what_is_on_the_uplink_is_not_behind_a_peer),
		cmocka_unit_test(routes_have_a_limit),
		cmocka_unit_test(a_damaged_plan_is_refused_or_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
