#include "server/net/rules.h"

#include <errno.h>
#include <string.h>

#include "base/errors.h"
#include "server/net/nft.h"

void
rules_done(struct rules *rules)
{
	json_decref(rules->counters);
	rules->counters = NULL;
}

static int
without_memory(char error[NET_ERROR_LEN])
{
	snprintf(error, NET_ERROR_LEN, "no memory for the rules");
	return -ENOMEM;
}

int
rules_read(struct rules *rules, char error[NET_ERROR_LEN])
{
	_cleanup_(json_decrefp) json_t *listing = NULL;
	json_t *counters;
	int r;

	r = nft_check(error);
	if (r < 0)
		return r;
	r = nft_list(&listing, error);
	if (r < 0)
		return r;
	r = ruleset_read(listing, rules->digest, &counters);
	if (r == -ENOMEM)
		return without_memory(error);
	if (r < 0) {
		snprintf(error, NET_ERROR_LEN, "nft printed a rule set of an unknown form");
		return r;
	}
	json_decref(rules->counters);
	rules->counters = counters;
	return 0;
}

static int
rules_replace(struct rules *rules, const json_t *commands, const char digest[RULESET_DIGEST_LEN],
	      char error[NET_ERROR_LEN])
{
	const int r = nft_apply(commands, error);

	if (r == -ENOMEM)
		return without_memory(error);
	if (r < 0)
		return r;
	memcpy(rules->digest, digest, RULESET_DIGEST_LEN);
	return 1;
}

int
rules_close(struct rules *rules, char error[NET_ERROR_LEN])
{
	_cleanup_(json_decrefp) json_t *commands = NULL;
	char digest[RULESET_DIGEST_LEN];

	if (*rules->digest)
		return 0;
	if (ruleset_closed(digest, &commands) < 0)
		return without_memory(error);
	return rules_replace(rules, commands, digest, error);
}

int
rules_hold(struct rules *rules, const struct net_plan *plan, const char *uplink, char error[NET_ERROR_LEN])
{
	_cleanup_(json_decrefp) json_t *commands = NULL;
	char digest[RULESET_DIGEST_LEN];

	if (ruleset_make(plan, uplink, rules->counters, digest, &commands) < 0)
		return without_memory(error);
	if (strcmp(digest, rules->digest) == 0)
		return 0;
	return rules_replace(rules, commands, digest, error);
}
