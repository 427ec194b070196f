#include "server/store/tx.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/errors.h"
#include "server/store/connection.h"

#define OUTCOME_TRIES    100 /* of a backend that is still committing */
#define OUTCOME_PAUSE_US 50000

void
tx_params(const struct tx *tx, struct params *params)
{
	params->n = 0;
	params->used = 0;
	if (tx->tenant.v > 0)
		params_int(params, tx->tenant.v);
}

int
tx_spoil(struct tx *tx, int r)
{
	if (tx->spoiled == 0)
		tx->spoiled = r;
	return r;
}

/* What a statement that failed means for the transaction and for its caller. */
static int
failed(struct tx *tx, const PGresult *result)
{
	const char *state = result_state(result);
	char words[STORE_ERROR_LEN];

	if (PQstatus(tx->conn) != CONNECTION_OK || strncmp(state, "57P", 3) == 0 ||
	    strncmp(state, "08", 2) == 0)
		tx->cut = true;
	else if (strcmp(state, "40001") == 0 || strcmp(state, "40P01") == 0)
		tx->again = true;
	if (strncmp(state, "23", 2) == 0)
		return -ERR_CONFLICT;
	connection_words(tx->conn, result, words);
	store_remember(tx->store, words);
	return -ERR_DATABASE;
}

int
tx_query(struct tx *tx, enum query query, const struct params *params, PGresult **ret)
{
	static const struct params none;
	const struct query_line *line = query_line(query);
	const struct params *p = params ? params : &none;
	_cleanup_(result_clearp) PGresult *result = NULL;
	int rows;

	assert(line->kind != QUERY_SETUP && p->n == line->n_params && !tx->over);
	if (tx->cut)
		return -ERR_DATABASE;
	result = PQexecPrepared(tx->conn, line->name, p->n, p->v, p->len, p->format, 0);
	if (!result_ok(result)) {
		const int r = failed(tx, result);

		return tx_spoil(tx, r);
	}
	rows = PQresultStatus(result) == PGRES_TUPLES_OK ? PQntuples(result) : (int)strtol(PQcmdTuples(result), NULL, 10);
	if (ret)
		*ret = take_ptr(result);
	return rows;
}

int
tx_try(struct tx *tx, enum query query, const struct params *params, PGresult **ret)
{
	const int before = tx->spoiled;
	int r, undone;

	r = tx_query(tx, QUERY_TRY, NULL, NULL);
	if (r < 0)
		return r;
	r = tx_query(tx, query, params, ret);
	if (r != -ERR_CONFLICT) {
		undone = r < 0 ? r : tx_query(tx, QUERY_TRY_DONE, NULL, NULL);
		return undone < 0 ? undone : r;
	}
	undone = tx_query(tx, QUERY_TRY_UNDO, NULL, NULL);
	if (undone < 0)
		return undone;
	tx->spoiled = before;
	return r;
}

/* BEGIN, and then first of all who this is. */
static int
begin(struct tx *tx)
{
	struct params params;
	int r;

	r = tx_query(tx, tx->tenant.v ? QUERY_BEGIN : QUERY_BEGIN_SNAPSHOT, NULL, NULL);
	if (r < 0)
		return r;
	tx_params(tx, &params);
	r = tx_query(tx, tx->tenant.v ? QUERY_BE_TENANT : QUERY_BE_GATEWAY, &params, NULL);
	return r < 0 ? r : 0;
}

int
tx_open(struct store *store, struct tenant_id tenant, struct tx **ret)
{
	_cleanup_(tx_freep) struct tx *tx = calloc(1, sizeof(*tx));
	int r;

	if (!tx)
		return -ENOMEM;
	tx->store = store;
	tx->tenant = tenant;
	r = store_lend(store, &tx->conn);
	if (r < 0)
		return r;
	r = begin(tx);
	if (r < 0)
		return r;
	*ret = take_ptr(tx);
	return 0;
}

