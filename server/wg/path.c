#include "server/wg/path.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "server/wg/path_state.h"

#define STAGED_LEN 2048U

int
path_new(const struct path_config *config, struct wg_path **ret)
{
	_cleanup_(path_freep) struct wg_path *path = NULL;
	int r;

	path = aligned_alloc(_Alignof(struct wg_path), sizeof(*path));
	if (!path)
		return -ENOMEM;
	memset(path, 0, sizeof(*path));
	path->sessions = (struct session_store){.aead = config->aead, .pool.max = WG_REPLAY_MAX};
	path->index = config->index;
	path->worker = config->worker;
	TAILQ_INIT(&path->ready);
	TAILQ_INIT(&path->urgent);
	TAILQ_INIT(&path->waiting);
	path_seen_init(path);
	r = staged_init(&path->staged, config->staged_max ? config->staged_max : WG_STAGED_MAX,
			config->staged_len ? config->staged_len : STAGED_LEN);
	if (r < 0)
		return r;
	*ret = take_ptr(path);
	return 0;
}

static void
peer_free(struct wg_path *path, struct path_peer *peer)
{
	path->pages[peer->id.number / PATH_PAGE][peer->id.number % PATH_PAGE] = NULL;
	path_note_nothing(path, peer);
	path_unready(path, peer);
	sessions_clear(&peer->sessions, &path->sessions);
	free(peer->limits);
	free(peer);
}

void
path_free(struct wg_path *path)
{
	if (!path)
		return;
	for (size_t i = 0; i < PATH_PAGES; i++) {
		for (size_t j = 0; path->pages[i] && j < PATH_PAGE; j++)
			if (path->pages[i][j])
				peer_free(path, path->pages[i][j]);
		free(path->pages[i]);
	}
	staged_done(&path->staged);
	replay_pool_done(&path->sessions.pool);
	bytes_wipe(path, sizeof(*path));
	free(path);
}

void
path_freep(struct wg_path **path)
{
	path_free(*path);
}

struct session *
path_sendable(struct path_peer *peer, unsigned n, struct wg_now now)
{
	struct session *session = peer->sessions.current;

	if (!session || !session->sending)
		return NULL;
	if (path_session_ended(session, now) || session->counter > WG_REJECT_AFTER_MESSAGES - n) {
		session->sending = false;
		return NULL;
	}
	return session;
}

void
path_ready(struct wg_path *path, struct path_peer *peer)
{
	if (peer->ready || (peer->staged.count == 0 && !peer->empty))
		return;
	peer->ready = true;
	TAILQ_INSERT_TAIL(&path->ready, peer, ready_link);
}

void
path_unready(struct wg_path *path, struct path_peer *peer)
{
	if (peer->ready)
		TAILQ_REMOVE(&path->ready, peer, ready_link);
	peer->ready = false;
}

void
path_purge(struct wg_path *path, struct path_peer *peer, enum wg_drop why)
{
	wg_count(&path->counters, why, peer->staged.count);
	staged_pop(&path->staged, &peer->staged, peer->staged.count);
	peer->empty = false;
	path_unready(path, peer);
}

static int
order_peer_add(struct wg_path *path, const struct wg_order *order)
{
	struct path_peer ***page = &path->pages[order->peer.number / PATH_PAGE];
	struct path_peer **place, *peer;

	if (!*page)
		*page = calloc(PATH_PAGE, sizeof(struct path_peer *));
	if (!*page)
		return -ENOMEM;
	place = &(*page)[order->peer.number % PATH_PAGE];
	if (*place && (*place)->id.serial == order->peer.serial)
		return 0;
	if (*place) {
		path_purge(path, *place, WG_DROP_STAGED_PURGED);
		peer_free(path, *place);
	}

	peer = calloc(1, sizeof(*peer));
	if (!peer)
		return -ENOMEM;
	peer->id = order->peer;
	peer->allowed = order->add.allowed;
	peer->domain = order->add.domain;
	peer->sources = path->sources;
	*place = peer;
	return 0;
}

static int
order_install(struct wg_path *path, struct path_peer *peer, const struct wg_order *order)
{
	struct session *session = session_new(&path->sessions, order);

	if (!session)
		return -ENOMEM;
	sessions_install(&peer->sessions, &path->sessions, session);
	session_store_fill(&path->sessions);
	if (session->initiator) {
		peer->last_minute = false;
		path_ready(path, peer);
	}
	return 0;
}

/* What waits is sent, which says as much; else an empty packet waits. */
static void
order_keepalive(struct wg_path *path, struct path_peer *peer, struct wg_now now)
{
	if (path_refuses(peer, now) != WG_DROP_NONE)
		return;
	if (peer->staged.count == 0)
		peer->empty = true;
	if (path_sendable(peer, 1, now))
		path_ready(path, peer);
	else
		path_note(path, peer, WG_REPORT_HANDSHAKE_WANTED, now);
}

static void
order_route(struct wg_path *path, struct path_peer *peer, const struct wg_order *order)
{
	if (order->route.learned < peer->learned)
		return;
	*path_route(path, peer) = order->route.route;
	peer->learned = order->route.learned;
	peer->news.flags &= ~(uint32_t)WG_REPORT_ROUTE;
	path_ready(path, peer);
}

