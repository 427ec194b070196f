#include "server/wg/replay.h"

bool
replay_accept(struct replay *replay, uint64_t counter)
{
	if (!replay_fresh(replay, counter))
		return false;
	if (counter > replay->top) {
		const uint64_t from = replay->top / 64, to = counter / 64;
		const uint64_t steps = to - from < REPLAY_WORDS ? to - from : REPLAY_WORDS;

		for (uint64_t i = 0; i < steps; i++)
			replay->seen[(to - i) % REPLAY_WORDS] = 0;
		replay->top = counter;
	}
	replay->seen[counter / 64 % REPLAY_WORDS] |= UINT64_C(1) << counter % 64;
	return true;
}
