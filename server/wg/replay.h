/*
 * The window of counters seen, RFC 6479: a ring of words, of which the one ahead of the newest
 * counter is always stale, so that sliding costs one store a word.  A counter is fresh when it is
 * new and at most REPLAY_WINDOW behind the greatest.
 *
 * Most sessions of most peers carry a few keepalives.  So a window begins with the few words that are
 * exact for counters below REPLAY_NEAR_BITS, and takes a whole ring out of a pool when a greater one
 * comes.  The pool is filled beforehand; if it is empty all the same, the few words are a ring themselves,
 * with a window of REPLAY_NEAR_WINDOW, until the next packet finds one: nothing is accepted twice,
 * and what is reordered by more than that is lost.
 */
#ifndef SERVER_WG_REPLAY_H
#define SERVER_WG_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

#define REPLAY_BITS   8192U
#define REPLAY_WORDS  (REPLAY_BITS / 64)
#define REPLAY_WINDOW (REPLAY_BITS - 64)

#define REPLAY_NEAR_BITS   256U
#define REPLAY_NEAR_WORDS  (REPLAY_NEAR_BITS / 64)
#define REPLAY_NEAR_WINDOW (REPLAY_NEAR_BITS - 64)

#define REPLAY_CHUNK 64 /* rings that are made at a time */

struct replay_ring {
	union {
		uint64_t seen[REPLAY_WORDS];
		struct replay_ring *next; /* while it is free */
	};
};

struct replay_chunk;

/* Zeroes but for @max: an empty pool. */
struct replay_pool {
	struct replay_chunk *chunks;
	struct replay_ring *free; /* that were used before */
	uint32_t fresh;           /* of the newest chunk, that were not */
	uint32_t left;            /* free and fresh */
	uint32_t made, max;
};

/* Makes rings until @spare are left.  -ENOMEM, -ENOSPC: there are fewer. */
int replay_pool_fill(struct replay_pool *pool, uint32_t spare);
void replay_pool_done(struct replay_pool *pool);

/* Zeroes: nothing seen. */
struct replay {
	uint64_t top; /* the greatest counter seen */
	union {
		uint64_t near[REPLAY_NEAR_WORDS];
		struct replay_ring *ring; /* if @wide */
	};
	bool wide;
};

/* Whether @counter could be fresh; changes nothing.  For a look before the AEAD. */
static inline bool
replay_fresh(const struct replay *replay, uint64_t counter)
{
	const uint64_t word = counter / 64;

	if (counter > replay->top)
		return true;
	if (replay->wide)
		return replay->top - counter <= REPLAY_WINDOW &&
		       (replay->ring->seen[word % REPLAY_WORDS] >> counter % 64 & 1) == 0;
	return (replay->top < REPLAY_NEAR_BITS || replay->top - counter <= REPLAY_NEAR_WINDOW) &&
	       (replay->near[word % REPLAY_NEAR_WORDS] >> counter % 64 & 1) == 0;
}

/* After the AEAD: marks @counter.  False: seen before, or too old. */
bool replay_accept(struct replay *replay, struct replay_pool *pool, uint64_t counter);

/* Gives the ring back. */
void replay_done(struct replay *replay, struct replay_pool *pool);

#endif
