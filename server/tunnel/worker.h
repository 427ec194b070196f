/*
 * A worker: one thread that carries packets both ways between its TUN queue and its sockets, whole
 * superframes at a time, and owns the data half of its peers (struct wg_path).
 *
 * The control thread and a worker share nothing but rings, and what stands still while the worker is
 * paused.  Either side wakes the other by a descriptor.
 */
#ifndef SERVER_TUNNEL_WORKER_H
#define SERVER_TUNNEL_WORKER_H

#include <stdbool.h>

#include "server/tunnel/ring.h"
#include "server/tunnel/stats.h"
#include "server/tunnel/tun.h"
#include "server/tunnel/udp.h"
#include "server/wg/allowedips.h"
#include "server/wg/index.h"
#include "server/wg/messages.h"
#include "server/wg/order.h"

#define WORKER_ORDERS  4096U
#define WORKER_REPORTS 4096U

struct worker;

/* A handshake message on its way to the control thread. */
struct worker_datagram {
	struct wg_arrival arrival;
	uint32_t len;
	uint8_t data[WG_HANDSHAKE_MAX];
};

struct worker_config {
	unsigned number;
	struct wg_index index;
	const struct allowedips *allowed; /* lent */
	struct aead aead;                 /* given: the worker frees it */
	struct ladder *ladder;            /* lent, shared by all workers */
};

int worker_new(const struct worker_config *config, struct worker **ret) _must_check_;
int worker_start(struct worker *worker) _must_check_;

/* Ends the thread if it was started, and frees all; its TUN queue and sockets are the caller's. */
void worker_free(struct worker *worker);
void worker_freep(struct worker **worker);

/*
 * The worker stands still between the two calls, holding nothing.  Only then, or before
 * the start, may its queue and sockets (which are lent) be changed.
 */
void worker_pause(struct worker *worker);
void worker_resume(struct worker *worker);
int worker_tun_set(struct worker *worker, const struct tun *tun) _must_check_;
int worker_udp_set(struct worker *worker, const struct udp *udp) _must_check_;

/* At any time: the device's MTU; 0: not known. */
void worker_mtu_set(struct worker *worker, unsigned mtu);

/* Control's ends of the rings: struct wg_order in, struct wg_report and struct worker_datagram out. */
struct ring *worker_orders(struct worker *worker);
struct ring *worker_reports(struct worker *worker);
struct ring *worker_datagrams(struct worker *worker);

/* After orders were given, or something was set. */
void worker_wake(struct worker *worker);

/* Readable when there is something in the rings; worker_listen() comes before they are looked at. */
int worker_event_fd(const struct worker *worker);
void worker_listen(struct worker *worker);

/* The TUN device was taken away. */
bool worker_tun_gone(const struct worker *worker);

/* Quiescence of the allowed IPs: what the writer says, and what this reader has passed. */
void worker_epoch_set(struct worker *worker, uint64_t epoch);
uint64_t worker_epoch(const struct worker *worker);

struct stats *worker_stats(struct worker *worker);
const struct wg_counters *worker_path_counters(const struct worker *worker);

#endif
