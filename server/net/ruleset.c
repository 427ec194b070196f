#include "server/net/ruleset.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "base/bytes.h"
#include "base/errors.h"
#include "server/net/script.h"

#define DIGEST_CHAIN "digest_"
#define DIGEST_BYTES 14

/* Hooks: chain, type, hook, priority, policy */
#define BASE_CHAINS(X)                                                                                       \
	X("guard", "filter", "prerouting", -300, "accept")                                                   \
	X("forward", "filter", "forward", 0, "drop")                                                         \
	X("input", "filter", "input", 0, "drop")

struct refusal_line {
	const char *rule, *words;
};

static const struct refusal_line refusals[REFUSAL_COUNT] = {
#define X(name, rule, words) [REFUSAL_##name] = {rule, words},
	DOMAIN_REFUSALS(X) UPLINK_REFUSALS(X)
#undef X
};

const char *
refusal_rule(enum refusal refusal)
{
	return refusals[refusal].rule;
}

const char *
refusal_words(enum refusal refusal)
{
	return refusals[refusal].words;
}

void
refusal_name(char out[REFUSAL_NAME_LEN], enum refusal refusal, const char *ifname)
{
	snprintf(out, REFUSAL_NAME_LEN, "%.15s_%s", refusal < REFUSAL_DOMAIN_COUNT ? ifname : RULESET_UPLINK,
		 refusals[refusal].rule);
}

static json_t *
count(enum refusal refusal, const char *ifname)
{
	char name[REFUSAL_NAME_LEN];

	refusal_name(name, refusal, ifname);
	return statement_made(json_pack("{s:s}", "counter", name));
}

static void
set_add(struct script *out, json_t *set, const struct cidr *v, size_t n, uint8_t family,
	json_t *(*element)(const struct cidr *))
{
	for (size_t i = 0; i < n; i++)
		if (v[i].ip.family == family && json_array_append_new(set, element(&v[i])) < 0)
			out->failed = true;
}

/* The gateway's own addresses there, of a family that it has some of: never an empty set. */
static json_t *
set_of_own(struct script *out, const struct net_domain *domain, uint8_t family)
{
	json_t *set = json_array();

	set_add(out, set, domain->addresses.v, domain->addresses.n, family, element_host);
	return json_pack("{s:o}", "set", set);
}

/* All that may come from the domain: its peers, and the networks behind them. */
static void
set_add_sources(struct script *out, json_t *set, const struct net_domain *domain, uint8_t family)
{
	set_add(out, set, domain->addresses.v, domain->addresses.n, family, element_prefix);
	set_add(out, set, domain->routes.v, domain->routes.n, family, element_prefix);
}

static json_t *
set_of_sources(struct script *out, const struct net_domain *domain, uint8_t family)
{
	json_t *set = json_array();

	set_add_sources(out, set, domain, family);
	return json_pack("{s:o}", "set", set);
}

static const struct {
	uint8_t family;
	const char *protocol, *icmp;
} families[] = {{AF_INET, "ip", "icmp"}, {AF_INET6, "ip6", "icmpv6"}};

/* "from_wg0" */
#define CHAIN_LEN 32
static void
chain_name(char out[CHAIN_LEN], const char *what, const char *ifname)
{
	snprintf(out, CHAIN_LEN, "%s_%s", what, ifname);
}

static void
domain_source(struct script *out, const struct net_domain *domain)
{
	char name[CHAIN_LEN];

	chain_name(name, "source", domain->ifname);
	script_chain(out, name);
	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		if (!net_addresses_have(&domain->addresses, families[i].family))
			continue;
		script_rule(out, name,
			    match_field(families[i].protocol, "saddr",
					set_of_own(out, domain, families[i].family)),
			    count(REFUSAL_SPOOFED, domain->ifname), verdict_named("drop"));
		script_rule(out, name,
			    match_field(families[i].protocol, "saddr",
					set_of_sources(out, domain, families[i].family)),
			    verdict_named("accept"));
	}
	script_rule(out, name, count(REFUSAL_SPOOFED, domain->ifname), verdict_named("drop"));
}

/*
 * What is the host's own business beyond the uplink, and would take a peer for the host where one address is
 * lent to all: link-local addresses, which no router forwards (RFC 3927, 7), among them the metadata service
 * of most clouds with the machine's credentials; and where some keep that service instead.
 */
static const struct {
	uint8_t family;
	const char *cidr;
} hosts_own[] = {
	{AF_INET, "169.254.0.0/16"},     {AF_INET, "100.100.100.200/32"}, {AF_INET, "168.63.129.16/32"},
	{AF_INET6, "fd00:ec2::254/128"}, {AF_INET6, "fd20:ce::254/128"},
};

