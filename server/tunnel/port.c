#include "server/tunnel/port.h"

#include <errno.h>

#include "base/errors.h"
#include "base/log.h"
#include "server/tunnel/steer.h"

#define PORT_TRIES 32

/* The kernel numbers the sockets of a group as they are bound, and an early close moves the last one. */
static void
family_steer(struct port *port, enum udp_family family, const struct port_config *config)
{
	int r;

	if (!config->steer || port->n[family] < 2)
		return;
	r = steer_attach(port->fds[family][0], port->n[family], config->worker_bits);
	port->steered[family] = r == 0;
	if (r < 0)
		log_info("datagrams of IPv%d go by the kernel's hash: %s", family == UDP4 ? 4 : 6,
			 error_words(r));
}

/*
 * The first one is bound alone, so that another program's port is found taken even if that would share it,
 * and shared afterwards.
 */
static int
family_open(struct port *port, enum udp_family family, const struct port_config *config)
{
	int *fds = port->fds[family];
	uint16_t bound;
	int fd;

	fd = udp_socket(family, port->number, false, &bound, config->stats);
	if (fd < 0)
		return fd;
	fds[0] = fd;
	port->n[family] = 1;
	port->number = bound;
	if (config->workers > 1 && udp_share(fd) < 0)
		return 0;
	while (port->n[family] < config->workers) {
		fd = udp_socket(family, port->number, true, &bound, config->stats);
		if (fd < 0)
			break;
		fds[port->n[family]++] = fd;
	}
	family_steer(port, family, config);
	return 0;
}

/* A family without addresses is no failure; both missing is. */
static bool
family_missing(int r)
{
	return r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL || r == -EPROTONOSUPPORT;
}

static int
both_open(struct port *port, uint16_t number, const struct port_config *config)
{
	int r;

	*port = (struct port){.number = number};
	r = family_open(port, UDP4, config);
	if (r < 0 && !family_missing(r))
		return r;
	r = family_open(port, UDP6, config);
	if (r < 0 && (!family_missing(r) || port->n[UDP4] == 0)) {
		port_close(port);
		return r;
	}
	return 0;
}

int
port_open(struct port *ret, uint16_t number, const struct port_config *config)
{
	struct port port;
	int r = -EADDRINUSE;

	/* a port that the kernel chose for one family may be taken in the other */
	for (int i = 0; i < (number == 0 ? PORT_TRIES : 1) && r == -EADDRINUSE; i++)
		r = both_open(&port, number, config);
	if (r < 0)
		return r;
	r = config->mark ? port_mark(&port, config->mark) : 0;
	if (r < 0) {
		port_close(&port);
		return r;
	}
	*ret = port;
	return 0;
}

int
port_adopt(struct port *port, enum udp_family family, int fd, const struct port_config *config)
{
	uint16_t bound;
	int r;

	if (port->n[family] >= config->workers)
		return -ENOSPC;
	r = udp_adopt(family, fd, &bound, config->stats);
	if (r < 0)
		return r;
	port->fds[family][port->n[family]++] = fd;
	port->number = bound;
	family_steer(port, family, config);
	return 0;
}

struct udp
port_udp(const struct port *port, unsigned number)
{
	struct udp udp = UDP_NONE;

	for (unsigned i = 0; i < UDP_FAMILIES; i++) {
		if (port->n[i] == 0)
			continue;
		udp.fd[i] = port->fds[i][number % port->n[i]];
		udp.reads[i] = number < port->n[i];
	}
	return udp;
}

int
port_mark(const struct port *port, uint32_t mark)
{
	int r = 0;

	for (unsigned i = 0; i < UDP_FAMILIES; i++)
		for (unsigned j = 0; j < port->n[i] && r == 0; j++)
			r = udp_mark(port->fds[i][j], mark);
	return r;
}

void
port_close(struct port *port)
{
	for (unsigned i = 0; i < UDP_FAMILIES; i++) {
		for (unsigned j = 0; j < port->n[i]; j++)
			closep(&port->fds[i][j]);
		port->n[i] = 0;
		port->steered[i] = false;
	}
	port->number = 0;
}
