#include "server/store/gateway.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/errors.h"
#include "server/store/peer_rows.h"

#define NOTES_MAX 1000 /* of one statement */

static int
revision_read(struct tx *tx, uint64_t *ret)
{
	_cleanup_(result_clearp) PGresult *result = NULL;
	struct row row = {0};
	int r;

	r = tx_query(tx, QUERY_FEED_REVISION, NULL, &result);
	if (r < 0)
		return r;
	row.result = result;
	*ret = row_uint(&row);
	return row.r;
}

static int
tenants_read(struct tx *tx, struct gateway_feed *feed)
{
	_cleanup_(result_clearp) PGresult *result = NULL;
	int n;

	n = tx_query(tx, QUERY_FEED_TENANTS, NULL, &result);
	if (n < 0)
		return n;
	feed->tenants = calloc((size_t)n + 1, sizeof(*feed->tenants));
	if (!feed->tenants)
		return -ENOMEM;
	for (int i = 0; i < n; i++) {
		struct row row = {.result = result, .i = i};
		struct gateway_tenant *tenant = &feed->tenants[feed->n_tenants++];

		tenant->id.v = row_int(&row);
		row_text(&row, tenant->name, sizeof(tenant->name));
		tenant->peers_may_meet = row_bool(&row);
		if (row.r < 0)
			return row.r;
	}
	return 0;
}

static int
pools_read(struct tx *tx, struct gateway_feed *feed)
{
	_cleanup_(result_clearp) PGresult *result = NULL;
	int n;

	n = tx_query(tx, QUERY_FEED_POOLS, NULL, &result);
	if (n < 0)
		return n;
	feed->pools = calloc((size_t)n + 1, sizeof(*feed->pools));
	if (!feed->pools)
		return -ENOMEM;
	for (int i = 0; i < n; i++) {
		struct row row = {.result = result, .i = i};
		struct gateway_pool *pool = &feed->pools[feed->n_pools++];

		pool->tenant.v = row_int(&row);
		row_cidr(&row, &pool->network);
		if (row.r < 0)
			return row.r;
	}
	return 0;
}

static int
routes_read(const char *text, struct gateway_peer *peer)
{
	struct cidr routes[PEER_ROUTES_MAX];
	int n;

	n = cidrs_parse(text, routes, PEER_ROUTES_MAX);
	if (n <= 0)
		return n;
	peer->routes = calloc((size_t)n, sizeof(*peer->routes));
	if (!peer->routes)
		return -ENOMEM;
	memcpy(peer->routes, routes, (size_t)n * sizeof(*routes));
	peer->n_routes = (size_t)n;
	return 0;
}

static int
peer_read(const PGresult *result, int i, struct gateway_peer *peer)
{
	struct row row = {.result = result, .i = i};
	const char *routes;
	int r;

	peer->id.v = row_int(&row);
	peer->tenant.v = row_int(&row);
	if (row_bytes(&row, peer->key.b, KEY_LEN) != KEY_LEN)
		return -ERR_DATABASE;
	peer->psk.len = (uint8_t)row_bytes(&row, peer->psk.b, sizeof(peer->psk.b));
	row_ip(&row, &peer->address4);
	row_ip(&row, &peer->address6);
	routes = row_lent(&row);
	peer->expires_at = row_int(&row);
	peer->disabled = row_bool(&row);
	peer->gone = row_bool(&row);
	row_seen(&row, &peer->last_endpoint, &peer->last_handshake_at);
	if (peer->gone)
		*peer = (struct gateway_peer){
			.id = peer->id, .tenant = peer->tenant, .key = peer->key, .gone = true};
	r = peer->gone ? 0 : routes_read(routes, peer);
	return r < 0 ? r : row.r;
}

static int
peers_read(struct tx *tx, uint64_t since, struct gateway_feed *feed)
{
	_cleanup_(result_clearp) PGresult *result = NULL;
	struct params params;
	char text[24];
	int n, r = 0;

	snprintf(text, sizeof(text), "%" PRIu64, since);
	tx_params(tx, &params);
	if (since)
		params_text(&params, text);
	n = tx_query(tx, since ? QUERY_FEED_SINCE : QUERY_FEED_ALL, &params, &result);
	if (n < 0)
		return n;
	feed->peers = calloc((size_t)n + 1, sizeof(*feed->peers));
	if (!feed->peers)
		return -ENOMEM;
	for (int i = 0; i < n && r == 0; i++)
		r = peer_read(result, i, &feed->peers[feed->n_peers++]);
	return r;
}

