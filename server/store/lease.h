/*
 * Leases: who has an address, and who had it.  peer_insert() and peer_remove() take and end them.
 *
 * An IPv4 address comes from the pool's free list: the one that its peer had before, else one that
 * rested long enough, the longest-free first.  The IPv6 address has the same number in its /64 as
 * the IPv4 one in its pool, so that people and logs can match them; a random number when that
 * is taken or there is no IPv4.
 */
#ifndef SERVER_STORE_LEASE_H
#define SERVER_STORE_LEASE_H

#include <stddef.h>
#include <time.h>

#include "base/ids.h"
#include "base/ip.h"
#include "server/store/store.h"

struct lease {
	struct lease_id id;
	struct pool_id pool;
	struct peer_id peer;
	struct ip address;
	int64_t from; /* microseconds since the epoch */
	int64_t to;   /* 0: it is held */
	char peer_name[64];
	char user_name[256];
};

struct leases {
	size_t n;
	struct lease *v;
};

/*
 * Lease to @peer a free address of @pool, or the one it holds or held before.  -ERR_POOL_FULL: no
 * address is free; -ERR_NOT_FOUND: no such pool or peer.
 */
int lease_take(struct tx *tx, struct pool_id pool, struct peer_id peer, struct ip *ret) _must_check_;

/* Ends all that @peer holds.  Number of leases ended. */
int lease_end(struct tx *tx, struct peer_id peer) _must_check_;

/* Who had @address at @at (microseconds since the epoch).  -ERR_NOT_FOUND: nobody of this tenant. */
int lease_holder(struct tx *tx, const struct ip *address, int64_t at, struct lease *ret) _must_check_;

/* All of @address, newest first, at most @limit (1 … 1000). */
int lease_history(struct tx *tx, const struct ip *address, size_t limit, struct leases *ret) _must_check_;
void leases_done(struct leases *leases);

#endif
