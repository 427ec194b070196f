#include "server/store/peer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/errors.h"
#include "server/store/allocate.h"
#include "server/store/peer_rows.h"
#include "server/store/text.h"

void
row_seen(struct row *row, struct endpoint *endpoint, time_t *handshake_at)
{
	row_ip(row, &endpoint->ip);
	endpoint->port = (uint16_t)row_int(row);
	endpoint->scope = (uint32_t)row_int(row);
	*handshake_at = row_int(row);
}

static void
row_key(struct row *row, struct public_key *key)
{
	if (row_bytes(row, key->b, KEY_LEN) != KEY_LEN)
		row->r = -ERR_DATABASE;
}

static int
peer_read(const PGresult *result, int i, struct peer *ret)
{
	struct row row = {.result = result, .i = i};
	int n;

	memset(ret, 0, sizeof(*ret));
	ret->id.v = row_int(&row);
	ret->user.v = row_int(&row);
	row_text(&row, ret->user_name, sizeof(ret->user_name));
	row_text(&row, ret->name, sizeof(ret->name));
	row_key(&row, &ret->key);
	ret->psk.len = (uint8_t)row_bytes(&row, ret->psk.b, sizeof(ret->psk.b));
	row_ip(&row, &ret->address4);
	row_ip(&row, &ret->address6);
	n = cidrs_parse(row_lent(&row), ret->routes, PEER_ROUTES_MAX);
	ret->n_routes = n < 0 ? 0 : (size_t)n;
	ret->created_at = row_int(&row);
	ret->expires_at = row_int(&row);
	ret->disabled_at = row_int(&row);
	row_seen(&row, &ret->last_endpoint, &ret->last_handshake_at);
	return n < 0 ? n : row.r;
}

static int
peer_one(struct tx *tx, enum query query, const struct params *params, struct peer *ret)
{
	_cleanup_(result_clearp) PGresult *result = NULL;
	struct peer peer;
	int r;

	r = tx_query(tx, query, params, &result);
	if (r <= 0)
		return r < 0 ? r : -ERR_NOT_FOUND;
	r = peer_read(result, 0, &peer);
	if (r < 0)
		return r;
	*ret = peer;
	return 0;
}

int
peer_get(struct tx *tx, struct peer_id id, struct peer *ret)
{
	struct params params;

	tx_params(tx, &params);
	params_int(&params, id.v);
	return peer_one(tx, QUERY_PEER_GET, &params, ret);
}

int
peer_find_name(struct tx *tx, const char *name, struct peer *ret)
{
	struct params params;

	if (!text_is_name(name, PEER_NAME_MAX))
		return -ERR_NOT_FOUND;
	tx_params(tx, &params);
	params_text(&params, name);
	return peer_one(tx, QUERY_PEER_FIND_NAME, &params, ret);
}

int
peer_find_key(struct tx *tx, const struct public_key *key, struct peer *ret)
{
	struct params params;

	tx_params(tx, &params);
	params_bytes(&params, key->b, KEY_LEN);
	return peer_one(tx, QUERY_PEER_FIND_KEY, &params, ret);
}

int
peer_list(struct tx *tx, const char *after, size_t limit, struct peers *ret)
{
	_cleanup_(result_clearp) PGresult *result = NULL;
	_cleanup_(peers_done) struct peers peers = {0};
	struct params params;
	int r;

	if (limit == 0 || limit > PEER_LIST_MAX || !text_valid(after, PEER_NAME_MAX))
		return -EINVAL;
	tx_params(tx, &params);
	params_text(&params, after);
	params_int(&params, (int64_t)limit);
	r = tx_query(tx, QUERY_PEER_LIST, &params, &result);
	if (r < 0)
		return r;
	peers.v = calloc((size_t)r + 1, sizeof(*peers.v));
	if (!peers.v)
		return -ENOMEM;
	peers.n = (size_t)r;
	for (size_t i = 0; i < peers.n; i++) {
		r = peer_read(result, (int)i, &peers.v[i]);
		if (r < 0)
			return r;
	}
	*ret = peers;
	peers = (struct peers){0};
	return 0;
}

void
peers_done(struct peers *peers)
{
	free(peers->v);
	*peers = (struct peers){0};
}
