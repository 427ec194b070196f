/*
 * Small values that both halves, and those around them, hand to each other.
 */
#ifndef SERVER_WG_VALUES_H
#define SERVER_WG_VALUES_H

#include "base/clock.h"
#include "base/ip.h"

/* Both clocks, read once a turn by the caller. */
struct wg_now {
	nsec_t boot; /* CLOCK_BOOTTIME; > 0 */
	nsec_t wall; /* nanoseconds since the epoch */
};

/*
 * A peer as both halves and the allowed IPs name it.  Numbers are used again, pairs of number and
 * serial are not, so that what is on its way in a ring cannot hit a successor.  serial 0: no peer.
 */
struct wg_peer_id {
	uint32_t number; /* < WG_PEERS_MAX */
	uint32_t serial;
};

static inline bool
wg_peer_id_equal(struct wg_peer_id a, struct wg_peer_id b)
{
	return a.number == b.number && a.serial == b.serial;
}

/* What the socket says of a datagram that came in. */
struct wg_arrival {
	struct endpoint from;
	struct ip to;     /* the local address; family 0: not known */
	uint32_t ifindex; /* to answer through; 0: let routing decide (the rule) */
	uint8_t tos;
};

/* Where to send, and from which of our addresses (family 0: any). */
struct wg_route {
	struct endpoint to; /* family 0: not known */
	struct ip from;
	uint32_t ifindex;
};

#define WG_ACCESS(X)                                                            \
	X(ACTIVE, "active")                                                     \
	X(QUARANTINED, "quarantined") /* its packets go to the second TUN only */ \
	X(CUT, "cut")                 /* no packet passes, no handshake */

enum wg_access {
#define X(name, words) WG_##name,
	WG_ACCESS(X)
#undef X
};

/* "active", ...; static. */
const char *wg_access_words(enum wg_access access);

/* The end of an access, as wall clock and as boot time: the earlier one wins.  0: none. */
struct wg_end {
	nsec_t wall;
	nsec_t boot;
};

/* @at: seconds since the epoch, 0 for none.  What is past ends at once. */
struct wg_end wg_end_at(time_t at, struct wg_now now);

static inline bool
wg_ended(const struct wg_end *end, struct wg_now now)
{
	return end->wall != 0 && (now.wall >= end->wall || now.boot >= end->boot);
}

/* What a peer may use; 0: no limit of its own. */
struct wg_limits {
	uint64_t rate_rx, rate_tx; /* bytes of messages a second, from and to the peer */
	uint16_t mtu;              /* inner packets */
};

/* The only source of randomness. */
struct wg_random {
	void (*fill)(void *ctx, void *buf, size_t len);
	void *ctx;
};

#endif
