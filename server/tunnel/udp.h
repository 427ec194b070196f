/*
 * The UDP sockets of the tunnel, one a family: opened here or handed over, with every option that the
 * packet path relies on.
 */
#ifndef SERVER_TUNNEL_UDP_H
#define SERVER_TUNNEL_UDP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "server/tunnel/stats.h"
#include "server/wg/values.h"

enum udp_family { UDP4, UDP6, UDP_FAMILIES };

struct udp {
	int fd[UDP_FAMILIES]; /* -1: not there */
	uint16_t port;        /* host byte order; 0: none */
};

#define UDP_NONE                                                                                             \
	{                                                                                                    \
		.fd = { -1, -1 }                                                                             \
	}

/*
 * Binds both families to @port of all addresses, to a free one for 0.  A family that the kernel does not have
 * is left out.  @stats has the ladder.  -EADDRINUSE and others: @ret holds nothing.
 */
int udp_open(struct udp *ret, uint16_t port, uint32_t mark, struct stats *stats) _must_check_;

/* Takes over a bound socket as the one of @family, the one before is closed.  -EINVAL: it is none. */
int udp_adopt(struct udp *udp, enum udp_family family, int fd, struct stats *stats) _must_check_;

/* SO_MARK on both.  -EPERM. */
int udp_mark(const struct udp *udp, uint32_t mark) _must_check_;

void udp_close(struct udp *udp);

static inline enum udp_family
udp_family_of(const struct endpoint *endpoint)
{
	return endpoint->ip.family == AF_INET6 ? UDP6 : UDP4;
}

/* Room for all control messages of one send. */
#define UDP_CONTROL_LEN 128

/*
 * Fills in address and control messages for a send along @route; @name and @control (zeroed, aligned as a
 * cmsghdr) are lent to @msg.  @segment: UDP_SEGMENT; 0: not a batch.
 */
void udp_message(struct msghdr *msg, struct sockaddr_storage *name, void *control,
		 const struct wg_route *route, uint8_t tos, uint16_t segment);

/*
 * One datagram.  0, or a negated errno.  udp_source_failed(): sent once more without a source it might pass.
 */
int udp_send(const struct udp *udp, const struct wg_route *route, uint8_t tos, const void *data,
	     size_t len) _must_check_;
bool udp_source_failed(const struct wg_route *route, int error);

#endif
