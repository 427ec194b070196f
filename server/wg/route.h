/*
 * Routes compared and learned: the same for handshakes and for data.
 */
#ifndef SERVER_WG_ROUTE_H
#define SERVER_WG_ROUTE_H

#include "server/wg/values.h"

/* The way back to where something came from. */
static inline struct wg_route
route_back(const struct wg_arrival *arrival)
{
	return (struct wg_route){.to = arrival->from, .from = arrival->to, .ifindex = arrival->ifindex};
}

static inline bool
route_equal(const struct wg_route *a, const struct wg_route *b)
{
	return a->ifindex == b->ifindex && endpoint_equal(&a->to, &b->to) && ip_equal(&a->from, &b->from);
}

/* Routing chooses the source from now on. */
static inline void
route_forget_source(struct wg_route *route)
{
	route->from = (struct ip){0};
	route->ifindex = 0;
}

static inline bool
route_known(const struct wg_route *route)
{
	return route->to.ip.family != 0;
}

#endif
