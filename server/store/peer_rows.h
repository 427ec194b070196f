/*
 * Rows of peers, for the files of this folder.
 */
#ifndef SERVER_STORE_PEER_ROWS_H
#define SERVER_STORE_PEER_ROWS_H

#include "server/store/peer.h"
#include "server/store/queries.h"
#include "server/store/tx.h"

/* address, port, scope, time of handshake: the last four columns of a peer and of the feed. */
void row_seen(struct row *row, struct endpoint *endpoint, time_t *handshake_at);

/* The peer as JSON, for the audit log; owned.  NULL: no memory. */
char *peer_json(const struct peer *peer) _must_check_;

/* An audit row on @peer: what it was (NULL: nothing) and what it is (NULL: gone). */
int peer_audit(struct tx *tx, const char *action, const struct peer *before,
	       const struct peer *after) _must_check_;

#endif
