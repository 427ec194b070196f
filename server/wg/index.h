/*
 * Receiver indices: 32 bits of our choice that peers send back.
 *
 * The low bits name the worker that owns the peer, so that a packet can be steered by its bytes.
 * The rest is a keyed permutation of (peer number, generation): whoever has the key finds the peer
 * by arithmetic, without a table, and nobody else can tell one peer's indices from another's.
 */
#ifndef SERVER_WG_INDEX_H
#define SERVER_WG_INDEX_H

#include <stdint.h>

#include "server/wg/values.h"

/* A value; the same for the device and all its paths. */
struct wg_index {
	uint64_t key[2];
	uint8_t worker_bits; /* 0..6 */
};

/* @workers: 1..WG_WORKERS_MAX. */
void index_init(struct wg_index *index, unsigned workers, const struct wg_random *random);

/* Only the low 12 - worker_bits bits of @generation count. */
uint32_t index_make(const struct wg_index *index, unsigned worker, uint32_t number, uint32_t generation);

/* The peer number in @value, below WG_PEERS_MAX.  Any value has one: compare the whole index then. */
uint32_t index_number(const struct wg_index *index, uint32_t value);

static inline unsigned
index_worker(const struct wg_index *index, uint32_t value)
{
	return value & ((1U << index->worker_bits) - 1);
}

#endif