/* What waits came from the TUN of the state before. */
static void
order_access(struct wg_path *path, struct path_peer *peer, const struct wg_order *order)
{
	const bool moved = (peer->access == WG_QUARANTINED) != (order->access.access == WG_QUARANTINED);

	peer->access = (uint8_t)order->access.access;
	peer->end = order->access.end;
	if (peer->access == WG_CUT)
		path_purge(path, peer, WG_DROP_CUT);
	else if (moved)
		path_purge(path, peer, WG_DROP_QUARANTINE);
}

/* Without memory the rates stay as they were. */
static int
order_limits(struct path_peer *peer, const struct wg_limits *limits, struct wg_now now)
{
	peer->mtu = limits->mtu;
	if (limits->rate_rx == 0 && limits->rate_tx == 0) {
		free(peer->limits);
		peer->limits = NULL;
		return 0;
	}
	if (!peer->limits)
		peer->limits = calloc(1, sizeof(*peer->limits));
	if (!peer->limits)
		return -ENOMEM;
	bucket_set(&peer->limits->rx, limits->rate_rx, now.boot);
	bucket_set(&peer->limits->tx, limits->rate_tx, now.boot);
	return 0;
}

static int
peer_order(struct wg_path *path, struct path_peer *peer, const struct wg_order *order, struct wg_now now)
{
	switch (order->type) {
	case WG_ORDER_PEER_ADD:
		break;
	case WG_ORDER_PEER_REMOVE:
		path_purge(path, peer, WG_DROP_STAGED_PURGED);
		peer_free(path, peer);
		break;
	case WG_ORDER_KEYPAIR_INSTALL:
		return order_install(path, peer, order);
	case WG_ORDER_KEYPAIRS_CLEAR:
		sessions_clear(&peer->sessions, &path->sessions);
		break;
	case WG_ORDER_SENDING_STOP:
		sessions_stop(&peer->sessions);
		break;
	case WG_ORDER_KEEPALIVE:
		order_keepalive(path, peer, now);
		break;
	case WG_ORDER_PURGE:
		path_purge(path, peer, WG_DROP_STAGED_PURGED);
		break;
	case WG_ORDER_ROUTE:
		order_route(path, peer, order);
		break;
	case WG_ORDER_SOURCE_CLEAR:
		route_forget_source(&peer->route);
		break;
	case WG_ORDER_ACCESS:
		order_access(path, peer, order);
		break;
	case WG_ORDER_IDENTITY: /* of no peer */
		break;
	case WG_ORDER_LIMITS:
		return order_limits(peer, &order->limits, now);
	}
	return 0;
}

static void
order_identity(struct wg_path *path, const struct wg_order *order)
{
	path->identified = !key_is_zero(order->identity.b);
	cookie_checker_key(&path->checker, &order->identity);
}

int
path_order(struct wg_path *path, struct wg_order *order, struct wg_now now)
{
	struct path_peer *peer = path_peer_by_id(path, order->peer);
	int r = 0;

	assert(order->peer.number < WG_PEERS_MAX);
	if (order->type == WG_ORDER_PEER_ADD)
		r = order_peer_add(path, order);
	else if (order->type == WG_ORDER_IDENTITY)
		order_identity(path, order);
	else if (order->type == WG_ORDER_SOURCE_CLEAR && order->peer.serial == 0)
		path->sources++;
	else if (peer)
		r = peer_order(path, peer, order, now);
	if (order->type == WG_ORDER_KEYPAIR_INSTALL) {
		bytes_wipe(order->install.sending, sizeof(order->install.sending));
		bytes_wipe(order->install.receiving, sizeof(order->install.receiving));
	}
	return r;
}

bool
path_handshake_worth(struct wg_path *path, const uint8_t *data, uint32_t len)
{
	if (!path->identified || le32_load(data) == WG_MSG_COOKIE ||
	    cookie_mac1_valid(&path->checker, data, len))
		return true;
	wg_count(&path->counters, WG_DROP_MAC1, 1);
	return false;
}

void
path_source_clear(struct wg_path *path, struct wg_peer_id id)
{
	struct path_peer *peer = path_peer_by_id(path, id);

	if (peer)
		route_forget_source(&peer->route);
}

bool
path_may_batch(struct wg_path *path, struct wg_peer_id id, nsec_t now)
{
	struct path_peer *peer = path_peer_by_id(path, id);
	const struct session *session = peer ? peer->sessions.current : NULL;

	if (!session)
		return true;
	if (peer->batched == 0)
		peer->batched = now;
	if (now - peer->batched < WG_NEW_HANDSHAKE_TIMEOUT || session->birth <= peer->batched)
		return true;
	peer->batched = 0;
	return false;
}

uint32_t
path_mtu(const struct wg_path *path, struct wg_peer_id id)
{
	const struct path_peer *peer = path_peer_by_id(path, id);

	return peer ? peer->mtu : 0;
}

const struct wg_counters *
path_counters(const struct wg_path *path)
{
	return &path->counters;
}
