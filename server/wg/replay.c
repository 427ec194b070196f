#include "server/wg/replay.h"

#include <errno.h>
#include <string.h>

struct replay_chunk {
	struct replay_chunk *next;
	struct replay_ring rings[REPLAY_CHUNK];
};

/* What is left of the newest chunk goes to the free ones before there is a newer one. */
static int
chunk_add(struct replay_pool *pool)
{
	struct replay_chunk *chunk;

	if (pool->made + REPLAY_CHUNK > pool->max)
		return -ENOSPC;
	/* Pages become resident when a ring in them is first used. */
	chunk = malloc(sizeof(*chunk));
	if (!chunk)
		return -ENOMEM;
	while (pool->fresh > 0) {
		struct replay_ring *ring = &pool->chunks->rings[--pool->fresh];

		ring->next = pool->free;
		pool->free = ring;
	}
	chunk->next = pool->chunks;
	pool->chunks = chunk;
	pool->fresh = REPLAY_CHUNK;
	pool->left += REPLAY_CHUNK;
	pool->made += REPLAY_CHUNK;
	return 0;
}

int
replay_pool_fill(struct replay_pool *pool, uint32_t spare)
{
	int r = 0;

	while (pool->left < spare && r == 0)
		r = chunk_add(pool);
	return r;
}

void
replay_pool_done(struct replay_pool *pool)
{
	while (pool->chunks) {
		struct replay_chunk *chunk = pool->chunks;

		pool->chunks = chunk->next;
		free(chunk);
	}
	*pool = (struct replay_pool){.max = pool->max};
}

static struct replay_ring *
ring_take(struct replay_pool *pool)
{
	struct replay_ring *ring = pool->free;

	if (pool->left == 0)
		return NULL;
	pool->left--;
	if (!ring)
		return &pool->chunks->rings[--pool->fresh];
	pool->free = ring->next;
	return ring;
}

/* Below REPLAY_NEAR_BITS all is known; later, of what is older than the few words, only that it may be seen.
 */
static void
widen(struct replay *replay, struct replay_pool *pool)
{
	struct replay_ring *ring = ring_take(pool);
	const uint64_t newest = replay->top / 64;

	if (!ring)
		return;
	memset(ring->seen, replay->top < REPLAY_NEAR_BITS ? 0 : 0xff, sizeof(ring->seen));
	for (uint64_t i = 0; i < REPLAY_NEAR_WORDS && i <= newest; i++)
		ring->seen[(newest - i) % REPLAY_WORDS] = replay->near[(newest - i) % REPLAY_NEAR_WORDS];
	replay->ring = ring;
	replay->wide = true;
}

bool
replay_accept(struct replay *replay, struct replay_pool *pool, uint64_t counter)
{
	uint64_t *seen, words;

	if (!replay_fresh(replay, counter))
		return false;
	if (!replay->wide && counter >= REPLAY_NEAR_BITS)
		widen(replay, pool);
	seen = replay->wide ? replay->ring->seen : replay->near;
	words = replay->wide ? REPLAY_WORDS : REPLAY_NEAR_WORDS;
	if (counter > replay->top) {
		const uint64_t from = replay->top / 64, to = counter / 64;
		const uint64_t steps = MIN(to - from, words);

		for (uint64_t i = 0; i < steps; i++)
			seen[(to - i) % words] = 0;
		replay->top = counter;
	}
	seen[counter / 64 % words] |= UINT64_C(1) << counter % 64;
	return true;
}

void
replay_done(struct replay *replay, struct replay_pool *pool)
{
	if (!replay->wide)
		return;
	replay->ring->next = pool->free;
	pool->free = replay->ring;
	pool->left++;
	*replay = (struct replay){0};
}
