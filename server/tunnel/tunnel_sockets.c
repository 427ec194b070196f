/*
 * The port: opened while the interface is up (stand-alone), or handed over and kept (managed).
 */
#include <errno.h>

#include "base/errors.h"
#include "base/log.h"
#include "server/tunnel/tunnel_state.h"

static struct port_config
config_of(struct tunnel *tunnel)
{
	return (struct port_config){
		.workers = tunnel->config.workers,
		.worker_bits = wg_index(tunnel->device).worker_bits,
		.steer = !tunnel->config.unsteered,
		.mark = tunnel->mark,
		.stats = worker_stats(tunnel->workers[0]),
	};
}

/* The sockets change together: what one worker sends through, another may read. */
static int
port_hand(struct tunnel *tunnel, const struct port *port)
{
	int r = 0;

	tunnel_workers_pause(tunnel);
	for (unsigned i = 0; i < tunnel->config.workers; i++) {
		const struct udp udp = port_udp(port, i);
		const int done = worker_udp_set(tunnel->workers[i], &udp);

		r = r < 0 ? r : done;
	}
	tunnel_workers_resume(tunnel);
	return r;
}

/* The new ones before the old ones are closed. */
int
tunnel_sockets_open(struct tunnel *tunnel, uint16_t number)
{
	const struct port_config config = config_of(tunnel);
	struct port port, old = tunnel->port;
	int r;

	r = port_open(&port, number, &config);
	if (r < 0)
		return r;
	r = port_hand(tunnel, &port);
	if (r < 0) {
		if (port_hand(tunnel, &old) < 0)
			log_error("the sockets there were cannot be used again");
		port_close(&port);
		return r;
	}
	tunnel->port = port;
	tunnel->port_wanted = port.number;
	port_close(&old);
	tunnel_rungs_count(tunnel);
	return 0;
}

void
tunnel_sockets_close(struct tunnel *tunnel)
{
	static const struct port none;

	if (port_hand(tunnel, &none) < 0)
		log_error("sockets cannot be taken from the workers");
	port_close(&tunnel->port);
}

int
tunnel_udp_add(struct tunnel *tunnel, enum udp_family family, int fd)
{
	const struct port_config config = config_of(tunnel);
	int r;

	r = port_adopt(&tunnel->port, family, fd, &config);
	if (r == -ENOSPC) /* a restart with fewer workers: the kernel would go on putting datagrams into it */
		log_error("there are more sockets than workers: what comes in by the last ones is lost");
	if (r < 0) {
		close(fd);
		return r;
	}
	r = port_hand(tunnel, &tunnel->port);
	tunnel_rungs_count(tunnel);
	tunnel_settle(tunnel);
	return r;
}
