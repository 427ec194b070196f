/*
 * A turn: sleep until something is there, obey orders, take what other workers handed over, carry datagrams
 * in and frames out within a budget each, send, report.  What is read is handled to its end before more is
 * read, so that it is still in the cache.
 *
 * Reading TUN devices stops while a socket is full: the kernel's queue is the place to wait, and there
 * the sender's own stack sees it.
 */
#include "server/tunnel/worker.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/log.h"
#include "server/tunnel/worker_state.h"

#define BLOCKED_TIMEOUT MILLISECONDS(50)

int
worker_watch(struct worker *worker, enum worker_source source, uint32_t name, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.u64 = (uint64_t)source << 32 | name};

	if (epoll_ctl(worker->epoll_fd, EPOLL_CTL_MOD, fd, &event) == 0)
		return 0;
	return epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

void
worker_unwatch(struct worker *worker, int fd)
{
	if (fd >= 0)
		epoll_ctl(worker->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

/* Sending. */

/* A socket that another worker reads is watched only while it is full. */
int
worker_udp_watch(struct worker *worker, enum udp_family family)
{
	const bool full = worker->blocked && sender_waits_for(worker->sender) == family;
	const uint32_t events =
		(worker->udp.reads[family] ? (uint32_t)EPOLLIN : 0) | (full ? (uint32_t)EPOLLOUT : 0);

	if (worker->udp.fd[family] < 0)
		return 0;
	if (events == 0) {
		worker_unwatch(worker, worker->udp.fd[family]);
		return 0;
	}
	return worker_watch(worker, SOURCE_UDP4 + family, 0, worker->udp.fd[family], events);
}

void
worker_blocked_set(struct worker *worker, bool blocked)
{
	if (blocked == worker->blocked)
		return;
	worker->blocked = blocked;
	for (unsigned i = 0; i < UDP_FAMILIES; i++)
		if (worker_udp_watch(worker, i) < 0)
			log_error("socket cannot be watched: %s", strerror(errno));
	if (!blocked) {
		worker_lanes_unmute(worker);
		worker->handoff_left = worker->config.count > 1; /* frames waited in the rings for this */
	}
}

bool
worker_send(struct worker *worker)
{
	const bool sent = sender_flush(worker->sender, worker->now.boot) == 0;

	worker_blocked_set(worker, !sent);
	return sent;
}

static void
send_copy(void *ctx, struct wg_peer_id peer, const struct wg_route *route, struct path_out *out, unsigned n)
{
	struct worker *worker = ctx;

	for (unsigned i = 0; i < n; i++) {
		uint8_t *room = sender_room(worker->sender, out[i].len);

		if (!room && worker_send(worker))
			room = sender_room(worker->sender, out[i].len);
		if (!room)
			return; /* lost, as on a full link */
		memcpy(room, out[i].data, out[i].len);
		sender_add(worker->sender, peer, route, out[i].tos, room, out[i].len, worker->now.boot);
	}
}

/* The other side of the rings. */

static void
order_obey(struct worker *worker, struct worker_order *order)
{
	int r = 0;

	switch (order->type) {
	case WORKER_PEER:
		r = path_order(worker->path, &order->peer, worker->now);
		if (r < 0)
			log_error("peer %u: order %d cannot be obeyed: %s", order->peer.peer.number,
				  (int)order->peer.type, strerror(-r));
		break;
	case WORKER_LANE:
		r = worker_lane_set(worker, order);
		if (r < 0)
			log_error("interface %s cannot be used: %s", order->lane.tun.name, strerror(-r));
		bell_ring(worker->config.bell);
		break;
	case WORKER_DOMAIN_GONE:
		worker_domain_drop(worker, order->lane.domain->number);
		bell_ring(worker->config.bell);
		break;
	}
}

static void
orders_obey(struct worker *worker)
{
	struct worker_order *order;
	uint64_t obeyed = atomic_load_explicit(&worker->obeyed, memory_order_relaxed);

	while ((order = ring_front(&worker->orders))) {
		order_obey(worker, order);
		bytes_wipe(order, sizeof(*order));
		ring_pop(&worker->orders);
		atomic_store_explicit(&worker->obeyed, ++obeyed, memory_order_release);
	}
}

static void
reports_give(struct worker *worker)
{
	unsigned n = 0;
	struct wg_report *report;

	while ((report = ring_free(&worker->reports, n)) &&
	       path_reports(worker->path, worker->now, report, 1) == 1)
		n++;
	ring_push(&worker->reports, n);
	if (n > 0)
		bell_ring(worker->config.bell);
}

static void
pause_if_asked(struct worker *worker)
{
	if (!atomic_load(&worker->pause))
		return;
	sem_post(&worker->paused);
	while (sem_wait(&worker->resumed) < 0)
		continue;
}

static int
timeout_ms(const struct worker *worker)
{
	nsec_t deadline = MIN(path_deadline(worker->path), worker_backlogs_deadline(worker));

	if (worker->handoff_left)
		return 0;
	if (worker->blocked)
		deadline = MIN(deadline, worker->now.boot + BLOCKED_TIMEOUT);
	if (deadline == NSEC_NEVER)
		return -1;
	if (deadline <= worker->now.boot)
		return 0;
	return (int)MIN((deadline - worker->now.boot + MILLISECONDS(1) - 1) / MILLISECONDS(1), 60000);
}

/* The reader of a shared socket takes its errors; the others must not be woken by them for ever. */
static void
serve_udp(struct worker *worker, enum udp_family family, uint32_t events)
{
	int error;
	socklen_t len = sizeof(error);

	if (events & EPOLLOUT)
		worker_send(worker);
	if (!(events & ~(uint32_t)EPOLLOUT))
		return;
	if (worker->udp.reads[family])
		worker_udp_serve(worker, family);
	else if (getsockopt(worker->udp.fd[family], SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return;
}

static void
serve(struct worker *worker, const struct epoll_event *event)
{
	const uint32_t name = (uint32_t)event->data.u64;

	switch ((enum worker_source)(event->data.u64 >> 32)) {
	case SOURCE_WAKE:
		break;
	case SOURCE_UDP4:
		serve_udp(worker, UDP4, event->events);
		break;
	case SOURCE_UDP6:
		serve_udp(worker, UDP6, event->events);
		break;
	case SOURCE_TUN:
		worker_lane_serve(worker, name);
		break;
	}
}

static void
turn(struct worker *worker)
{
	struct epoll_event events[WORKER_EVENTS];
	uint64_t epoch;
	int n;

	/* asleep it looks up nothing; awake again it has to be seen before it does */
	atomic_store(&worker->epoch_seen, WORKER_ASLEEP);
	n = epoll_wait(worker->epoll_fd, events, WORKER_EVENTS, timeout_ms(worker));
	epoch = atomic_load(&worker->epoch_said);
	atomic_store(&worker->epoch_seen, epoch);
	atomic_thread_fence(memory_order_seq_cst);

	for (int i = 0; i < n; i++)
		if (events[i].data.u64 >> 32 == SOURCE_WAKE)
			bell_silence(&worker->bell);
	bell_listen(&worker->bell);
	pause_if_asked(worker);
	worker->now = (struct wg_now){.boot = clock_boottime(), .wall = clock_wall()};
	orders_obey(worker);
	if (worker->config.count > 1)
		worker_handoffs_take(worker);
	for (int i = 0; i < n; i++)
		serve(worker, &events[i]);
	worker_backlogs_serve(worker);
	path_flush(worker->path, worker->now, send_copy, worker);
	if (!sender_empty(worker->sender))
		worker_send(worker);
	if (worker->config.count > 1)
		worker_handed_wake(worker);
	reports_give(worker);
}

void *
worker_run(void *arg)
{
	struct worker *worker = arg;

	pthread_setname_np(pthread_self(), "worker");
	while (!atomic_load(&worker->stop))
		turn(worker);
	return NULL;
}
