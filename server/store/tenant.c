#include "server/store/tenant.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/errors.h"
#include "server/store/pool.h"
#include "server/store/text.h"
#include "server/store/tx.h"

#define TENANT_REST_MAX 315360000LL /* ten years of 365 days, as the table has it */
#define ULA_TRIES       64          /* /64s that may be taken, before there is no IPv6 pool for a tenant */
#define ENSURE_TRIES    8

static int
tenant_read(const PGresult *result, int i, struct tenant *ret)
{
	struct row row = {.result = result, .i = i};
	struct tenant tenant = {0};

	tenant.id.v = row_int(&row);
	row_text(&row, tenant.name, sizeof(tenant.name));
	tenant.peers_may_meet = row_bool(&row);
	tenant.rest_seconds = row_int(&row);
	tenant.created_at = row_int(&row);
	if (row.r == 0)
		*ret = tenant;
	return row.r;
}

static int
tenant_one(struct tx *tx, enum query query, const struct params *params, struct tenant *ret)
{
	_cleanup_(result_clearp) PGresult *result = NULL;
	int r;

	r = tx_query(tx, query, params, &result);
	if (r < 0)
		return r;
	return r == 0 ? -ERR_NOT_FOUND : tenant_read(result, 0, ret);
}

int
tenant_list(struct tx *tx, struct tenants *ret)
{
	_cleanup_(result_clearp) PGresult *result = NULL;
	_cleanup_(tenants_done) struct tenants tenants = {0};
	int r;

	r = tx_query(tx, QUERY_TENANT_LIST, NULL, &result);
	if (r < 0)
		return r;
	tenants.v = calloc((size_t)r + 1, sizeof(*tenants.v));
	if (!tenants.v)
		return -ENOMEM;
	tenants.n = (size_t)r;
	for (size_t i = 0; i < tenants.n; i++) {
		r = tenant_read(result, (int)i, &tenants.v[i]);
		if (r < 0)
			return r;
	}
	*ret = tenants;
	tenants = (struct tenants){0};
	return 0;
}

void
tenants_done(struct tenants *tenants)
{
	free(tenants->v);
	*tenants = (struct tenants){0};
}

int
tenant_find(struct tx *tx, const char *name, struct tenant *ret)
{
	struct params params;

	if (!text_is_label(name))
		return -ERR_NOT_FOUND;
	tx_params(tx, &params);
	params_text(&params, name);
	return tenant_one(tx, QUERY_TENANT_FIND, &params, ret);
}

int
tenant_get(struct tx *tx, struct tenant *ret)
{
	struct params params;

	tx_params(tx, &params);
	return tenant_one(tx, QUERY_TENANT_GET, &params, ret);
}

static int
tenant_audit(struct tx *tx, const struct tenant *tenant, const char *action, const char *before,
	     const char *after)
{
	char object[AUDIT_TEXT_MAX + 1];

	snprintf(object, sizeof(object), "tenant:%" PRId64 " %s", tenant->id.v, tenant->name);
	return audit_append(tx, &(struct audit_event){action, object, before, after});
}

int
tenant_set_peers_may_meet(struct tx *tx, bool peers_may_meet)
{
	struct tenant tenant = {0};
	struct params params;
	int r;

	r = audit_ready(tx);
	if (r < 0)
		return r;
	tx_params(tx, &params);
	r = tenant_one(tx, QUERY_TENANT_LOCK, &params, &tenant);
	if (r < 0 || tenant.peers_may_meet == peers_may_meet)
		return r;
	params_bool(&params, peers_may_meet);
	r = tx_query(tx, QUERY_TENANT_SET_MEET, &params, NULL);
	if (r < 0)
		return r;
	return tenant_audit(tx, &tenant, "tenant.peers_may_meet", peers_may_meet ? "false" : "true",
			    peers_may_meet ? "true" : "false");
}

int
tenant_set_rest(struct tx *tx, int64_t seconds)
{
	char before[24], after[24];
	struct tenant tenant = {0};
	struct params params;
	int r;

	r = audit_ready(tx);
	if (r < 0 || seconds < 0 || seconds > TENANT_REST_MAX)
		return -EINVAL;
	tx_params(tx, &params);
	r = tenant_one(tx, QUERY_TENANT_LOCK, &params, &tenant);
	if (r < 0 || tenant.rest_seconds == seconds)
		return r;
	params_int(&params, seconds);
	r = tx_query(tx, QUERY_TENANT_SET_REST, &params, NULL);
	if (r < 0)
		return r;
	snprintf(before, sizeof(before), "%" PRId64, tenant.rest_seconds);
	snprintf(after, sizeof(after), "%" PRId64, seconds);
	return tenant_audit(tx, &tenant, "tenant.rest", before, after);
}

