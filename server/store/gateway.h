/*
 * What the data plane needs to know, of all tenants, by gateway transactions.
 *
 * Every change of a peer, a lease, a pool or a tenant carries the number of its transaction.  A
 * reader keeps the revision that it was given and asks for what is newer; since that revision is the
 * oldest transaction that was still running then, nothing is missed, and a row may come twice, which
 * changes nothing.  Notifications are a hint only.
 */
#ifndef SERVER_STORE_GATEWAY_H
#define SERVER_STORE_GATEWAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/ids.h"
#include "base/ip.h"
#include "base/key.h"
#include "server/store/peer.h"
#include "server/store/store.h"

/* Removed peers come with @gone set, and with key and id alone. */
struct gateway_peer {
	struct peer_id id;
	struct tenant_id tenant;
	struct public_key key;
	struct sealed psk;
	struct ip address4, address6;
	size_t n_routes;
	struct cidr *routes; /* owned */
	time_t expires_at;   /* 0: none */
	bool disabled;       /* itself or its user */
	bool gone;
	struct endpoint last_endpoint;
	time_t last_handshake_at;
};

struct gateway_pool {
	struct tenant_id tenant;
	struct cidr network;
};

struct gateway_tenant {
	struct tenant_id id;
	char name[64];
	bool peers_may_meet;
};

struct gateway_feed {
	uint64_t revision; /* for the next call */
	size_t n_peers, n_pools, n_tenants;
	struct gateway_peer *peers;
	struct gateway_pool *pools;     /* always all */
	struct gateway_tenant *tenants; /* always all */
};

/* @since 0: all peers that are there; else those changed, and gone, since. */
int gateway_read(struct tx *tx, uint64_t since, struct gateway_feed *ret) _must_check_;
void gateway_feed_done(struct gateway_feed *feed);

/* What was seen of a peer.  Unknown and removed peers are passed over; older news do not replace newer. */
struct gateway_note {
	struct peer_id peer;
	struct endpoint endpoint;
	time_t handshake_at; /* 0: none known */
};

int gateway_notes(struct tx *tx, const struct gateway_note *notes, size_t n) _must_check_;

/*
 * A connection of its own that hears hints.  Its descriptor becomes readable; listener_read() then is 1 (something
 * changed), 0 (nothing) or -ERR_DATABASE (cut: free it, open it again later, and poll meanwhile).
 */
struct listener;
int listener_open(const char *conninfo, struct listener **ret) _must_check_;
int listener_fd(const struct listener *listener);
int listener_read(struct listener *listener) _must_check_;
void listener_free(struct listener *listener);
void listener_freep(struct listener **listener);

#endif
