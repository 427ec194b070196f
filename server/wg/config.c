#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "server/wg/device.h"
#include "server/wg/device_state.h"
#include "server/wg/route.h"

/*
 * Configuration: each call compares first, so that being told the same again disturbs nothing.
 */

static void
private_key_clamp(struct private_key *key)
{
	key->b[0] &= 248;
	key->b[31] = (uint8_t)((key->b[31] & 127) | 64);
}

/* Every path refuses by itself what is meant for another key. */
static void
identity_tell(struct wg_device *device, const struct wg_effects *out)
{
	for (unsigned i = 0; i < device->workers; i++) {
		struct wg_order order = {.type = WG_ORDER_IDENTITY, .identity = device->identity.key};

		out->order(out->ctx, i, &order);
	}
}

static void
identity_set(struct wg_device *device, const struct private_key *key)
{
	struct noise_identity *identity = &device->identity;

	bytes_wipe(identity, sizeof(*identity));
	if (key_is_zero(key->b))
		return;
	identity->present = true;
	identity->secret = *key;
	private_key_clamp(&identity->secret);
	public_key_derive(&identity->key, &identity->secret);
	cookie_checker_key(&device->checker, &identity->key);
}

void
wg_private_key_set(struct wg_device *device, const struct private_key *key, struct wg_now now,
		   const struct wg_effects *out)
{
	struct private_key wanted = *key;
	struct wg_peer *peer;
	bool same;

	if (!key_is_zero(wanted.b))
		private_key_clamp(&wanted);
	same = bytes_equal(wanted.b, device->identity.secret.b, KEY_LEN);
	bytes_wipe(&wanted, sizeof(wanted));
	if (same)
		return;

	identity_set(device, key);
	identity_tell(device, out);
	peer = device->identity.present ? roster_by_key(&device->peers, &device->identity.key) : NULL;
	if (peer)
		wg_peer_remove(device, peer, out);
	for (peer = NULL; (peer = roster_next(&device->peers, peer));) {
		bytes_wipe(peer->static_static, sizeof(peer->static_static));
		peer->ss_state = SS_UNKNOWN;
		peer_handshake_forget(peer);
		peer->last_sent = 0;
		device_order_simple(device, peer, WG_ORDER_SENDING_STOP, out);
	}
}

void
wg_private_key_get(const struct wg_device *device, struct private_key *ret)
{
	*ret = device->identity.secret;
}

void
wg_public_key_get(const struct wg_device *device, struct public_key *ret)
{
	*ret = device->identity.key;
}

int
wg_peer_add(struct wg_device *device, struct wg_domain *domain, const struct public_key *key,
	    const struct wg_effects *out, struct wg_peer **ret)
{
	struct wg_order order = {
		.type = WG_ORDER_PEER_ADD,
		.add = {.allowed = domain->allowed, .domain = (uint16_t)domain->number},
	};
	struct wg_peer *peer;
	int r;

	if (device->identity.present && bytes_equal(key->b, device->identity.key.b, KEY_LEN))
		return -EKEYREJECTED;
	if (roster_by_key(&device->peers, key))
		return -EEXIST;
	r = timer_heap_reserve(&device->timers, device->peers.count + 1);
	if (r < 0)
		return r;
	r = roster_add(&device->peers, key, &peer);
	if (r < 0)
		return r;
	device->random.fill(device->random.ctx, &peer->generation, sizeof(peer->generation));
	peer->domain = domain;
	TAILQ_INSERT_TAIL(&domain->peers, peer, same_domain);
	domain->peer_count++;
	device_order(device, peer, &order, out);
	*ret = peer;
	return 0;
}

void
wg_peer_remove(struct wg_device *device, struct wg_peer *peer, const struct wg_effects *out)
{
	allowedips_remove_all(peer->domain->allowed, &peer->allowed);
	timers_stop_all(&device->timers, &peer->timers);
	device_order_simple(device, peer, WG_ORDER_PEER_REMOVE, out);
	TAILQ_REMOVE(&peer->domain->peers, peer, same_domain);
	peer->domain->peer_count--;
	roster_remove(&device->peers, peer);
}

struct wg_peer *
wg_peer_find(const struct wg_device *device, const struct public_key *key)
{
	return roster_by_key(&device->peers, key);
}

struct wg_peer *
wg_peer_by_id(const struct wg_device *device, struct wg_peer_id id)
{
	struct wg_peer *peer = roster_by_number(&device->peers, id.number);

	return peer && peer->id.serial == id.serial ? peer : NULL;
}

uint32_t
wg_peer_count(const struct wg_device *device)
{
	return device->peers.count;
}

void
wg_peer_psk_set(struct wg_device *device, struct wg_peer *peer, const struct preshared_key *psk)
{
	peer->psk = *psk;
}

/* Where the peer was, now that it has an endpoint, a keepalive need not wait for its turn. */
void
wg_peer_endpoint_set(struct wg_device *device, struct wg_peer *peer, const struct endpoint *endpoint,
		     struct wg_now now, const struct wg_effects *out)
{
	const bool known = route_known(&peer->route);
	struct wg_order order = {
		.type = WG_ORDER_ROUTE,
		.route = {.route = {.to = *endpoint}, .learned = now.boot},
	};

	if (known && endpoint_equal(&peer->route.to, endpoint))
		return;
	peer->route = order.route.route;
	peer->learned = now.boot;
	device_order(device, peer, &order, out);
	if (!known && peer->domain->up && peer->keepalive != 0)
		device_order_simple(device, peer, WG_ORDER_KEEPALIVE, out);
}

