/*
 * A session: the keys of one handshake, as a path holds them, and the three that a peer can have.
 */
#ifndef SERVER_WG_SESSION_H
#define SERVER_WG_SESSION_H

#include <stdbool.h>

#include "server/wg/aead.h"
#include "server/wg/order.h"
#include "server/wg/replay.h"

struct session {
	uint32_t local, remote; /* indices */
	nsec_t birth;
	uint64_t counter; /* of the next message to send */
	void *send_context, *receive_context; /* the back end's, may be NULL */
	uint8_t send_key[AEAD_KEY_LEN], receive_key[AEAD_KEY_LEN];
	struct replay replay;
	bool initiator;
	bool sending; /* may send: not too old, not used up, our key is still the same */
};

/* What all sessions of a path are made with. */
struct session_store {
	const struct aead *aead;
	struct replay_pool pool;
	uint32_t count;
};

/*
 * Previous: packets sealed with it may still be under way.  Current: the one to send with.  Next: we
 * answered, but nothing has come on it; until then the other side may not have it.
 */
struct sessions {
	struct session *previous, *current, *next;
};

/* NULL: no memory. */
struct session *session_new(struct session_store *store, const struct wg_order *install);

/* Off the packet path: rings for sessions that may need one soon, as far as there is memory. */
void session_store_fill(struct session_store *store);

/* Takes @session. */
void sessions_install(struct sessions *sessions, struct session_store *store, struct session *session);

/* A first packet came on next: it is current. */
void sessions_confirm(struct sessions *sessions, struct session_store *store);
void sessions_clear(struct sessions *sessions, struct session_store *store);

/* Our private key changed: what there is receives, but sends no more. */
void sessions_stop(struct sessions *sessions);

static inline struct session *
sessions_find(const struct sessions *sessions, uint32_t local)
{
	if (sessions->current && sessions->current->local == local)
		return sessions->current;
	if (sessions->next && sessions->next->local == local)
		return sessions->next;
	if (sessions->previous && sessions->previous->local == local)
		return sessions->previous;
	return NULL;
}

#endif
