/*
 * The rules made from a plan: word for word against golden/ (a change of a rule is a change of a golden
 * file, read by whoever reviews it), and the promises that no plan may break.  WARREN_GOLDEN=write makes the
 * files anew.
 */
#include "server/net/ruleset.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/errors.h"

#define DOMAIN(name, ifname, addresses, meet)                                                                \
	"{\"name\":\"" name "\",\"ifname\":\"" ifname "\",\"mtu\":1420,\"addresses\":[" addresses            \
	"],\"peers_may_meet\":" meet "}"
#define ROUTED(name, ifname, addresses, meet, routes)                                                        \
	"{\"name\":\"" name "\",\"ifname\":\"" ifname "\",\"mtu\":1420,\"addresses\":[" addresses            \
	"],\"peers_may_meet\":" meet ",\"routes\":[" routes "]}"
#define BEHIND    "\"192.168.7.0/24\",\"172.16.5.4/32\",\"fd07::/48\""
#define BOTH      "\"10.82.0.1/16\",\"fd01:2:3:4::1/64\""
#define PASTA     "{\"kind\":\"pasta\"}"
#define INTERFACE "{\"kind\":\"interface\",\"ifname\":\"eth7\"}"

static const struct {
	const char *name, *domains, *uplink, *ifname;
} cases[] = {
	{"pasta", DOMAIN("default", "wg0", BOTH, "false"), PASTA, "tap0"},
	{"pasta-missing", DOMAIN("default", "wg0", BOTH, "false"), PASTA, ""},
	{"interface", DOMAIN("default", "wg0", BOTH, "false"), INTERFACE, "eth7"},
	{"interface-ipv4-meeting", DOMAIN("default", "wg0", "\"10.82.0.1/16\"", "true"), INTERFACE, "eth7"},
	{"two-domains",
	 DOMAIN("default", "wg0", BOTH, "false") "," DOMAIN("other", "wg1", "\"10.83.0.1/16\"", "true"),
	 INTERFACE, "eth7"},
	{"pasta-routes", ROUTED("default", "wg0", BOTH, "false", BEHIND), PASTA, "tap0"},
	{"two-domains-routes",
	 ROUTED("default", "wg0", BOTH, "false", BEHIND) "," ROUTED("other", "wg1", "\"10.83.0.1/16\"",
								    "true", "\"192.168.8.0/24\""),
	 INTERFACE, "eth7"},
};

static json_t *
make(size_t i, const json_t *counters, char digest[RULESET_DIGEST_LEN])
{
	static struct net_plan plan;
	char text[2048], error[NET_ERROR_LEN];
	json_t *ruleset;

	snprintf(text, sizeof(text), "{\"domains\":[%s],\"uplink\":%s}", cases[i].domains, cases[i].uplink);
	if (net_plan_parse(&plan, text, strlen(text), error) < 0)
		fail_msg("%s", error);
	assert_int_equal(ruleset_make(&plan, cases[i].ifname, counters, digest, &ruleset), 0);
	return ruleset;
}

static void
the_rules_are_those_of_the_golden_files(void **state)
{
	const bool writing = getenv("WARREN_GOLDEN") && strcmp(getenv("WARREN_GOLDEN"), "write") == 0;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char digest[RULESET_DIGEST_LEN], path[1024];
		_cleanup_(json_decrefp) json_t *made = make(i, NULL, digest);
		_cleanup_(json_decrefp) json_t *golden = NULL;

		snprintf(path, sizeof(path), "%s/%s.json", GOLDEN, cases[i].name);
		if (writing)
			assert_int_equal(json_dump_file(made, path, JSON_INDENT(1)), 0);
		golden = json_load_file(path, 0, NULL);
		if (!golden || !json_equal(made, golden)) {
			_cleanup_(freep) char *text = json_dumps(made, JSON_INDENT(1));

			fail_msg("%s is not what was made:\n%s", path, text);
		}
	}
}

/* Calls @fn with every key of every object below @json. */
static void
each_key(const json_t *json, void (*fn)(const char *key, const json_t *value, void *arg), void *arg)
{
	const char *key;
	json_t *value;
	size_t i;

	if (json_is_object(json))
		json_object_foreach((json_t *)(uintptr_t)json, key, value)
		{
			fn(key, value, arg);
			each_key(value, fn, arg);
		}
	json_array_foreach(json, i, value) each_key(value, fn, arg);
}

static void
count_translation(const char *key, const json_t *value, void *arg)
{
	static const char *const words[] = {"masquerade", "snat", "dnat", "redirect",
					    "tproxy",     "dup",  "fwd",  "mangle"};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		*(unsigned *)arg += strcmp(key, words[i]) == 0;
	if (strcmp(key, "type") == 0 && json_is_string(value))
		*(unsigned *)arg += strcmp(json_string_value(value), "nat") == 0;
}

