/*
 * Pools: prefixes that a tenant's peers have their addresses from.  No two of a server overlap.
 */
#ifndef SERVER_STORE_POOL_H
#define SERVER_STORE_POOL_H

#include <stddef.h>
#include <time.h>

#include "base/ids.h"
#include "base/ip.h"
#include "server/store/store.h"

#define POOL_GATEWAY 1 /* offset of the gateway's own address: cidr_nth(cidr, POOL_GATEWAY) */
#define POOL_FIRST 2   /* first offset that is leased */

struct pool {
	struct pool_id id;
	struct cidr network;
	uint64_t size;    /* addresses that can be leased (IPv6: at most 2^62) */
	uint64_t leased;  /* now */
	uint64_t resting; /* freed, not yet for others */
	time_t created_at;
};

struct pools {
	size_t n;
	struct pool *v;
};

/* With utilisation, by network, IPv4 first. */
int pool_list(struct tx *tx, struct pools *ret) _must_check_;
void pools_done(struct pools *pools);

/*
 * Adds a pool: IPv4 /8 … /30, IPv6 /32 … /120, no host bits.  -ERR_INVALID: something else;
 * -ERR_POOL_OVERLAP: with a pool of any tenant.
 */
int pool_insert(struct tx *tx, const struct cidr *network, struct pool_id *ret) _must_check_;

#endif
