/*
 * Datagrams from the sockets: recvmmsg() of superframes that UDP_GRO merged, each in a buffer that holds
 * the longest.
 */
#ifndef SERVER_TUNNEL_RECEIVER_H
#define SERVER_TUNNEL_RECEIVER_H

#include <stdbool.h>

#include "server/tunnel/stats.h"
#include "server/wg/values.h"

#define RECEIVER_FRAMES 64

struct receiver;

/* One datagram, or several of @segment bytes of which the last may be shorter, from one source. */
struct received {
	uint8_t *data; /* may be written to */
	uint32_t len, segment;
	struct wg_arrival arrival;
};

int receiver_new(struct stats *stats, struct receiver **ret) _must_check_;
void receiver_free(struct receiver *receiver);
void receiver_freep(struct receiver **receiver);

/*
 * Takes up to @max frames (at most RECEIVER_FRAMES) from @fd.  Returns how many; they are read by
 * receiver_get() and lent until the next call.  0: the socket is empty.  Negated errno: of the socket; what
 * is pending was taken.
 */
int receiver_read(struct receiver *receiver, int fd, unsigned max) _must_check_;

/* False: the frame is not whole or says not whence it comes. */
bool receiver_get(struct receiver *receiver, unsigned i, struct received *ret) _must_check_;

#endif
