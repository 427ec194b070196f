/*
 * What the control thread holds, for the files that make it up: tunnel.c (events and effects), tunnel_host.c
 * (what the UAPI asks of it).
 */
#ifndef SERVER_TUNNEL_TUNNEL_STATE_H
#define SERVER_TUNNEL_TUNNEL_STATE_H

#include "server/tunnel/outbox.h"
#include "server/tunnel/tunnel.h"
#include "server/tunnel/uapi_server.h"
#include "server/tunnel/worker.h"
#include "server/wg/load.h"

#define TUNNEL_DEAD_SOURCES 16

/* An order that the ring had no room for. */
struct waiting {
	struct waiting *next;
	struct wg_order order;
};

struct tunnel {
	struct tunnel_config config;
	struct loop *loop;
	struct wg_device *device;
	struct wg_domain *domain;
	char domain_name[UAPI_DOMAIN_MAX + 1]; /* empty until it is mentioned */
	struct wg_effects effects;
	struct uapi_host host;
	struct uapi_server *server;
	struct worker *worker;
	struct ladder ladder; /* of all workers */
	const char *aead_name;
	struct wg_load load;
	struct outbox outbox;

	struct tun tun;
	struct udp udp;
	uint16_t port; /* asked for; 0: any */
	uint32_t mark;
	bool up;

	struct loop_io *worker_io, *link_io, *routes_io;
	int link_fd, routes_fd;
	struct loop_timer *timer, *routes_timer;
	nsec_t routes_cleared;

	bool ordered; /* the worker is to be woken */
	bool again;   /* datagrams_again() is posted */
	struct waiting *waiting, **waiting_tail;
	unsigned n_dead_sources;
	struct wg_peer_id dead_sources[TUNNEL_DEAD_SOURCES];
};

/* The functions of @tunnel->host; its device and effects are there. */
void tunnel_host_init(struct tunnel *tunnel);

/* Opens sockets for @port in place of those there are. */
int tunnel_sockets_open(struct tunnel *tunnel, uint16_t port) _must_check_;

/* Looks how the link is, and does what follows from it. */
void tunnel_link_look(struct tunnel *tunnel);

/* Both clocks; the context is not looked at. */
struct wg_now tunnel_now(void *ctx);

#endif
