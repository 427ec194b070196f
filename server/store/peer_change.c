/*
 * Changes of peers.  Each locks the peer, looks at what it is, changes it if that is something else, and
 * writes both into the audit log.
 */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/errors.h"
#include "server/store/allocate.h"
#include "server/store/peer_rows.h"
#include "server/store/tenant.h"
#include "server/store/text.h"

#define TIME_MAX 253402300799LL /* the last second of the year 9999 */

static bool
route_valid(const struct cidr *route)
{
	struct cidr masked = *route;

	if ((route->ip.family != AF_INET && route->ip.family != AF_INET6) || route->len == 0 ||
	    route->len > ip_bits(&route->ip))
		return false;
	cidr_mask(&masked);
	return ip_equal(&masked.ip, &route->ip);
}

static bool
time_valid(time_t t)
{
	return t >= 0 && t <= TIME_MAX;
}

static bool
psk_valid(const struct sealed *psk)
{
	return psk->len <= PEER_SEALED_MAX;
}

static bool
new_valid(const struct peer_new *peer)
{
	if (!text_is_name(peer->name, PEER_NAME_MAX) || key_is_zero(peer->key.b) ||
	    !time_valid(peer->expires_at) || !psk_valid(&peer->psk) || peer->n_routes > PEER_ROUTES_MAX)
		return false;
	for (size_t i = 0; i < peer->n_routes; i++)
		if (!route_valid(&peer->routes[i]))
			return false;
	return true;
}

/* A route into a pool of the tenant's would take other peers' addresses. */
static int
routes_check(struct tx *tx, const struct peer_new *peer)
{
	struct params params;
	int r;

	for (size_t i = 0; i < peer->n_routes; i++) {
		tx_params(tx, &params);
		params_cidr(&params, &peer->routes[i]);
		r = tx_query(tx, QUERY_POOL_MEETS, &params, NULL);
		if (r != 0)
			return r < 0 ? r : -ERR_INVALID;
	}
	return 0;
}

static int
row_insert(struct tx *tx, const struct peer_new *peer, struct peer_id *ret)
{
	_cleanup_(result_clearp) PGresult *result = NULL;
	char routes[CIDRS_TEXT_LEN(PEER_ROUTES_MAX)];
	struct params params;
	struct row row = {0};
	int r;

	cidrs_text(routes, peer->routes, peer->n_routes);
	tx_params(tx, &params);
	params_int(&params, peer->user.v);
	params_text(&params, peer->name);
	params_bytes(&params, peer->key.b, KEY_LEN);
	params_bytes(&params, peer->psk.b, peer->psk.len);
	params_text(&params, routes);
	params_time(&params, peer->expires_at);
	r = tx_query(tx, QUERY_PEER_INSERT, &params, &result);
	if (r <= 0)
		return r < 0 ? r : -ERR_CONFLICT;
	row.result = result;
	ret->v = row_int(&row);
	return row.r;
}

static int
insert(struct tx *tx, const struct peer_new *peer, struct peer *ret)
{
	struct peer_id id;
	int r;

	r = row_insert(tx, peer, &id);
	if (r < 0)
		return r;
	r = allocate_all(tx, id);
	if (r == 0)
		r = peer_get(tx, id, ret);
	if (r == 0)
		r = peer_audit(tx, "peer.add", NULL, ret);
	return r < 0 ? tx_spoil(tx, r) : 0; /* a peer without addresses must not be committed */
}

int
peer_insert(struct tx *tx, const struct peer_new *peer, struct peer *ret)
{
	struct peer made;
	struct user user;
	int r;

	if (!new_valid(peer))
		return -ERR_INVALID;
	r = audit_ready(tx);
	if (r < 0)
		return r;
	r = user_get(tx, peer->user, &user);
	if (r < 0)
		return r;
	r = routes_check(tx, peer);
	if (r < 0)
		return r;
	r = insert(tx, peer, &made);
	if (r < 0)
		return r;
	*ret = made;
	return 0;
}