static json_t *
set_of_hosts_own(struct script *out, uint8_t family)
{
	json_t *set = json_array();
	struct cidr cidr;

	for (size_t i = 0; i < ARRAY_LEN(hosts_own); i++)
		if (hosts_own[i].family == family && (cidr_parse(&cidr, hosts_own[i].cidr) < 0 ||
						      json_array_append_new(set, element_prefix(&cidr)) < 0))
			out->failed = true;
	return json_pack("{s:o}", "set", set);
}

static void
hosts_own_refused(struct script *out, const char *name, const struct net_domain *domain)
{
	for (size_t i = 0; i < ARRAY_LEN(families); i++)
		if (net_addresses_have(&domain->addresses, families[i].family))
			script_rule(out, name,
				    match_field(families[i].protocol, "daddr",
						set_of_hosts_own(out, families[i].family)),
				    count(REFUSAL_ELSEWHERE, domain->ifname), verdict_reject());
}

/*
 * Peer to peer is decided before what is established, so that a setting taken back ends what is under
 * way.
 */
static void
domain_forward(struct script *out, const struct net_domain *domain, const char *uplink)
{
	char name[CHAIN_LEN];

	chain_name(name, "from", domain->ifname);
	script_chain(out, name);
	if (domain->peers_may_meet)
		script_rule(out, name, match_meta("oifname", domain->ifname), verdict_named("accept"));
	else
		script_rule(out, name, match_meta("oifname", domain->ifname),
			    count(REFUSAL_PEER_TO_PEER, domain->ifname), verdict_reject());
	if (*uplink) {
		script_rule(out, name, match_invalid(), count(REFUSAL_INVALID, domain->ifname),
			    verdict_named("drop"));
		hosts_own_refused(out, name, domain);
		script_rule(out, name, match_meta("oifname", uplink), verdict_named("accept"));
	}
	script_rule(out, name, count(REFUSAL_ELSEWHERE, domain->ifname), verdict_reject());
}

static void
domain_input(struct script *out, const struct net_domain *domain)
{
	char name[CHAIN_LEN];

	chain_name(name, "input", domain->ifname);
	script_chain(out, name);
	script_rule(out, name, match_answers(), verdict_named("accept"));
	for (size_t i = 0; i < ARRAY_LEN(families); i++)
		if (net_addresses_have(&domain->addresses, families[i].family))
			script_rule(out, name,
				    match_field(families[i].protocol, "daddr",
						set_of_own(out, domain, families[i].family)),
				    match_field(families[i].icmp, "type", json_string("echo-request")),
				    verdict_named("accept"));
	script_rule(out, name, count(REFUSAL_TO_GATEWAY, domain->ifname), verdict_reject());
}

static json_t *
set_of_all(struct script *out, const struct net_plan *plan, uint8_t family)
{
	json_t *set = json_array();

	for (size_t i = 0; i < plan->n_domains; i++)
		set_add_sources(out, set, &plan->domains[i], family);
	if (json_array_size(set) > 0)
		return json_pack("{s:o}", "set", set);
	json_decref(set);
	return NULL;
}

static void
uplink_source(struct script *out, const struct net_plan *plan)
{
	script_chain(out, "source_" RULESET_UPLINK);
	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		json_t *set = set_of_all(out, plan, families[i].family);

		if (set)
			script_rule(out, "source_" RULESET_UPLINK,
				    match_field(families[i].protocol, "saddr", set),
				    count(REFUSAL_UPLINK_SPOOFED, NULL), verdict_named("drop"));
	}
}

static void
uplink_forward(struct script *out, const struct net_plan *plan)
{
	static const char name[] = "from_" RULESET_UPLINK;

	script_chain(out, name);
	script_rule(out, name, match_answers(), verdict_named("accept"));
	script_rule(out, name, match_invalid(), count(REFUSAL_UPLINK_INVALID, NULL), verdict_named("drop"));
	for (size_t i = 0; i < plan->n_domains && !net_uplink_lends(plan->uplink.kind); i++)
		script_rule(out, name, match_meta("oifname", plan->domains[i].ifname),
			    verdict_named("accept"));
	script_rule(out, name, count(REFUSAL_UPLINK_INBOUND, NULL), verdict_reject());
}

