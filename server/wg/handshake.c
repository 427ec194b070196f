#include <errno.h>
#include <string.h>

#include "server/wg/device_state.h"
#include "server/wg/owner.h"
#include "server/wg/route.h"

/*
 * Handshakes, from the device's side.  A message that comes in is asked in the order of what an
 * answer costs: first MAC, under load second MAC and rate of its source, one DH to learn who it is,
 * then everything else.  Only what authenticates changes anything.
 */

/*
 * TAI64N, of which so many bits are shown that it tells little of our clock.  A wall clock that is set back
 * while we run does not set our stamps back, or nobody would answer us until it is where it was.
 */
static void
timestamp_write(struct wg_device *device, struct wg_now now, uint8_t out[NOISE_TIMESTAMP_LEN])
{
	const nsec_t wall = now.boot + device_wall_ahead(device, now);
	const uint64_t seconds = (uint64_t)wall / SECONDS(1), nanoseconds = (uint64_t)wall % SECONDS(1);

	be64_store(out, UINT64_C(0x400000000000000a) + seconds);
	be32_store(out + 8, (uint32_t)(nanoseconds & WG_TIMESTAMP_MASK));
}

static bool
index_used(const struct wg_peer *peer, uint32_t value)
{
	return (peer->previous.used && peer->previous.value == value) ||
	       (peer->current.used && peer->current.value == value) ||
	       (peer->next.used && peer->next.value == value);
}

/* Generations come round; what a session still has is passed over. */
static uint32_t
index_new(const struct wg_device *device, struct wg_peer *peer)
{
	const unsigned worker = wg_owner(peer->id.number, device->workers);
	uint32_t value;

	do
		value = index_make(&device->index, worker, peer->id.number, ++peer->generation);
	while (index_used(peer, value));
	return value;
}

/* The path's slots, as it will have them after this keypair. */
static void
index_installed(struct wg_peer *peer, uint32_t value, bool initiator)
{
	const struct peer_index index = {.value = value, .used = true};

	if (initiator) {
		peer->previous = peer->next.used ? peer->next : peer->current;
		peer->current = index;
		peer->next.used = false;
	} else {
		peer->previous.used = false;
		peer->next = index;
	}
}

static int
static_static_ready(const struct wg_device *device, struct wg_peer *peer)
{
	if (peer->ss_state == SS_UNKNOWN)
		peer->ss_state = noise_static_static(&device->identity, &peer->key, peer->static_static) == 0
					 ? SS_READY
					 : SS_REFUSED;
	return peer->ss_state == SS_READY ? 0 : -EKEYREJECTED;
}

static void
message_send(const struct turn *turn, struct wg_peer *peer, uint8_t *message, size_t len)
{
	const struct wg_datagram datagram = {
		.data = message,
		.len = len,
		.route = peer->route,
		.tos = WG_TOS_HANDSHAKE,
		.peer = peer->id,
	};

	peer->tx_bytes += len;
	peer_sent(turn, peer, turn->now.boot);
	turn->out->send(turn->out->ctx, &datagram);
}

static bool
sent_lately(const struct turn *turn, const struct wg_peer *peer)
{
	return peer->last_sent != 0 && turn->now.boot - peer->last_sent < WG_REKEY_TIMEOUT;
}

void
handshake_initiate(const struct turn *turn, struct wg_peer *peer, bool retry)
{
	struct wg_device *device = turn->device;
	uint8_t message[WG_INITIATION_LEN], timestamp[NOISE_TIMESTAMP_LEN];
	struct private_key ephemeral;
	int r;

	/* Even if too early: steady traffic never gives up. */
	if (!retry)
		peer->attempts = 0;
	if (device_refuses(turn, peer) != WG_DROP_NONE || !route_known(&peer->route) ||
	    sent_lately(turn, peer))
		return;

	peer->last_sent = turn->now.boot;
	if (static_static_ready(device, peer) < 0)
		return;
	if (!peer->handshake)
		peer->handshake = calloc(1, sizeof(*peer->handshake));
	if (!peer->handshake)
		return;
	timestamp_write(device, turn->now, timestamp);
	device->random.fill(device->random.ctx, ephemeral.b, sizeof(ephemeral.b));
	r = noise_initiation_write(peer->handshake, &device->identity, &peer->key, peer->static_static,
				   &ephemeral, timestamp, index_new(device, peer), message);
	bytes_wipe(&ephemeral, sizeof(ephemeral));
	if (r < 0)
		return;
	cookie_macs_add(&peer->cookie, &peer->key, message, sizeof(message), turn->now.boot);
	peer_initiated(turn, peer);
	message_send(turn, peer, message, sizeof(message));
}

