/*
 * What people do with peers: each a transaction, then a wait until the tunnel
 * has it.  From any thread but the loop's.  On failure @p says why; results are written on success only.
 */
#ifndef SERVER_CONTROL_PEERS_H
#define SERVER_CONTROL_PEERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "base/cleanup.h"
#include "server/control/control.h"
#include "server/control/problem.h"
#include "server/control/work.h"
#include "server/store/peer.h"

#define HANDSHAKE_WAITERS_MAX 16

enum peer_state { PEER_ACTIVE, PEER_DISABLED, PEER_EXPIRED };

/* A peer as the database has it, and as the tunnel sees it now. */
struct peer_view {
	struct peer peer;
	enum peer_state state;
	bool online;
	struct endpoint endpoint; /* ip.family 0: not known */
	time_t last_handshake_at; /* 0: none */
	time_t now;
	uint64_t rx_bytes, tx_bytes;
};

struct peer_views {
	size_t n;
	struct peer_view *v;
	bool more; /* there are others behind these */
};

/* What a client needs beside its private key. */
struct client_config {
	bool has_key;
	struct public_key key;
	struct reach reach;
	struct ip_list dns;
	unsigned mtu, keepalive;
	bool ip4, ip6; /* what it has addresses of: everything of that family goes through the gateway */
};

struct peer_wish {
	const char *name;
	struct public_key key;
	time_t expires_at; /* 0: none */
	size_t n_routes;
	const struct cidr *routes;
};

struct peer_change {
	bool has_expiry, has_disabled, disabled;
	bool in_future; /* an end that has passed is refused */
	time_t expires_at;
};

/* 1 to 63 of [A-Za-z0-9._-], a letter or digit first, not digits alone: those are ids. */
bool peer_name_is_valid(const char *name);

/* @peer: its id in digits, or its name. */
int peers_get(struct control *control, const char *peer, struct peer_view *ret,
	      struct problem *p) _must_check_;

/* The same when it has shaken hands with its present key, or after @limit.  -EBUSY: too many wait. */
int peers_await_handshake(struct control *control, const char *peer, nsec_t limit, struct peer_view *ret,
			  struct problem *p) _must_check_;

/* By name, those after @after, at most @limit (1 … 500). */
int peers_list(struct control *control, const char *after, size_t limit, struct peer_views *ret,
	       struct problem *p) _must_check_;
void peer_views_done(struct peer_views *views);

int peers_add(struct control *control, const struct caller *caller, const struct peer_wish *wish,
	      struct peer_view *ret, struct applied *applied, struct problem *p) _must_check_;
int peers_change(struct control *control, const struct caller *caller, const char *peer,
		 const struct peer_change *change, struct peer_view *ret, struct applied *applied,
		 struct problem *p) _must_check_;
int peers_rekey(struct control *control, const struct caller *caller, const char *peer,
		const struct public_key *key, struct peer_view *ret, struct applied *applied,
		struct problem *p) _must_check_;

/* @ret is what it was. */
int peers_remove(struct control *control, const struct caller *caller, const char *peer, struct peer *ret,
		 struct applied *applied, struct problem *p) _must_check_;

void peers_client_config(struct control *control, const struct peer *peer, struct client_config *ret);

#endif
