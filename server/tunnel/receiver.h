/*
 * Datagrams from the sockets: recvmmsg() of superframes that UDP_GRO merged, each in a buffer that holds
 * the longest.
 *
 * The ladder: a frame that comes cut short turns UDP_GRO off for that family, on every worker's sockets (the
 * kernel merges for a group of sockets only if all of them want it), until it is tried again; without
 * recvmmsg() datagrams are taken one by one.
 */
#ifndef SERVER_TUNNEL_RECEIVER_H
#define SERVER_TUNNEL_RECEIVER_H

#include <stdbool.h>

#include "server/tunnel/udp.h"
#include "server/wg/values.h"

#define RECEIVER_FRAMES 64

struct receiver;

/* One datagram, or several of @segment bytes of which the last may be shorter, from one source. */
struct received {
	uint8_t *data; /* may be written to */
	uint32_t len, segment;
	struct wg_arrival arrival;
};

/* The system's calls are taken where @calls is NULL; @stats has the ladder. */
struct receiver_calls {
	int (*recvmmsg)(int fd, struct mmsghdr *msgs, unsigned n, int flags, struct timespec *timeout);
	ssize_t (*recvmsg)(int fd, struct msghdr *msg, int flags);
	int (*gro_set)(int fd, bool on); /* 0, or a negated errno */
};
int receiver_new(struct stats *stats, const struct receiver_calls *calls, struct receiver **ret) _must_check_;
void receiver_free(struct receiver *receiver);
void receiver_freep(struct receiver **receiver);

/*
 * Takes up to @max frames (at most RECEIVER_FRAMES) from the socket of @family.  Returns how many; they are
 * read by receiver_get() and lent until the next call.  0: the socket is empty.  Negated errno: of the
 * socket; what is pending was taken.
 */
int receiver_read(struct receiver *receiver, const struct udp *udp, enum udp_family family, unsigned max,
		  nsec_t now) _must_check_;

/* False: the frame is not whole or says not whence it comes. */
bool receiver_get(struct receiver *receiver, unsigned i, struct received *ret) _must_check_;

#endif
