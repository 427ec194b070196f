/*
 * What a worker counts, one writer each, any readers; and the ladder on which all workers stand.
 */
#ifndef SERVER_TUNNEL_STATS_H
#define SERVER_TUNNEL_STATS_H

#include <stdatomic.h>
#include <stdint.h>

#include "server/tunnel/ladder.h"
#include "server/wg/drops.h"

/* Frames through the kernel's borders, and packets in them. */
#define STATS_CALLS(X)                                                                                       \
	X(TUN_READ, tun_read)                                                                                \
	X(TUN_WRITE, tun_write)                                                                              \
	X(UDP_RECEIVE, udp_receive)                                                                          \
	X(UDP_SEND, udp_send)

enum stats_call {
#define X(name, low) STATS_##name,
	STATS_CALLS(X)
#undef X
		STATS_CALL_COUNT
};

struct stats {
	_Atomic uint64_t calls[STATS_CALL_COUNT], segments[STATS_CALL_COUNT];
	_Atomic uint64_t datagrams; /* received, junk included */
	struct wg_counters drops;   /* before or beyond the path */
	struct ladder *ladder;      /* lent, and shared with the other workers */
};

static inline void
stats_add(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

static inline void
stats_call(struct stats *stats, enum stats_call call, uint64_t calls, uint64_t segments)
{
	stats_add(&stats->calls[call], calls);
	stats_add(&stats->segments[call], segments);
}

#endif
