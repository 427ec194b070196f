/*
 * A domain as the workers see it: made and freed by the control thread, which publishes it by orders and
 * frees it when all workers have obeyed that it is gone.
 */
#ifndef SERVER_TUNNEL_DOMAIN_H
#define SERVER_TUNNEL_DOMAIN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "server/wg/allowedips.h"

/* Its devices. */
enum domain_link { LINK_OPEN, LINK_QUARANTINE, DOMAIN_LINKS };

struct domain {
	uint32_t number; /* used again, but not together with ... */
	uint32_t serial; /* ... this one */
	const struct allowedips *allowed;
	struct {
		atomic_uint mtu;  /* the device's; 0: not known */
		atomic_bool gone; /* a worker found it taken away */
	} links[DOMAIN_LINKS];
};

#endif
