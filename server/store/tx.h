/*
 * A transaction from the inside, for the files of this folder.
 */
#ifndef SERVER_STORE_TX_H
#define SERVER_STORE_TX_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "server/store/audit.h"
#include "server/store/queries.h"
#include "server/store/store.h"

#define TX_AUDIT_MAX 1024 /* rows of one transaction */

struct pending {
	char *action, *object, *before, *after;
};

struct tx {
	struct store *store;
	PGconn *conn;
	struct tenant_id tenant; /* 0: a gateway transaction */
	char *actor, *source, *request;
	size_t n_pending;
	struct pending *pending; /* audit rows; appended at the end, so that the chain is locked shortly */
	int spoiled;             /* an operation failed half-way: the error that a commit answers */
	bool again;              /* the database asks for a repetition */
	bool cut;                /* the connection is gone */
	bool over;               /* committed, or tried to */
	bool doubt;              /* the commit was sent, and no answer came */
	uint64_t xid;            /* with the audit row that proves it; 0: none was written */
	int64_t seq;
	uint8_t hash[AUDIT_HASH_LEN];
};

/* As tx_begin(), or a gateway's if @tenant is 0; -ETIMEDOUT: all connections are lent, and none came back. */
int tx_open(struct store *store, struct tenant_id tenant, struct tx **ret) _must_check_;

/* @params for a statement in @tx, with $1 set in a tenant's. */
void tx_params(const struct tx *tx, struct params *params);

/*
 * Runs a prepared statement.  Number of rows, or of rows changed for those that return none; @ret may be
 * NULL. -ERR_CONFLICT: a constraint refused it; -ERR_DATABASE: anything else, remembered in the store. Either
 * way the transaction can only be rolled back then.
 */
int tx_query(struct tx *tx, enum query query, const struct params *params, PGresult **ret) _must_check_;

/* The same, but -ERR_CONFLICT leaves the transaction as it was before. */
int tx_try(struct tx *tx, enum query query, const struct params *params, PGresult **ret) _must_check_;

/* Remembers that @tx is half-way in something; returns @r. */
int tx_spoil(struct tx *tx, int r);

/* -EINVAL unless somebody is named and an event more fits: asked before anything is changed. */
int audit_ready(const struct tx *tx) _must_check_;

/* Writes what was appended so far. */
int audit_flush(struct tx *tx) _must_check_;
void audit_forget(struct tx *tx);

/* Whether the audit row that @lost, cut while committing, wrote last is there.  1, 0, or -ERR_DATABASE. */
int tx_outcome(const struct tx *lost) _must_check_;

/* store.c: connections are lent and come back, or are closed when they are broken. */
int store_lend(struct store *store, PGconn **ret) _must_check_;
void store_return(struct store *store, PGconn *conn, bool broken);
void store_remember(struct store *store, const char *words);

#endif
