/*
 * How the world reaches the gateway, and whether its pool gets in the way of the host's own networks.
 */
#ifndef SERVER_REACH_H
#define SERVER_REACH_H

#include <stdbool.h>

#include "base/cleanup.h"
#include "server/proc/config.h"
#include "server/proc/trouble.h"

struct reach {
	char endpoint[CONFIG_HOST_LEN]; /* for clients; empty: none is known */
	bool guessed;                   /* it is the source address of the default route */
	bool private_address;           /* which the internet does not route */
	char pool_clash[256];           /* in words; empty: there is none */
};

/* Asks the kernel where it must; what it does not say is left out of @ret. */
void reach_find(struct reach *ret, const struct config *config);

/* Whether only networks next to the host can reach @ip (RFC 1918, 6598, 3927, 4193, loopback, link-local). */
bool reach_is_private(const struct ip *ip);

#endif
