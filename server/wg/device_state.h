/*
 * What the device knows, and what its parts do for each other.  Inside of server/wg only.
 */
#ifndef SERVER_WG_DEVICE_STATE_H
#define SERVER_WG_DEVICE_STATE_H

#include "server/wg/cookie.h"
#include "server/wg/device.h"
#include "server/wg/noise.h"
#include "server/wg/roster.h"
#include "server/wg/ratelimit.h"
#include "server/wg/timers.h"

struct wg_domain {
	unsigned number;
	bool up;
	struct allowedips *allowed;
	TAILQ_HEAD(, wg_peer) peers; /* oldest first */
	uint32_t peer_count;
};

struct wg_device {
	struct wg_random random;
	unsigned workers;
	unsigned up; /* domains */
	struct wg_index index;
	struct noise_identity identity;
	struct cookie_checker checker;
	struct ratelimit *ratelimit;
	struct allowedips_pool *pool;
	struct roster peers;
	struct timer_heap timers;
	struct wg_counters counters;
	nsec_t wall_ahead; /* of the boot time, the most that it ever was: initiations are stamped with it */
	unsigned domains_from; /* no lower number is free */
	struct wg_domain *domains[WG_DOMAINS_MAX];
};

/* A step in progress: what all of its parts need. */
struct turn {
	struct wg_device *device;
	struct wg_now now;
	const struct wg_effects *out;
};

/* An order about @peer to its worker. */
void device_order(struct wg_device *device, const struct wg_peer *peer, struct wg_order *order,
		  const struct wg_effects *out);
void device_order_simple(struct wg_device *device, const struct wg_peer *peer, enum wg_order_type type,
			 const struct wg_effects *out);

/* Domains. */
void domain_up(const struct turn *turn, struct wg_domain *domain);
void domain_down(const struct turn *turn, struct wg_domain *domain);
void domains_done(struct wg_device *device); /* whose peers are gone */

/* How much the wall clock is ahead of the boot time, or was. */
static inline nsec_t
device_wall_ahead(struct wg_device *device, struct wg_now now)
{
	device->wall_ahead = MAX(device->wall_ahead, now.wall - now.boot);
	return device->wall_ahead;
}

/* Why there can be no handshake with @peer now, or DROP_NONE. */
enum wg_drop device_refuses(const struct turn *turn, const struct wg_peer *peer);

/* The peer was found at @route; the path is told unless it said so itself. */
void peer_route_learn(const struct turn *turn, struct wg_peer *peer, const struct wg_route *route,
		      nsec_t learned, bool tell_path);
void peer_source_forget(struct wg_device *device, struct wg_peer *peer, const struct wg_effects *out);

/* Handshakes. */
void handshake_initiate(const struct turn *turn, struct wg_peer *peer, bool retry);
void handshake_receive(const struct turn *turn, const uint8_t *data, size_t len,
		       const struct wg_arrival *arrival, bool loaded);
void handshake_complete(const struct turn *turn, struct wg_peer *peer);

/* Forgets sessions and what is under way, here and in the path. */
void peer_keys_clear(struct wg_device *device, struct wg_peer *peer, const struct wg_effects *out);

/* Timers: what happened to a peer. */
void peer_sent(const struct turn *turn, struct wg_peer *peer, nsec_t at);
void peer_received(const struct turn *turn, struct wg_peer *peer, nsec_t at);
void peer_data_sent(const struct turn *turn, struct wg_peer *peer, nsec_t at);
void peer_data_received(const struct turn *turn, struct wg_peer *peer, nsec_t at, bool more);
void peer_initiated(const struct turn *turn, struct wg_peer *peer);
void peer_session_derived(const struct turn *turn, struct wg_peer *peer);

/* What is due is done, for at most WG_TICK_PEERS peers. */
void peer_timers_tick(const struct turn *turn);

#endif
