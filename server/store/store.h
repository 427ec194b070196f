/*
 * The store: connections to Postgres and transactions in them.  SQL stands in this folder alone.
 *
 * A transaction belongs to one tenant: the first thing it does is to name it, and row-level security
 * hides all others.  A gateway transaction belongs to none: it sees the few tables and columns that
 * the data plane needs, of all tenants, and may write nothing but what the data plane observed.
 * Everything works under roles that own nothing and may not bypass row-level security, whoever the
 * connection logged in as.
 */
#ifndef SERVER_STORE_STORE_H
#define SERVER_STORE_STORE_H

#include <stdint.h>

#include "base/cleanup.h"
#include "base/ids.h"

struct store; /* safe to use from several threads */
struct tx;    /* one thread's */

#define STORE_ERROR_LEN 1024
#define STORE_CONNECTIONS 8        /* open at most; a thread beyond waits */
#define STORE_WAIT_SECONDS 10      /* for a free connection, then -ERR_DATABASE */
#define STORE_TRIES 8              /* of a whole transaction in store_run() */

/*
 * Connects with @conninfo (a URL or libpq's key=value text, of the database's owner), checks that the
 * schema is of this program's version and that the effective role is a restricted one.
 * -ERR_DATABASE: not reachable, or not migrated; -ERR_DATABASE_NEWER; -ERR_DATABASE_ROLE.  @error
 * then says what and why, and holds no password.  Migrate first: server/store/migrate.h.
 */
int store_open(const char *conninfo, struct store **ret, char error[STORE_ERROR_LEN]) _must_check_;

/* When no transaction is open any more.  NULL is fine. */
void store_free(struct store *store);
void store_freep(struct store **store);

/*
 * Runs @work in a transaction of @tenant and commits it, when @work returns >= 0; returns what it
 * returned, or the error.  Repeats all of it, with jitter, when the database asks for that
 * (serialization, deadlock) or the connection was cut: so @work may be called several times and
 * keeps what it did in @arg only by overwriting.  A cut during the commit is looked into: nothing is
 * done twice as long as @work wrote an audit row or is idempotent.
 * -ERR_DATABASE: it is not available (any more).
 */
typedef int store_work_fn(struct tx *tx, void *arg);
int store_run(struct store *store, struct tenant_id tenant, store_work_fn *work, void *arg) _must_check_;

/* The same for a gateway transaction. */
int store_run_gateway(struct store *store, store_work_fn *work, void *arg) _must_check_;

/*
 * A transaction by hand, without repetition.  After tx_commit() (also a failed one: -ERR_DATABASE, outcome not known) only
 * tx_free() is left, which rolls back what was not committed.
 */
int tx_begin(struct store *store, struct tenant_id tenant, struct tx **ret) _must_check_;
int tx_begin_gateway(struct store *store, struct tx **ret) _must_check_;
int tx_commit(struct tx *tx) _must_check_;
void tx_free(struct tx *tx);
void tx_freep(struct tx **tx);

/* What the database said when it failed last, without values, or "": for the log line of whoever got the error. */
void store_words(struct store *store, char out[STORE_ERROR_LEN]);

/* 0 when the database answers; what /readyz and the metrics ask. */
int store_ping(struct store *store) _must_check_;

#endif
