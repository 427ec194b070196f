/*
 * Peers: devices with one key, and one address of each family that their tenant has a pool of.
 */
#ifndef SERVER_STORE_PEER_H
#define SERVER_STORE_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/ids.h"
#include "base/ip.h"
#include "base/key.h"
#include "server/store/store.h"

#define PEER_NAME_MAX 63     /* bytes, UTF-8 */
#define PEER_ROUTES_MAX 32   /* prefixes that are routed to the peer, beyond its addresses */
#define PEER_SEALED_MAX 128  /* bytes of a sealed preshared key */
#define PEER_LIST_MAX 100000 /* peers in one answer */

struct sealed {
	uint8_t len; /* 0: none */
	uint8_t b[PEER_SEALED_MAX];
};

struct peer {
	struct peer_id id;
	struct user_id user;
	char user_name[256];
	char name[PEER_NAME_MAX + 1]; /* unique in the tenant */
	struct public_key key;        /* unique in the server */
	struct sealed psk;            /* the store neither seals nor opens it */
	struct ip address4, address6; /* family 0: none */
	size_t n_routes;
	struct cidr routes[PEER_ROUTES_MAX];
	time_t created_at;
	time_t expires_at;            /* 0: no end */
	time_t disabled_at;           /* 0: enabled */
	struct endpoint last_endpoint; /* ip.family 0: never seen */
	time_t last_handshake_at;     /* 0: never */
};

struct peers {
	size_t n;
	struct peer *v;
};

struct peer_new {
	struct user_id user;
	const char *name;
	struct public_key key;
	struct sealed psk;
	time_t expires_at; /* 0: none */
	size_t n_routes;
	const struct cidr *routes;
};

/*
 * A new peer with its leases and an audit row.  A peer that returns (its owner has had a peer of this
 * name or of this key before) gets its former addresses back if nobody has them.
 * -ERR_CONFLICT: the name is taken in the tenant, or the key somewhere; -ERR_POOL_FULL; -ERR_INVALID:
 * name, routes, key of zeroes or end before 1970; -ERR_NOT_FOUND: no such user.
 */
int peer_insert(struct tx *tx, const struct peer_new *peer, struct peer *ret) _must_check_;

/* -ERR_NOT_FOUND: not in this tenant. */
int peer_get(struct tx *tx, struct peer_id id, struct peer *ret) _must_check_;
int peer_find_name(struct tx *tx, const char *name, struct peer *ret) _must_check_;
int peer_find_key(struct tx *tx, const struct public_key *key, struct peer *ret) _must_check_;

/* By name, those after @after ("" for the first), at most @limit (1 … PEER_LIST_MAX). */
int peer_list(struct tx *tx, const char *after, size_t limit, struct peers *ret) _must_check_;
void peers_done(struct peers *peers);

/*
 * Changes, each with its audit row; @ret is the peer as it is then.  Telling it twice changes
 * nothing (and is not audited).  -ERR_NOT_FOUND; -ERR_CONFLICT: the key is in use.
 */
int peer_set_disabled(struct tx *tx, struct peer_id id, bool disabled, struct peer *ret) _must_check_;
int peer_set_expiry(struct tx *tx, struct peer_id id, time_t expires_at, struct peer *ret) _must_check_;
int peer_rekey(struct tx *tx, struct peer_id id, const struct public_key *key, struct peer *ret) _must_check_;
int peer_set_psk(struct tx *tx, struct peer_id id, const struct sealed *psk, struct peer *ret) _must_check_;

/* Its leases end and their addresses rest; name and key are free again.  History stays. */
int peer_remove(struct tx *tx, struct peer_id id) _must_check_;

#endif