/* Hands the keys of a handshake that is done to the path. */
static void
session_begin(const struct turn *turn, struct wg_peer *peer, struct noise_handshake *handshake,
	      bool initiator)
{
	struct wg_order order = {
		.type = WG_ORDER_KEYPAIR_INSTALL,
		.install =
			{
				.local_index = handshake->local_index,
				.remote_index = handshake->remote_index,
				.birth = turn->now.boot,
				.initiator = initiator,
			},
	};

	noise_keys(handshake, initiator, order.install.sending, order.install.receiving);
	index_installed(peer, order.install.local_index, initiator);
	device_order(turn->device, peer, &order, turn->out);
	bytes_wipe(&order, sizeof(order));
	peer_session_derived(turn, peer);
}

void
handshake_complete(const struct turn *turn, struct wg_peer *peer)
{
	timers_stop(&turn->device->timers, &peer->timers, TIMER_RETRANSMIT);
	peer->attempts = 0;
	peer->last_handshake = turn->now.wall;
	if (turn->out->changed)
		turn->out->changed(turn->out->ctx, peer, WG_CHANGED_HANDSHAKE);
}

static enum wg_drop
respond(const struct turn *turn, struct wg_peer *peer, struct noise_handshake *handshake)
{
	struct wg_device *device = turn->device;
	uint8_t message[WG_RESPONSE_LEN];
	struct private_key ephemeral;
	int r;

	peer->last_sent = turn->now.boot;
	device->random.fill(device->random.ctx, ephemeral.b, sizeof(ephemeral.b));
	r = noise_response_write(handshake, &peer->key, &peer->psk, &ephemeral, index_new(device, peer),
				 message);
	bytes_wipe(&ephemeral, sizeof(ephemeral));
	if (r < 0)
		return WG_DROP_HANDSHAKE;
	cookie_macs_add(&peer->cookie, &peer->key, message, sizeof(message), turn->now.boot);
	session_begin(turn, peer, handshake, false);
	message_send(turn, peer, message, sizeof(message));
	return WG_DROP_NONE;
}

/* Whether an authentic initiation is newer than any before, and not too soon after the last. */
static enum wg_drop
initiation_fresh(const struct turn *turn, const struct wg_peer *peer,
		 const uint8_t timestamp[NOISE_TIMESTAMP_LEN])
{
	if (memcmp(timestamp, peer->latest_timestamp, NOISE_TIMESTAMP_LEN) <= 0)
		return WG_DROP_TIMESTAMP;
	if (peer->last_consumed != 0 && turn->now.boot - peer->last_consumed < WG_INITIATION_INTERVAL)
		return WG_DROP_FLOOD;
	return WG_DROP_NONE;
}

/* Whose initiation it is, if it is authentic and fresh and the peer may come in; nothing has changed. */
static enum wg_drop
initiation_judge(const struct turn *turn, const uint8_t *message, struct noise_initiation *initiation,
		 uint8_t timestamp[NOISE_TIMESTAMP_LEN], struct wg_peer **ret)
{
	struct wg_device *device = turn->device;
	struct wg_peer *peer;
	enum wg_drop why;

	if (noise_initiation_open(initiation, &device->identity, message) < 0)
		return WG_DROP_HANDSHAKE;
	peer = roster_by_key(&device->peers, &initiation->remote);
	if (!peer)
		return WG_DROP_UNKNOWN_PEER;
	why = device_refuses(turn, peer);
	if (why != WG_DROP_NONE)
		return why;
	if (static_static_ready(device, peer) < 0)
		return WG_DROP_HANDSHAKE;
	if (noise_initiation_prove(initiation, peer->static_static, message, timestamp) < 0)
		return WG_DROP_HANDSHAKE;
	*ret = peer;
	return initiation_fresh(turn, peer, timestamp);
}

static void
initiation_wipe(struct noise_initiation *initiation)
{
	bytes_wipe(initiation, sizeof(*initiation));
}

static enum wg_drop
initiation_receive(const struct turn *turn, const uint8_t *message, const struct wg_arrival *arrival)
{
	_cleanup_(initiation_wipe) struct noise_initiation initiation = {0};
	_cleanup_(noise_wipe) struct noise_handshake handshake = {0};
	const struct wg_route route = route_back(arrival);
	uint8_t timestamp[NOISE_TIMESTAMP_LEN];
	struct wg_peer *peer = NULL;
	enum wg_drop why;

	why = initiation_judge(turn, message, &initiation, timestamp, &peer);
	if (why != WG_DROP_NONE)
		return why;
	/* There is one handshake at a time: what we began is over. */
	peer_handshake_forget(peer);
	noise_initiation_take(&handshake, &initiation);
	memcpy(peer->latest_timestamp, timestamp, sizeof(timestamp));
	peer->last_consumed = turn->now.boot;
	peer->rx_bytes += WG_INITIATION_LEN;
	peer_route_learn(turn, peer, &route, turn->now.boot, true);
	why = respond(turn, peer, &handshake);
	peer_received(turn, peer, turn->now.boot);
	return why;
}

