/*
 * The kernel's switches (sysctls) that a plan needs, each compared before it is set.
 *
 * rp_filter stays as it is: the guard of the rules holds every source to its link, and counts it; with one
 * uplink neither of its modes takes anything else away.
 */
#ifndef SERVER_NET_SWITCHES_H
#define SERVER_NET_SWITCHES_H

#include "server/net/plan.h"
#include "server/net/present.h"
#include "server/net/state.h"

/* Those of links, before these are up.  What fails is added to @problems. */
void switches_links(const struct net_plan *plan, const struct present *present,
		    struct net_problems *problems);

/* Forwarding, of the families that the domains have; last, when the rules hold and the links are right. */
void switches_forwarding(const struct net_plan *plan, struct net_problems *problems);

#endif
