/*
 * Packets that wait for a handshake: one pool of slots for all peers of a path, a queue in it for each
 * peer.  When a peer has WG_STAGED_PER_PEER, its oldest goes; when the pool is full, the oldest of all.
 */
#ifndef SERVER_WG_STAGED_H
#define SERVER_WG_STAGED_H

#include "server/wg/path.h"

struct staged_slot;

struct staged {
	struct staged_slot *slots;
	uint8_t *memory;
	uint32_t slot_len, packet_max;
	uint32_t free;           /* first of the free slots; as all such numbers, + 1, 0: none */
	uint32_t oldest, newest; /* of all */
};

/* A peer's queue; zeroes are an empty one.  It stays at its place while it holds packets. */
struct staged_queue {
	uint32_t first, last, count;
};

int staged_init(struct staged *staged, uint32_t slots, uint32_t packet_max) _must_check_;
void staged_done(struct staged *staged);

/*
 * Copies a packet of at most packet_max bytes, that came from an interface of that MTU.  Returns how many
 * older ones had to go: 0 or 1.
 */
unsigned staged_push(struct staged *staged, struct staged_queue *queue, const uint8_t *packet, uint32_t len,
		     uint32_t mtu);

/* The first up to @max packets that have one MTU, in place, with the room that sealing needs. */
unsigned staged_peek(const struct staged *staged, const struct staged_queue *queue, struct path_out *out,
		     unsigned max, uint32_t *mtu);

/* Drops the first @n, and wipes them.  @n is at most the count. */
void staged_pop(struct staged *staged, struct staged_queue *queue, unsigned n);

#endif