/* Neighbour discovery never comes from beyond the link: hop limit 255 (RFC 4861, 7.1). */
static void
uplink_input(struct script *out)
{
	static const char name[] = "input_" RULESET_UPLINK;

	script_chain(out, name);
	script_rule(out, name, match_answers(), verdict_named("accept"));
	script_rule(out, name, match_field("icmp", "type", json_string("echo-request")),
		    verdict_named("accept"));
	script_rule(out, name,
		    match_field("icmpv6", "type",
				json_pack("{s:[s,s]}", "set", "echo-request", "mld-listener-query")),
		    verdict_named("accept"));
	script_rule(out, name,
		    match_field("icmpv6", "type",
				json_pack("{s:[s,s,s]}", "set", "nd-router-advert", "nd-neighbor-solicit",
					  "nd-neighbor-advert")),
		    match_field("ip6", "hoplimit", json_integer(255)), verdict_named("accept"));
	script_rule(out, name, count(REFUSAL_UPLINK_TO_GATEWAY, NULL), verdict_named("drop"));
}

/* The one translation there is, and its one condition. */
static void
masquerade(struct script *out, const struct net_plan *plan, const char *uplink)
{
	if (!net_uplink_lends(plan->uplink.kind) || !*uplink)
		return;
	script_base_chain(out, "masquerade", "nat", "postrouting", 100, "accept");
	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		json_t *set = set_of_all(out, plan, families[i].family);

		if (set)
			script_rule(out, "masquerade", match_meta("oifname", uplink),
				    match_field(families[i].protocol, "saddr", set),
				    verdict_named("masquerade"));
	}
}

static void
way(struct script *out, json_t *map, const char *ifname, const char *to)
{
	if (json_array_append_new(map, json_pack("[s,{s:{s:s}}]", ifname, "goto", "target", to)) < 0)
		out->failed = true;
}

/* By the interface that a packet came in on: a hook's chain goes on in the interface's own. */
static void
dispatch(struct script *out, const char *hook, const char *what, const struct net_plan *plan,
	 const char *uplink)
{
	json_t *map = json_array();
	char name[CHAIN_LEN];

	for (size_t i = 0; i < plan->n_domains; i++) {
		chain_name(name, what, plan->domains[i].ifname);
		way(out, map, plan->domains[i].ifname, name);
	}
	if (*uplink) {
		chain_name(name, what, RULESET_UPLINK);
		way(out, map, uplink, name);
	}
	script_rule(out, hook,
		    statement_made(json_pack("{s:{s:{s:{s:s}},s:{s:o}}}", "vmap", "key", "meta", "key",
					     "iifname", "data", "set", map)));
}

static void
counter(struct script *out, enum refusal refusal, const char *ifname, const json_t *former)
{
	char name[REFUSAL_NAME_LEN];
	json_t *values;

	refusal_name(name, refusal, ifname);
	values = json_object_get(former, name);
	script_command(out, "add", "counter",
		       json_pack("{s:s,s:s,s:s,s:I,s:I}", "family", "inet", "table", RULESET_TABLE, "name",
				 name, "packets", json_integer_value(json_object_get(values, "packets")),
				 "bytes", json_integer_value(json_object_get(values, "bytes"))));
}

static void
counters_add(struct script *out, const struct net_plan *plan, const json_t *former)
{
	for (size_t i = 0; i < plan->n_domains; i++)
		for (int k = 0; k < REFUSAL_DOMAIN_COUNT; k++)
			counter(out, (enum refusal)k, plan->domains[i].ifname, former);
	for (int k = REFUSAL_DOMAIN_COUNT; k < REFUSAL_COUNT; k++)
		counter(out, (enum refusal)k, NULL, former);
}

static void
hooks_add(struct script *out)
{
#define X(name, type, hook, priority, policy) script_base_chain(out, name, type, hook, priority, policy);
	BASE_CHAINS(X)
#undef X
}

static void
rules_add(struct script *out, const struct net_plan *plan, const char *uplink)
{
	hooks_add(out);
	for (size_t i = 0; i < plan->n_domains; i++) {
		domain_source(out, &plan->domains[i]);
		domain_forward(out, &plan->domains[i], uplink);
		domain_input(out, &plan->domains[i]);
	}
	if (*uplink) {
		uplink_source(out, plan);
		uplink_forward(out, plan);
		uplink_input(out);
	}
	dispatch(out, "guard", "source", plan, uplink);
	dispatch(out, "forward", "from", plan, uplink);
	script_rule(out, "forward", count(REFUSAL_UPLINK_STRAY, NULL), verdict_named("drop"));
	script_rule(out, "input", match_meta("iifname", "lo"), verdict_named("accept"));
	dispatch(out, "input", "input", plan, uplink);
	script_rule(out, "input", count(REFUSAL_UPLINK_STRAY, NULL), verdict_named("drop"));
	masquerade(out, plan, uplink);
}

