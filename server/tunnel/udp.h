/*
 * UDP sockets: opened here or handed over, with every option that the packet path relies on.
 */
#ifndef SERVER_TUNNEL_UDP_H
#define SERVER_TUNNEL_UDP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "server/tunnel/stats.h"
#include "server/wg/values.h"

enum udp_family { UDP4, UDP6, UDP_FAMILIES };

/* What one worker sends through; -1: not there.  All lent. */
struct udp {
	int fd[UDP_FAMILIES];
	bool reads[UDP_FAMILIES]; /* else another worker does */
};

#define UDP_NONE                                                                                             \
	{                                                                                                    \
		.fd = { -1, -1 }                                                                             \
	}

/*
 * A socket of @family bound to @port of all addresses, to a free one for 0; *@bound is which.  @shared: along
 * with others of ours (udp_share()).  @stats has the ladder.  -EADDRINUSE and others.
 */
int udp_socket(enum udp_family family, uint16_t port, bool shared, uint16_t *bound,
	       struct stats *stats) _must_check_;

/* Makes a bound socket that was handed over fit; it stays the caller's.  -EINVAL: it is none. */
int udp_adopt(enum udp_family family, int fd, uint16_t *bound, struct stats *stats) _must_check_;

/* Lets further sockets of this user bind to the same port, also after it was bound itself. */
int udp_share(int fd) _must_check_;

/* Datagrams that were lost because the socket was full, so far (it wraps); 0 if the kernel does not tell. */
uint32_t udp_overflowed(int fd);

/* SO_MARK.  -EPERM. */
int udp_mark(int fd, uint32_t mark) _must_check_;

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

/* Sent once more without a source it might pass. */
bool udp_source_failed(const struct wg_route *route, int error);

#endif
