#include "server/wg/path_state.h"

/*
 * Reports go out at once when the peer had none for WG_REPORT_INTERVAL, else they wait that long and
 * merge.  A wanted handshake does not wait behind other news, only behind another wanted handshake.
 * Within each queue reports are due in the order in which they came in.
 */

static bool
quiet(nsec_t last, struct wg_now now)
{
	return last == 0 || now.boot - last >= WG_REPORT_INTERVAL;
}

static void
unqueue(struct wg_path *path, struct path_peer *peer)
{
	if (peer->queue == REPORT_URGENT)
		TAILQ_REMOVE(&path->urgent, peer, report_link);
	else if (peer->queue == REPORT_WAITING)
		TAILQ_REMOVE(&path->waiting, peer, report_link);
	peer->queue = REPORT_NOWHERE;
}

void
path_note(struct wg_path *path, struct path_peer *peer, unsigned flags, struct wg_now now)
{
	peer->news.flags |= flags;
	if (peer->queue == REPORT_URGENT)
		return;
	if (quiet(peer->reported, now) || (flags & WG_REPORT_HANDSHAKE_WANTED && quiet(peer->wanted, now))) {
		unqueue(path, peer);
		peer->queue = REPORT_URGENT;
		peer->due = now.boot;
		TAILQ_INSERT_TAIL(&path->urgent, peer, report_link);
	} else if (peer->queue == REPORT_NOWHERE) {
		peer->queue = REPORT_WAITING;
		peer->due = now.boot + WG_REPORT_INTERVAL;
		TAILQ_INSERT_TAIL(&path->waiting, peer, report_link);
	}
}

void
path_note_nothing(struct wg_path *path, struct path_peer *peer)
{
	unqueue(path, peer);
}

void
path_note_sent(struct wg_path *path, struct path_peer *peer, bool data, uint64_t bytes, struct wg_now now)
{
	struct path_news *news = &peer->news;
	unsigned flags = WG_REPORT_SENT;

	news->sent = now.boot;
	peer->tx_bytes += bytes;
	peer->unanswered = false;
	news->data_received = 0;
	news->flags &= ~(uint32_t)(WG_REPORT_DATA_RECEIVED | WG_REPORT_MORE_RECEIVED);
	if (data) {
		flags |= WG_REPORT_DATA_SENT;
		if (news->data_sent == 0)
			news->data_sent = now.boot;
	}
	path_note(path, peer, flags, now);
}

void
path_note_received(struct wg_path *path, struct path_peer *peer, unsigned data, uint64_t bytes,
		   struct wg_now now)
{
	struct path_news *news = &peer->news;
	unsigned flags = WG_REPORT_RECEIVED;

	peer->batched = 0;
	news->received = now.boot;
	peer->rx_bytes += bytes;
	news->data_sent = 0;
	news->flags &= ~(uint32_t)WG_REPORT_DATA_SENT;
	if (data > 0) {
		flags |= WG_REPORT_DATA_RECEIVED;
		if (data > 1 || peer->unanswered)
			flags |= WG_REPORT_MORE_RECEIVED;
		if (news->data_received == 0)
			news->data_received = now.boot;
		peer->unanswered = true;
	}
	path_note(path, peer, flags, now);
}

static void
report_take(const struct wg_path *path, struct path_peer *peer, struct wg_now now, struct wg_report *out)
{
	const struct path_news *news = &peer->news;

	*out = (struct wg_report){
		.peer = peer->id,
		.flags = news->flags,
		.confirmed = news->confirmed,
		.sent = news->sent,
		.received = news->received,
		.data_sent = news->data_sent,
		.data_received = news->data_received,
		.tx_bytes = peer->tx_bytes,
		.rx_bytes = peer->rx_bytes,
	};
	if (news->flags & WG_REPORT_ROUTE) {
		out->route = *path_route(path, peer);
		out->learned = peer->learned;
	}
	peer->reported = now.boot;
	if (news->flags & WG_REPORT_HANDSHAKE_WANTED)
		peer->wanted = now.boot;
	peer->news = (struct path_news){0};
}

unsigned
path_reports(struct wg_path *path, struct wg_now now, struct wg_report *out, unsigned max)
{
	unsigned n = 0;

	session_store_fill(&path->sessions);
	while (n < max) {
		struct path_peer *peer = TAILQ_FIRST(&path->urgent);

		if (!peer)
			peer = TAILQ_FIRST(&path->waiting);
		if (!peer || peer->due > now.boot)
			break;
		unqueue(path, peer);
		report_take(path, peer, now, &out[n++]);
	}
	return n;
}

nsec_t
path_deadline(const struct wg_path *path)
{
	const struct path_peer *peer = TAILQ_FIRST(&path->urgent);

	if (!peer)
		peer = TAILQ_FIRST(&path->waiting);
	return peer ? peer->due : NSEC_NEVER;
}
