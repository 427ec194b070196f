/*
 * From a plan to what is there, in this order, so that nothing passes that the plan does not allow:
 *
 *	rules  ─►  TUN devices  ─►  switches of links  ─►  links, addresses, routes  ─►  forwarding
 *
 * Where the rules fail nothing else is touched: no device comes up that they would not watch.  Everything
 * is compared first; what is right already is not set again.
 *
 * What the uplink's link is in by itself (pasta's addresses, or root's) a plan cannot know.  A network that
 *is there is not behind a peer as well: its route is left out, with a problem, and the rest of the plan
 *holds.
 */
#ifndef SERVER_NET_RECONCILE_H
#define SERVER_NET_RECONCILE_H

#include <stdbool.h>

#include "base/cleanup.h"
#include "server/net/changes.h"
#include "server/net/netlink.h"
#include "server/net/plan.h"
#include "server/net/present.h"
#include "server/net/rules.h"
#include "server/net/state.h"
#include "server/proc/config.h"

/* Takes a new TUN device's queues, which stay the caller's. */
typedef int keep_tun_fn(void *arg, const char *ifname, const int *queues, size_t n);

#define NET_QUEUES_MAX CONFIG_WORKERS_MAX

struct reconcile {
	struct netlink *nl;
	struct present present; /* as last read */
	struct changes changes;
	struct rules rules;
	struct net_plan fits;  /* the plan of the last run, without routes that cannot be */
	struct net_plan ruled; /* whose rules hold; of no domain: none that we know */
	struct net_devices kept;
	struct net_problems problems; /* of the last run */
	size_t n_queues;              /* of a device */
	keep_tun_fn *keep_tun;
	void *keep_arg;
};

/* @n_queues: of each device, 1 to NET_QUEUES_MAX. */
int reconcile_init(struct reconcile *rc, size_t n_queues, keep_tun_fn *keep_tun, void *arg) _must_check_;
void reconcile_done(struct reconcile *rc);

/*
 * Before any plan: closes the rules unless a plan of before is in force, brings loopback up, makes the
 * first domain's device (down).  Only the device is an error; the rest is logged and tried again with a plan.
 */
int reconcile_begin(struct reconcile *rc) _must_check_;

/*
 * Brings about @plan.  @afresh: asks nft what is there, instead of trusting what was read or written last.
 * What failed is in rc->problems.
 */
void reconcile_run(struct reconcile *rc, const struct net_plan *plan, bool afresh);

/* Where there is no plan: only looks what is there. */
void reconcile_look(struct reconcile *rc);

/* Whether the last run left something to be tried again. */
bool reconcile_unfinished(const struct reconcile *rc);

#endif
