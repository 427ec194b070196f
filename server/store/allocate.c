/*
 * Allocation.  An IPv4 pool has a free list: its rows are taken with SKIP LOCKED, so that nobody waits
 * for anybody, and what is taken was proposed to one transaction only.  The list grows in chunks as the
 * pool is used, so that a large pool costs nothing.  An IPv6 pool has none: a number is guessed.  In both
 * the unique index on current leases decides: an insertion that it refuses is the next try.
 */
#include "server/store/allocate.h"

#include <errno.h>
#include <sodium.h>
#include <stdbool.h>

#include "base/errors.h"
#include "server/store/pool.h"
#include "server/store/tx.h"

#define FILL_CHUNK  256       /* numbers by which a free list grows */
#define TRIES       256       /* numbers that turn out to be leased, or are awaited */
#define GUESSES     16        /* in an IPv6 pool */
#define GAP_NUMBERS (1 << 20) /* an IPv6 pool up to here is searched when guessing fails */

int64_t
pool_last(const struct cidr *network)
{
	const unsigned host = ip_bits(&network->ip) - network->len;

	if (network->ip.family == AF_INET)
		return ((int64_t)1 << host) - 2;
	return host > 62 ? ((int64_t)1 << 62) + 1 : ((int64_t)1 << host) - 1;
}

/* Where the lease is to be. */
struct place {
	struct tx *tx;
	struct pool_id pool;
	const struct cidr *network;
	struct peer_id peer;
	int64_t number;
	struct ip address;
};

static void
place_params(const struct place *place, struct params *params)
{
	tx_params(place->tx, params);
	params_int(params, place->pool.v);
}

/* 1: @place->number is what the statement answered; 0: it answered nothing. */
static int
number_from(struct place *place, enum query query, const struct params *params)
{
	_cleanup_(result_clearp) PGresult *result = NULL;
	struct row row = {0};
	int r;

	r = tx_query(place->tx, query, params, &result);
	if (r <= 0)
		return r;
	row.result = result;
	place->number = row_int(&row);
	return row.r < 0 ? row.r : 1;
}

/* 1: @number is the peer's now; 0: somebody has it, or it rests and @rested is false. */
static int
lease_insert(struct place *place, int64_t number, bool rested)
{
	_cleanup_(result_clearp) PGresult *result = NULL;
	struct params params;
	struct row row = {0};
	int r;

	place_params(place, &params);
	params_int(&params, place->peer.v);
	params_int(&params, number);
	params_bool(&params, rested);
	r = tx_query(place->tx, QUERY_LEASE_INSERT, &params, &result);
	if (r <= 0)
		return r;
	row.result = result;
	row_ip(&row, &place->address);
	place->number = number;
	return row.r < 0 ? row.r : 1;
}

/* 1: the peer has a lease in this pool already. */
static int
held(struct place *place)
{
	_cleanup_(result_clearp) PGresult *result = NULL;
	struct params params;
	struct row row = {0};
	int r;

	place_params(place, &params);
	params_int(&params, place->peer.v);
	r = tx_query(place->tx, QUERY_LEASE_HELD, &params, &result);
	if (r <= 0)
		return r;
	row.result = result;
	place->number = row_int(&row);
	row_ip(&row, &place->address);
	return row.r < 0 ? row.r : 1;
}

/* The numbers that it had before, the latest first. */
static int
former(struct place *place)
{
	_cleanup_(result_clearp) PGresult *result = NULL;
	const bool listed = place->network->ip.family == AF_INET;
	struct params params;
	int r, n;

	place_params(place, &params);
	params_int(&params, place->peer.v);
	n = tx_query(place->tx, QUERY_LEASE_FORMER, &params, &result);
	if (n < 0)
		return n;
	for (int i = 0; i < n; i++) {
		struct row row = {.result = result, .i = i};
		const int64_t number = row_int(&row);

		if (row.r < 0)
			return row.r;
		place_params(place, &params);
		params_int(&params, number);
		r = listed ? number_from(place, QUERY_FREE_TAKE_OWN, &params) : 1;
		if (r > 0)
			r = lease_insert(place, number, true);
		if (r != 0)
			return r;
	}
	return 0;
}