int
tx_begin(struct store *store, struct tenant_id tenant, struct tx **ret)
{
	const int r = tenant.v > 0 ? tx_open(store, tenant, ret) : -ERR_NOT_FOUND;

	return r == -ETIMEDOUT ? -ERR_DATABASE : r;
}

int
tx_begin_gateway(struct store *store, struct tx **ret)
{
	const int r = tx_open(store, (struct tenant_id){0}, ret);

	return r == -ETIMEDOUT ? -ERR_DATABASE : r;
}

int
tx_commit(struct tx *tx)
{
	_cleanup_(result_clearp) PGresult *result = NULL;
	int r;

	if (tx->spoiled)
		return tx->spoiled;
	r = audit_flush(tx);
	if (r < 0)
		return r;
	tx->over = true;
	result = PQexecPrepared(tx->conn, query_line(QUERY_COMMIT)->name, 0, NULL, NULL, NULL, 0);
	if (result_ok(result))
		return strcmp(PQcmdStatus(result), "COMMIT") == 0 ? 0 : -ERR_DATABASE;
	/* Without a verdict of the server the commit may have happened all the same. */
	r = failed(tx, result);
	tx->doubt = tx->cut || !result;
	return r;
}

void
tx_free(struct tx *tx)
{
	if (!tx)
		return;
	if (tx->conn) {
		if (!tx->cut && PQtransactionStatus(tx->conn) != PQTRANS_IDLE)
			PQclear(PQexecPrepared(tx->conn, query_line(QUERY_ROLLBACK)->name, 0, NULL, NULL,
					       NULL, 0));
		store_return(tx->store, tx->conn,
			     tx->cut || PQstatus(tx->conn) != CONNECTION_OK ||
				     PQtransactionStatus(tx->conn) != PQTRANS_IDLE);
	}
	audit_forget(tx);
	free(tx->actor);
	free(tx->source);
	free(tx->request);
	free(tx);
}

void
tx_freep(struct tx **tx)
{
	tx_free(*tx);
}

/* Whether the backend of @lost is at work still.  A number that the server never gave is not. */
static int
in_progress(struct tx *tx, uint64_t xid)
{
	_cleanup_(result_clearp) PGresult *result = NULL;
	struct params params;
	struct row row = {0};
	char text[24];
	int r;

	snprintf(text, sizeof(text), "%llu", (unsigned long long)xid);
	params = (struct params){0};
	params_text(&params, text);
	r = tx_query(tx, QUERY_OUTCOME, &params, &result);
	if (r < 0)
		return tx->cut ? r : 0;
	row.result = result;
	return strcmp(row_lent(&row), "in progress") == 0;
}

static int
still_committing(const struct tx *lost)
{
	_cleanup_(tx_freep) struct tx *tx = NULL;
	const int r = tx_begin_gateway(lost->store, &tx);

	return r < 0 ? r : in_progress(tx, lost->xid);
}

/* After a crash the number may have been given again: the row says what is true. */
static int
outcome_look(const struct tx *lost)
{
	_cleanup_(tx_freep) struct tx *tx = NULL;
	struct params params;
	int r;

	r = still_committing(lost);
	if (r != 0)
		return r < 0 ? r : -EAGAIN;
	r = tx_begin(lost->store, lost->tenant, &tx);
	if (r < 0)
		return r;
	tx_params(tx, &params);
	params_int(&params, lost->seq);
	params_bytes(&params, lost->hash, AUDIT_HASH_LEN);
	return tx_query(tx, QUERY_AUDIT_IS, &params, NULL);
}

/* Whatever cut the commit may cut this too. */
int
tx_outcome(const struct tx *lost)
{
	int r = -EAGAIN;

	for (int i = 0; i < OUTCOME_TRIES && r < 0; i++) {
		if (i)
			usleep(OUTCOME_PAUSE_US);
		r = outcome_look(lost);
	}
	return r < 0 ? -ERR_DATABASE : r;
}