static enum wg_drop
response_receive(const struct turn *turn, const uint8_t *message, const struct wg_arrival *arrival)
{
	struct wg_device *device = turn->device;
	const uint32_t receiver = le32_load(message + 8);
	const struct wg_route route = route_back(arrival);
	struct wg_peer *peer = roster_by_number(&device->peers, index_number(&device->index, receiver));
	enum wg_drop why;

	if (!peer || !peer->handshake || peer->handshake->local_index != receiver)
		return WG_DROP_NO_HANDSHAKE;
	why = device_refuses(turn, peer);
	if (why != WG_DROP_NONE)
		return why;
	if (noise_response_read(peer->handshake, &device->identity, &peer->psk, message) < 0)
		return WG_DROP_HANDSHAKE;

	peer->rx_bytes += WG_RESPONSE_LEN;
	peer_route_learn(turn, peer, &route, turn->now.boot, true);
	session_begin(turn, peer, peer->handshake, true);
	peer_handshake_forget(peer);
	handshake_complete(turn, peer);
	peer_received(turn, peer, turn->now.boot);
	/* What waits goes out, or else an empty packet: the responder may not send before something came. */
	device_order_simple(device, peer, WG_ORDER_KEEPALIVE, turn->out);
	return WG_DROP_NONE;
}

/* It neither moves an endpoint nor sends anything: the next handshake has the cookie. */
static enum wg_drop
cookie_receive(const struct turn *turn, const uint8_t *message)
{
	struct wg_device *device = turn->device;
	const uint32_t receiver = le32_load(message + 4);
	struct wg_peer *peer = roster_by_number(&device->peers, index_number(&device->index, receiver));

	if (!peer)
		return WG_DROP_COOKIE_REPLY;
	if (!index_used(peer, receiver) && (!peer->handshake || peer->handshake->local_index != receiver))
		return WG_DROP_COOKIE_REPLY;
	return cookie_reply_read(&peer->cookie, &peer->key, message, turn->now.boot) == 0
		       ? WG_DROP_NONE
		       : WG_DROP_COOKIE_REPLY;
}

static void
cookie_send(const struct turn *turn, const uint8_t *message, size_t len, const struct wg_arrival *arrival)
{
	uint8_t reply[WG_COOKIE_REPLY_LEN];
	const struct wg_datagram datagram = {
		.data = reply,
		.len = sizeof(reply),
		.route = route_back(arrival),
	};

	cookie_reply_write(&turn->device->checker, message, len, &arrival->from, turn->now.boot,
			   &turn->device->random, reply);
	turn->out->send(turn->out->ctx, &datagram);
}

/* The cheap questions. */
static enum wg_drop
macs_check(const struct turn *turn, const uint8_t *message, size_t len, const struct wg_arrival *arrival,
	   bool loaded)
{
	struct wg_device *device = turn->device;

	if (!cookie_mac1_valid(&device->checker, message, len))
		return WG_DROP_MAC1;
	if (!loaded)
		return WG_DROP_NONE;
	if (!cookie_mac2_valid(&device->checker, message, len, &arrival->from, turn->now.boot,
			       &device->random)) {
		cookie_send(turn, message, len, arrival);
		return WG_DROP_COOKIE_WANTED;
	}
	return ratelimit_allow(device->ratelimit, &arrival->from.ip, turn->now.boot) ? WG_DROP_NONE
										     : WG_DROP_RATE_LIMITED;
}

static enum wg_drop
receive(const struct turn *turn, const uint8_t *data, size_t len, const struct wg_arrival *arrival,
	bool loaded)
{
	enum wg_drop why = WG_DROP_NONE;
	uint32_t type;

	switch (wg_classify(data, len, &why)) {
	case WG_KIND_JUNK:
		return why;
	case WG_KIND_DATA:
		return WG_DROP_TYPE;
	case WG_KIND_HANDSHAKE:
		break;
	}
	if (turn->device->up == 0 || !turn->device->identity.present)
		return WG_DROP_DOWN;

	type = le32_load(data);
	if (type == WG_MSG_COOKIE)
		return cookie_receive(turn, data);
	why = macs_check(turn, data, len, arrival, loaded);
	if (why != WG_DROP_NONE)
		return why;
	return type == WG_MSG_INITIATION ? initiation_receive(turn, data, arrival)
					 : response_receive(turn, data, arrival);
}

void
handshake_receive(const struct turn *turn, const uint8_t *data, size_t len, const struct wg_arrival *arrival,
		  bool loaded)
{
	const enum wg_drop why = receive(turn, data, len, arrival, loaded);

	if (why != WG_DROP_NONE)
		wg_count(&turn->device->counters, why, 1);
}
