/*
 * The rules that hold in this network namespace, and bringing them to what a plan wants.
 */
#ifndef SERVER_NET_RULES_H
#define SERVER_NET_RULES_H

#include <jansson.h>

#include "base/cleanup.h"
#include "server/net/plan.h"
#include "server/net/ruleset.h"

struct rules {
	char digest[RULESET_DIGEST_LEN]; /* of what is there; empty: none of ours, or not whole */
	json_t *counters;                /* as of the last rules_read() */
};

void rules_done(struct rules *rules);

/* Asks nft what is there.  -ERR_NFT and others: @error says why. */
int rules_read(struct rules *rules, char error[NET_ERROR_LEN]) _must_check_;

/* Closes everything, unless a whole table of ours is there.  1: it was changed.  After rules_read(). */
int rules_close(struct rules *rules, char error[NET_ERROR_LEN]) _must_check_;

/*
 * Those of @plan.  1: they were changed, 0: they were there.  On failure the former ones hold on.  After
 * rules_read(); the counters go on from what was read there.
 */
int rules_hold(struct rules *rules, const struct net_plan *plan, const char *uplink,
	       char error[NET_ERROR_LEN]) _must_check_;

#endif
