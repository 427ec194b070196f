/*
 * What the kernel says unasked: the state of interfaces, and that routes changed.
 */
#ifndef SERVER_TUNNEL_NETLINK_H
#define SERVER_TUNNEL_NETLINK_H

#include <stdbool.h>

#include "base/cleanup.h"

/* A socket that hears of links, of routes, or both.  The caller's.  Negated errno. */
int netlink_open(bool links, bool routes) _must_check_;

struct netlink_link {
	unsigned ifindex, mtu; /* mtu 0: not said */
	bool up, gone;
};
typedef void netlink_link_fn(void *ctx, const struct netlink_link *link);

struct netlink_heard {
	bool routes; /* one that somebody set came or went */
	bool overrun; /* messages were lost: look anew */
};

/* Takes what has come; @link (NULL: nobody cares) is called for each.  Negated errno: of the socket. */
int netlink_read(int fd, netlink_link_fn *link, void *ctx, struct netlink_heard *ret) _must_check_;

#endif
