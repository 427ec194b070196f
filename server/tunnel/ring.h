/*
 * A bounded ring between one producer and one consumer, each a thread of its own.  Elements are
 * written and read in place.
 */
#ifndef SERVER_TUNNEL_RING_H
#define SERVER_TUNNEL_RING_H

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/cleanup.h"

struct ring {
	uint8_t *slots;
	size_t slot_len;
	uint32_t len;                       /* a power of two */
	_Alignas(64) _Atomic uint32_t head; /* the consumer's */
	_Alignas(64) _Atomic uint32_t tail; /* the producer's */
};

/* @len: a power of two.  -ENOMEM. */
static inline int _must_check_
ring_init(struct ring *ring, uint32_t len, size_t slot_len)
{
	ring->slots = calloc(len, slot_len);
	ring->slot_len = slot_len;
	ring->len = len;
	atomic_init(&ring->head, 0);
	atomic_init(&ring->tail, 0);
	return ring->slots ? 0 : -ENOMEM;
}

static inline void
ring_done(struct ring *ring)
{
	if (ring->slots)
		bytes_wipe(ring->slots, ring->len * ring->slot_len);
	free(ring->slots);
	ring->slots = NULL;
}

/* How many wait.  Either side, or a third that wants to know about. */
static inline uint32_t
ring_count(const struct ring *ring)
{
	return atomic_load_explicit(&ring->tail, memory_order_acquire) -
	       atomic_load_explicit(&ring->head, memory_order_acquire);
}

/* Producer: the @i-th free slot, or NULL if there are not that many; ring_push() hands @n over. */
static inline void *
ring_free(const struct ring *ring, uint32_t i)
{
	const uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);

	if (tail + i - atomic_load_explicit(&ring->head, memory_order_acquire) >= ring->len)
		return NULL;
	return ring->slots + ((tail + i) & (ring->len - 1)) * ring->slot_len;
}

static inline void
ring_push(struct ring *ring, uint32_t n)
{
	const uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);

	atomic_store_explicit(&ring->tail, tail + n, memory_order_release);
}

/* Consumer: the oldest element, or NULL; ring_pop() gives its slot back. */
static inline void *
ring_front(const struct ring *ring)
{
	const uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);

	if (head == atomic_load_explicit(&ring->tail, memory_order_acquire))
		return NULL;
	return ring->slots + (head & (ring->len - 1)) * ring->slot_len;
}

static inline void
ring_pop(struct ring *ring)
{
	const uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);

	atomic_store_explicit(&ring->head, head + 1, memory_order_release);
}

#endif
