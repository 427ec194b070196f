/*
 * What is there: the body of NET_STATE, net's answer to every NET_PLAN, and told again by itself when
 * the uplink comes, goes or changes.  To read the counters afresh, send the plan again.
 *
 *	{
 *	  "applied": true,                          the newest plan holds in full, the uplink is there
 *	  "domains": [{"name": "default", "ifname": "wg0", "present": true, "up": true, "mtu": 1420,
 *	               "addresses": ["10.82.0.1/16", …], "peers_may_meet": false}],
 *	  "uplink": {"kind": "pasta", "ifname": "eth0", "present": true, "up": true,
 *	             "addresses": […], "gateways": […]},      ifname "" while pasta's is not there
 *	  "outside_sees": "peer" | "host" | "",     whose address a far server sees; "": no plan yet
 *	  "outside_sees_words": "each peer's own address" | "the host's address",
 *	  "refusals": [{"domain": "default", "rule": "spoofed", "words": "…", "packets": 0, "bytes": 0}],
 *	                                            domain "" for those of the uplink
 *	  "problems": [{"code": "uplink_missing", "words": "…", "remedy": "…"}]     [] when all is well
 *	}
 *
 * Before the first plan nothing is sent.  A refused plan gives "applied": false, a problem
 * "plan_refused", and the state of what was there before; if that was nothing, "domains" is empty and the
 * uplink's "kind" is "".
 */
#ifndef SERVER_NET_STATE_H
#define SERVER_NET_STATE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"
#include "server/net/plan.h"
#include "server/net/present.h"

/*
 * Problems: code; whether the plan does not hold in full for it; the remedy, which is what to type or to
 * change.  The words are composed where it is found.  The uplink is also missing while its other end is down.
 */
#define NET_PROBLEMS(X)                                                                                      \
	X(PLAN_REFUSED, "plan_refused", true,                                                                \
	  "correct what is named; until then the former plan stays in force")                                \
	X(UPLINK_MISSING, "uplink_missing", true, "name another one: WARREN_UPLINK")                         \
	X(UPLINK_NO_ADDRESS, "uplink_no_address", false,                                                     \
	  "give it one: WARREN_UPLINK_ADDRESS, or as root inside its network namespace")                     \
	X(UPLINK_NO_ROUTE, "uplink_no_route", false,                                                         \
	  "give it a gateway: WARREN_UPLINK_GATEWAY, or a default route on this host if the uplink is "      \
	  "pasta")                                                                                           \
	X(LINK, "link", true, "look at /dev/net/tun and at `ip -d link` inside; it is tried again")          \
	X(ADDRESS, "address", true, "look at `ip addr` inside; it is tried again")                           \
	X(ROUTE, "route", true, "check that the gateway can be reached over the uplink; it is tried again")  \
	X(NETWORK, "network", true, "see with `ip route` inside what else leads there; it is tried again")   \
	X(NETWORK_CLASH, "network_clash", false,                                                             \
	  "give the network behind that peer other addresses, or take the route from the peer")              \
	X(SYSCTL, "sysctl", true,                                                                            \
	  "where /proc/sys is read-only (a container), set what is named from outside: --sysctl NAME=VALUE") \
	X(RULES, "rules", true,                                                                              \
	  "check that nftables is installed and that the kernel has nf_tables; it is tried again")

enum net_problem {
#define X(name, ...) NET_PROBLEM_##name,
	NET_PROBLEMS(X)
#undef X
		NET_PROBLEM_COUNT
};

#define NET_PROBLEMS_MAX 16 /* those beyond are left out */

struct net_problems {
	size_t n;
	struct {
		enum net_problem problem;
		char words[NET_ERROR_LEN];
	} v[NET_PROBLEMS_MAX];
};

/* "uplink_missing" */
const char *net_problem_code(enum net_problem problem);
void net_problem_add(struct net_problems *problems, enum net_problem problem, const char *format, ...)
	_printf_(3, 4);

/* What a state is made of; all lent. */
struct net_view {
	const struct net_plan *plan;  /* in force; NULL: there was none yet */
	const struct net_plan *ruled; /* whose rules hold: the same, or a former one while they fail */
	const struct present *present;
	const json_t *counters; /* as ruleset_read() gives them; NULL: none */
	const struct net_problems *problems;
};

/*
 * The body of NET_STATE.  @counted: with the refusals.  The largest fits a message.  @ret is the caller's, to
 * be freed.  -ENOMEM.
 */
int state_make(const struct net_view *view, bool counted, char **ret) _must_check_;

#endif
