/*
 * The device's peers: found by public key, by number, and in order of number.
 */
#ifndef SERVER_WG_ROSTER_H
#define SERVER_WG_ROSTER_H

#include <sys/queue.h>

#include "server/wg/allowedips.h"
#include "server/wg/cookie.h"
#include "server/wg/device.h"
#include "server/wg/noise.h"
#include "server/wg/timers.h"

/* An index of a session that the path may hold. */
struct peer_index {
	uint32_t value;
	bool used;
};

enum static_static { SS_UNKNOWN, SS_READY, SS_REFUSED };

/* One of a hundred thousand: what most do not need most of the time is elsewhere. */
struct wg_peer {
	struct wg_peer_id id;
	struct wg_peer *same_hash;
	struct wg_domain *domain;
	TAILQ_ENTRY(wg_peer) same_domain;

	struct public_key key;
	struct preshared_key psk;
	uint8_t static_static[KEY_LEN];
	uint8_t ss_state;          /* enum static_static: made when first needed, for as long as our key stays */
	uint8_t access;            /* enum wg_access */
	uint16_t keepalive;        /* persistent; seconds */
	uint32_t generation;       /* of indices */
	struct noise_handshake *handshake; /* an initiation of ours that is not answered; NULL: none */
	struct cookie cookie;
	nsec_t last_consumed;                      /* an initiation of the peer; 0: never */
	nsec_t last_sent;                          /* an initiation or a response of ours; 0: never */
	struct peer_index previous, current, next; /* as the path has them, as far as we know */
	uint8_t latest_timestamp[NOISE_TIMESTAMP_LEN];

	uint8_t attempts;
	bool another_keepalive;
	struct timers timers;
	nsec_t keepalive_ordered; /* one that must not be taken for an answer to later data; 0: none */

	struct wg_route route;
	nsec_t learned;
	time_t end_at;
	struct wg_end end;
	struct allowedips_list allowed;
	struct wg_limits limits;

	nsec_t last_handshake;                 /* wall clock */
	uint64_t rx_bytes, tx_bytes;           /* handshakes */
	uint64_t path_rx_bytes, path_tx_bytes; /* as the path said last */
};

/* What we began is over. */
void peer_handshake_forget(struct wg_peer *peer);

struct roster {
	uint8_t hash_key[16];
	struct wg_peer **buckets; /* by public key */
	uint32_t bucket_room, bucket_count;
	uint32_t bucket_level; /* a power of two; bucket_count is above, and at most twice as much */
	struct wg_peer **numbers;
	uint32_t *unused; /* numbers that may be used again */
	uint32_t unused_count;
	uint32_t top, room, count, max;
	uint32_t serial;
};

/* @max at most WG_PEERS_MAX. */
void roster_init(struct roster *peers, uint32_t max, const struct wg_random *random);
void roster_done(struct roster *peers); /* of what roster_remove() left */

/* Zeroes but for id and key.  -ENOSPC, -ENOMEM; @key must be new. */
int roster_add(struct roster *peers, const struct public_key *key, struct wg_peer **ret) _must_check_;

/* Wipes and frees @peer. */
void roster_remove(struct roster *peers, struct wg_peer *peer);

struct wg_peer *roster_by_key(const struct roster *peers, const struct public_key *key);
struct wg_peer *roster_by_number(const struct roster *peers, uint32_t number);
struct wg_peer *roster_next(const struct roster *peers, const struct wg_peer *prev);

#endif
