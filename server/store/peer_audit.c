#include <errno.h>
#include <inttypes.h>
#include <jansson.h>

#include "base/clock.h"
#include "server/store/peer_rows.h"

static void
set_time(json_t *object, const char *name, time_t t)
{
	char text[CLOCK_TEXT_LEN];

	clock_text(text, t);
	json_object_set_new(object, name, t ? json_string(text) : json_null());
}

static void
set_address(json_t *list, const struct ip *ip)
{
	char text[IP_TEXT_LEN];

	if (ip->family == 0)
		return;
	ip_text(text, ip);
	json_array_append_new(list, json_string(text));
}

static json_t *
routes_json(const struct peer *peer)
{
	json_t *list = json_array();
	char text[CIDR_TEXT_LEN];

	for (size_t i = 0; i < peer->n_routes; i++) {
		cidr_text(text, &peer->routes[i]);
		json_array_append_new(list, json_string(text));
	}
	return list;
}

/* What is missing for want of memory would be a lie in the log: then there is none. */
static bool
complete(const json_t *object, const struct peer *peer)
{
	const size_t addresses = (peer->address4.family ? 1U : 0U) + (peer->address6.family ? 1U : 0U);

	return json_object_size(object) == 8 &&
	       json_array_size(json_object_get(object, "addresses")) == addresses &&
	       json_array_size(json_object_get(object, "routes")) == peer->n_routes;
}

char *
peer_json(const struct peer *peer)
{
	json_t *object = json_object(), *addresses = json_array();
	char key[KEY_BASE64_LEN];
	char *text = NULL;

	key_to_base64(key, peer->key.b);
	set_address(addresses, &peer->address4);
	set_address(addresses, &peer->address6);
	json_object_set_new(object, "name", json_string(peer->name));
	json_object_set_new(object, "user", json_string(peer->user_name));
	json_object_set_new(object, "public_key", json_string(key));
	json_object_set_new(object, "psk", json_boolean(peer->psk.len > 0));
	json_object_set_new(object, "addresses", addresses);
	json_object_set_new(object, "routes", routes_json(peer));
	set_time(object, "expires_at", peer->expires_at);
	set_time(object, "disabled_at", peer->disabled_at);
	if (complete(object, peer))
		text = json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(object);
	return text;
}

int
peer_audit(struct tx *tx, const char *action, const struct peer *before, const struct peer *after)
{
	_cleanup_(freep) char *was = before ? peer_json(before) : NULL;
	_cleanup_(freep) char *is = after ? peer_json(after) : NULL;
	const struct peer *peer = after ? after : before;
	char object[AUDIT_TEXT_MAX + 1];

	if (!peer || (before && !was) || (after && !is))
		return tx_spoil(tx, -ENOMEM);
	snprintf(object, sizeof(object), "peer:%" PRId64 " %s", peer->id.v, peer->name);
	return audit_append(tx, &(struct audit_event){action, object, was ? was : "", is ? is : ""});
}
