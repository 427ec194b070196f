/*
 * What the kernel says unasked: the state of one interface, and that routes or addresses changed.
 */
#ifndef SERVER_TUNNEL_NETLINK_H
#define SERVER_TUNNEL_NETLINK_H

#include <stdbool.h>

#include "base/cleanup.h"

/* A socket that hears of links, of routes and addresses, or both.  The caller's.  Negated errno. */
int netlink_open(bool links, bool routes) _must_check_;

struct netlink_heard {
	bool link, link_gone, routes;
	bool overrun; /* messages were lost: look anew */
};

/* Takes what has come; @ifindex is the link of interest.  Negated errno: of the socket. */
int netlink_read(int fd, unsigned ifindex, struct netlink_heard *ret) _must_check_;

#endif
