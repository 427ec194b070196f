/*
 * The one nftables table of ours, `inet warren`, made from a plan: pure, from value to JSON.  What it says:
 *
 *	guard     (prerouting, before conntrack) a domain's device brings sources of the domain's prefixes
 *	          and of the networks behind its peers only, never the gateway's own; the uplink never
 *	          brings them
 *	forward   policy drop.  Peer to peer by the domain's setting; peer to uplink, but for what is the
 *	          host's own there (link-local, a cloud's metadata service); uplink to peer what
 *	          answers, and new connections where peers are visible; nothing between domains
 *	input     policy drop.  Peers: echo to the gateway's address, answers.  Uplink: echo, neighbour
 *	          discovery, answers
 *	masquerade  only where the uplink lends one address to all (pasta).  Nowhere else is a source
 *	          ever translated: an address is a person
 *
 * Interfaces are matched by name, so the rules hold before a device exists and after it returns.
 * What is behind a peer is treated as the peer; which peer it is behind is the tunnel's to know.
 * What is refused is counted and answered by ICMP; what lies about its source is dropped in silence.
 *
 * An empty chain `digest_…` names the whole and the number of its rules: whoever reads it back knows
 * whether anything is to do, whatever version of nft did the printing.
 */
#ifndef SERVER_NET_RULESET_H
#define SERVER_NET_RULESET_H

#include <jansson.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "server/net/plan.h"

#define RULESET_TABLE "warren"
#define RULESET_DIGEST_LEN 34 /* 14 bytes in hexadecimal, "_", number of rules; with the NUL */

/* Each refusal has a named counter `IFNAME_rule`; rule, words.  Those of a domain: */
#define DOMAIN_REFUSALS(X)                                                                   \
	X(SPOOFED, "spoofed", "a source address outside the domain")                         \
	X(PEER_TO_PEER, "peer_to_peer", "from peer to peer, which the domain does not allow") \
	X(TO_GATEWAY, "to_gateway", "to a service of the gateway itself")                    \
	X(INVALID, "invalid", "belonging to no connection")                                  \
	X(ELSEWHERE, "elsewhere", "to a place that this domain has no way to")

/* Those of the uplink, `uplink_rule`: */
#define UPLINK_REFUSALS(X)                                                   \
	X(UPLINK_SPOOFED, "spoofed", "from outside with a peer's address")   \
	X(UPLINK_INBOUND, "inbound", "a new connection from outside to a peer") \
	X(UPLINK_TO_GATEWAY, "to_gateway", "from outside to the gateway itself") \
	X(UPLINK_INVALID, "invalid", "from outside, belonging to no connection") \
	X(UPLINK_STRAY, "stray", "between interfaces that are none of ours")

enum refusal {
#define X(name, rule, words) REFUSAL_##name,
	DOMAIN_REFUSALS(X)
	REFUSAL_DOMAIN_COUNT,
	REFUSAL_BEFORE_UPLINK = REFUSAL_DOMAIN_COUNT - 1,
	UPLINK_REFUSALS(X)
#undef X
	REFUSAL_COUNT
};

#define RULESET_UPLINK "uplink" /* no domain's device may be called so */

const char *refusal_rule(enum refusal refusal);
const char *refusal_words(enum refusal refusal);

/* "wg0_spoofed", "uplink_stray" (@ifname is not looked at); the whole name of a counter. */
#define REFUSAL_NAME_LEN 40
void refusal_name(char out[REFUSAL_NAME_LEN], enum refusal refusal, const char *ifname);

/*
 * The commands for `nft -j` that put the table of @plan in place of any former one, in one transaction:
 * {"nftables": […]}.  @uplink is the name of the uplink's device, "" while there is none.  @counters are former
 * values to go on from: an object of name → {"packets", "bytes"}, or NULL.  @digest is of the rules, not of
 * the counters.  -ENOMEM.
 */
int ruleset_make(const struct net_plan *plan, const char *uplink, const json_t *counters,
		 char digest[RULESET_DIGEST_LEN], json_t **ret) _must_check_;

/*
 * The commands for what holds while nothing is known yet: nobody is forwarded, nobody reaches the gateway.
 * -ENOMEM.
 */
int ruleset_closed(char digest[RULESET_DIGEST_LEN], json_t **ret) _must_check_;

/*
 * What `nft -j list ruleset inet` printed: the digest of the table that is there (empty: none, or not
 * whole), and the counters as ruleset_make() takes them; a new reference.  -ERR_NFT: not of that form.
 */
int ruleset_read(const json_t *listing, char digest[RULESET_DIGEST_LEN], json_t **counters) _must_check_;

#endif
