/*
 * A token bucket: bytes that may pass now.  It fills at its rate up to what WG_LIMIT_BURST_TIME
 * brings, and holds a superframe in any case.
 */
#ifndef SERVER_WG_BUCKET_H
#define SERVER_WG_BUCKET_H

#include <stdbool.h>

#include "server/wg/constants.h"

/* Zeroes: no limit. */
struct bucket {
	uint64_t rate; /* bytes a second; 0: no limit */
	uint64_t depth, tokens;
	nsec_t filled;
};

/* A limit where there was none begins full; another one leaves what there is.  The same changes nothing. */
void bucket_set(struct bucket *bucket, uint64_t rate, nsec_t now);

/* Once a batch, before the others. */
void bucket_fill(struct bucket *bucket, nsec_t now);

static inline bool
bucket_has(const struct bucket *bucket, uint32_t len)
{
	return bucket->rate == 0 || bucket->tokens >= len;
}

/* False, and nothing is taken, if it has not that much. */
static inline bool
bucket_take(struct bucket *bucket, uint32_t len)
{
	if (!bucket_has(bucket, len))
		return false;
	if (bucket->rate != 0)
		bucket->tokens -= len;
	return true;
}

#endif
