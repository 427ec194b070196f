/*
 * Counters in any order, with a pool that is empty for a while: what a window accepts was never accepted
 * before, and what is recent enough for the form that it had all along is not refused.
 */
#include "server/wg/replay.h"

#include <stdio.h>

#include "tests/fuzz/wg/input.h"

#define COUNTERS 600
#define WINDOW   8128
#define NEAR     192

static bool
is_in(const uint64_t *accepted, unsigned n, uint64_t counter)
{
	for (unsigned i = 0; i < n; i++)
		if (accepted[i] == counter)
			return true;
	return false;
}

/* Mostly steps of little, sometimes of much. */
static uint64_t
counter_take(struct input *in, uint64_t at)
{
	const uint8_t choice = input_byte(in);

	switch (choice >> 6) {
	case 0:
		return at + (choice & 63);
	case 1:
		return at - MIN(at, (uint64_t)(choice & 63) * 5);
	case 2:
		return choice & 32 ? at + input_word(in) % 20000
				   : at - MIN(at, (uint64_t)input_word(in) % 20000);
	default:
		return choice & 32 ? (uint64_t)input_word(in) << 32 | input_word(in) : choice & 31;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	const unsigned filled = input_byte(&in);
	struct replay_pool pool = {.max = REPLAY_CHUNK};
	struct replay replay = {0};
	uint64_t accepted[COUNTERS], top = 0, at = 0;
	bool slid = false; /* the short window had to forget */
	unsigned n = 0;

	for (unsigned i = 0; i < COUNTERS && in.left; i++) {
		bool known, took;

		if (i == filled)
			check(replay_pool_fill(&pool, 1) == 0);
		at = counter_take(&in, at);
		known = is_in(accepted, n, at);
		took = replay_fresh(&replay, at);
		check(replay_accept(&replay, &pool, at) == took);
		check(!took || !known);
		check(took || known || (at < top && top - at > (slid ? NEAR : WINDOW)));
		check(!took || at >= top || top - at <= WINDOW);
		if (!took)
			continue;
		accepted[n++] = at;
		top = MAX(top, at);
		check(replay.top == top);
		slid = slid || (!replay.wide && top >= REPLAY_NEAR_BITS);
		check(replay.wide || slid || top < REPLAY_NEAR_BITS);
	}
	replay_done(&replay, &pool);
	check(pool.left == pool.made);
	replay_pool_done(&pool);
	return 0;
}
