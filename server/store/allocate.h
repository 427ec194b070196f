/*
 * Which number of a pool a peer gets, for the files of this folder.
 */
#ifndef SERVER_STORE_ALLOCATE_H
#define SERVER_STORE_ALLOCATE_H

#include <stdint.h>

#include "base/ids.h"
#include "base/ip.h"
#include "server/store/store.h"

/* The last number of @network that is leased: not the broadcast address of IPv4; IPv6 ends at 2^62 + 1. */
int64_t pool_last(const struct cidr *network);

/*
 * A lease for @peer in the one pool.  @alike is the number of its IPv4 lease, which IPv6 takes too if it can;
 * 0: none.
 * @number and @address are written on success.  1: it is new; 0: the peer has it already.  -ERR_POOL_FULL.
 */
int allocate(struct tx *tx, struct pool_id pool, const struct cidr *network, struct peer_id peer,
	     int64_t alike, int64_t *number, struct ip *address) _must_check_;

/* Ends all that @peer holds: their number. */
int leases_end(struct tx *tx, struct peer_id peer) _must_check_;

/* One of each family of which the tenant has a pool.  -ERR_POOL_FULL: all pools of a family are. */
int allocate_all(struct tx *tx, struct peer_id peer) _must_check_;

#endif
