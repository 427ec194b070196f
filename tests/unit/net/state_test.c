/*
 * NET_STATE, read back as JSON: what control is told of what is there.
 */
#include "server/net/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>

#include "server/net/ruleset.h"
#include "server/proc/message.h"

static struct net_plan plan;
static struct present present;
static struct net_problems problems;

static void
planned(const char *uplink)
{
	char text[1024], error[NET_ERROR_LEN];

	snprintf(text, sizeof(text),
		 "{\"domains\":[{\"name\":\"default\",\"ifname\":\"wg0\",\"mtu\":1420,\"addresses\":[\"10.82."
		 "0.1/16\"],"
		 "\"peers_may_meet\":true}],\"uplink\":%s}",
		 uplink);
	if (net_plan_parse(&plan, text, strlen(text), error) < 0)
		fail_msg("%s", error);
	memset(&present, 0, sizeof(present));
	problems.n = 0;
	present.n_links = 2;
	present.links[0] =
		(struct net_link){.index = 2, .ifname = "wg0", .mtu = 1400, .up = true, .carrier = true};
	present.links[1] = (struct net_link){.index = 3,
					     .ifname = "eth0",
					     .type = ARPHRD_ETHER,
					     .tuntap = true,
					     .up = true,
					     .carrier = true};
	present.n_addresses = 2;
	present.addresses[0] = (struct net_address){.index = 2, .usable = true};
	present.addresses[1] = (struct net_address){.index = 3, .usable = true};
	assert_int_equal(cidr_parse(&present.addresses[0].cidr, "10.82.0.1/16"), 0);
	assert_int_equal(cidr_parse(&present.addresses[1].cidr, "192.0.2.9/24"), 0);
	present.n_routes = 1;
	present.routes[0] = (struct net_route){.index = 3, .family = AF_INET};
	assert_int_equal(ip_parse(&present.routes[0].gateway, "192.0.2.1"), 0);
}

static json_t *
state_of(const struct net_plan *in_force, const json_t *counters, bool counted)
{
	const struct net_view view = {in_force, in_force, &present, counters, &problems};
	_cleanup_(freep) char *text = NULL;
	json_t *state;

	assert_int_equal(state_make(&view, counted, &text), 0);
	assert_in_range(strlen(text), 2, MESSAGE_BODY_MAX);
	state = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(state);
	return state;
}

/* @expected as json_dumps() sorts it. */
static void
expect(const json_t *state, const char *key, const char *expected)
{
	_cleanup_(freep) char *got =
		json_dumps(json_object_get(state, key), JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);

	assert_non_null(got);
	assert_string_equal(got, expected);
}

static void
it_says_what_is_there_and_not_what_is_wanted(void **state)
{
	_cleanup_(json_decrefp) json_t *told = NULL;

	planned("{\"kind\":\"pasta\"}");
	told = state_of(&plan, NULL, true);
	expect(told, "applied", "true");
	expect(told, "domains",
	       "[{\"addresses\":[\"10.82.0.1/16\"],\"ifname\":\"wg0\",\"mtu\":1400,\"name\":\"default\","
	       "\"peers_may_meet\":true,\"present\":true,\"up\":true}]");
	expect(told, "uplink",
	       "{\"addresses\":[\"192.0.2.9/24\"],\"gateways\":[\"192.0.2.1\"],\"ifname\":\"eth0\","
	       "\"kind\":\"pasta\",\"present\":true,\"up\":true}");
	expect(told, "outside_sees", "\"host\"");
	expect(told, "problems", "[]");
	assert_int_equal(json_array_size(json_object_get(told, "refusals")), REFUSAL_COUNT);
}

