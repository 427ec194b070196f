#include "server/store/lease.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/errors.h"
#include "server/store/allocate.h"
#include "server/store/tx.h"

#define LEASE_LIST_MAX 1000
#define LEASE_TIME_MIN 0
#define LEASE_TIME_MAX (253402300800LL * 1000000 - 1) /* the year 9999 ends */

static int
pool_network(struct tx *tx, struct pool_id pool, struct cidr *ret)
{
	_cleanup_(result_clearp) PGresult *result = NULL;
	struct params params;
	struct row row = {0};
	int r;

	tx_params(tx, &params);
	params_int(&params, pool.v);
	r = tx_query(tx, QUERY_POOL_GET, &params, &result);
	if (r <= 0)
		return r < 0 ? r : -ERR_NOT_FOUND;
	row.result = result;
	(void)row_int(&row);
	row_cidr(&row, ret);
	return row.r;
}

static int
lease_audit(struct tx *tx, const char *action, struct peer_id peer, const struct ip *address)
{
	char object[AUDIT_TEXT_MAX + 1], text[IP_TEXT_LEN], after[IP_TEXT_LEN + 32] = "";

	snprintf(object, sizeof(object), "peer:%" PRId64, peer.v);
	if (address) {
		ip_text(text, address);
		snprintf(after, sizeof(after), "{\"address\":\"%s\"}", text);
	}
	return audit_append(tx, &(struct audit_event){action, object, "", after});
}

int
lease_take(struct tx *tx, struct pool_id pool, struct peer_id peer, struct ip *ret)
{
	struct params params;
	struct cidr network;
	struct ip address;
	int64_t number;
	int r;

	r = pool_network(tx, pool, &network);
	if (r < 0)
		return r;
	/* Locked, so that it is not removed meanwhile: nobody would end this lease then. */
	tx_params(tx, &params);
	params_int(&params, peer.v);
	r = tx_query(tx, QUERY_PEER_LOCK, &params, NULL);
	if (r <= 0)
		return r < 0 ? r : -ERR_NOT_FOUND;
	r = audit_ready(tx);
	if (r < 0)
		return r;
	r = allocate(tx, pool, &network, peer, 0, &number, &address);
	if (r < 0)
		return r;
	if (r > 0)
		r = lease_audit(tx, "lease.take", peer, &address);
	if (r < 0)
		return r;
	*ret = address;
	return 0;
}

int
lease_end(struct tx *tx, struct peer_id peer)
{
	int r, n;

	r = audit_ready(tx);
	if (r < 0)
		return r;
	n = leases_end(tx, peer);
	if (n <= 0)
		return n;
	r = lease_audit(tx, "lease.end", peer, NULL);
	return r < 0 ? r : n;
}

int
leases_end(struct tx *tx, struct peer_id peer)
{
	_cleanup_(result_clearp) PGresult *result = NULL;
	struct params params;
	struct row row = {0};
	int r, n;

	tx_params(tx, &params);
	params_int(&params, peer.v);
	r = tx_query(tx, QUERY_LEASE_END, &params, &result);
	if (r < 0)
		return r;
	row.result = result;
	n = (int)row_int(&row);
	return row.r < 0 ? row.r : n;
}

static int
lease_read(const PGresult *result, int i, struct lease *ret)
{
	struct row row = {.result = result, .i = i};
	struct lease lease = {0};

	lease.id.v = row_int(&row);
	lease.pool.v = row_int(&row);
	lease.peer.v = row_int(&row);
	row_ip(&row, &lease.address);
	lease.from = row_int(&row);
	lease.to = row_int(&row);
	row_text(&row, lease.peer_name, sizeof(lease.peer_name));
	row_text(&row, lease.user_name, sizeof(lease.user_name));
	if (row.r == 0)
		*ret = lease;
	return row.r;
}

int
lease_holder(struct tx *tx, const struct ip *address, int64_t at, struct lease *ret)
{
	_cleanup_(result_clearp) PGresult *result = NULL;
	struct params params;
	int r;

	if (at < LEASE_TIME_MIN || at > LEASE_TIME_MAX)
		return -ERR_NOT_FOUND;
	tx_params(tx, &params);
	params_ip(&params, address);
	params_int(&params, at);
	r = tx_query(tx, QUERY_LEASE_AT, &params, &result);
	if (r <= 0)
		return r < 0 ? r : -ERR_NOT_FOUND;
	return lease_read(result, 0, ret);
}

int
lease_history(struct tx *tx, const struct ip *address, size_t limit, struct leases *ret)
{
	_cleanup_(result_clearp) PGresult *result = NULL;
	_cleanup_(leases_done) struct leases leases = {0};
	struct params params;
	int r;

	if (limit == 0 || limit > LEASE_LIST_MAX)
		return -EINVAL;
	tx_params(tx, &params);
	params_ip(&params, address);
	params_int(&params, (int64_t)limit);
	r = tx_query(tx, QUERY_LEASE_HISTORY, &params, &result);
	if (r < 0)
		return r;
	leases.v = calloc((size_t)r + 1, sizeof(*leases.v));
	if (!leases.v)
		return -ENOMEM;
	leases.n = (size_t)r;
	for (size_t i = 0; i < leases.n; i++) {
		r = lease_read(result, (int)i, &leases.v[i]);
		if (r < 0)
			return r;
	}
	*ret = leases;
	leases = (struct leases){0};
	return 0;
}

void
leases_done(struct leases *leases)
{
	free(leases->v);
	*leases = (struct leases){0};
}
