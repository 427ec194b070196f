/*
 * One connection to Postgres: opened with limits on how long anything may take, checked, prepared.
 */
#ifndef SERVER_STORE_CONNECTION_H
#define SERVER_STORE_CONNECTION_H

#include <libpq-fe.h>
#include <stdbool.h>

#include "server/store/queries.h"
#include "server/store/store.h"

/* Owner's, neither checked nor prepared.  -ERR_DATABASE, with @error. */
int connection_open(const char *conninfo, PGconn **ret, char error[STORE_ERROR_LEN]) _must_check_;

/* Whether schema and roles are such that we may serve.  As store_open(). */
int connection_check(PGconn *conn, char error[STORE_ERROR_LEN]) _must_check_;

/* All statements but those of QUERY_SETUP, in one round trip. */
int connection_prepare(PGconn *conn, char error[STORE_ERROR_LEN]) _must_check_;

/* Whether it still stood a moment ago. */
bool connection_stands(PGconn *conn);

/*
 * Runs a statement of QUERY_SETUP, or any @text.  Success is a command that ran or rows; otherwise
 * -ERR_DATABASE with @error; -EACCES of a QUERY_SETUP: the role may not do that.  @ret may be NULL.
 */
int connection_setup(PGconn *conn, enum query query, const struct params *params, PGresult **ret,
		     char error[STORE_ERROR_LEN]) _must_check_;
int connection_text(PGconn *conn, const char *text, char error[STORE_ERROR_LEN]) _must_check_;

/* What the server said, on one line, without values: SQLSTATE and the primary message. */
void connection_words(PGconn *conn, const PGresult *result, char error[STORE_ERROR_LEN]);

bool result_ok(const PGresult *result);

/* "" if it has none. */
const char *result_state(const PGresult *result);

void connection_closep(PGconn **conn);

#endif
