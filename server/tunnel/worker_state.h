/*
 * What a worker is, for the files that make it up: worker.c (its thread and its turn), worker_control.c
 * (what control sees of it), worker_lanes.c (its queues, by domain), worker_out.c (TUN to sockets),
 * worker_in.c (sockets to TUN), worker_answer.c (ICMP), worker_handoff.c (from and to other workers),
 * worker_fair.c (more to do than can be done).
 */
#ifndef SERVER_TUNNEL_WORKER_STATE_H
#define SERVER_TUNNEL_WORKER_STATE_H

#include <pthread.h>
#include <semaphore.h>

#include "server/tunnel/backlog.h"
#include "server/tunnel/handoff.h"
#include "server/tunnel/icmp.h"
#include "server/tunnel/merge.h"
#include "server/tunnel/receiver.h"
#include "server/tunnel/sender.h"
#include "server/tunnel/split.h"
#include "server/tunnel/worker.h"
#include "server/wg/constants.h"
#include "server/wg/path.h"

#define WORKER_IN_BATCH 256
#define WORKER_EVENTS   64 /* descriptors served in a turn */
#define WORKER_ASLEEP   UINT64_MAX

/* In the upper half of an event's value; of a TUN device the lower half is lane_name(). */
enum worker_source { SOURCE_WAKE, SOURCE_UDP4, SOURCE_UDP6, SOURCE_TUN };

/* A queue of a domain's device. */
struct lane {
	struct tun tun; /* fd -1: none */
	bool reads;
	bool muted; /* not watched until the socket has room */
};

struct worker_domain {
	struct domain *domain;
	struct lane lanes[DOMAIN_LINKS];

	/* the last answer of the allowed IPs */
	uint64_t looked_version;
	uint8_t looked_len, looked[16];
	struct wg_peer_id looked_peer;
};

enum worker_way { WAY_IN, WAY_OUT, WORKER_WAYS };

/* Whether several peers are in what comes, and what follows from it. */
struct crowd {
	uint64_t key;          /* of who came last; 0: nobody */
	nsec_t mixed_at;       /* when it was another one than before; 0: never */
	bool saturated, fresh; /* fresh: since this turn */
	nsec_t rest_at;        /* 0: its pages are at rest */
};

struct worker {
	struct worker_config config;
	struct stats stats;
	struct wg_path *path;
	struct receiver *receiver;
	struct sender *sender;
	struct merge *merge;
	struct udp udp;
	struct wg_now now;
	int epoll_fd;
	struct bell bell;
	bool blocked;                      /* a socket is full */
	unsigned udp_frames[UDP_FAMILIES]; /* to ask for next time */

	struct worker_domain *domains[WG_DOMAINS_MAX];
	uint32_t muted[WG_DOMAINS_MAX * DOMAIN_LINKS]; /* names of lanes */
	unsigned n_muted;
	struct lane *merging; /* whose packets are in merge */

	struct received frames[RECEIVER_FRAMES];
	struct path_in in[WORKER_IN_BATCH];
	unsigned n_in;

	struct handoff *handoffs[HANDOFF_KINDS][WG_WORKERS_MAX]; /* from the others: it is the consumer */
	bool handed[WG_WORKERS_MAX];                             /* those are to be woken */
	unsigned handoff_first;                                  /* whose is looked at first */
	bool handoff_left;                                       /* over the budget */
	_Atomic uint64_t handoff_in, handoff_out;

	struct crowd crowds[WORKER_WAYS];
	uint32_t overflowed[UDP_FAMILIES]; /* udp_overflowed() at the last look */
	struct backlog *backlogs[WORKER_WAYS];

	struct ring orders, reports, datagrams;
	_Atomic uint64_t obeyed;
	_Atomic uint64_t epoch_said, epoch_seen;
	atomic_bool stop, pause, lost;
	bool started;
	pthread_t thread;
	sem_t paused, resumed;

	struct icmp_limit icmp_limit;
	uint8_t icmp[ICMP_ROOM];
	uint8_t frame[TUN_FRAME_MAX];
};

static inline uint32_t
lane_name(uint32_t domain, enum domain_link link)
{
	return domain * DOMAIN_LINKS + (uint32_t)link;
}

