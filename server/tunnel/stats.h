/*
 * What a worker counts, and what the kernel does for it.  One writer each, any readers.
 */
#ifndef SERVER_TUNNEL_STATS_H
#define SERVER_TUNNEL_STATS_H

#include <stdatomic.h>
#include <stdint.h>

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

#define STATS_OFFLOADS(X)                                                                                    \
	X(TUN_VNET_HDR, tun_vnet_hdr)                                                                        \
	X(TUN_TSO, tun_tso)                                                                                  \
	X(TUN_USO, tun_uso)                                                                                  \
	X(UDP4_GSO, udp4_gso)                                                                                \
	X(UDP6_GSO, udp6_gso)                                                                                \
	X(UDP4_GRO, udp4_gro)                                                                                \
	X(UDP6_GRO, udp6_gro)

enum stats_offload {
#define X(name, low) OFFLOAD_##name,
	STATS_OFFLOADS(X)
#undef X
		OFFLOAD_COUNT
};

enum offload_state {
	OFFLOAD_OFF, /* the kernel does not have it */
	OFFLOAD_ON,
	OFFLOAD_DOWN, /* it failed while running */
};

struct stats {
	_Atomic uint64_t calls[STATS_CALL_COUNT], segments[STATS_CALL_COUNT];
	_Atomic uint64_t datagrams; /* received, junk included */
	_Atomic uint8_t offloads[OFFLOAD_COUNT];
	struct wg_counters drops; /* before or beyond the path */
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

static inline void
offload_set(struct stats *stats, enum stats_offload which, enum offload_state state)
{
	atomic_store_explicit(&stats->offloads[which], (uint8_t)state, memory_order_relaxed);
}

static inline enum offload_state
offload_get(const struct stats *stats, enum stats_offload which)
{
	return (enum offload_state)atomic_load_explicit(&stats->offloads[which], memory_order_relaxed);
}

#endif
