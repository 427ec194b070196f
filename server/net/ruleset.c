/*
 * json_pack() builds each object; a NULL from any of them makes the array it is appended to fail, which is
 * looked at once (`out->failed`), so that the rules below read as rules.
 */
#include "server/net/ruleset.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "base/bytes.h"
#include "base/errors.h"

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

struct output {
	json_t *commands;
	unsigned n_rules;
	bool failed;
};

static void
command(struct output *out, const char *verb, const char *object, json_t *body)
{
	json_t *whole = json_pack("{s:{s:o}}", verb, object, body);

	if (!whole || json_array_append_new(out->commands, whole) < 0)
		out->failed = true;
}

static void
table_command(struct output *out, const char *verb)
{
	command(out, verb, "table", json_pack("{s:s,s:s}", "family", "inet", "name", RULESET_TABLE));
}

static void
chain(struct output *out, const char *name)
{
	command(out, "add", "chain",
		json_pack("{s:s,s:s,s:s}", "family", "inet", "table", RULESET_TABLE, "name", name));
}

static void
base_chain(struct output *out, const char *name, const char *type, const char *hook, int priority,
	   const char *policy)
{
	command(out, "add", "chain",
		json_pack("{s:s,s:s,s:s,s:s,s:s,s:i,s:s}", "family", "inet", "table", RULESET_TABLE, "name",
			  name, "type", type, "hook", hook, "prio", priority, "policy", policy));
}

/* A rule: an array of statements, each made by one of the functions below; up to NULL. */
#define rule(out, chain, ...) rule_add(out, chain, (json_t *[]){__VA_ARGS__, NULL})

static void
rule_add(struct output *out, const char *in_chain, json_t *const *statements)
{
	json_t *expr = json_array();

	for (; *statements; statements++)
		if (json_is_null(*statements) || json_array_append_new(expr, *statements) < 0)
			out->failed = true;
	out->n_rules++;
	command(out, "add", "rule",
		json_pack("{s:s,s:s,s:s,s:o}", "family", "inet", "table", RULESET_TABLE, "chain", in_chain,
			  "expr", expr));
}

/* What could not be made must neither end a list of statements early nor be left out of one. */
static json_t *
made(json_t *statement)
{
	return statement ? statement : json_null();
}

static json_t *
verdict(const char *word)
{
	return made(json_pack("{s:n}", word));
}

static json_t *
reject(void)
{
	return made(json_pack("{s:{s:s,s:s}}", "reject", "type", "icmpx", "expr", "admin-prohibited"));
}

static json_t *
count(enum refusal refusal, const char *ifname)
{
	char name[REFUSAL_NAME_LEN];

	refusal_name(name, refusal, ifname);
	return made(json_pack("{s:s}", "counter", name));
}

static json_t *
meta_is(const char *key, const char *value)
{
	return made(json_pack("{s:{s:s,s:{s:{s:s}},s:s}}", "match", "op", "==", "left", "meta", "key", key,
			      "right", value));
}

static json_t *
field_is(const char *protocol, const char *field, json_t *right)
{
	return made(json_pack("{s:{s:s,s:{s:{s:s,s:s}},s:o}}", "match", "op", "==", "left", "payload",
			      "protocol", protocol, "field", field, "right", right));
}

static json_t *
answers(void)
{
	return made(json_pack("{s:{s:s,s:{s:{s:s}},s:[s,s]}}", "match", "op", "in", "left", "ct", "key",
			      "state", "right", "established", "related"));
}

static json_t *
invalid(void)
{
	return made(json_pack("{s:{s:s,s:{s:{s:s}},s:s}}", "match", "op", "in", "left", "ct", "key", "state",
			      "right", "invalid"));
}

static json_t *
prefix(const struct cidr *address)
{
	struct cidr network = *address;
	char text[IP_TEXT_LEN];

	cidr_mask(&network);
	ip_text(text, &network.ip);
	return json_pack("{s:{s:s,s:i}}", "prefix", "addr", text, "len", network.len);
}

static json_t *
host(const struct cidr *address)
{
	char text[IP_TEXT_LEN];

	ip_text(text, &address->ip);
	return json_string(text);
}

static void
set_add(struct output *out, json_t *set, const struct net_addresses *addresses, uint8_t family,
	json_t *(*element)(const struct cidr *))
{
	for (size_t i = 0; i < addresses->n; i++)
		if (addresses->v[i].ip.family == family &&
		    json_array_append_new(set, element(&addresses->v[i])) < 0)
			out->failed = true;
}

