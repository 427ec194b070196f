/*
 * The worker's half of WireGuard: data of the peers that one worker owns.  Sessions, the sending
 * nonce, replay windows, endpoints, stamps and staged packets live here and have one writer.
 *
 * One turn of a worker:
 *     path_order()    for each order in its ring
 *     path_open()     datagrams in, plaintext out
 *     path_seal()     plaintext in, datagrams out
 *     path_flush()    what the above made ready to be sent
 *     path_reports()  into the ring to the device
 * Nothing here calls the system, reads a clock or allocates per packet.
 */
#ifndef SERVER_WG_PATH_H
#define SERVER_WG_PATH_H

#include <stdbool.h>

#include "server/wg/aead.h"
#include "server/wg/drops.h"
#include "server/wg/index.h"
#include "server/wg/messages.h"
#include "server/wg/order.h"
#include "server/wg/values.h"

struct wg_path;

struct path_config {
	unsigned worker;        /* our number */
	struct wg_index index;  /* wg_index() of the device */
	const struct aead *aead; /* lent; outlives the path */
	uint32_t staged_max;    /* packets that wait for handshakes, all peers; 0: WG_STAGED_MAX */
	uint32_t staged_len;    /* the longest inner packet that can wait; 0: 2048 */
};

int path_new(const struct path_config *config, struct wg_path **ret) _must_check_;
void path_free(struct wg_path *path);
void path_freep(struct wg_path **path);

/*
 * Obeys @order and wipes the keys in it.  -ENOMEM: the peer or session does not exist then, or its rates
 * stay as they were.
 */
int path_order(struct wg_path *path, struct wg_order *order, struct wg_now now) _must_check_;

/* A data message that came in (WG_KIND_DATA), and what became of it. */
struct path_in {
	uint8_t *data;
	uint32_t len;
	const struct wg_arrival *arrival;
	uint8_t *plain; /* where plaintext goes, len - 32 bytes: data + 16, or anywhere without overlap */

	/* written by path_open() */
	enum wg_drop drop;      /* NONE: deliver @plain_len bytes; keepalives have 0 of them */
	uint32_t plain_len;     /* the inner packet without padding */
	struct wg_peer_id peer; /* valid unless LENGTH, NO_SESSION or OTHER_WORKER */
	uint16_t domain;        /* the peer's, by number; valid as long as it is */
	bool quarantined;       /* deliver to the second TUN only */
};

/*
 * Opens @n messages of any sessions, in order.  Each is dropped with a reason, or authentic, fresh,
 * from an address that its peer owns, with the outer ECN merged in.  OTHER_WORKER: untouched, hand
 * it to index_worker() of le32_load(data + 4).  All other drops are counted here.
 */
void path_open(struct wg_path *path, struct path_in *in, unsigned n, struct wg_now now);

/*
 * Whether a handshake message (WG_KIND_HANDSHAKE) is worth handing to the device, by its first MAC alone: what
 * is for another key is dropped, and counted, here.  The device looks again.
 */
bool path_handshake_worth(struct wg_path *path, const uint8_t *data, uint32_t len);

/* Whose session has the receiver index @index.  False: nobody's here. */
bool path_peer_of(struct wg_path *path, uint32_t index, struct wg_peer_id *ret);

/* A packet on its way out. */
struct path_out {
	uint8_t *data; /* in: WG_DATA_HEADER bytes of room, the packet; room for path_message_len() in all */
	uint32_t len;  /* in: of the inner packet; out: of the message at @data */
	uint8_t tos;   /* out: for the outer header.  Same peer, same tos, one GSO batch */
};
#define PATH_TAIL (WG_PADDING - 1 + WG_TAG_LEN)

/* How long the message of a packet of @len bytes will be; at most PATH_TAIL bytes come behind the packet. */
uint32_t path_message_len(uint32_t len, uint32_t mtu);

/*
 * Seals @n packets for @peer, in place and in order, padded to 16 but not beyond @mtu (0: no bound).
 * The caller looked @peer up in the allowed IPs of the domain that they came from, and checked each
 * packet's length against path_mtu() and the interface's MTU.
 * @quarantine: the packets came from the second TUN.
 *
 * Returns how many from the first on are sealed; send them to **@route (lent until the next call on
 * this path).  What is beyond the peer's rate is dropped from the end, and counted.
 * 0: copied, they wait for a handshake.  -drop: all dropped, for that reason, and counted.
 */
int path_seal(struct wg_path *path, struct wg_peer_id peer, struct path_out *out, unsigned n, uint32_t mtu,
	      bool quarantine, struct wg_now now, const struct wg_route **route);

/* The peer's own MTU; 0: it has none, or there is no such peer. */
uint32_t path_mtu(const struct wg_path *path, struct wg_peer_id peer);

/* @out is lent for the call; what cannot be sent now is to be copied or lost, never sealed again. */
typedef void path_send_fn(void *ctx, struct wg_peer_id peer, const struct wg_route *route,
			  struct path_out *out, unsigned n);

/* Sends staged packets whose session has come, and keepalives that were ordered. */
void path_flush(struct wg_path *path, struct wg_now now, path_send_fn *send, void *ctx);

/* Up to @max reports that are due.  The rest stays, and merges with what comes. */
unsigned path_reports(struct wg_path *path, struct wg_now now, struct wg_report *out, unsigned max);

/* When to call path_reports() if nothing else happens. */
nsec_t path_deadline(const struct wg_path *path);

/* A send from the cached source failed (ENETUNREACH, ENODEV): let routing choose, send once more. */
void path_source_clear(struct wg_path *path, struct wg_peer_id peer);

/*
 * A batch is about to go to @peer.  False: batches went for WG_NEW_HANDSHAKE_TIMEOUT and nothing came back,
 * though a handshake did, so something on the way spoils them: send singly for a while.
 */
bool path_may_batch(struct wg_path *path, struct wg_peer_id peer, nsec_t now);

/* Readable from any thread while the path lives. */
const struct wg_counters *path_counters(const struct wg_path *path);

#endif
