#include "server/wg/session.h"

#include <string.h>

#include "base/bytes.h"
#include "server/wg/constants.h"

static void
session_free(struct session *session, struct session_store *store)
{
	const struct aead *aead = store->aead;

	if (!session)
		return;
	if (aead->session_free) {
		aead->session_free(aead->ctx, session->send_context);
		aead->session_free(aead->ctx, session->receive_context);
	}
	replay_done(&session->replay, &store->pool);
	store->count--;
	bytes_wipe(session, sizeof(*session));
	free(session);
}

struct session *
session_new(struct session_store *store, const struct wg_order *order)
{
	const struct aead *aead = store->aead;
	struct session *session = calloc(1, sizeof(*session));

	if (!session)
		return NULL;
	session->local = order->install.local_index;
	session->remote = order->install.remote_index;
	session->birth = order->install.birth;
	session->initiator = order->install.initiator;
	session->sending = true;
	memcpy(session->send_key, order->install.sending, AEAD_KEY_LEN);
	memcpy(session->receive_key, order->install.receiving, AEAD_KEY_LEN);
	if (aead->session_new) {
		session->send_context = aead->session_new(aead->ctx, session->send_key);
		session->receive_context = aead->session_new(aead->ctx, session->receive_key);
	}
	store->count++;
	return session;
}

/* Those without a ring, up to a number that would not all pass REPLAY_NEAR_BITS in one turn. */
void
session_store_fill(struct session_store *store)
{
	const uint32_t with = store->pool.made - store->pool.left;

	(void)replay_pool_fill(&store->pool, MIN(store->count - with, (uint32_t)WG_REPLAY_SPARE));
}

/*
 * The initiator knows that the responder has the keys and may use them.  The responder does not, so
 * its current session stays until the new one is confirmed.  A next that was never confirmed is kept
 * as previous: its first packet may be under way.
 */
void
sessions_install(struct sessions *sessions, struct session_store *store, struct session *session)
{
	session_free(sessions->previous, store);
	sessions->previous = NULL;
	if (!session->initiator) {
		session_free(sessions->next, store);
		sessions->next = session;
		return;
	}
	if (sessions->next) {
		session_free(sessions->current, store);
		sessions->previous = take_ptr(sessions->next);
	} else {
		sessions->previous = sessions->current;
	}
	sessions->current = session;
}

void
sessions_confirm(struct sessions *sessions, struct session_store *store)
{
	session_free(sessions->previous, store);
	sessions->previous = sessions->current;
	sessions->current = take_ptr(sessions->next);
}

void
sessions_clear(struct sessions *sessions, struct session_store *store)
{
	session_free(sessions->previous, store);
	session_free(sessions->current, store);
	session_free(sessions->next, store);
	*sessions = (struct sessions){0};
}

void
sessions_stop(struct sessions *sessions)
{
	struct session *const all[] = {sessions->previous, sessions->current, sessions->next};

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (all[i])
			all[i]->sending = false;
}
