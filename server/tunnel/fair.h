/*
 * A bounded queue for when there is more to do than can be done: what waits is served peer by peer in turn,
 * so that who sends more waits longer, and loses his own when there is no room (deficit round robin,
 * Shreedhar and Varghese 1995; drop from the longest queue).
 *
 * Frames stay in the caller's pool; here they are numbers of its buffers.  All is allocated at the start.
 * Pushing and popping cost O(log of the peers that wait), and that only for knowing the longest queue.
 */
#ifndef SERVER_TUNNEL_FAIR_H
#define SERVER_TUNNEL_FAIR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"

/*
 * What a packet costs beside its bytes, in bytes: the least one takes 1.2 us, and a byte of a superframe
 * 0.6 ns (docs/performance.md).  Without it a flood of small packets would pass for a light load, merged into
 * superframes on its way in most of all: each of them is written to the device by itself.  Packets of bulk
 * TCP are written many at a time, and pay up to 2.6 times what they cost; they get that much less than half.
 */
#define FAIR_PACKET_COST 2048U

/* A frame costs that at most, however many packets are in it. */
#define FAIR_BYTES_MAX   65536U
#define FAIR_PACKETS_MAX 128U

/* What a peer may spend each time it is its turn: the largest frame, so that each turn serves one at least.
 */
#define FAIR_QUANTUM (FAIR_BYTES_MAX + FAIR_PACKETS_MAX * FAIR_PACKET_COST)

struct fair;

struct fair_item {
	uint64_t key;    /* the peer, or whoever it is to be fair among */
	uint32_t buffer; /* < @buffers of fair_new() */
	uint32_t cost;   /* fair_cost() */
};

static inline uint32_t
fair_cost(uint32_t bytes, uint32_t packets)
{
	return MIN(bytes, FAIR_BYTES_MAX) + MIN(packets, FAIR_PACKETS_MAX) * FAIR_PACKET_COST;
}

/* A queue of at most @max frames, in a pool of @buffers.  -ENOMEM. */
int fair_new(uint32_t max, uint32_t buffers, struct fair **ret) _must_check_;
void fair_free(struct fair *fair);
void fair_freep(struct fair **fair);

/*
 * Queues @item behind what its peer has there.  False: there was no room, and the newest frame of the peer
 * that has most waiting was given up: *@lost, which may be @item itself; its buffer is the caller's again.
 */
bool fair_push(struct fair *fair, const struct fair_item *item, struct fair_item *lost) _must_check_;

/* Gives up the newest frame of the peer that has most waiting.  False: nothing waits. */
bool fair_drop(struct fair *fair, struct fair_item *lost) _must_check_;

/* The next to be served; its buffer is the caller's again.  False: nothing waits. */
bool fair_pop(struct fair *fair, struct fair_item *ret) _must_check_;

/* How many frames wait, and of how many peers. */
uint32_t fair_count(const struct fair *fair);
uint32_t fair_peers(const struct fair *fair);

#endif