static int
digest_of(const json_t *commands, unsigned n_rules, char digest[RULESET_DIGEST_LEN])
{
	_cleanup_(freep) char *text = json_dumps(commands, JSON_COMPACT | JSON_SORT_KEYS);
	uint8_t hash[DIGEST_BYTES];

	if (!text)
		return -ENOMEM;
	crypto_generichash(hash, sizeof(hash), (const uint8_t *)text, strlen(text), NULL, 0);
	hex_encode(digest, hash, sizeof(hash));
	snprintf(digest + 2 * DIGEST_BYTES, RULESET_DIGEST_LEN - 2 * DIGEST_BYTES, "_%04x", n_rules & 0xffff);
	return 0;
}

/* The whole in one transaction, in place of any former one; @plan and @counters for the counters. */
static int
transaction(struct script *body, const struct net_plan *plan, const json_t *counters,
	    char digest[RULESET_DIGEST_LEN], json_t **ret)
{
	_cleanup_(json_decrefp) json_t *commands = json_array();
	struct script whole = {.commands = commands};
	char name[sizeof(DIGEST_CHAIN) + RULESET_DIGEST_LEN];

	if (!body->commands || !commands || body->failed ||
	    digest_of(body->commands, body->n_rules, digest) < 0)
		return -ENOMEM;

	/* "delete" alone would fail where there is none. */
	script_table(&whole, "add");
	script_table(&whole, "delete");
	script_table(&whole, "add");
	snprintf(name, sizeof(name), DIGEST_CHAIN "%s", digest);
	script_chain(&whole, name);
	if (plan)
		counters_add(&whole, plan, counters);
	if (whole.failed || json_array_extend(commands, body->commands) < 0)
		return -ENOMEM;
	*ret = json_pack("{s:O}", "nftables", commands);
	return *ret ? 0 : -ENOMEM;
}

int
ruleset_make(const struct net_plan *plan, const char *uplink, const json_t *counters,
	     char digest[RULESET_DIGEST_LEN], json_t **ret)
{
	_cleanup_(json_decrefp) json_t *rules = json_array();
	struct script body = {.commands = rules};

	rules_add(&body, plan, uplink);
	return transaction(&body, plan, counters, digest, ret);
}

int
ruleset_closed(char digest[RULESET_DIGEST_LEN], json_t **ret)
{
	_cleanup_(json_decrefp) json_t *rules = json_array();
	struct script body = {.commands = rules};

	hooks_add(&body);
	script_rule(&body, "input", match_meta("iifname", "lo"), verdict_named("accept"));
	return transaction(&body, NULL, NULL, digest, ret);
}

static bool
is_ours(const json_t *object)
{
	const char *table = json_string_value(json_object_get(object, "table"));

	return table && strcmp(table, RULESET_TABLE) == 0;
}

static void
read_digest(const json_t *chain_object, char digest[RULESET_DIGEST_LEN])
{
	const char *name = json_string_value(json_object_get(chain_object, "name"));
	const size_t head = sizeof(DIGEST_CHAIN) - 1;

	if (name && is_ours(chain_object) && strncmp(name, DIGEST_CHAIN, head) == 0 &&
	    strlen(name + head) == RULESET_DIGEST_LEN - 1)
		memcpy(digest, name + head, RULESET_DIGEST_LEN);
}

static int
read_counter(const json_t *object, json_t *counters)
{
	const char *name = json_string_value(json_object_get(object, "name"));

	if (!name || !is_ours(object))
		return 0;
	return json_object_set_new(counters, name,
				   json_pack("{s:I,s:I}", "packets",
					     json_integer_value(json_object_get(object, "packets")), "bytes",
					     json_integer_value(json_object_get(object, "bytes"))));
}

int
ruleset_read(const json_t *listing, char digest[RULESET_DIGEST_LEN], json_t **counters)
{
	const json_t *array = json_object_get(listing, "nftables");
	_cleanup_(json_decrefp) json_t *read = json_object();
	char count_there[8];
	unsigned n_rules = 0;
	json_t *entry;
	size_t i;

	digest[0] = '\0';
	if (!json_is_array(array))
		return -ERR_NFT;
	json_array_foreach(array, i, entry)
	{
		read_digest(json_object_get(entry, "chain"), digest);
		n_rules += is_ours(json_object_get(entry, "rule"));
		if (read_counter(json_object_get(entry, "counter"), read) < 0)
			return -ENOMEM;
	}
	snprintf(count_there, sizeof(count_there), "_%04x", n_rules & 0xffff);
	if (*digest && strcmp(digest + 2 * DIGEST_BYTES, count_there) != 0)
		digest[0] = '\0'; /* somebody took rules out or put some in */
	*counters = take_ptr(read);
	return *counters ? 0 : -ENOMEM;
}