/* One from the free list: never used, or from numbers that are new in it, or rested. */
static int
listed_take(struct place *place)
{
	struct params params;
	int r;

	place_params(place, &params);
	r = number_from(place, QUERY_FREE_TAKE_NEW, &params);
	if (r != 0)
		return r;
	params_int(&params, pool_last(place->network));
	params_int(&params, FILL_CHUNK);
	r = tx_query(place->tx, QUERY_POOL_FILL, &params, NULL);
	if (r < 0)
		return r;
	place_params(place, &params);
	if (r > 0) {
		r = number_from(place, QUERY_FREE_TAKE_NEW, &params);
		if (r != 0)
			return r;
	}
	return number_from(place, QUERY_FREE_TAKE_RESTED, &params);
}

/* All that are free are just being taken: waits for one of those to be taken or not.  0: there are none. */
static int
listed_wait(struct place *place)
{
	struct params params;
	int r;

	place_params(place, &params);
	r = tx_query(place->tx, QUERY_FREE_ANY, &params, NULL);
	if (r <= 0)
		return r;
	r = tx_query(place->tx, QUERY_FREE_WAIT, &params, NULL);
	return r < 0 ? r : 1;
}

static int
allocate_listed(struct place *place)
{
	int r;

	for (int i = 0; i < TRIES; i++) {
		r = listed_take(place);
		if (r < 0)
			return r;
		if (r > 0) {
			r = lease_insert(place, place->number, true);
			if (r != 0)
				return r;
			continue; /* the list was wrong: that number is off it now */
		}
		r = listed_wait(place);
		if (r < 0)
			return r;
		if (r == 0)
			break;
	}
	return -ERR_POOL_FULL;
}

static int64_t
guess(const struct cidr *network)
{
	const uint64_t n = (uint64_t)(pool_last(network) - POOL_FIRST + 1);
	uint64_t v;

	/* At most 2^62 numbers: the remainder of 64 bits favours none by anything that matters. */
	randombytes_buf(&v, sizeof(v));
	return POOL_FIRST + (int64_t)(v % n);
}

static int
allocate_guessed(struct place *place, int64_t alike)
{
	const int64_t last = pool_last(place->network);
	struct params params;
	int r = 0;

	if (alike && alike <= last)
		r = lease_insert(place, alike, false);
	for (int i = 0; i < GUESSES && r == 0; i++)
		r = lease_insert(place, guess(place->network), false);
	for (int i = 0; i < TRIES && r == 0 && last <= GAP_NUMBERS; i++) {
		place_params(place, &params);
		params_int(&params, POOL_FIRST);
		params_int(&params, last);
		r = number_from(place, QUERY_LEASE_GAP, &params);
		if (r == 0)
			break;
		if (r > 0)
			r = lease_insert(place, place->number, false);
	}
	return r == 0 ? -ERR_POOL_FULL : r;
}

int
allocate(struct tx *tx, struct pool_id pool, const struct cidr *network, struct peer_id peer, int64_t alike,
	 int64_t *number, struct ip *address)
{
	struct place place = {.tx = tx, .pool = pool, .network = network, .peer = peer};
	const int has = held(&place);
	int r;

	r = has;
	if (r == 0)
		r = former(&place);
	if (r == 0)
		r = network->ip.family == AF_INET ? allocate_listed(&place) : allocate_guessed(&place, alike);
	if (r < 0)
		return r;
	*number = place.number;
	*address = place.address;
	return has ? 0 : 1;
}

/* A pool in which the peer had an address goes first, then they are tried in their order. */
static int
allocate_family(struct tx *tx, struct peer_id peer, int family, int64_t *alike)
{
	_cleanup_(result_clearp) PGresult *result = NULL;
	struct params params;
	struct ip address;
	int r, n;

	tx_params(tx, &params);
	params_int(&params, family == AF_INET ? 4 : 6);
	params_int(&params, peer.v);
	n = tx_query(tx, QUERY_POOL_OF_FAMILY, &params, &result);
	if (n <= 0)
		return n;
	for (int i = 0; i < n; i++) {
		struct row row = {.result = result, .i = i};
		const struct pool_id pool = {row_int(&row)};
		struct cidr network;

		row_cidr(&row, &network);
		if (row.r < 0)
			return row.r;
		r = allocate(tx, pool, &network, peer, *alike, alike, &address);
		if (r != -ERR_POOL_FULL)
			return r < 0 ? r : 0;
	}
	return -ERR_POOL_FULL;
}

int
allocate_all(struct tx *tx, struct peer_id peer)
{
	int64_t alike = 0;
	int r;

	r = allocate_family(tx, peer, AF_INET, &alike);
	return r < 0 ? r : allocate_family(tx, peer, AF_INET6, &alike);
}