/* An anonymous set of a domain's addresses of one family, as prefixes or as hosts; never an empty one. */
static json_t *
set_of(struct output *out, const struct net_addresses *addresses, uint8_t family,
       json_t *(*element)(const struct cidr *))
{
	json_t *set = json_array();

	set_add(out, set, addresses, family, element);
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
domain_source(struct output *out, const struct net_domain *domain)
{
	char name[CHAIN_LEN];

	chain_name(name, "source", domain->ifname);
	chain(out, name);
	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		if (!net_addresses_have(&domain->addresses, families[i].family))
			continue;
		rule(out, name,
		     field_is(families[i].protocol, "saddr",
			      set_of(out, &domain->addresses, families[i].family, host)),
		     count(REFUSAL_SPOOFED, domain->ifname), verdict("drop"));
		rule(out, name,
		     field_is(families[i].protocol, "saddr",
			      set_of(out, &domain->addresses, families[i].family, prefix)),
		     verdict("accept"));
	}
	rule(out, name, count(REFUSAL_SPOOFED, domain->ifname), verdict("drop"));
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
set_of_hosts_own(struct output *out, uint8_t family)
{
	json_t *set = json_array();
	struct cidr cidr;

	for (size_t i = 0; i < ARRAY_LEN(hosts_own); i++)
		if (hosts_own[i].family == family && (cidr_parse(&cidr, hosts_own[i].cidr) < 0 ||
						      json_array_append_new(set, prefix(&cidr)) < 0))
			out->failed = true;
	return json_pack("{s:o}", "set", set);
}

static void
hosts_own_refused(struct output *out, const char *name, const struct net_domain *domain)
{
	for (size_t i = 0; i < ARRAY_LEN(families); i++)
		if (net_addresses_have(&domain->addresses, families[i].family))
			rule(out, name,
			     field_is(families[i].protocol, "daddr",
				      set_of_hosts_own(out, families[i].family)),
			     count(REFUSAL_ELSEWHERE, domain->ifname), reject());
}

/*
 * Peer to peer is decided before what is established, so that a setting taken back ends what is under
 * way.
 */
static void
domain_forward(struct output *out, const struct net_domain *domain, const char *uplink)
{
	char name[CHAIN_LEN];

	chain_name(name, "from", domain->ifname);
	chain(out, name);
	if (domain->peers_may_meet)
		rule(out, name, meta_is("oifname", domain->ifname), verdict("accept"));
	else
		rule(out, name, meta_is("oifname", domain->ifname),
		     count(REFUSAL_PEER_TO_PEER, domain->ifname), reject());
	if (*uplink) {
		rule(out, name, invalid(), count(REFUSAL_INVALID, domain->ifname), verdict("drop"));
		hosts_own_refused(out, name, domain);
		rule(out, name, meta_is("oifname", uplink), verdict("accept"));
	}
	rule(out, name, count(REFUSAL_ELSEWHERE, domain->ifname), reject());
}

static void
domain_input(struct output *out, const struct net_domain *domain)
{
	char name[CHAIN_LEN];

	chain_name(name, "input", domain->ifname);
	chain(out, name);
	rule(out, name, answers(), verdict("accept"));
	for (size_t i = 0; i < ARRAY_LEN(families); i++)
		if (net_addresses_have(&domain->addresses, families[i].family))
			rule(out, name,
			     field_is(families[i].protocol, "daddr",
				      set_of(out, &domain->addresses, families[i].family, host)),
			     field_is(families[i].icmp, "type", json_string("echo-request")),
			     verdict("accept"));
	rule(out, name, count(REFUSAL_TO_GATEWAY, domain->ifname), reject());
}

static json_t *
set_of_all(struct output *out, const struct net_plan *plan, uint8_t family)
{
	json_t *set = json_array();

	for (size_t i = 0; i < plan->n_domains; i++)
		set_add(out, set, &plan->domains[i].addresses, family, prefix);
	if (json_array_size(set) > 0)
		return json_pack("{s:o}", "set", set);
	json_decref(set);
	return NULL;
}

static void
uplink_source(struct output *out, const struct net_plan *plan)
{
	chain(out, "source_" RULESET_UPLINK);
	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		json_t *set = set_of_all(out, plan, families[i].family);

		if (set)
			rule(out, "source_" RULESET_UPLINK, field_is(families[i].protocol, "saddr", set),
			     count(REFUSAL_UPLINK_SPOOFED, NULL), verdict("drop"));
	}
}

static void
uplink_forward(struct output *out, const struct net_plan *plan)
{
	static const char name[] = "from_" RULESET_UPLINK;

	chain(out, name);
	rule(out, name, answers(), verdict("accept"));
	rule(out, name, invalid(), count(REFUSAL_UPLINK_INVALID, NULL), verdict("drop"));
	for (size_t i = 0; i < plan->n_domains && !net_uplink_lends(plan->uplink.kind); i++)
		rule(out, name, meta_is("oifname", plan->domains[i].ifname), verdict("accept"));
	rule(out, name, count(REFUSAL_UPLINK_INBOUND, NULL), reject());
}

