/*
 * The networks behind peers: what all that may pass are routed beyond their own addresses, as net can take
 * it. Pure.
 */
#ifndef SERVER_CONTROL_NETWORKS_H
#define SERVER_CONTROL_NETWORKS_H

#include <stddef.h>

#include "base/cleanup.h"
#include "base/ip.h"
#include "server/control/wanted.h"
#include "server/proc/config.h"

/* Behind a peer of that domain (its place in wanted->domains). */
struct network_behind {
	size_t domain;
	struct cidr cidr;
};

struct networks {
	size_t n;
	struct network_behind *v; /* owned; by domain and address, none within another */
	size_t n_unfit;           /* others that are left out */
	struct cidr unfit;        /* the first of them by address, */
	const char *why;          /* and what keeps it from being behind a peer */
};

/*
 * Those of all peers that are not cut; of a network that two domains name, the one of the first.  One within
 * another is led to by that one's route and is not named. -ENOMEM; @ret is then empty.
 */
int networks_of(struct networks *ret, const struct wanted *wanted, const struct config *config) _must_check_;
void networks_done(struct networks *networks);

#endif
