/*
 * A worker: one thread that carries packets both ways between TUN queues and sockets of its own, whole
 * superframes at a time, and owns the data half of its peers (struct wg_path).  What it reads and another
 * worker owns, it hands on as it was read.
 *
 * The control thread and the workers share nothing but rings, published values, and sockets, which change
 * while the worker is paused.  Each wakes the other by a bell.
 */
#ifndef SERVER_TUNNEL_WORKER_H
#define SERVER_TUNNEL_WORKER_H

#include <stdbool.h>

#include "server/tunnel/bell.h"
#include "server/tunnel/domain.h"
#include "server/tunnel/ring.h"
#include "server/tunnel/stats.h"
#include "server/tunnel/tun.h"
#include "server/tunnel/udp.h"
#include "server/wg/index.h"
#include "server/wg/messages.h"
#include "server/wg/order.h"

#define WORKER_ORDERS  4096U
#define WORKER_REPORTS 4096U

struct worker;

enum worker_order_type {
	WORKER_PEER,
	WORKER_LANE, /* a domain's device: write to this queue, and perhaps read it */
	WORKER_DOMAIN_GONE,
};

struct worker_order {
	enum worker_order_type type;
	union {
		struct wg_order peer;
		struct {
			struct domain *domain; /* lent until the worker has obeyed DOMAIN_GONE */
			enum domain_link link;
			struct tun tun; /* lent until the worker has obeyed the next LANE or DOMAIN_GONE */
			bool reads;
		} lane;
	};
};

/* A handshake message on its way to the control thread. */
struct worker_datagram {
	struct wg_arrival arrival;
	uint32_t len;
	uint8_t data[WG_HANDSHAKE_MAX];
};

struct worker_config {
	unsigned number, count;
	struct worker *const *all; /* lent: the @count workers by number, complete before the first starts */
	struct bell *bell;         /* lent: rung when there is something in the rings to control */
	struct wg_index index;
	struct aead aead;      /* given on success: the worker frees it */
	struct ladder *ladder; /* lent, shared by all workers */
};

int worker_new(const struct worker_config *config, struct worker **ret) _must_check_;
int worker_start(struct worker *worker) _must_check_;

/* Ends the thread, if it was started.  All are stopped before the first is freed. */
void worker_stop(struct worker *worker);

/* TUN queues and sockets are the caller's. */
void worker_free(struct worker *worker);
void worker_freep(struct worker **worker);

/*
 * The worker stands still between the two calls, holding nothing.  Only then, or before
 * the start, may its sockets (which are lent) be changed.
 */
void worker_pause(struct worker *worker);
void worker_resume(struct worker *worker);
int worker_udp_set(struct worker *worker, const struct udp *udp) _must_check_;

/* Control's ends of the rings: struct worker_order in, struct wg_report and struct worker_datagram out. */
struct ring *worker_orders(struct worker *worker);
struct ring *worker_reports(struct worker *worker);
struct ring *worker_datagrams(struct worker *worker);

/* How many orders it has obeyed, since the beginning. */
uint64_t worker_obeyed(const struct worker *worker);

/* After orders were given, or something was set. */
void worker_wake(struct worker *worker);

/* Since the last call a device was found taken away: see domain->links. */
bool worker_lost(struct worker *worker);

/* Quiescence of the allowed IPs: what the writer says, and what this reader has passed. */
void worker_epoch_set(struct worker *worker, uint64_t epoch);
uint64_t worker_epoch(const struct worker *worker);

struct stats *worker_stats(struct worker *worker);
const struct wg_counters *worker_path_counters(const struct worker *worker);

/* Superframes that came from other workers, and that went to them. */
void worker_handoffs(const struct worker *worker, uint64_t *in, uint64_t *out);

#endif
