#include "server/net/script.h"

#include "server/net/ruleset.h"

void
script_command(struct script *out, const char *verb, const char *object, json_t *body)
{
	json_t *whole = json_pack("{s:{s:o}}", verb, object, body);

	if (!whole || json_array_append_new(out->commands, whole) < 0)
		out->failed = true;
}

void
script_table(struct script *out, const char *verb)
{
	script_command(out, verb, "table", json_pack("{s:s,s:s}", "family", "inet", "name", RULESET_TABLE));
}

void
script_chain(struct script *out, const char *name)
{
	script_command(out, "add", "chain",
		       json_pack("{s:s,s:s,s:s}", "family", "inet", "table", RULESET_TABLE, "name", name));
}

void
script_base_chain(struct script *out, const char *name, const char *type, const char *hook, int priority,
		  const char *policy)
{
	script_command(out, "add", "chain",
		       json_pack("{s:s,s:s,s:s,s:s,s:s,s:i,s:s}", "family", "inet", "table", RULESET_TABLE,
				 "name", name, "type", type, "hook", hook, "prio", priority, "policy",
				 policy));
}

void
script_rule_add(struct script *out, const char *in_chain, json_t *const *statements)
{
	json_t *expr = json_array();

	for (; *statements; statements++)
		if (json_is_null(*statements) || json_array_append_new(expr, *statements) < 0)
			out->failed = true;
	out->n_rules++;
	script_command(out, "add", "rule",
		       json_pack("{s:s,s:s,s:s,s:o}", "family", "inet", "table", RULESET_TABLE, "chain",
				 in_chain, "expr", expr));
}

json_t *
statement_made(json_t *statement)
{
	return statement ? statement : json_null();
}

json_t *
verdict_named(const char *word)
{
	return statement_made(json_pack("{s:n}", word));
}

json_t *
verdict_reject(void)
{
	return statement_made(
		json_pack("{s:{s:s,s:s}}", "reject", "type", "icmpx", "expr", "admin-prohibited"));
}

json_t *
match_meta(const char *key, const char *value)
{
	return statement_made(json_pack("{s:{s:s,s:{s:{s:s}},s:s}}", "match", "op", "==", "left", "meta",
					"key", key, "right", value));
}

json_t *
match_field(const char *protocol, const char *field, json_t *right)
{
	return statement_made(json_pack("{s:{s:s,s:{s:{s:s,s:s}},s:o}}", "match", "op", "==", "left",
					"payload", "protocol", protocol, "field", field, "right", right));
}

json_t *
match_answers(void)
{
	return statement_made(json_pack("{s:{s:s,s:{s:{s:s}},s:[s,s]}}", "match", "op", "in", "left", "ct",
					"key", "state", "right", "established", "related"));
}

json_t *
match_invalid(void)
{
	return statement_made(json_pack("{s:{s:s,s:{s:{s:s}},s:s}}", "match", "op", "in", "left", "ct", "key",
					"state", "right", "invalid"));
}

json_t *
element_prefix(const struct cidr *address)
{
	struct cidr network = *address;
	char text[IP_TEXT_LEN];

	cidr_mask(&network);
	ip_text(text, &network.ip);
	return json_pack("{s:{s:s,s:i}}", "prefix", "addr", text, "len", network.len);
}

json_t *
element_host(const struct cidr *address)
{
	char text[IP_TEXT_LEN];

	ip_text(text, &address->ip);
	return json_string(text);
}
