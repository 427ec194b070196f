#include "web/shapes.h"

#include <string.h>

#include "base/clock.h"

static json_t *
text_or_null(const char *text)
{
	return *text ? json_string(text) : json_null();
}

static json_t *
time_json(time_t t)
{
	char text[CLOCK_TEXT_LEN];

	if (t == 0)
		return json_null();
	clock_text(text, t);
	return json_string(text);
}

static json_t *
key_json(const struct public_key *key)
{
	char text[KEY_BASE64_LEN];

	key_to_base64(text, key->b);
	return json_string(text);
}

static json_t *
cidr_json(const struct cidr *cidr)
{
	char text[CIDR_TEXT_LEN];

	cidr_text(text, cidr);
	return json_string(text);
}

static json_t *
ip_json(const struct ip *ip)
{
	char text[IP_TEXT_LEN];

	ip_text(text, ip);
	return json_string(text);
}

/* Counters beyond what JSON's integers hold here stay at the largest. */
static json_t *
count_json(uint64_t n)
{
	return json_integer((json_int_t)MIN(n, (uint64_t)INT64_MAX));
}

/* Status */

static json_t *
endpoint_json(const struct reach *reach)
{
	return json_pack("{s:o, s:s, s:b, s:o}", "address", text_or_null(reach->address), "origin",
			 reach_origin_word(reach->origin), "private", (int)reach->closed, "note",
			 text_or_null(reach->note));
}

static json_t *
uplink_json(const struct status *status)
{
	return json_pack("{s:s, s:s, s:b, s:o, s:s}", "kind", status->uplink_kind, "ifname",
			 status->uplink_ifname, "up", (int)status->uplink_up, "world_sees",
			 text_or_null(status->world_sees), "words", status->uplink_words);
}

static json_t *
processes_json(const struct status *status)
{
	json_t *array = json_array();

	for (size_t i = 0; i < STATUS_PROCESSES; i++) {
		const struct status_process *process = &status->processes[i];

		json_array_append_new(array, json_pack("{s:s, s:s, s:o}", "name", process->name, "state",
						       process->up ? "up" : "down", "words",
						       text_or_null(process->words)));
	}
	return array;
}

static json_t *
datagrams_json(const struct status *status)
{
	json_t *causes = json_array();

	for (size_t i = 0; i < status->n_causes; i++)
		json_array_append_new(causes, json_string(status->causes[i]));
	return json_pack("{s:o, s:o, s:b, s:o}", "received",
			 status->has_received ? count_json(status->received) : json_null(), "waited",
			 status->has_waited ? json_integer(status->waited) : json_null(), "silent",
			 (int)status->silent, "causes", causes);
}

static json_t *
rung_json(const struct status_rung *rung)
{
	return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o}", "name", rung->said.name, "state",
			 rung->said.state, "downs", count_json(rung->said.downs), "ups",
			 count_json(rung->said.ups), "figure", count_json(rung->said.figure), "cost",
			 text_or_null(rung->cost), "remedy", text_or_null(rung->remedy));
}

static json_t *
calls_json(const struct uapi_calls *calls)
{
	return json_pack("{s:s, s:o, s:o, s:o}", "name", calls->name, "calls", count_json(calls->calls),
			 "segments", count_json(calls->segments), "mean",
			 calls->calls ? json_real((double)calls->segments / (double)calls->calls)
				      : json_null());
}

static json_t *
tunnel_json(const struct status *status)
{
	json_t *ladder = json_array(), *drops = json_array(), *calls = json_array();

	for (size_t i = 0; i < status->n_rungs; i++)
		json_array_append_new(ladder, rung_json(&status->rungs[i]));
	for (size_t i = 0; i < status->n_calls; i++)
		json_array_append_new(calls, calls_json(&status->calls[i]));
	for (size_t i = 0; i < status->n_drops; i++) {
		const struct status_drop *drop = &status->drops[i];

		json_array_append_new(drops, json_pack("{s:s, s:o, s:s}", "name", drop->name, "count",
						       count_json(drop->count), "words", drop->words));
	}
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:{s:o, s:o}}", "aead", text_or_null(status->aead),
			 "workers", status->workers ? count_json(status->workers) : json_null(), "ladder",
			 ladder, "drops", drops, "calls", calls, "handoffs", "in",
			 count_json(status->handoff_in), "out", count_json(status->handoff_out));
}

