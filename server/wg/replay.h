/*
 * The window of counters seen, RFC 6479: a ring of words, of which the one ahead of the newest
 * counter is always stale, so that sliding costs one store a word.  A counter is fresh when it is
 * new and at most REPLAY_WINDOW behind the greatest.
 */
#ifndef SERVER_WG_REPLAY_H
#define SERVER_WG_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

#define REPLAY_BITS   8192U
#define REPLAY_WORDS  (REPLAY_BITS / 64)
#define REPLAY_WINDOW (REPLAY_BITS - 64)

/* Zeroes: nothing seen. */
struct replay {
	uint64_t top; /* the greatest counter seen */
	uint64_t seen[REPLAY_WORDS];
};

/* Whether @counter could be fresh; changes nothing.  For a look before the AEAD. */
static inline bool
replay_fresh(const struct replay *replay, uint64_t counter)
{
	if (counter > replay->top)
		return true;
	if (replay->top - counter > REPLAY_WINDOW)
		return false;
	return (replay->seen[counter / 64 % REPLAY_WORDS] >> counter % 64 & 1) == 0;
}

/* After the AEAD: marks @counter.  False: seen before, or too old. */
bool replay_accept(struct replay *replay, uint64_t counter);

#endif