/* NULL: no such domain, or another one has its number now. */
static inline struct worker_domain *
worker_domain(const struct worker *worker, uint32_t number)
{
	return number < WG_DOMAINS_MAX ? worker->domains[number] : NULL;
}

static inline unsigned
worker_mtu(const struct worker_domain *domain, enum domain_link link)
{
	return atomic_load_explicit(&domain->domain->links[link].mtu, memory_order_relaxed);
}

/* The thread. */
void *worker_run(void *arg);

/* @name: 0, or lane_name(). */
int worker_watch(struct worker *worker, enum worker_source source, uint32_t name, int fd,
		 uint32_t events) _must_check_;
void worker_unwatch(struct worker *worker, int fd);

/* Obeys an order about queues. */
int worker_lane_set(struct worker *worker, const struct worker_order *order) _must_check_;
void worker_domain_drop(struct worker *worker, uint32_t number);

/* Takes frames from the queue @name, within a budget, as long as the sockets take what comes of them. */
void worker_lane_serve(struct worker *worker, uint32_t name);

/* The queue is not watched while a socket is full; when it has room again, all are. */
void worker_lane_mute(struct worker *worker, uint32_t name);
void worker_lanes_unmute(struct worker *worker);

/* The device of the lane was taken away: no more is read from it, and control is told. */
void worker_lane_lose(struct worker *worker, struct worker_domain *domain, enum domain_link link);

/* A frame for a peer of ours is sealed and sent, or waits for its turn; @record without data. */
void worker_frame(struct worker *worker, const struct split *split, const struct handoff_record *record,
		  const uint8_t *frame);
void worker_frame_take(struct worker *worker, const struct handoff_record *record, const uint8_t *frame);
void worker_seal(struct worker *worker, const struct worker_domain *domain, enum domain_link link,
		 const struct split *split, struct wg_peer_id peer);

/* The inside is told that a frame was dropped for that reason, if anything is said of it. */
void worker_answer_drop(struct worker *worker, const struct lane *lane, const struct split *split,
			enum wg_drop why);
/* True: the frame is too long for @mtu (0: none), was counted as dropped, and the inside was told. */
bool worker_answer_long(struct worker *worker, const struct lane *lane, const struct split *split,
			uint32_t mtu);

/* Takes datagrams, within a budget. */
void worker_udp_serve(struct worker *worker, enum udp_family family);

/*
 * Datagrams of ours, or of nobody: handled, or to wait for their turn.  What is handled is lent, with
 * @arrival (which may be @record's), until worker_deliver(), which opens and writes what is there.
 */
void worker_arrive(struct worker *worker, const struct handoff_record *record,
		   const struct wg_arrival *arrival, uint8_t *data);
void worker_arrive_now(struct worker *worker, const struct handoff_record *record,
		       const struct wg_arrival *arrival, uint8_t *data);
void worker_deliver(struct worker *worker);

/* The socket of @family is watched for what is wanted of it now. */
int worker_udp_watch(struct worker *worker, enum udp_family family) _must_check_;
void worker_blocked_set(struct worker *worker, bool blocked);

/* Sends what waits.  False: a socket is full, and what is left waits for it. */
bool worker_send(struct worker *worker);

/* The worker that owns the session of a datagram; our own number for all that is not data of another's. */
unsigned worker_of_datagram(const struct worker *worker, const uint8_t *data, uint32_t len);

/* To another worker; it is woken at the end of the turn.  What its ring has no room for is dropped. */
void worker_hand(struct worker *worker, unsigned to, enum handoff_kind kind,
		 const struct handoff_record *record, const void *data, unsigned segments);
void worker_handed_wake(struct worker *worker);

/* Notes who is in what comes; the budget of a turn was not enough; frames in the room of the backlog wait. */
void worker_crowd_note(struct worker *worker, enum worker_way way, uint64_t key);
void worker_saturate(struct worker *worker, enum worker_way way);
void worker_overflow_look(struct worker *worker, enum udp_family family);
void worker_backlog_frame(struct worker *worker, const struct handoff_record *record);
void worker_backlog_datagrams(struct worker *worker, const struct handoff_record *record);
/* Serves what waits, within a budget; when to do so again. */
void worker_backlogs_serve(struct worker *worker);
nsec_t worker_backlogs_deadline(const struct worker *worker);

/* Takes what other workers handed over, within a budget. */
void worker_handoffs_take(struct worker *worker);

#endif