static void
what_is_not_there_is_said_so(void **state)
{
	_cleanup_(json_decrefp) json_t *told = NULL;

	planned("{\"kind\":\"interface\",\"ifname\":\"eth7\"}");
	present.n_links = 0;
	told = state_of(&plan, NULL, true);
	expect(told, "domains",
	       "[{\"addresses\":[],\"ifname\":\"wg0\",\"mtu\":0,\"name\":\"default\",\"peers_may_meet\":true,"
	       "\"present\":false,\"up\":false}]");
	expect(told, "uplink",
	       "{\"addresses\":[],\"gateways\":[],\"ifname\":\"eth7\",\"kind\":\"interface\",\"present\":"
	       "false,"
	       "\"up\":false}");
	expect(told, "outside_sees", "\"peer\"");
}

static void
whether_peers_meet_is_told_of_the_rules_that_hold(void **state)
{
	const struct net_view view = {&plan, NULL, &present, NULL, &problems};
	_cleanup_(freep) char *text = NULL;

	planned("{\"kind\":\"pasta\"}");
	assert_true(plan.domains[0].peers_may_meet);
	assert_int_equal(state_make(&view, true, &text), 0);
	assert_non_null(strstr(text, "\"peers_may_meet\":false"));
}

static void
an_uplink_without_carrier_is_not_up(void **state)
{
	_cleanup_(json_decrefp) json_t *told = NULL;

	planned("{\"kind\":\"pasta\"}");
	present.links[1].carrier = false;
	told = state_of(&plan, NULL, false);
	assert_true(json_is_false(json_object_get(json_object_get(told, "uplink"), "up")));
}

static void
before_any_plan_there_is_nothing(void **state)
{
	_cleanup_(json_decrefp) json_t *told = NULL;

	planned("{\"kind\":\"pasta\"}");
	net_problem_add(&problems, NET_PROBLEM_PLAN_REFUSED, "%s", "why");
	told = state_of(NULL, NULL, true);
	expect(told, "applied", "false");
	expect(told, "domains", "[]");
	expect(told, "refusals", "[]");
	expect(told, "outside_sees", "\"\"");
}

static void
each_problem_has_a_code_words_and_a_remedy(void **state)
{
	planned("{\"kind\":\"pasta\"}");
	for (int i = 0; i < NET_PROBLEM_COUNT; i++) {
		_cleanup_(json_decrefp) json_t *told = NULL;
		const json_t *problem;

		problems.n = 0;
		net_problem_add(&problems, (enum net_problem)i, "caf\xc3\xa9\n%d", i);
		told = state_of(&plan, NULL, false);
		problem = json_array_get(json_object_get(told, "problems"), 0);
		assert_string_equal(json_string_value(json_object_get(problem, "code")),
				    net_problem_code((enum net_problem)i));
		assert_memory_equal(json_string_value(json_object_get(problem, "words")), "caf???", 6);
		assert_true(strlen(json_string_value(json_object_get(problem, "remedy"))) > 10);
		assert_int_equal(json_is_true(json_object_get(told, "applied")),
				 i == NET_PROBLEM_UPLINK_NO_ADDRESS || i == NET_PROBLEM_UPLINK_NO_ROUTE ||
					 i == NET_PROBLEM_NETWORK_CLASH);
	}
}

static void
problems_beyond_the_limit_are_left_out(void **state)
{
	_cleanup_(json_decrefp) json_t *told = NULL;

	planned("{\"kind\":\"pasta\"}");
	for (int i = 0; i < 3 * NET_PROBLEMS_MAX; i++)
		net_problem_add(&problems, NET_PROBLEM_LINK, "%d", i);
	told = state_of(&plan, NULL, true);
	assert_int_equal(json_array_size(json_object_get(told, "problems")), NET_PROBLEMS_MAX);
}

