/*
 * The networks that the host has already: what a pool must not clash with, and the address that the
 * outside knows us by.  To be called outside the inner namespace; needs no privilege.
 */
#ifndef SERVER_NET_HOST_H
#define SERVER_NET_HOST_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"
#include "base/ip.h"

#define HOST_NETWORKS_MAX 1024 /* a full routing table is cut here */

/* A prefix that is reached over @ifname, or our own address there; default routes are not among them. */
struct host_network {
	struct cidr cidr;
	char ifname[IFNAMSIZ]; /* empty: unreachable or blackhole route */
};

struct host_networks {
	size_t n;
	bool cut; /* there are more */
	struct host_network v[HOST_NETWORKS_MAX];
	struct ip source4, source6; /* of the default route; family 0: there is none */
};

/* Asks the kernel.  -ERR_NETLINK or a negated errno; @ret is written on success only. */
int host_networks(struct host_networks *ret) _must_check_;

/* The first network that overlaps @pool, or NULL.  Lent from @networks. */
const struct host_network *host_networks_clash(const struct host_networks *networks, const struct cidr *pool);

#endif
