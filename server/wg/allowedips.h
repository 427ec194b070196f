/*
 * Allowed IPs: the longest prefix that holds an address names the peer.
 *
 * One writer (the device) and any number of readers without locks: a path-compressed binary trie,
 * whose nodes are published by release stores.  Nodes taken out may still be under a reader's feet,
 * so they wait until every reader has said that it holds nothing (allowedips_reclaim()).
 *
 * The tables of a device, one a domain, share a pool: how many prefixes there may be in all, and one
 * list of what waits for the readers, so that a thousand tables cost no more to look after than one.
 */
#ifndef SERVER_WG_ALLOWEDIPS_H
#define SERVER_WG_ALLOWEDIPS_H

#include "server/wg/values.h"

struct allowedips;
struct allowedips_pool;

/* A peer's own prefixes; zeroes are an empty list.  Only the writer touches it. */
struct allowedips_node;
struct allowedips_list {
	struct allowedips_node *first;
};

/* @max prefixes in all tables.  Freed after all of them. */
int allowedips_pool_new(uint32_t max, struct allowedips_pool **ret) _must_check_;
void allowedips_pool_free(struct allowedips_pool *pool);

int allowedips_new(struct allowedips_pool *pool, struct allowedips **ret) _must_check_;

/* At once: when there are no readers any more. */
void allowedips_free(struct allowedips *table);
void allowedips_freep(struct allowedips **table);

/* As soon as no reader can be in it.  It is empty. */
void allowedips_retire(struct allowedips *table);

/* Readers: the peer (serial 0: none) for an address of 4 or 16 bytes in network order. */
struct wg_peer_id allowedips_lookup4(const struct allowedips *table, const uint8_t addr[4]);
struct wg_peer_id allowedips_lookup6(const struct allowedips *table, const uint8_t addr[16]);

/*
 * Readers: changes with every change of the table, and no two tables of a pool ever have the same, so
 * that answers can be remembered by it alone.
 */
uint64_t allowedips_version(const struct allowedips *table);

/*
 * Writer.  @cidr, host bits ignored, is @peer's from now on, whoever had it.  @list is the
 * peer's; @peer must be the same for all calls with that list.  -ENOSPC, -ENOMEM, -EINVAL.
 */
int allowedips_insert(struct allowedips *table, const struct cidr *cidr, struct wg_peer_id peer,
		      struct allowedips_list *list) _must_check_;

/* -ENOENT: @list does not have that prefix. */
int allowedips_remove(struct allowedips *table, const struct cidr *cidr, struct allowedips_list *list);
void allowedips_remove_all(struct allowedips *table, struct allowedips_list *list);

/* Walks a list, in no order: NULL starts, NULL ends. */
const struct allowedips_node *allowedips_next(const struct allowedips_list *list,
					      const struct allowedips_node *prev);
void allowedips_cidr(const struct allowedips_node *node, struct cidr *ret);

/*
 * Quiescence.  The writer publishes allowedips_epoch() to all readers; a reader that holds no
 * lookup in progress copies it to a place of its own; when all have copied at least e, the writer calls
 * allowedips_reclaim(pool, e), which frees what was taken out before epoch e was read.
 */
uint64_t allowedips_epoch(struct allowedips_pool *pool);
void allowedips_reclaim(struct allowedips_pool *pool, uint64_t epoch);

#endif