/* Neighbour discovery never comes from beyond the link: hop limit 255 (RFC 4861, 7.1). */
static void
uplink_input(struct output *out)
{
	static const char name[] = "input_" RULESET_UPLINK;

	chain(out, name);
	rule(out, name, answers(), verdict("accept"));
	rule(out, name, field_is("icmp", "type", json_string("echo-request")), verdict("accept"));
	rule(out, name,
	     field_is("icmpv6", "type", json_pack("{s:[s,s]}", "set", "echo-request", "mld-listener-query")),
	     verdict("accept"));
	rule(out, name,
	     field_is("icmpv6", "type",
		      json_pack("{s:[s,s,s]}", "set", "nd-router-advert", "nd-neighbor-solicit",
				"nd-neighbor-advert")),
	     field_is("ip6", "hoplimit", json_integer(255)), verdict("accept"));
	rule(out, name, count(REFUSAL_UPLINK_TO_GATEWAY, NULL), verdict("drop"));
}

/* The one translation there is, and its one condition. */
static void
masquerade(struct output *out, const struct net_plan *plan, const char *uplink)
{
	if (!net_uplink_lends(plan->uplink.kind) || !*uplink)
		return;
	base_chain(out, "masquerade", "nat", "postrouting", 100, "accept");
	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		json_t *set = set_of_all(out, plan, families[i].family);

		if (set)
			rule(out, "masquerade", meta_is("oifname", uplink),
			     field_is(families[i].protocol, "saddr", set), verdict("masquerade"));
	}
}

static void
way(struct output *out, json_t *map, const char *ifname, const char *to)
{
	if (json_array_append_new(map, json_pack("[s,{s:{s:s}}]", ifname, "goto", "target", to)) < 0)
		out->failed = true;
}

/* By the interface that a packet came in on: a hook's chain goes on in the interface's own. */
static void
dispatch(struct output *out, const char *hook, const char *what, const struct net_plan *plan,
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
	rule(out, hook,
	     made(json_pack("{s:{s:{s:{s:s}},s:{s:o}}}", "vmap", "key", "meta", "key", "iifname", "data",
			    "set", map)));
}

static void
counter(struct output *out, enum refusal refusal, const char *ifname, const json_t *former)
{
	char name[REFUSAL_NAME_LEN];
	json_t *values;

	refusal_name(name, refusal, ifname);
	values = json_object_get(former, name);
	command(out, "add", "counter",
		json_pack("{s:s,s:s,s:s,s:I,s:I}", "family", "inet", "table", RULESET_TABLE, "name", name,
			  "packets", json_integer_value(json_object_get(values, "packets")), "bytes",
			  json_integer_value(json_object_get(values, "bytes"))));
}

static void
counters_add(struct output *out, const struct net_plan *plan, const json_t *former)
{
	for (size_t i = 0; i < plan->n_domains; i++)
		for (int k = 0; k < REFUSAL_DOMAIN_COUNT; k++)
			counter(out, (enum refusal)k, plan->domains[i].ifname, former);
	for (int k = REFUSAL_DOMAIN_COUNT; k < REFUSAL_COUNT; k++)
		counter(out, (enum refusal)k, NULL, former);
}

static void
hooks_add(struct output *out)
{
#define X(name, type, hook, priority, policy) base_chain(out, name, type, hook, priority, policy);
	BASE_CHAINS(X)
#undef X
}

static void
rules_add(struct output *out, const struct net_plan *plan, const char *uplink)
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
	rule(out, "forward", count(REFUSAL_UPLINK_STRAY, NULL), verdict("drop"));
	rule(out, "input", meta_is("iifname", "lo"), verdict("accept"));
	dispatch(out, "input", "input", plan, uplink);
	rule(out, "input", count(REFUSAL_UPLINK_STRAY, NULL), verdict("drop"));
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
transaction(struct output *body, const struct net_plan *plan, const json_t *counters,
	    char digest[RULESET_DIGEST_LEN], json_t **ret)
{
	_cleanup_(json_decrefp) json_t *commands = json_array();
	struct output whole = {.commands = commands};
	char name[sizeof(DIGEST_CHAIN) + RULESET_DIGEST_LEN];

	if (!body->commands || !commands || body->failed ||
	    digest_of(body->commands, body->n_rules, digest) < 0)
		return -ENOMEM;

	/* "delete" alone would fail where there is none. */
	table_command(&whole, "add");
	table_command(&whole, "delete");
	table_command(&whole, "add");
	snprintf(name, sizeof(name), DIGEST_CHAIN "%s", digest);
	chain(&whole, name);
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
	struct output body = {.commands = rules};

	rules_add(&body, plan, uplink);
	return transaction(&body, plan, counters, digest, ret);
}

int
ruleset_closed(char digest[RULESET_DIGEST_LEN], json_t **ret)
{
	_cleanup_(json_decrefp) json_t *rules = json_array();
	struct output body = {.commands = rules};

	hooks_add(&body);
	rule(&body, "input", meta_is("iifname", "lo"), verdict("accept"));
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
