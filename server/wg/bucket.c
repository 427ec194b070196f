#include "server/wg/bucket.h"

#include "base/cleanup.h"

typedef unsigned __int128 wide;

static uint64_t
depth_of(uint64_t rate)
{
	const uint64_t burst = (uint64_t)((wide)rate * WG_LIMIT_BURST_TIME / SECONDS(1));

	return MAX(burst, (uint64_t)WG_LIMIT_BURST_MIN);
}

void
bucket_set(struct bucket *bucket, uint64_t rate, nsec_t now)
{
	const bool limited = bucket->rate != 0;

	if (rate == bucket->rate)
		return;
	bucket_fill(bucket, now);
	bucket->rate = rate;
	bucket->depth = depth_of(rate);
	bucket->tokens = limited ? MIN(bucket->tokens, bucket->depth) : bucket->depth;
	bucket->filled = now;
}

/* Time that made no whole byte yet is kept, or a busy peer would get less than its rate. */
void
bucket_fill(struct bucket *bucket, nsec_t now)
{
	wide bytes;

	if (bucket->rate == 0 || now <= bucket->filled)
		return;
	bytes = (wide)(now - bucket->filled) * bucket->rate / SECONDS(1);
	if (bytes >= bucket->depth - bucket->tokens) {
		bucket->tokens = bucket->depth;
		bucket->filled = now;
		return;
	}
	bucket->tokens += (uint64_t)bytes;
	bucket->filled += (nsec_t)((bytes * SECONDS(1) + bucket->rate - 1) / bucket->rate);
}
