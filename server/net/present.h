/*
 * What is there in this network namespace: links, addresses, default routes and the routes that are ours, as
 * values, read in one go.  And where among them the uplink is.
 */
#ifndef SERVER_NET_PRESENT_H
#define SERVER_NET_PRESENT_H

#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/ip.h"
#include "server/net/netlink.h"
#include "server/net/plan.h"

#define PRESENT_LINKS_MAX     128
#define PRESENT_ADDRESSES_MAX 1024
#define PRESENT_ROUTES_MAX    64
#define PRESENT_NETWORKS_MAX  (8 * NET_ROUTES_MAX)

/* Of the routes that are ours, as `ip route` shows it: set by an administrator. */
#define OUR_PROTOCOL RTPROT_STATIC

struct net_link {
	int index;
	char ifname[IFNAMSIZ];
	uint32_t mtu, queue_len;
	uint16_t type; /* ARPHRD_… */
	bool up, carrier;
	bool tuntap;      /* made by /dev/net/tun */
	bool inet6;       /* IPv6 is there for it */
	uint8_t addr_gen; /* IN6_ADDR_GEN_MODE_…, if so */
};

/* Host bits are the own address. */
struct net_address {
	int index;
	struct cidr cidr;
	bool usable; /* neither tentative nor a duplicate, and not of the link alone */
};

/* A default route of the main table. */
struct net_route {
	int index; /* 0: several next hops */
	uint8_t family;
	struct ip gateway; /* family 0: none */
	uint32_t priority;
};

/* A route to a network behind peers: of the main table, over a TUN device, by our protocol. */
struct net_network {
	int index;
	struct cidr cidr;
	uint32_t priority;
};

struct present {
	size_t n_links, n_addresses, n_routes, n_networks;
	struct net_link links[PRESENT_LINKS_MAX];
	struct net_address addresses[PRESENT_ADDRESSES_MAX];
	struct net_route routes[PRESENT_ROUTES_MAX];
	struct net_network networks[PRESENT_NETWORKS_MAX];
};

/* -E2BIG: more than there is room for.  @ret is written in any case. */
int present_read(struct netlink *nl, struct present *ret) _must_check_;

/* Whether it is of the kind that a domain's device is: a TUN, not a TAP, which is Ethernet. */
bool net_link_is_tun(const struct net_link *link);

/* Lent from @present; NULL: there is none. */
const struct net_link *present_link(const struct present *present, const char *ifname);

/*
 * The uplink of @plan.  Where the plan does not name it, it is pasta's: the one Ethernet device of
 * /dev/net/tun, with a name that a plan could give.  Lent from @present; NULL: it is not there.
 */
const struct net_link *present_uplink(const struct present *present, const struct net_plan *plan);

#endif
