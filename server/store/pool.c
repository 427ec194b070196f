#include "server/store/pool.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/errors.h"
#include "server/store/allocate.h"
#include "server/store/tx.h"

static bool
pool_allowed(const struct cidr *network)
{
	struct cidr masked = *network;
	const unsigned least = network->ip.family == AF_INET ? 8 : 32,
		       most = network->ip.family == AF_INET ? 30 : 120;

	if (network->ip.family != AF_INET && network->ip.family != AF_INET6)
		return false;
	cidr_mask(&masked);
	return network->len >= least && network->len <= most && ip_equal(&masked.ip, &network->ip);
}

static int
pool_audit(struct tx *tx, struct pool_id id, const struct cidr *network)
{
	char text[CIDR_TEXT_LEN], object[AUDIT_TEXT_MAX + 1], after[CIDR_TEXT_LEN + 32];

	cidr_text(text, network);
	snprintf(object, sizeof(object), "pool:%" PRId64 " %s", id.v, text);
	snprintf(after, sizeof(after), "{\"network\":\"%s\"}", text);
	return audit_append(tx, &(struct audit_event){"pool.add", object, "", after});
}

int
pool_insert(struct tx *tx, const struct cidr *network, struct pool_id *ret)
{
	_cleanup_(result_clearp) PGresult *result = NULL;
	struct params params;
	struct row row = {0};
	struct pool_id id;
	int r;

	if (!pool_allowed(network))
		return -ERR_INVALID;
	r = audit_ready(tx);
	if (r < 0)
		return r;
	tx_params(tx, &params);
	params_cidr(&params, network);
	r = tx_query(tx, QUERY_POOL_INSERT, &params, &result);
	if (r <= 0)
		return r < 0 ? r : -ERR_POOL_OVERLAP;
	row.result = result;
	id.v = row_int(&row);
	if (row.r < 0)
		return row.r;
	r = pool_audit(tx, id, network);
	if (r < 0)
		return r;
	*ret = id;
	return 0;
}

static int
pool_read(const PGresult *result, int i, struct pool *ret)
{
	struct row row = {.result = result, .i = i};

	ret->id.v = row_int(&row);
	row_cidr(&row, &ret->network);
	ret->created_at = row_int(&row);
	ret->leased = row_uint(&row);
	ret->resting = row_uint(&row);
	if (row.r == 0)
		ret->size = (uint64_t)(pool_last(&ret->network) - POOL_FIRST + 1);
	return row.r;
}

int
pool_list(struct tx *tx, struct pools *ret)
{
	_cleanup_(result_clearp) PGresult *result = NULL;
	_cleanup_(pools_done) struct pools pools = {0};
	struct params params;
	int r;

	tx_params(tx, &params);
	r = tx_query(tx, QUERY_POOL_LIST, &params, &result);
	if (r < 0)
		return r;
	pools.v = calloc((size_t)r + 1, sizeof(*pools.v));
	if (!pools.v)
		return -ENOMEM;
	pools.n = (size_t)r;
	for (size_t i = 0; i < pools.n; i++) {
		r = pool_read(result, (int)i, &pools.v[i]);
		if (r < 0)
			return r;
	}
	*ret = pools;
	pools = (struct pools){0};
	return 0;
}

void
pools_done(struct pools *pools)
{
	free(pools->v);
	*pools = (struct pools){0};
}
