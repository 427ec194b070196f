/*
 * What `nft -j` is given, as it grows: commands on the one table of ours (RULESET_TABLE), and the statements
 * of which its rules are made.
 *
 * json_pack() builds each object; a NULL from any of them makes the array it is appended to fail, which is
 * looked at once, at the end (`failed`), so that the rules read as rules where they are made.
 */
#ifndef SERVER_NET_SCRIPT_H
#define SERVER_NET_SCRIPT_H

#include <jansson.h>
#include <stdbool.h>

#include "base/cleanup.h"
#include "base/ip.h"

struct script {
	json_t *commands; /* an array of the caller's */
	unsigned n_rules;
	bool failed;
};

/* Adds {@verb: {@object: @body}}; takes @body. */
void script_command(struct script *out, const char *verb, const char *object, json_t *body);
void script_table(struct script *out, const char *verb);
void script_chain(struct script *out, const char *name);
void script_base_chain(struct script *out, const char *name, const char *type, const char *hook, int priority,
		       const char *policy);

/* A rule: an array of statements, each made by one of the functions below and taken; up to NULL. */
#define script_rule(out, chain, ...) script_rule_add(out, chain, (json_t *[]){__VA_ARGS__, NULL})
void script_rule_add(struct script *out, const char *in_chain, json_t *const *statements);

/* What could not be made must neither end a list of statements early nor be left out of one: NULL is null. */
json_t *statement_made(json_t *statement);

/* "accept", "drop", "masquerade"; and refused by ICMP. */
json_t *verdict_named(const char *word);
json_t *verdict_reject(void);

/* @right is taken. */
json_t *match_meta(const char *key, const char *value);
json_t *match_field(const char *protocol, const char *field, json_t *right);
/* What answers, or belongs to, a connection that was let in; what belongs to none. */
json_t *match_answers(void);
json_t *match_invalid(void);

/* Of a set: the network that an address is in; the address alone.  NULL: no memory. */
json_t *element_prefix(const struct cidr *address);
json_t *element_host(const struct cidr *address);

#endif