void
wg_peer_keepalive_set(struct wg_device *device, struct wg_peer *peer, uint16_t seconds, struct wg_now now,
		      const struct wg_effects *out)
{
	const uint16_t before = peer->keepalive;

	if (seconds == before)
		return;
	peer->keepalive = seconds;
	if (!peer->domain->up)
		return;
	if (seconds == 0) {
		timers_stop(&device->timers, &peer->timers, TIMER_PERSISTENT);
		return;
	}
	timers_arm(&device->timers, &peer->timers, TIMER_PERSISTENT, now.boot + SECONDS(seconds));
	if (before == 0)
		device_order_simple(device, peer, WG_ORDER_KEEPALIVE, out);
}

/* What is under way with a peer that may not come in any more is over. */
static void
access_stop(const struct turn *turn, struct wg_peer *peer)
{
	struct timer_heap *heap = &turn->device->timers;

	peer_handshake_forget(peer);
	timers_stop(heap, &peer->timers, TIMER_RETRANSMIT);
	timers_stop(heap, &peer->timers, TIMER_NEW_HANDSHAKE);
	timers_stop(heap, &peer->timers, TIMER_KEEPALIVE);
}

/* An end that stays is not worked out again: a wall clock that was set back would move it. */
void
wg_peer_access_set(struct wg_device *device, struct wg_peer *peer, enum wg_access access, time_t end,
		   struct wg_now now, const struct wg_effects *out)
{
	const struct turn turn = {.device = device, .now = now, .out = out};
	struct wg_order order = {.type = WG_ORDER_ACCESS};

	if (access == peer->access && end == peer->end_at)
		return;
	peer->access = (uint8_t)access;
	if (end != peer->end_at)
		peer->end = wg_end_at(end, now);
	peer->end_at = end;
	order.access.access = access;
	order.access.end = peer->end;
	device_order(device, peer, &order, out);
	if (access == WG_CUT || wg_ended(&peer->end, now))
		access_stop(&turn, peer);
}

static void
limits_set(struct wg_device *device, struct wg_peer *peer, const struct wg_limits *limits,
	   const struct wg_effects *out)
{
	struct wg_order order = {.type = WG_ORDER_LIMITS, .limits = *limits};

	if (limits->rate_rx == peer->limits.rate_rx && limits->rate_tx == peer->limits.rate_tx &&
	    limits->mtu == peer->limits.mtu)
		return;
	peer->limits = *limits;
	device_order(device, peer, &order, out);
}

void
wg_peer_rate_set(struct wg_device *device, struct wg_peer *peer, uint64_t rx, uint64_t tx,
		 const struct wg_effects *out)
{
	const struct wg_limits limits = {.rate_rx = rx, .rate_tx = tx, .mtu = peer->limits.mtu};

	limits_set(device, peer, &limits, out);
}

void
wg_peer_mtu_set(struct wg_device *device, struct wg_peer *peer, uint16_t mtu, const struct wg_effects *out)
{
	struct wg_limits limits = peer->limits;

	limits.mtu = mtu;
	limits_set(device, peer, &limits, out);
}

int
wg_peer_allow(struct wg_device *device, struct wg_peer *peer, const struct cidr *cidr)
{
	return allowedips_insert(peer->domain->allowed, cidr, peer->id, &peer->allowed);
}

int
wg_peer_disallow(struct wg_device *device, struct wg_peer *peer, const struct cidr *cidr)
{
	return allowedips_remove(peer->domain->allowed, cidr, &peer->allowed);
}

void
wg_peer_disallow_all(struct wg_device *device, struct wg_peer *peer)
{
	allowedips_remove_all(peer->domain->allowed, &peer->allowed);
}

const struct allowedips_list *
wg_peer_allowed(const struct wg_peer *peer)
{
	return &peer->allowed;
}

void
wg_peer_initiate(struct wg_device *device, struct wg_peer *peer, struct wg_now now,
		 const struct wg_effects *out)
{
	const struct turn turn = {.device = device, .now = now, .out = out};

	handshake_initiate(&turn, peer, false);
}

void
wg_peer_source_clear(struct wg_device *device, struct wg_peer_id id, const struct wg_effects *out)
{
	struct wg_peer *peer = wg_peer_by_id(device, id);

	if (peer)
		peer_source_forget(device, peer, out);
}

/* One order a worker, not one a peer. */
void
wg_sources_clear(struct wg_device *device, const struct wg_effects *out)
{
	for (struct wg_peer *peer = NULL; (peer = roster_next(&device->peers, peer));)
		route_forget_source(&peer->route);
	for (unsigned i = 0; i < device->workers; i++) {
		struct wg_order order = {.type = WG_ORDER_SOURCE_CLEAR};

		out->order(out->ctx, i, &order);
	}
}

void
wg_peer_view(const struct wg_peer *peer, struct wg_peer_view *ret)
{
	*ret = (struct wg_peer_view){
		.id = peer->id,
		.domain = peer->domain,
		.key = peer->key,
		.psk = peer->psk,
		.endpoint = peer->route.to,
		.last_handshake = peer->last_handshake,
		.rx_bytes = peer->rx_bytes + peer->path_rx_bytes,
		.tx_bytes = peer->tx_bytes + peer->path_tx_bytes,
		.keepalive = peer->keepalive,
		.access = peer->access,
		.end = peer->end_at,
		.limits = peer->limits,
	};
}