static void
only_a_link_that_lends_its_address_translates(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char digest[RULESET_DIGEST_LEN];
		_cleanup_(json_decrefp) json_t *made = make(i, NULL, digest);
		const bool lends = strcmp(cases[i].uplink, PASTA) == 0 && *cases[i].ifname;
		unsigned n = 0;

		each_key(made, count_translation, &n);
		assert_int_equal(n, lends ? 3 : 0); /* chain, IPv4, IPv6 */
	}
}

/* And there, only what leaves by that link with a peer's address: both matches in the same rule. */
static void
what_is_translated_leaves_by_the_link(void **state)
{
	char digest[RULESET_DIGEST_LEN];
	_cleanup_(json_decrefp) json_t *made = make(0, NULL, digest);
	json_t *entry;
	unsigned n = 0;
	size_t i;

	json_array_foreach(json_object_get(made, "nftables"), i, entry)
	{
		const json_t *rule = json_object_get(json_object_get(entry, "add"), "rule");
		const json_t *expr = json_object_get(rule, "expr");
		const json_t *match;

		if (!rule || strcmp(json_string_value(json_object_get(rule, "chain")), "masquerade") != 0)
			continue;
		n++;
		assert_int_equal(json_array_size(expr), 3);
		match = json_object_get(json_array_get(expr, 0), "match");
		assert_string_equal(json_string_value(json_object_get(match, "right")), "tap0");
		match = json_object_get(json_array_get(expr, 1), "match");
		assert_non_null(json_object_get(json_object_get(match, "right"), "set"));
		assert_non_null(json_object_get(json_array_get(expr, 2), "masquerade"));
	}
	assert_int_equal(n, 2);
}

/* Calls @fn with the elements of each set of source addresses that a rule in @chain looks for. */
static void
each_source(const json_t *made, const char *chain, void (*fn)(const json_t *elements, void *arg), void *arg)
{
	const json_t *entry, *statement;
	size_t i, k;

	json_array_foreach(json_object_get(made, "nftables"), i, entry)
	{
		const json_t *rule = json_object_get(json_object_get(entry, "add"), "rule");

		if (!rule || strcmp(json_string_value(json_object_get(rule, "chain")), chain) != 0)
			continue;
		json_array_foreach(json_object_get(rule, "expr"), k, statement) fn(
			json_object_get(json_object_get(json_object_get(statement, "match"), "right"), "set"),
			arg);
	}
}

static void
note_route(const json_t *elements, void *arg)
{
	const json_t *element;
	size_t i;

	json_array_foreach(elements, i, element)
	{
		const json_t *prefix = json_object_get(element, "prefix");
		const char *address = json_string_value(json_object_get(prefix, "addr"));

		*(unsigned *)arg += address && strcmp(address, "192.168.7.0") == 0 &&
				    json_integer_value(json_object_get(prefix, "len")) == 24;
	}
}

static unsigned
sources_with_the_route(size_t i, const char *chain)
{
	char digest[RULESET_DIGEST_LEN];
	_cleanup_(json_decrefp) json_t *made = make(i, NULL, digest);
	unsigned n = 0;

	each_source(made, chain, note_route, &n);
	return n;
}

/* Those of its own domain alone may send from there, the uplink may not, and the lent address stands for it.
 */
static void
a_network_behind_peers_is_treated_as_they_are(void **state)
{
	assert_string_equal(cases[5].name, "pasta-routes");
	assert_int_equal(sources_with_the_route(5, "source_wg0"), 1);
	assert_int_equal(sources_with_the_route(5, "source_uplink"), 1);
	assert_int_equal(sources_with_the_route(5, "masquerade"), 1);
	assert_string_equal(cases[6].name, "two-domains-routes");
	assert_int_equal(sources_with_the_route(6, "source_wg0"), 1);
	assert_int_equal(sources_with_the_route(6, "source_wg1"), 0);
	assert_int_equal(sources_with_the_route(6, "source_uplink"), 1);
	assert_int_equal(sources_with_the_route(6, "masquerade"), 0);
	assert_int_equal(sources_with_the_route(0, "source_wg0"), 0);
}

static void
the_digest_is_of_the_rules_and_not_of_the_counters(void **state)
{
	char digests[ARRAY_LEN(cases)][RULESET_DIGEST_LEN], again[RULESET_DIGEST_LEN];
	_cleanup_(json_decrefp) json_t *counters =
		json_pack("{s:{s:i,s:i}}", "wg0_spoofed", "packets", 7, "bytes", 700);
	_cleanup_(json_decrefp) json_t *with = NULL;
	_cleanup_(freep) char *text = NULL;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		json_decref(make(i, NULL, digests[i]));
		assert_int_equal(strlen(digests[i]), RULESET_DIGEST_LEN - 1);
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(digests[i], digests[k]);
	}
	with = make(0, counters, again);
	assert_string_equal(again, digests[0]);
	text = json_dumps(with, JSON_COMPACT);
	assert_non_null(strstr(text, "\"name\":\"wg0_spoofed\",\"packets\":7,\"bytes\":700"));
}

