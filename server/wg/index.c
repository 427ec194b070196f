#include "server/wg/index.h"

#include <assert.h>

#include "server/wg/constants.h"

/*
 * A Feistel network over the 32 - worker_bits bits above the worker's.  Left and right differ by one
 * bit when that is odd; each round changes one side by a keyed function of the other, so that going
 * backwards is the same rounds in reverse.
 */

#define NUMBER_BITS  20
#define INDEX_ROUNDS 6

_Static_assert(WG_PEERS_MAX >> NUMBER_BITS == 1, "a peer number fits");

static inline uint64_t
rotate(uint64_t x, unsigned by)
{
	return x << by | x >> (64 - by);
}

/* The mixing of SipHash, shortened to what one small word needs. */
static uint32_t
round_function(const struct wg_index *index, unsigned round, uint32_t half)
{
	uint64_t v0 = index->key[0] ^ 0x736f6d6570736575, v1 = index->key[1] ^ 0x646f72616e646f6d,
		 v2 = index->key[0] ^ 0x6c7967656e657261, v3 = index->key[1] ^ 0x7465646279746573;
	const uint64_t word = (uint64_t)round << 32 | half;

	v3 ^= word;
	for (int i = 0; i < 3; i++) {
		v0 += v1;
		v1 = rotate(v1, 13) ^ v0;
		v0 = rotate(v0, 32);
		v2 += v3;
		v3 = rotate(v3, 16) ^ v2;
		v0 += v3;
		v3 = rotate(v3, 21) ^ v0;
		v2 += v1;
		v1 = rotate(v1, 17) ^ v2;
		v2 = rotate(v2, 32);
		if (i == 0) {
			v0 ^= word;
			v2 ^= 0xff;
		}
	}
	v0 ^= v1 ^ v2 ^ v3;
	return (uint32_t)(v0 ^ v0 >> 32);
}

void
index_init(struct wg_index *index, unsigned workers, const struct wg_random *random)
{
	assert(workers >= 1 && workers <= WG_WORKERS_MAX);
	*index = (struct wg_index){0};
	random->fill(random->ctx, index->key, sizeof(index->key));
	while (1U << index->worker_bits < workers)
		index->worker_bits++;
}

uint32_t
index_make(const struct wg_index *index, unsigned worker, uint32_t number, uint32_t generation)
{
	const unsigned bits = 32U - index->worker_bits, right_bits = bits / 2, left_bits = bits - right_bits;
	const uint32_t right_mask = (1U << right_bits) - 1, left_mask = (1U << left_bits) - 1;
	const uint32_t generations = (1U << (bits - NUMBER_BITS)) - 1;
	const uint32_t plain = (generation & generations) << NUMBER_BITS | number;
	uint32_t left = plain >> right_bits, right = plain & right_mask;

	assert(number < WG_PEERS_MAX && worker < 1U << index->worker_bits);
	for (unsigned i = 0; i < INDEX_ROUNDS; i += 2) {
		left ^= round_function(index, i, right) & left_mask;
		right ^= round_function(index, i + 1, left) & right_mask;
	}
	return (left << right_bits | right) << index->worker_bits | worker;
}

uint32_t
index_number(const struct wg_index *index, uint32_t value)
{
	const unsigned bits = 32U - index->worker_bits, right_bits = bits / 2, left_bits = bits - right_bits;
	const uint32_t right_mask = (1U << right_bits) - 1, left_mask = (1U << left_bits) - 1;
	const uint32_t mixed = value >> index->worker_bits;
	uint32_t left = mixed >> right_bits, right = mixed & right_mask;

	for (unsigned i = INDEX_ROUNDS; i > 0; i -= 2) {
		right ^= round_function(index, i - 1, left) & right_mask;
		left ^= round_function(index, i - 2, right) & left_mask;
	}
	return (left << right_bits | right) & (WG_PEERS_MAX - 1);
}