static json_t *
counts_json(const struct status *status)
{
	const struct wanted_counts *n = &status->peers;

	if (!status->has_peers)
		return json_null();
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "total", (json_int_t)n->total, "active",
			 (json_int_t)n->active, "disabled", (json_int_t)n->disabled, "expired",
			 (json_int_t)n->expired, "online", (json_int_t)n->online, "without_end",
			 (json_int_t)n->without_end);
}

static json_t *
troubles_json(const struct status *status)
{
	json_t *array = json_array();

	for (size_t i = 0; i < status->n_troubles; i++) {
		const struct status_trouble *trouble = &status->troubles[i];

		json_array_append_new(array,
				      json_pack("{s:s, s:s, s:o}", "code", trouble->code, "words",
						trouble->words, "remedy", text_or_null(trouble->remedy)));
	}
	return array;
}

json_t *
shape_status(const struct status *status)
{
	return json_pack("{s:s, s:o, s:I, s:s, s:o, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "version",
			 WARREN_VERSION, "started_at", time_json(status->started_at), "uptime",
			 (json_int_t)status->uptime, "data_dir", status->data_dir, "endpoint",
			 endpoint_json(&status->reach), "listen_port", (int)status->listen_port, "public_key",
			 status->has_key ? key_json(&status->key) : json_null(), "uplink",
			 uplink_json(status), "processes", processes_json(status), "datagrams",
			 datagrams_json(status), "tunnel", tunnel_json(status), "namespace_pid",
			 status->namespace_pid ? json_integer(status->namespace_pid) : json_null(), "peers",
			 counts_json(status), "trouble", troubles_json(status));
}

json_t *
shape_health(const struct control_health *health)
{
	return json_pack("{s:s, s:b, s:b}", "status", health->database && health->tunnel ? "ok" : "degraded",
			 "database", (int)health->database, "tunnel", (int)health->tunnel);
}

/* Peers */

static json_t *
addresses_json(const struct peer *peer)
{
	json_t *array = json_array();

	if (peer->address4.family)
		json_array_append_new(array, cidr_json(&(struct cidr){peer->address4, 32}));
	if (peer->address6.family)
		json_array_append_new(array, cidr_json(&(struct cidr){peer->address6, 128}));
	return array;
}

static json_t *
routes_json(const struct peer *peer)
{
	json_t *array = json_array();

	for (size_t i = 0; i < peer->n_routes; i++)
		json_array_append_new(array, cidr_json(&peer->routes[i]));
	return array;
}

static json_t *
heard_from_json(const struct endpoint *endpoint)
{
	char text[ENDPOINT_TEXT_LEN];

	if (!endpoint->ip.family)
		return json_null();
	endpoint_text(text, endpoint);
	return json_string(text);
}

json_t *
shape_peer(const struct peer_view *view)
{
	static const char *const states[] = {"active", "disabled", "expired"};
	const struct peer *peer = &view->peer;
	const time_t shook = view->last_handshake_at;

	return json_pack("{s:I, s:s, s:o, s:s, s:o, s:o, s:o, s:o, s:b, s:o, s:o, s:o, s:o, s:o}", "id",
			 (json_int_t)peer->id.v, "name", peer->name, "public_key", key_json(&peer->key),
			 "state", states[view->state], "addresses", addresses_json(peer), "routes",
			 routes_json(peer), "expires_at", time_json(peer->expires_at), "created_at",
			 time_json(peer->created_at), "online", (int)view->online, "endpoint",
			 heard_from_json(&view->endpoint), "last_handshake_at", time_json(shook),
			 "last_handshake_age", shook ? json_integer(MAX(view->now - shook, 0)) : json_null(),
			 "rx_bytes", count_json(view->rx_bytes), "tx_bytes", count_json(view->tx_bytes));
}

json_t *
shape_peers(const struct peer_views *views)
{
	json_t *array = json_array();

	for (size_t i = 0; i < views->n; i++)
		json_array_append_new(array, shape_peer(&views->v[i]));
	return json_pack("{s:o, s:o}", "peers", array, "next",
			 views->more ? json_string(views->v[views->n - 1].peer.name) : json_null());
}

