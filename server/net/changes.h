/*
 * Wanted minus present is a list of changes: pure.  What is taken away comes before what is given, a link
 * is right before it is up, and a route comes when its link is.  A list of none: all is as the plan wants it.
 *
 * A domain's device is ours alone: whatever address it has that the plan does not name goes, and so do routes
 * over it, but only those that are ours by their protocol.  A route to a network behind peers never takes the
 * place of another's.  The uplink is also pasta's or root's: addresses and default routes of a family are set
 * where the plan names any of that family, and left alone where it does not; link-local ones stay in any case.
 */
#ifndef SERVER_NET_CHANGES_H
#define SERVER_NET_CHANGES_H

#include "server/net/netlink.h"
#include "server/net/plan.h"
#include "server/net/present.h"
#include "server/net/state.h"

/* A TUN's queue towards the tunnel, in superframes or packets. */
#define TUN_QUEUE_LEN 1000

#define CHANGES_MAX 2048

/* Change, the problem it is when it fails, words */
#define NET_CHANGES(X)                                                                                       \
	X(LINK_DOWN, LINK, "takes down")                                                                     \
	X(ADDRESS_DELETE, ADDRESS, "takes away")                                                             \
	X(NETWORK_DELETE, NETWORK, "takes away the route to")                                                \
	X(ROUTE_DELETE, ROUTE, "takes away the route")                                                       \
	X(LINK_SET, LINK, "sets")                                                                            \
	X(ADDRESS_ADD, ADDRESS, "adds")                                                                      \
	X(LINK_UP, LINK, "brings up")                                                                        \
	X(NETWORK_ADD, NETWORK, "adds the route to")                                                         \
	X(ROUTE_SET, ROUTE, "sets the route")

enum change_kind {
#define X(name, ...) CHANGE_##name,
	NET_CHANGES(X)
#undef X
		CHANGE_COUNT
};

struct change {
	enum change_kind kind;
	int index;
	char ifname[IFNAMSIZ];
	struct cidr address;     /* ADDRESS_… */
	bool no_dad;             /* ADDRESS_ADD: nobody else could have it */
	struct net_route route;  /* ROUTE_… */
	struct cidr network;     /* NETWORK_… */
	uint32_t priority;       /* NETWORK_DELETE */
	uint32_t mtu, queue_len; /* LINK_SET */
	bool no_link_local;      /* LINK_SET: the kernel makes up no address */
};

struct changes {
	size_t n;
	struct change v[CHANGES_MAX];
};

/* TUN devices that warrend keeps for us. */
struct net_devices {
	size_t n;
	char v[PRESENT_LINKS_MAX][IFNAMSIZ];
};

bool net_devices_have(const struct net_devices *devices, const char *ifname);

/*
 * A device of @kept that is no domain's any more is taken down and bared; deleting it takes long (removal.h).  -E2BIG: more changes than there is
 * room for.
 */
int changes_find(struct changes *ret, const struct net_plan *plan, const struct present *present,
		 const struct net_devices *kept) _must_check_;

/* "wg0: adds 10.82.0.1/16" */
#define CHANGE_TEXT_LEN 160
void change_text(char out[CHANGE_TEXT_LEN], const struct change *change);
enum net_problem change_problem(const struct change *change);

/* Makes it so.  The kernel's errno, negated; what is so already is no error. */
int change_make(struct netlink *nl, const struct change *change) _must_check_;

#endif
