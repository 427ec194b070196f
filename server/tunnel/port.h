/*
 * The UDP port of the tunnel: a socket a family for each worker, one SO_REUSEPORT group a family in the
 * order of the workers, steered by receiver index.  With fewer sockets than workers, several send through
 * one, and one of them reads it; what it reads for others it hands on.
 */
#ifndef SERVER_TUNNEL_PORT_H
#define SERVER_TUNNEL_PORT_H

#include "server/tunnel/udp.h"
#include "server/wg/constants.h"

struct port {
	uint16_t number; /* host byte order; 0: none */
	unsigned n[UDP_FAMILIES];
	bool steered[UDP_FAMILIES];
	int fds[UDP_FAMILIES][WG_WORKERS_MAX];
};

struct port_config {
	unsigned workers, worker_bits;
	bool steer;
	uint32_t mark;
	struct stats *stats; /* has the ladder */
};

/*
 * Binds both families to @number of all addresses, to a free one for 0.  A family that the kernel does not
 * have is left out; where further sockets cannot be had, there are fewer.  -EADDRINUSE and others: @ret is
 * as it was.
 */
int port_open(struct port *ret, uint16_t number, const struct port_config *config) _must_check_;

/* Takes over a bound socket as the next one of @family.  -EINVAL: it is none.  -ENOSPC: all have one. */
int port_adopt(struct port *port, enum udp_family family, int fd,
	       const struct port_config *config) _must_check_;

/* What worker @number sends through and reads; lent. */
struct udp port_udp(const struct port *port, unsigned number);

/* SO_MARK on all.  -EPERM. */
int port_mark(const struct port *port, uint32_t mark) _must_check_;

void port_close(struct port *port);

#endif
