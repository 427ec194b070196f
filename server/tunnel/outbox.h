/*
 * Handshake messages on their way out, many to a call.  The socket is a worker's too and may be full: what
 * it does not take now is kept for a moment, so that a busy link does not starve handshakes.
 */
#ifndef SERVER_TUNNEL_OUTBOX_H
#define SERVER_TUNNEL_OUTBOX_H

#include "server/tunnel/udp.h"
#include "server/wg/device.h"
#include "server/wg/messages.h"

#define OUTBOX_MAX   64 /* beyond that the timers have to send another one */
#define OUTBOX_RETRY MILLISECONDS(2)
#define OUTBOX_TIME  MILLISECONDS(500)

struct outbox_message {
	struct wg_peer_id peer;
	struct wg_route route;
	nsec_t since;
	uint8_t tos;
	uint8_t len;
	uint8_t data[WG_HANDSHAKE_MAX];
};

/* Zeroes are empty. */
struct outbox {
	unsigned n;
	struct outbox_message messages[OUTBOX_MAX];
};

/* Keeps a copy of @datagram to be sent.  False: full, flush first. */
bool outbox_add(struct outbox *outbox, const struct wg_datagram *datagram, nsec_t now) _must_check_;

/*
 * Sends what is kept, as far as the sockets take it.  @source_dead: the cached source of that peer failed,
 * and its message went without; forget that source.
 */
void outbox_flush(struct outbox *outbox, const struct udp *udp, struct ladder *ladder, nsec_t now,
		  void (*source_dead)(void *ctx, struct wg_peer_id peer), void *ctx);

/* When to do so again; NSEC_NEVER: nothing is kept. */
nsec_t outbox_deadline(const struct outbox *outbox, nsec_t now);

#endif