static json_t *
config_json(const struct client_config *config)
{
	json_t *dns = json_array(), *allowed = json_array();

	for (size_t i = 0; i < config->dns.n; i++)
		json_array_append_new(dns, ip_json(&config->dns.v[i]));
	if (config->ip4)
		json_array_append_new(allowed, json_string("0.0.0.0/0"));
	if (config->ip6)
		json_array_append_new(allowed, json_string("::/0"));
	return json_pack("{s:o, s:o, s:o, s:o, s:i, s:o, s:i}", "gateway_public_key",
			 config->has_key ? key_json(&config->key) : json_null(), "endpoint",
			 text_or_null(config->reach.address), "endpoint_note",
			 text_or_null(config->reach.note), "dns", dns, "mtu", (int)config->mtu, "allowed_ips",
			 allowed, "persistent_keepalive", (int)config->keepalive);
}

static void
add_applied(json_t *object, const struct applied *applied)
{
	json_object_set_new(object, "applied", json_boolean(applied->applied));
	json_object_set_new(object, "applied_note", text_or_null(applied->note));
}

json_t *
shape_changed(const struct peer_view *view, const struct applied *applied, const struct client_config *config)
{
	json_t *object = shape_peer(view);

	add_applied(object, applied);
	if (config)
		json_object_set_new(object, "config", config_json(config));
	return object;
}

json_t *
shape_removed(const struct peer *peer, const struct applied *applied)
{
	json_t *object = json_pack("{s:I, s:s}", "id", (json_int_t)peer->id.v, "name", peer->name);

	add_applied(object, applied);
	return object;
}

/* The tenant, its pools and its audit log */

json_t *
shape_tenant(const struct tenant *tenant, const struct applied *applied)
{
	json_t *object =
		json_pack("{s:s, s:b, s:I, s:o}", "name", tenant->name, "peers_may_meet",
			  (int)tenant->peers_may_meet, "rest_seconds", (json_int_t)tenant->rest_seconds,
			  "created_at", time_json(tenant->created_at));

	if (applied)
		add_applied(object, applied);
	return object;
}

static json_t *
pool_json(const struct pool *pool)
{
	const bool countable = pool->network.ip.family == AF_INET;
	const uint64_t taken = pool->leased + pool->resting;
	const uint64_t free_addresses = pool->size > taken ? pool->size - taken : 0;
	struct ip gateway;

	if (cidr_nth(&gateway, &pool->network, POOL_GATEWAY) < 0)
		gateway = pool->network.ip;
	return json_pack("{s:I, s:o, s:o, s:o, s:o, s:o, s:o}", "id", (json_int_t)pool->id.v, "cidr",
			 cidr_json(&pool->network), "gateway", ip_json(&gateway), "size",
			 countable ? count_json(pool->size) : json_null(), "used", count_json(pool->leased),
			 "resting", count_json(pool->resting), "free",
			 countable ? count_json(free_addresses) : json_null());
}

json_t *
shape_pools(const struct pools *pools)
{
	json_t *array = json_array();

	for (size_t i = 0; i < pools->n; i++)
		json_array_append_new(array, pool_json(&pools->v[i]));
	return json_pack("{s:o}", "pools", array);
}

/* Values of the log are JSON themselves; one that is not is shown as text. */
static json_t *
logged_json(const char *text)
{
	json_t *json;

	if (!text || !*text)
		return json_null();
	json = json_loads(text, JSON_DECODE_ANY, NULL);
	return json ? json : json_string(text);
}

static json_t *
event_json(const struct audit_row *row)
{
	json_t *detail = json_pack("{s:s, s:s, s:o, s:o}", "source", row->source, "request", row->request,
				   "before", logged_json(row->before), "after", logged_json(row->after));

	return json_pack("{s:I, s:o, s:s, s:s, s:s, s:o}", "id", (json_int_t)row->seq, "at",
			 time_json((time_t)(row->at / 1000000)), "actor", row->actor, "action", row->action,
			 "object", row->object, "detail", detail);
}

json_t *
shape_audit(const struct audit_rows *rows, size_t n, bool more)
{
	json_t *array = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(array, event_json(&rows->v[i]));
	return json_pack("{s:o, s:o}", "events", array, "next",
			 more ? json_integer(rows->v[n - 1].seq) : json_null());
}
