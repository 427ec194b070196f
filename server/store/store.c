#include "server/store/store.h"

#include <errno.h>
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "base/errors.h"
#include "server/store/connection.h"
#include "server/store/tx.h"

#define BACKOFF_FIRST_MS 20U /* doubling, with jitter, up to: */
#define BACKOFF_MOST_MS  1000U

struct store {
	char *conninfo;
	pthread_mutex_t lock;
	pthread_cond_t freed;
	size_t n_open, n_idle; /* of n_open some are idle, the rest is lent */
	PGconn *idle[STORE_CONNECTIONS];
	char words[STORE_ERROR_LEN];
};

void
store_remember(struct store *store, const char *words)
{
	pthread_mutex_lock(&store->lock);
	snprintf(store->words, sizeof(store->words), "%s", words);
	pthread_mutex_unlock(&store->lock);
}

void
store_words(struct store *store, char out[STORE_ERROR_LEN])
{
	pthread_mutex_lock(&store->lock);
	memcpy(out, store->words, STORE_ERROR_LEN);
	pthread_mutex_unlock(&store->lock);
}

static int
open_one(const struct store *store, PGconn **ret, char error[STORE_ERROR_LEN])
{
	_cleanup_(connection_closep) PGconn *conn = NULL;
	int r;

	r = connection_open(store->conninfo, &conn, error);
	if (r < 0)
		return r;
	r = connection_check(conn, error);
	if (r < 0)
		return r;
	r = connection_prepare(conn, error);
	if (r < 0)
		return r;
	*ret = take_ptr(conn);
	return 0;
}

/* One that is idle and stands, or room for a new one, or -ETIMEDOUT.  The lock is held. */
static int
wait_for_one(struct store *store, PGconn **ret)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += STORE_WAIT_SECONDS;
	for (;;) {
		while (store->n_idle) {
			PGconn *conn = store->idle[--store->n_idle];

			if (connection_stands(conn)) {
				*ret = conn;
				return 0;
			}
			PQfinish(conn);
			store->n_open--;
		}
		if (store->n_open < STORE_CONNECTIONS) {
			store->n_open++;
			return 0;
		}
		if (pthread_cond_timedwait(&store->freed, &store->lock, &until) == ETIMEDOUT)
			return -ETIMEDOUT;
	}
}

int
store_lend(struct store *store, PGconn **ret)
{
	char error[STORE_ERROR_LEN];
	PGconn *conn = NULL;
	int r;

	pthread_mutex_lock(&store->lock);
	r = wait_for_one(store, &conn);
	pthread_mutex_unlock(&store->lock);
	if (r < 0)
		return r;
	if (!conn) {
		r = open_one(store, &conn, error);
		if (r < 0) {
			store_remember(store, error);
			store_return(store, NULL, true);
			return r;
		}
	}
	*ret = conn;
	return 0;
}

void
store_return(struct store *store, PGconn *conn, bool broken)
{
	pthread_mutex_lock(&store->lock);
	if (broken)
		store->n_open--;
	else
		store->idle[store->n_idle++] = conn;
	pthread_cond_signal(&store->freed);
	pthread_mutex_unlock(&store->lock);
	if (broken && conn)
		PQfinish(conn);
}

static struct store *
store_new(const char *conninfo)
{
	struct store *store = calloc(1, sizeof(*store));
	pthread_condattr_t attr;

	if (!store)
		return NULL;
	store->conninfo = strdup(conninfo);
	if (!store->conninfo) {
		free(store);
		return NULL;
	}
	pthread_mutex_init(&store->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&store->freed, &attr);
	pthread_condattr_destroy(&attr);
	return store;
}

void
store_free(struct store *store)
{
	if (!store)
		return;
	while (store->n_idle)
		PQfinish(store->idle[--store->n_idle]);
	pthread_cond_destroy(&store->freed);
	pthread_mutex_destroy(&store->lock);
	bytes_wipe(store->conninfo, strlen(store->conninfo));
	free(store->conninfo);
	free(store);
}

void
store_freep(struct store **store)
{
	store_free(*store);
}

int
store_open(const char *conninfo, struct store **ret, char error[STORE_ERROR_LEN])
{
	_cleanup_(store_freep) struct store *store = NULL;
	int r;

	error[0] = '\0';
	if (sodium_init() < 0)
		return -EIO;
	store = store_new(conninfo);
	if (!store)
		return -ENOMEM;
	r = open_one(store, &store->idle[0], error);
	if (r < 0)
		return r;
	store->n_open = store->n_idle = 1;
	*ret = take_ptr(store);
	return 0;
}

/* All wait a different time, so that those who collided do not collide again. */
static void
backoff(unsigned attempt)
{
	const uint32_t most = MIN(BACKOFF_FIRST_MS << attempt, BACKOFF_MOST_MS);
	const uint32_t ms = most / 2 + randombytes_uniform(most / 2 + 1);
	const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

	nanosleep(&pause, NULL);
}

/*
 * Once: what @work returned, or why it was not committed.  @again: nothing was, and it may
 * succeed another time.
 */
static int
attempt(struct store *store, struct tenant_id tenant, store_work_fn *work, void *arg, bool *again)
{
	_cleanup_(tx_freep) struct tx *tx = NULL;
	int r, done;

	*again = false;
	r = tx_open(store, tenant, &tx);
	if (r < 0) {
		*again = r == -ERR_DATABASE;
		return r == -ETIMEDOUT ? -ERR_DATABASE : r; /* waiting again would not help */
	}
	done = work(tx, arg);
	if (done >= 0) {
		r = tx_commit(tx);
		if (r == 0)
			return done;
	} else {
		r = done;
	}
	*again = tx->again || tx->cut;
	if (tx->doubt && tx->xid) {
		const int outcome = tx_outcome(tx);

		*again = outcome == 0;
		return outcome > 0 ? done : -ERR_DATABASE;
	}
	return *again ? -ERR_DATABASE : r;
}

static int
run(struct store *store, struct tenant_id tenant, store_work_fn *work, void *arg)
{
	bool again;
	int r;

	for (unsigned i = 0;; i++) {
		r = attempt(store, tenant, work, arg, &again);
		if (!again || i + 1 == STORE_TRIES)
			return r;
		backoff(i);
	}
}

int
store_run(struct store *store, struct tenant_id tenant, store_work_fn *work, void *arg)
{
	return tenant.v > 0 ? run(store, tenant, work, arg) : -ERR_NOT_FOUND;
}

int
store_run_gateway(struct store *store, store_work_fn *work, void *arg)
{
	return run(store, (struct tenant_id){0}, work, arg);
}

int
store_ping(struct store *store)
{
	_cleanup_(tx_freep) struct tx *tx = NULL;
	int r;

	r = tx_begin_gateway(store, &tx);
	if (r < 0)
		return r;
	r = tx_query(tx, QUERY_PING, NULL, NULL);
	return r < 0 ? r : 0;
}