/* What tenant_ensure() is at: with a number of its own, if it has to be made. */
struct ensure {
	const char *name;
	const struct cidr *pool;
	const struct actor *actor;
	struct tenant_id number;
	struct tenant tenant;
};

enum { ENSURE_MADE = 1, ENSURE_LOST = 2 };

/* 0: it is there; 1: it is not, and this is a number for it. */
static int
ensure_find(struct tx *tx, void *arg)
{
	_cleanup_(result_clearp) PGresult *result = NULL;
	struct ensure *ensure = arg;
	struct row row = {0};
	int r;

	r = tenant_find(tx, ensure->name, &ensure->tenant);
	if (r != -ERR_NOT_FOUND)
		return r;
	r = tx_query(tx, QUERY_TENANT_NUMBER, NULL, &result);
	if (r < 0)
		return r;
	row.result = result;
	ensure->number.v = row_int(&row);
	return row.r < 0 ? row.r : 1;
}

static int
ula_get(struct tx *tx, struct cidr *ret)
{
	_cleanup_(result_clearp) PGresult *result = NULL;
	struct row row = {0};
	int r;

	r = tx_query(tx, QUERY_SERVER_ULA, NULL, &result);
	if (r <= 0)
		return r < 0 ? r : -ERR_DATABASE;
	row.result = result;
	row_cidr(&row, ret);
	return row.r;
}

/* The /64 with the tenant's number, or the next that nobody has. */
static int
ensure_ipv6(struct tx *tx, struct tenant_id number)
{
	struct pool_id pool;
	struct cidr ula;
	int r;

	r = ula_get(tx, &ula);
	ula.len = 64;
	for (int64_t i = 0; i < ULA_TRIES && r == 0; i++) {
		const uint64_t subnet = (uint64_t)(number.v + i) & 0xffff;

		ula.ip.addr[6] = (uint8_t)(subnet >> 8);
		ula.ip.addr[7] = (uint8_t)subnet;
		r = pool_insert(tx, &ula, &pool);
		if (r != -ERR_POOL_OVERLAP)
			return r;
		r = 0;
	}
	return r < 0 ? r : -ERR_POOL_OVERLAP;
}

static int
ensure_insert(struct tx *tx, struct ensure *ensure)
{
	_cleanup_(result_clearp) PGresult *result = NULL;
	struct params params;
	int r;

	tx_params(tx, &params);
	params_text(&params, ensure->name);
	r = tx_query(tx, QUERY_TENANT_INSERT, &params, &result);
	if (r <= 0)
		return r < 0 ? r : ENSURE_LOST;
	r = tenant_read(result, 0, &ensure->tenant);
	if (r < 0)
		return r;
	tx_params(tx, &params);
	r = tx_query(tx, QUERY_AUDIT_HEAD_INSERT, &params, NULL);
	return r < 0 ? r : ENSURE_MADE;
}

static int
ensure_make(struct tx *tx, void *arg)
{
	struct ensure *ensure = arg;
	struct pool_id pool;
	int r;

	r = tx_actor(tx, ensure->actor);
	if (r < 0)
		return r;
	r = ensure_insert(tx, ensure);
	if (r != ENSURE_MADE)
		return r;
	r = tenant_audit(tx, &ensure->tenant, "tenant.add", "", "");
	if (r < 0)
		return r;
	r = pool_insert(tx, ensure->pool, &pool);
	if (r < 0)
		return r;
	r = ensure_ipv6(tx, ensure->tenant.id);
	return r < 0 ? r : ENSURE_MADE;
}

int
tenant_ensure(struct store *store, const char *name, const struct cidr *pool, const struct actor *actor,
	      struct tenant *ret)
{
	struct ensure ensure = {.name = name, .pool = pool, .actor = actor};
	int r = ENSURE_LOST;

	if (!text_is_label(name))
		return -EINVAL;
	if (pool->ip.family != AF_INET)
		return -ERR_INVALID;
	for (int i = 0; i < ENSURE_TRIES && r == ENSURE_LOST; i++) {
		r = store_run_gateway(store, ensure_find, &ensure);
		if (r == 1)
			r = store_run(store, ensure.number, ensure_make, &ensure);
	}
	if (r == ENSURE_LOST)
		return -ERR_DATABASE;
	if (r >= 0)
		*ret = ensure.tenant;
	return r;
}