/* The peer as it is, locked until the end of the transaction. */
static int
peer_lock(struct tx *tx, struct peer_id id, struct peer *ret)
{
	struct params params;
	int r;

	r = audit_ready(tx);
	if (r < 0)
		return r;
	tx_params(tx, &params);
	params_int(&params, id.v);
	r = tx_query(tx, QUERY_PEER_LOCK, &params, NULL);
	if (r <= 0)
		return r < 0 ? r : -ERR_NOT_FOUND;
	return peer_get(tx, id, ret);
}

/* What is there now, which the log gets too. */
static int
changed(struct tx *tx, const char *action, const struct peer *before, struct peer *ret)
{
	struct peer after;
	int r;

	r = peer_get(tx, before->id, &after);
	if (r == 0)
		r = peer_audit(tx, action, before, &after);
	if (r < 0)
		return tx_spoil(tx, r);
	*ret = after;
	return 0;
}

static void
change_params(struct tx *tx, struct peer_id id, struct params *params)
{
	tx_params(tx, params);
	params_int(params, id.v);
}

int
peer_set_disabled(struct tx *tx, struct peer_id id, bool disabled, struct peer *ret)
{
	struct params params;
	struct peer before;
	int r;

	r = peer_lock(tx, id, &before);
	if (r < 0)
		return r;
	if ((before.disabled_at != 0) == disabled) {
		*ret = before;
		return 0;
	}
	change_params(tx, id, &params);
	params_bool(&params, disabled);
	r = tx_query(tx, QUERY_PEER_SET_DISABLED, &params, NULL);
	return r < 0 ? r : changed(tx, disabled ? "peer.disable" : "peer.enable", &before, ret);
}

int
peer_set_expiry(struct tx *tx, struct peer_id id, time_t expires_at, struct peer *ret)
{
	struct params params;
	struct peer before;
	int r;

	if (!time_valid(expires_at))
		return -ERR_INVALID;
	r = peer_lock(tx, id, &before);
	if (r < 0)
		return r;
	if (before.expires_at == expires_at) {
		*ret = before;
		return 0;
	}
	change_params(tx, id, &params);
	params_time(&params, expires_at);
	r = tx_query(tx, QUERY_PEER_SET_EXPIRY, &params, NULL);
	return r < 0 ? r : changed(tx, "peer.renew", &before, ret);
}

int
peer_rekey(struct tx *tx, struct peer_id id, const struct public_key *key, struct peer *ret)
{
	struct params params;
	struct peer before;
	int r;

	if (key_is_zero(key->b))
		return -ERR_INVALID;
	r = peer_lock(tx, id, &before);
	if (r < 0)
		return r;
	if (bytes_equal(before.key.b, key->b, KEY_LEN)) {
		*ret = before;
		return 0;
	}
	change_params(tx, id, &params);
	params_bytes(&params, key->b, KEY_LEN);
	r = tx_try(tx, QUERY_PEER_SET_KEY, &params, NULL);
	return r < 0 ? r : changed(tx, "peer.rekey", &before, ret);
}

int
peer_set_psk(struct tx *tx, struct peer_id id, const struct sealed *psk, struct peer *ret)
{
	struct params params;
	struct peer before;
	int r;

	if (!psk_valid(psk))
		return -ERR_INVALID;
	r = peer_lock(tx, id, &before);
	if (r < 0)
		return r;
	if (before.psk.len == psk->len && bytes_equal(before.psk.b, psk->b, psk->len)) {
		*ret = before;
		return 0;
	}
	change_params(tx, id, &params);
	params_bytes(&params, psk->b, psk->len);
	r = tx_query(tx, QUERY_PEER_SET_PSK, &params, NULL);
	return r < 0 ? r : changed(tx, "peer.psk", &before, ret);
}

int
peer_remove(struct tx *tx, struct peer_id id)
{
	struct params params;
	struct peer before;
	int r;

	r = peer_lock(tx, id, &before);
	if (r < 0)
		return r;
	r = leases_end(tx, id);
	if (r < 0)
		return r;
	change_params(tx, id, &params);
	r = tx_query(tx, QUERY_PEER_REMOVE, &params, NULL);
	return r < 0 ? tx_spoil(tx, r) : peer_audit(tx, "peer.remove", &before, NULL);
}