static void
refusals_carry_what_was_counted(void **state)
{
	_cleanup_(json_decrefp) json_t *told = NULL;
	_cleanup_(json_decrefp) json_t *counters =
		json_pack("{s:{s:i,s:i},s:{s:i,s:i}}", "wg0_spoofed", "packets", 3, "bytes", 99,
			  "uplink_stray", "packets", 1, "bytes", 40);
	const json_t *refusals;

	planned("{\"kind\":\"pasta\"}");
	told = state_of(&plan, counters, true);
	refusals = json_object_get(told, "refusals");
	assert_string_equal(json_string_value(json_object_get(json_array_get(refusals, 0), "domain")),
			    "default");
	assert_int_equal(json_integer_value(json_object_get(json_array_get(refusals, 0), "packets")), 3);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(refusals, 0), "bytes")), 99);
	assert_string_equal(
		json_string_value(json_object_get(json_array_get(refusals, REFUSAL_COUNT - 1), "domain")),
		"");
	assert_int_equal(
		json_integer_value(json_object_get(json_array_get(refusals, REFUSAL_COUNT - 1), "packets")),
		1);
}

/* As many domains and addresses as a plan may have, all problems, names and counters at their longest. */
static void
the_largest_state_fits_a_message(void **state)
{
	_cleanup_(json_decrefp) json_t *told = NULL;
	_cleanup_(json_decrefp) json_t *counters = json_object();
	char words[NET_ERROR_LEN], name[REFUSAL_NAME_LEN];

	planned("{\"kind\":\"interface\",\"ifname\":\"eth7\"}");
	memset(words, 'w', sizeof(words) - 1);
	words[sizeof(words) - 1] = '\0';
	present.n_links = plan.n_domains = NET_DOMAINS_MAX;
	present.n_addresses = 0;
	for (int i = 0; i < NET_DOMAINS_MAX; i++) {
		struct net_domain *domain = &plan.domains[i];

		memset(domain->name, 'n', sizeof(domain->name) - 1);
		snprintf(domain->ifname, sizeof(domain->ifname), "longestname%04d", i);
		present.links[i] =
			(struct net_link){.index = i + 1, .mtu = 65455, .up = true, .carrier = true};
		memcpy(present.links[i].ifname, domain->ifname, IFNAMSIZ);
		for (int k = 0; k < NET_ADDRESSES_MAX; k++) {
			struct net_address *address = &present.addresses[present.n_addresses++];

			address->index = i + 1;
			assert_int_equal(
				cidr_parse(&address->cidr, "fd01:2345:6789:abcd:ef01:2345:6789:abcd/126"), 0);
		}
		for (int k = 0; k < REFUSAL_DOMAIN_COUNT; k++) {
			refusal_name(name, (enum refusal)k, domain->ifname);
			json_object_set_new(counters, name,
					    json_pack("{s:I,s:I}", "packets", INT64_MAX, "bytes", INT64_MAX));
		}
	}
	for (int i = 0; i < NET_PROBLEMS_MAX; i++)
		net_problem_add(&problems, NET_PROBLEM_UPLINK_MISSING, "%s", words);
	told = state_of(&plan, counters, true);
	assert_int_equal(json_array_size(json_object_get(told, "domains")), NET_DOMAINS_MAX);
	assert_int_equal(json_array_size(json_object_get(told, "refusals")),
			 NET_DOMAINS_MAX * REFUSAL_DOMAIN_COUNT + REFUSAL_COUNT - REFUSAL_DOMAIN_COUNT);
	assert_int_equal(json_array_size(json_object_get(told, "problems")), NET_PROBLEMS_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_says_what_is_there_and_not_what_is_wanted),
		cmocka_unit_test(what_is_not_there_is_said_so),
		cmocka_unit_test(whether_peers_meet_is_told_of_the_rules_that_hold),
		cmocka_unit_test(an_uplink_without_carrier_is_not_up),
		cmocka_unit_test(before_any_plan_there_is_nothing),
		cmocka_unit_test(each_problem_has_a_code_words_and_a_remedy),
		cmocka_unit_test(problems_beyond_the_limit_are_left_out),
		cmocka_unit_test(refusals_carry_what_was_counted),
		cmocka_unit_test(the_largest_state_fits_a_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
