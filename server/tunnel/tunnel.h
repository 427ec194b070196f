/*
 * The control thread: owns the device (struct wg_device) and everything around it that is no packet
 * path: domains and their links, timers, the queue of handshakes, the UAPI, what the kernel says of routes.
 *
 * A stand-alone tunnel opens its sockets itself while the interface is up, and closes them when it goes
 * down.  A managed one is handed sockets and keeps them.
 */
#ifndef SERVER_TUNNEL_TUNNEL_H
#define SERVER_TUNNEL_TUNNEL_H

#include "base/key.h"
#include "server/proc/loop.h"
#include "server/proc/trouble.h"
#include "server/tunnel/domain.h"
#include "server/tunnel/tun.h"
#include "server/tunnel/uapi.h"
#include "server/tunnel/udp.h"

struct tunnel;

struct tunnel_config {
	bool managed;
	const char *aead;        /* the back end by name; NULL: the best */
	unsigned workers;        /* 1..WG_WORKERS_MAX */
	bool unsteered;          /* for diagnosis: datagrams go to workers by the kernel's hash */
	void (*gone)(void *ctx); /* an interface was deleted */
	void *ctx;
};

/* What the environment says of workers, steering and back end, and the number of queues to open. */
int tunnel_environment(struct tunnel_config *config, unsigned *queues, struct trouble *t) _must_check_;

/* -ERR_SELF_TEST: no cipher can be trusted.  -ENOMEM and others. */
int tunnel_new(struct loop *loop, const struct tunnel_config *config, struct tunnel **ret) _must_check_;

/* Ends the workers, closes all that was handed over. */
void tunnel_free(struct tunnel *tunnel);
void tunnel_freep(struct tunnel **tunnel);

/* Starts the workers. */
int tunnel_start(struct tunnel *tunnel) _must_check_;

/*
 * Each takes over @fd (or what is in @tun), also on failure.  Queues come one by one; those of another device
 * take the place of what the link had.  Sockets come one by one, in the order of their group.
 */
int tunnel_tun_add(struct tunnel *tunnel, const char *domain, enum domain_link link,
		   const struct tun *tun) _must_check_;
int tunnel_udp_add(struct tunnel *tunnel, enum udp_family family, int fd) _must_check_;
int tunnel_routes_set(struct tunnel *tunnel, int fd) _must_check_;
int tunnel_listen(struct tunnel *tunnel, int fd, const char *domain) _must_check_;
int tunnel_connect(struct tunnel *tunnel, int fd) _must_check_; /* with a sibling's rights */

void tunnel_key_set(struct tunnel *tunnel, const struct private_key *key);

#endif
