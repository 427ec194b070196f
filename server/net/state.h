/*
 * What is there: the body of NET_STATE, net's answer to every NET_PLAN, and told again by itself when
 * the uplink comes, goes or changes.  To read the counters afresh, send the plan again.
 *
 *	{
 *	  "applied": true,                          the newest plan holds in full
 *	  "domains": [{"name": "default", "ifname": "wg0", "present": true, "up": true, "mtu": 1420,
 *	               "addresses": ["10.82.0.1/16", …], "peers_may_meet": false}],
 *	  "uplink": {"kind": "pasta", "ifname": "eth0", "present": true, "up": true,
 *	             "addresses": […], "gateways": […]},      ifname "" while pasta's is not there
 *	  "outside_sees": "peer" | "host",          whose address a far server sees
 *	  "outside_sees_words": "each peer's own address" | "the host's address",
 *	  "refusals": [{"domain": "default", "rule": "spoofed", "words": "…", "packets": 0, "bytes": 0}],
 *	                                            domain "" for those of the uplink
 *	  "problems": [{"code": "uplink_missing", "words": "…", "remedy": "…"}]     [] when all is well
 *	}
 *
 * Before the first plan nothing is sent.  A refused plan gives "applied": false, a problem
 * "plan_refused", and the state of what was there before.
 */
#ifndef SERVER_NET_STATE_H
#define SERVER_NET_STATE_H

#include <stddef.h>

#include "base/cleanup.h"

/*
 * Problems: code, then what net says in words is composed where it is found; the remedy is what to
 * type or to change.
 */
#define NET_PROBLEMS(X)                                                              \
	X(PLAN_REFUSED, "plan_refused")                                              \
	X(UPLINK_MISSING, "uplink_missing") /* not there yet, or gone */             \
	X(UPLINK_NO_ADDRESS, "uplink_no_address")                                    \
	X(UPLINK_NO_ROUTE, "uplink_no_route") /* no default route over it */         \
	X(LINK, "link")         /* a device could not be made or set */              \
	X(ADDRESS, "address")                                                        \
	X(ROUTE, "route")                                                            \
	X(SYSCTL, "sysctl")     /* forwarding could not be switched on */            \
	X(RULES, "rules")       /* nft refused or is missing; nothing is forwarded that was not before */

enum net_problem {
#define X(name, code) NET_PROBLEM_##name,
	NET_PROBLEMS(X)
#undef X
	NET_PROBLEM_COUNT
};

/* "uplink_missing" */
const char *net_problem_code(enum net_problem problem);

#endif