/* One snapshot: a gateway transaction is of repeatable read. */
int
gateway_read(struct tx *tx, uint64_t since, struct gateway_feed *ret)
{
	_cleanup_(gateway_feed_done) struct gateway_feed feed = {0};
	int r;

	r = revision_read(tx, &feed.revision);
	if (r == 0)
		r = tenants_read(tx, &feed);
	if (r == 0)
		r = pools_read(tx, &feed);
	if (r == 0)
		r = peers_read(tx, since, &feed);
	if (r < 0)
		return r;
	*ret = feed;
	feed = (struct gateway_feed){0};
	return 0;
}

void
gateway_feed_done(struct gateway_feed *feed)
{
	for (size_t i = 0; i < feed->n_peers; i++)
		free(feed->peers[i].routes);
	free(feed->peers);
	free(feed->pools);
	free(feed->tenants);
	*feed = (struct gateway_feed){0};
}

/* The five arrays of a statement as Postgres' text form of them. */
struct arrays {
	FILE *file[5];
	char *text[5];
	size_t len[5];
};

static void
arrays_done(struct arrays *arrays)
{
	for (size_t i = 0; i < ARRAY_LEN(arrays->file); i++) {
		if (arrays->file[i])
			fclose(arrays->file[i]);
		free(arrays->text[i]);
	}
}

static int
arrays_open(struct arrays *arrays)
{
	for (size_t i = 0; i < ARRAY_LEN(arrays->file); i++) {
		arrays->file[i] = open_memstream(&arrays->text[i], &arrays->len[i]);
		if (!arrays->file[i])
			return -ENOMEM;
		fputc('{', arrays->file[i]);
	}
	return 0;
}

static int
arrays_close(struct arrays *arrays)
{
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(arrays->file); i++) {
		fputc('}', arrays->file[i]);
		if (ferror(arrays->file[i]) || fclose(arrays->file[i]) != 0)
			r = -ENOMEM;
		arrays->file[i] = NULL;
	}
	return r;
}

static void
note_write(struct arrays *arrays, const struct gateway_note *note, bool first)
{
	char ip[IP_TEXT_LEN];

	for (size_t i = 0; i < ARRAY_LEN(arrays->file) && !first; i++)
		fputc(',', arrays->file[i]);
	ip_text(ip, &note->endpoint.ip);
	fprintf(arrays->file[0], "%" PRId64, note->peer.v);
	fputs(note->endpoint.ip.family ? ip : "NULL", arrays->file[1]);
	fprintf(arrays->file[2], "%u", note->endpoint.port);
	fprintf(arrays->file[3], "%u", note->endpoint.scope);
	if (note->handshake_at)
		fprintf(arrays->file[4], "%lld", (long long)note->handshake_at);
	else
		fputs("NULL", arrays->file[4]);
}

static int
notes_write(struct tx *tx, const struct gateway_note *notes, size_t n)
{
	_cleanup_(arrays_done) struct arrays arrays = {0};
	struct params params;
	int r;

	r = arrays_open(&arrays);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		note_write(&arrays, &notes[i], i == 0);
	r = arrays_close(&arrays);
	if (r < 0)
		return r;
	tx_params(tx, &params);
	for (size_t i = 0; i < ARRAY_LEN(arrays.text); i++)
		params_text(&params, arrays.text[i]);
	r = tx_query(tx, QUERY_FEED_NOTES, &params, NULL);
	return r < 0 ? r : 0;
}

static bool
note_valid(const struct gateway_note *note)
{
	return note->peer.v > 0 && note->handshake_at >= 0 && note->handshake_at < 253402300800LL &&
	       (note->endpoint.ip.family == 0 || note->endpoint.port != 0);
}

int
gateway_notes(struct tx *tx, const struct gateway_note *notes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!note_valid(&notes[i]))
			return -EINVAL;
	while (n) {
		const size_t part = MIN(n, (size_t)NOTES_MAX);
		const int r = notes_write(tx, notes, part);

		if (r < 0)
			return r;
		notes += part;
		n -= part;
	}
	return 0;
}
