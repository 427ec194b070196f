/*
 * Under load: so many handshake messages a second from one source, an IPv4 address or an IPv6 /64.
 * A table of fixed size; a source that is quiet for WG_RATE_IDLE gives up its place, and while all
 * places of its set are taken a new source is refused.
 */
#ifndef SERVER_WG_RATELIMIT_H
#define SERVER_WG_RATELIMIT_H

#include <stdbool.h>

#include "server/wg/constants.h"
#include "server/wg/values.h"

struct ratelimit;

int ratelimit_new(const struct wg_random *random, struct ratelimit **ret) _must_check_;
void ratelimit_free(struct ratelimit *ratelimit);

/* Takes a token of @source; false: it has none. */
bool ratelimit_allow(struct ratelimit *ratelimit, const struct ip *source, nsec_t now);

#endif
