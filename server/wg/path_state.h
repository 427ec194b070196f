/*
 * What a path knows: its peers by number, and per peer sessions, endpoint, access, stamps and what
 * waits.  Inside of server/wg only.
 */
#ifndef SERVER_WG_PATH_STATE_H
#define SERVER_WG_PATH_STATE_H

#include <sys/queue.h>

#include "server/wg/allowedips.h"
#include "server/wg/bucket.h"
#include "server/wg/constants.h"
#include "server/wg/cookie.h"
#include "server/wg/path.h"
#include "server/wg/route.h"
#include "server/wg/session.h"
#include "server/wg/staged.h"

#define PATH_RUN 64 /* messages that go through the AEAD in one call */

/* Peers by number: pages of pointers, made when first needed. */
#define PATH_PAGE  1024U
#define PATH_PAGES (WG_PEERS_MAX / PATH_PAGE)

/* Numbers that were worked out from an index: they cannot become wrong, only be pushed out. */
#define PATH_SEEN 2048U
struct seen_index {
	uint32_t index, number;
};

/* The source address that was last found to be the peer's, and for which version of the table. */
struct owned_source {
	uint64_t version; /* 0: none */
	uint8_t addr[16];
};

/* What a report will say; the words are wg_report's. */
struct path_news {
	uint32_t flags, confirmed;
	nsec_t sent, received, data_sent, data_received;
};

/* Limits of a peer that has some. */
struct path_limits {
	struct bucket rx, tx;
};

enum report_queue { REPORT_NOWHERE, REPORT_WAITING, REPORT_URGENT };

struct path_peer {
	struct wg_peer_id id;
	struct sessions sessions;
	const struct allowedips *allowed;
	uint16_t domain;
	uint16_t mtu;          /* 0: the interface's */
	uint8_t access;        /* enum wg_access */
	uint8_t source_family; /* of @source */
	uint8_t queue;         /* enum report_queue */
	bool last_minute : 1;  /* a handshake was wanted because the session received is about to end */
	bool empty : 1;        /* a keepalive waits */
	bool ready : 1;        /* in the list of those to flush */
	bool unanswered : 1;   /* data came, and nothing was sent since */
	struct owned_source source;
	struct path_limits *limits; /* NULL: no rate */

	struct wg_route route;
	nsec_t learned;
	struct wg_end end;

	struct staged_queue staged;
	uint32_t sources; /* wg_path.sources when @route was right */
	TAILQ_ENTRY(path_peer) ready_link;

	struct path_news news;       /* since the last report */
	uint64_t tx_bytes, rx_bytes; /* so far */
	nsec_t batched;              /* when the first batch went since anything came; 0: none did */
	nsec_t reported, wanted; /* when the last report, the last with HANDSHAKE_WANTED, went; 0: never */
	nsec_t due;
	TAILQ_ENTRY(path_peer) report_link;
};

TAILQ_HEAD(path_peers, path_peer);

struct wg_path {
	struct session_store sessions;
	struct wg_index index;
	bool identified; /* we have a key, and checker is of it */
	struct cookie_checker checker;
	unsigned worker;
	struct path_peer **pages[PATH_PAGES];
	struct staged staged;
	uint32_t sources; /* how often all cached sources were to be forgotten */
	struct path_peers ready;
	struct path_peers urgent, waiting; /* reports, both in the order in which they are due */

	struct seen_index seen[PATH_SEEN];

	/* of the run in hand */
	struct aead_job jobs[PATH_RUN];
	uint16_t which[PATH_RUN];
	struct path_out outs[PATH_RUN];
	uint8_t keepalive[WG_DATA_MIN];

	_Alignas(64) struct wg_counters counters;
};

/* NULL: no such number. */
static inline struct path_peer *
path_peer_by_number(const struct wg_path *path, uint32_t number)
{
	struct path_peer **page = number < WG_PEERS_MAX ? path->pages[number / PATH_PAGE] : NULL;

	return page ? page[number % PATH_PAGE] : NULL;
}

static inline struct path_peer *
path_peer_by_id(const struct wg_path *path, struct wg_peer_id id)
{
	struct path_peer *peer = path_peer_by_number(path, id.number);

	return peer && peer->id.serial == id.serial ? peer : NULL;
}

/* Whether the peer's access lets nothing pass, and why. */
static inline enum wg_drop
path_refuses(const struct path_peer *peer, struct wg_now now)
{
	if (peer->access == WG_CUT)
		return WG_DROP_CUT;
	return wg_ended(&peer->end, now) ? WG_DROP_ENDED : WG_DROP_NONE;
}

/* Sources that all were to be forgotten are, peer by peer, when next looked at: there may be 100,000. */
static inline struct wg_route *
path_route(const struct wg_path *path, struct path_peer *peer)
{
	if (peer->sources != path->sources)
		route_forget_source(&peer->route);
	peer->sources = path->sources;
	return &peer->route;
}

static inline bool
path_session_ended(const struct session *session, struct wg_now now)
{
	return now.boot - session->birth >= WG_REJECT_AFTER_TIME;
}

/* Makes true whatever stands in the table before it was used. */
void path_seen_init(struct wg_path *path);

/* The session to send @n messages with, or NULL; one that is too old or used up sends no more. */
struct session *path_sendable(struct path_peer *peer, unsigned n, struct wg_now now);

/* Staged packets, or a keepalive, may go now: path_flush() has a look. */
void path_ready(struct wg_path *path, struct path_peer *peer);
void path_unready(struct wg_path *path, struct path_peer *peer);

/* All that waits for the peer is dropped for that reason. */
void path_purge(struct wg_path *path, struct path_peer *peer, enum wg_drop why);

/* Stamps.  @flags are noted for the next report, and the peer is queued for it. */
void path_note(struct wg_path *path, struct path_peer *peer, unsigned flags, struct wg_now now);
void path_note_sent(struct wg_path *path, struct path_peer *peer, bool data, uint64_t bytes,
		    struct wg_now now);
void path_note_received(struct wg_path *path, struct path_peer *peer, unsigned data, uint64_t bytes,
			struct wg_now now);
void path_note_nothing(struct wg_path *path, struct path_peer *peer);

#endif