/* What nft would print: the same objects without "add", with handles. */
static json_t *
listing_of(const json_t *made)
{
	json_t *array = json_array(), *entry;
	size_t i;

	json_array_append_new(array, json_pack("{s:{s:s}}", "metainfo", "version", "1.0.6"));
	json_array_foreach(json_object_get(made, "nftables"), i, entry)
	{
		json_t *what = json_object_get(entry, "add");

		if (what)
			json_array_append(array, what);
	}
	return json_pack("{s:o}", "nftables", array);
}

static void
what_was_made_is_recognised_when_read_back(void **state)
{
	char digest[RULESET_DIGEST_LEN], read[RULESET_DIGEST_LEN];
	_cleanup_(json_decrefp) json_t *made = make(2, NULL, digest);
	_cleanup_(json_decrefp) json_t *listing = listing_of(made);
	json_t *array = json_object_get(listing, "nftables"), *counters;

	assert_int_equal(ruleset_read(listing, read, &counters), 0);
	assert_string_equal(read, digest);
	assert_int_equal(json_object_size(counters), REFUSAL_COUNT - 0);
	json_decref(counters);

	json_array_remove(array, json_array_size(array) - 1); /* the last rule of input */
	assert_int_equal(ruleset_read(listing, read, &counters), 0);
	assert_string_equal(read, "");
	json_decref(counters);
}

/* No rule of it accepts anything but loopback, and no hook does by itself. */
static void
closed_means_that_nothing_is_forwarded(void **state)
{
	char digest[RULESET_DIGEST_LEN], read[RULESET_DIGEST_LEN];
	_cleanup_(json_decrefp) json_t *made = NULL;
	_cleanup_(json_decrefp) json_t *listing = NULL;
	_cleanup_(json_decrefp) json_t *counters = NULL;
	const json_t *entry;
	unsigned n_rules = 0, n_drop = 0;
	size_t i;

	assert_int_equal(ruleset_closed(digest, &made), 0);
	listing = listing_of(made);
	assert_int_equal(ruleset_read(listing, read, &counters), 0);
	assert_string_equal(read, digest);
	json_array_foreach(json_object_get(listing, "nftables"), i, entry)
	{
		const json_t *rule = json_object_get(entry, "rule");
		const json_t *chain = json_object_get(entry, "chain");
		const char *policy = json_string_value(json_object_get(chain, "policy"));

		n_rules += rule != NULL;
		if (rule)
			assert_string_equal(json_string_value(json_object_get(rule, "chain")), "input");
		n_drop += policy && strcmp(policy, "drop") == 0;
	}
	assert_int_equal(n_rules, 1);
	assert_int_equal(n_drop, 2);
}

static void
another_table_or_rubbish_is_not_taken_for_ours(void **state)
{
	static const char *const texts[] = {
		"{\"nftables\":[]}",
		"{\"nftables\":[{\"chain\":{\"table\":\"other\",\"name\":\"digest_"
		"0123456789012345678901234567_0000\"}}]}",
		"{\"nftables\":[{\"chain\":{\"table\":\"warren\",\"name\":\"digest_01\"}},7,null,{"
		"\"counter\":[]}]}",
	};
	char digest[RULESET_DIGEST_LEN];
	json_t *counters, *listing;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		listing = json_loads(texts[i], 0, NULL);
		assert_non_null(listing);
		assert_int_equal(ruleset_read(listing, digest, &counters), 0);
		assert_string_equal(digest, "");
		json_decref(counters);
		json_decref(listing);
	}
	listing = json_loads("{\"a\":1}", 0, NULL);
	assert_int_equal(ruleset_read(listing, digest, &counters), -ERR_NFT);
	json_decref(listing);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rules_are_those_of_the_golden_files),
		cmocka_unit_test(only_a_link_that_lends_its_address_translates),
		cmocka_unit_test(what_is_translated_leaves_by_the_link),
		cmocka_unit_test(a_network_behind_peers_is_treated_as_they_are),
		cmocka_unit_test(the_digest_is_of_the_rules_and_not_of_the_counters),
		cmocka_unit_test(what_was_made_is_recognised_when_read_back),
		cmocka_unit_test(closed_means_that_nothing_is_forwarded),
		cmocka_unit_test(another_table_or_rubbish_is_not_taken_for_ours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
