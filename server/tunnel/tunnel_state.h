/*
 * What the control thread holds, for the files that make it up: tunnel.c (made, started, settled and ended),
 * tunnel_orders.c (what workers are told), tunnel_workers.c (what they say), tunnel_domains.c (domains, their
 * links and queues), tunnel_sockets.c (the port), tunnel_host.c (what the UAPI asks of it).
 */
#ifndef SERVER_TUNNEL_TUNNEL_STATE_H
#define SERVER_TUNNEL_TUNNEL_STATE_H

#include "server/tunnel/outbox.h"
#include "server/tunnel/port.h"
#include "server/tunnel/tunnel.h"
#include "server/tunnel/uapi_server.h"
#include "server/tunnel/worker.h"
#include "server/wg/constants.h"
#include "server/wg/load.h"

#define TUNNEL_DEAD_SOURCES 16

/* A domain's device, as far as there is one. */
struct link {
	unsigned n; /* queues; the @i-th is read by one worker, see link_reader() */
	struct tun *queues;
	bool up;
};

struct tunnel_domain {
	struct domain shared; /* with the workers */
	char name[UAPI_DOMAIN_MAX + 1];
	struct wg_domain *wg;
	struct link links[DOMAIN_LINKS];
	bool up;
};

/* Orders to one worker. */
struct tunnel_orders {
	struct waiting *waiting, **tail; /* those that the ring had no room for */
	uint64_t given;                  /* since the beginning, those that wait included */
	bool fresh;                      /* the worker is to be woken */
};

struct tunnel {
	struct tunnel_config config;
	struct loop *loop;
	struct wg_device *device;
	struct wg_effects effects;
	struct uapi_host host;
	struct uapi_server *server;
	const char *aead_name;
	struct ladder ladder; /* of all workers */

	struct worker *workers[WG_WORKERS_MAX]; /* config.workers of them */
	struct tunnel_orders orders[WG_WORKERS_MAX];
	struct retired *retired, **retired_tail;
	struct bell bell;
	struct loop_io *bell_io;
	unsigned first; /* the worker whose handshakes are taken first */
	bool again;     /* datagrams_again() is posted */
	struct wg_load load;
	struct outbox outbox;

	struct tunnel_domain *domains[WG_DOMAINS_MAX]; /* by number; number 0 is always there */
	unsigned n_domains;                            /* all are below */
	uint32_t serial;
	bool counting; /* tunnel_rungs_count() is posted */

	struct port port;
	uint16_t port_wanted; /* 0: any */
	uint32_t mark;

	struct loop_io *link_io, *routes_io;
	int link_fd, routes_fd;
	struct loop_timer *timer, *routes_timer;
	nsec_t routes_cleared;

	unsigned n_dead_sources;
	struct wg_peer_id dead_sources[TUNNEL_DEAD_SOURCES];
};

/* After whatever came in. */
void tunnel_settle(void *ctx);

/* Both clocks; the context is not looked at. */
struct wg_now tunnel_now(void *ctx);
void tunnel_step(struct tunnel *tunnel, const struct wg_event *event);

/* Orders.  None is lost, and each worker's keep their order. */
void tunnel_orders_init(struct tunnel *tunnel);
void tunnel_orders_done(struct tunnel *tunnel);
void tunnel_order(struct tunnel *tunnel, unsigned worker, const struct worker_order *order);
/* Gives what waits, wakes who has something, lets go what no worker can see any more. */
void tunnel_orders_settle(struct tunnel *tunnel);
nsec_t tunnel_orders_deadline(const struct tunnel *tunnel, nsec_t now);

/* Closed and freed when all workers have obeyed what was ordered until now; both may be none. */
void tunnel_retire(struct tunnel *tunnel, struct link *link, struct tunnel_domain *domain);

/* Workers. */
int tunnel_workers_make(struct tunnel *tunnel) _must_check_;
void tunnel_workers_pause(struct tunnel *tunnel);
void tunnel_workers_resume(struct tunnel *tunnel);

/* Domains.  -EINVAL: not a name; -ENOSPC; -ENOMEM. */
struct tunnel_domain *tunnel_domain_find(const struct tunnel *tunnel, const char *name);
int tunnel_domain_get(struct tunnel *tunnel, const char *name, struct tunnel_domain **ret) _must_check_;
int tunnel_domain_remove(struct tunnel *tunnel, const char *name) _must_check_;
int tunnel_domains_make(struct tunnel *tunnel) _must_check_;
void tunnel_domains_done(struct tunnel *tunnel);

/* Looks how links are, and does what follows from it. */
void tunnel_links_look(struct tunnel *tunnel);
/* Workers found devices taken away. */
void tunnel_links_lost(struct tunnel *tunnel);

/* How many queues and sockets there are for the workers: later, when all that comes together has come. */
void tunnel_rungs_count(struct tunnel *tunnel);

/* Opens sockets for @number in place of those there are; none. */
int tunnel_sockets_open(struct tunnel *tunnel, uint16_t number) _must_check_;
void tunnel_sockets_close(struct tunnel *tunnel);
bool tunnel_up(const struct tunnel *tunnel);

/* The functions of @tunnel->host; its device and effects are there. */
void tunnel_host_init(struct tunnel *tunnel);

#endif
