/*
 * A turn: sleep until something is there, obey orders, carry datagrams in and frames out within a
 * budget each, send, report.  What is read is handled to its end before more is read, so that it is
 * still in the cache.
 *
 * Reading the TUN device stops while a socket is full: the kernel's queue is the place to wait, and there
 * the sender's own stack sees it.
 */
#include "server/tunnel/worker.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "base/log.h"
#include "server/tunnel/worker_state.h"

#define BLOCKED_TIMEOUT MILLISECONDS(50)
#define ASLEEP          UINT64_MAX

static int
watch(struct worker *worker, enum worker_source source, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.u32 = source};

	if (epoll_ctl(worker->epoll_fd, EPOLL_CTL_MOD, fd, &event) == 0)
		return 0;
	return epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static void
unwatch(struct worker *worker, int fd)
{
	if (fd >= 0)
		epoll_ctl(worker->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

static void
event_write(int fd)
{
	const uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) < 0)
		return; /* the counter is full: it is readable */
}

static void
event_read(int fd)
{
	uint64_t count;

	if (read(fd, &count, sizeof(count)) < 0)
		return;
}

/* Once, until it listens again. */
void
worker_tell(struct worker *worker)
{
	if (!atomic_exchange(&worker->told, true))
		event_write(worker->event_fd);
}

void
worker_tun_lose(struct worker *worker)
{
	unwatch(worker, worker->tun.fd);
	atomic_store(&worker->tun_gone, true);
	worker_tell(worker);
}

/* Sending. */

static void
blocked_set(struct worker *worker, bool blocked)
{
	const enum udp_family family = blocked ? sender_waits_for(worker->sender) : UDP4;

	if (blocked == worker->blocked)
		return;
	worker->blocked = blocked;
	for (unsigned i = 0; i < UDP_FAMILIES; i++)
		if (worker->udp.fd[i] >= 0 && watch(worker, SOURCE_UDP4 + i, worker->udp.fd[i],
						    EPOLLIN | (blocked && family == i ? EPOLLOUT : 0U)) < 0)
			log_error("socket cannot be watched: %s", strerror(errno));
	if (worker->tun.fd >= 0 && watch(worker, SOURCE_TUN, worker->tun.fd, blocked ? 0 : EPOLLIN) < 0)
		log_error("interface %s cannot be watched: %s", worker->tun.name, strerror(errno));
}

bool
worker_send(struct worker *worker)
{
	const bool sent = sender_flush(worker->sender, worker->now.boot) == 0;

	blocked_set(worker, !sent);
	return sent;
}

static void
source_clear(void *ctx, struct wg_peer_id peer)
{
	struct worker *worker = ctx;

	path_source_clear(worker->path, peer);
}

static bool
may_batch(void *ctx, struct wg_peer_id peer, nsec_t now)
{
	struct worker *worker = ctx;

	return path_may_batch(worker->path, peer, now);
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
orders_obey(struct worker *worker)
{
	struct wg_order *order;

	while ((order = ring_front(&worker->orders))) {
		const int r = path_order(worker->path, order, worker->now);

		if (r < 0)
			log_error("peer %u: order %d cannot be obeyed: %s", order->peer.number,
				  (int)order->type, strerror(-r));
		bytes_wipe(order, sizeof(*order));
		ring_pop(&worker->orders);
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
		worker_tell(worker);
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
	nsec_t deadline = path_deadline(worker->path);

	if (worker->blocked)
		deadline = MIN(deadline, worker->now.boot + BLOCKED_TIMEOUT);
	if (deadline == NSEC_NEVER)
		return -1;
	if (deadline <= worker->now.boot)
		return 0;
	return (int)MIN((deadline - worker->now.boot + MILLISECONDS(1) - 1) / MILLISECONDS(1), 60000);
}

static void
serve(struct worker *worker, const struct epoll_event *event)
{
	switch ((enum worker_source)event->data.u32) {
	case SOURCE_WAKE:
		event_read(worker->wake_fd);
		break;
	case SOURCE_UDP4:
	case SOURCE_UDP6:
		if (event->events & EPOLLOUT)
			worker_send(worker);
		if (event->events & ~(uint32_t)EPOLLOUT)
			worker_udp_serve(worker, event->data.u32 == SOURCE_UDP4 ? UDP4 : UDP6);
		break;
	case SOURCE_TUN:
		worker_tun_serve(worker);
		break;
	case SOURCE_COUNT:
		break;
	}
}

static void
turn(struct worker *worker)
{
	struct epoll_event events[SOURCE_COUNT];
	int n;

	/* asleep it looks up nothing; awake again it has to be seen before it does */
	atomic_store(&worker->epoch_seen, ASLEEP);
	n = epoll_wait(worker->epoll_fd, events, SOURCE_COUNT, timeout_ms(worker));
	atomic_store(&worker->epoch_seen, atomic_load(&worker->epoch_said));
	atomic_thread_fence(memory_order_seq_cst);

	atomic_exchange(&worker->woken, false); /* an exchange: what was pushed before it is seen now */
	pause_if_asked(worker);
	worker->now = (struct wg_now){.boot = clock_boottime(), .wall = clock_wall()};
	orders_obey(worker);
	for (int i = 0; i < n; i++)
		serve(worker, &events[i]);
	path_flush(worker->path, atomic_load_explicit(&worker->mtu, memory_order_relaxed), worker->now,
		   send_copy, worker);
	if (!sender_empty(worker->sender))
		worker_send(worker);
	reports_give(worker);
}

static void *
run(void *arg)
{
	struct worker *worker = arg;

	pthread_setname_np(pthread_self(), "worker");
	while (!atomic_load(&worker->stop))
		turn(worker);
	return NULL;
}

/* Control's side. */

int
worker_new(const struct worker_config *config, struct worker **ret)
{
	_cleanup_(worker_freep) struct worker *worker = calloc(1, sizeof(*worker));
	struct path_config path;
	struct sender_config sender;
	int r;

	if (!worker)
		return -ENOMEM;
	worker->config = *config;
	worker->stats.ladder = config->ladder;
	worker->epoll_fd = worker->wake_fd = worker->event_fd = -1;
	worker->tun = (struct tun)TUN_NONE;
	worker->udp = (struct udp)UDP_NONE;
	worker->udp_frames[UDP4] = worker->udp_frames[UDP6] = RECEIVER_FRAMES;
	atomic_store(&worker->epoch_seen, ASLEEP);
	sem_init(&worker->paused, 0, 0);
	sem_init(&worker->resumed, 0, 0);
	path = (struct path_config){
		.worker = config->number, .index = config->index, .aead = &worker->config.aead};
	sender = (struct sender_config){.udp = &worker->udp,
					.stats = &worker->stats,
					.source_clear = source_clear,
					.may_batch = may_batch,
					.ctx = worker};
	if ((r = path_new(&path, &worker->path)) < 0 ||
	    (r = receiver_new(&worker->stats, NULL, &worker->receiver)) < 0 ||
	    (r = sender_new(&sender, &worker->sender)) < 0 ||
	    (r = merge_new(&worker->stats, &worker->merge)) < 0 ||
	    (r = ring_init(&worker->orders, WORKER_ORDERS, sizeof(struct wg_order))) < 0 ||
	    (r = ring_init(&worker->reports, WORKER_REPORTS, sizeof(struct wg_report))) < 0 ||
	    (r = ring_init(&worker->datagrams, WG_HANDSHAKE_QUEUE, sizeof(struct worker_datagram))) < 0)
		return r;
	worker->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	worker->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	worker->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (worker->epoll_fd < 0 || worker->wake_fd < 0 || worker->event_fd < 0)
		return -errno;
	r = watch(worker, SOURCE_WAKE, worker->wake_fd, EPOLLIN);
	if (r < 0)
		return r;
	*ret = take_ptr(worker);
	return 0;
}

/* Signals are the control thread's. */
int
worker_start(struct worker *worker)
{
	sigset_t all, old;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&worker->thread, NULL, run, worker);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	worker->started = r == 0;
	return -r;
}

void
worker_free(struct worker *worker)
{
	if (!worker)
		return;
	if (worker->started) {
		atomic_store(&worker->stop, true);
		event_write(worker->wake_fd);
		pthread_join(worker->thread, NULL);
	}
	path_free(worker->path);
	aead_done(&worker->config.aead);
	receiver_free(worker->receiver);
	sender_free(worker->sender);
	merge_free(worker->merge);
	ring_done(&worker->orders);
	ring_done(&worker->reports);
	ring_done(&worker->datagrams);
	closep(&worker->epoll_fd);
	closep(&worker->wake_fd);
	closep(&worker->event_fd);
	sem_destroy(&worker->paused);
	sem_destroy(&worker->resumed);
	bytes_wipe(worker->frame, sizeof(worker->frame));
	free(worker);
}

void
worker_freep(struct worker **worker)
{
	worker_free(*worker);
}

void
worker_pause(struct worker *worker)
{
	if (!worker->started)
		return;
	atomic_store(&worker->pause, true);
	event_write(worker->wake_fd);
	while (sem_wait(&worker->paused) < 0)
		continue;
}

void
worker_resume(struct worker *worker)
{
	if (!worker->started)
		return;
	atomic_store(&worker->pause, false);
	sem_post(&worker->resumed);
}

int
worker_tun_set(struct worker *worker, const struct tun *tun)
{
	unwatch(worker, worker->tun.fd);
	worker->tun = *tun;
	atomic_store(&worker->tun_gone, false);
	if (tun->fd < 0)
		return 0;
	tun_probe(tun, &worker->stats);
	merge_allow(worker->merge, tun->vnet);
	return watch(worker, SOURCE_TUN, tun->fd, worker->blocked ? 0 : EPOLLIN);
}

int
worker_udp_set(struct worker *worker, const struct udp *udp)
{
	int r = 0;

	sender_drop(worker->sender);
	blocked_set(worker, false);
	for (unsigned i = 0; i < UDP_FAMILIES; i++)
		unwatch(worker, worker->udp.fd[i]);
	worker->udp = *udp;
	for (unsigned i = 0; i < UDP_FAMILIES && r == 0; i++)
		if (udp->fd[i] >= 0)
			r = watch(worker, SOURCE_UDP4 + i, udp->fd[i], EPOLLIN);
	return r;
}

void
worker_mtu_set(struct worker *worker, unsigned mtu)
{
	atomic_store_explicit(&worker->mtu, mtu, memory_order_relaxed);
}

struct ring *
worker_orders(struct worker *worker)
{
	return &worker->orders;
}

struct ring *
worker_reports(struct worker *worker)
{
	return &worker->reports;
}

struct ring *
worker_datagrams(struct worker *worker)
{
	return &worker->datagrams;
}

void
worker_wake(struct worker *worker)
{
	if (!atomic_exchange(&worker->woken, true))
		event_write(worker->wake_fd);
}

int
worker_event_fd(const struct worker *worker)
{
	return worker->event_fd;
}

void
worker_listen(struct worker *worker)
{
	event_read(worker->event_fd);
	atomic_exchange(&worker->told, false); /* an exchange: what was pushed before it is seen now */
}

bool
worker_tun_gone(const struct worker *worker)
{
	return atomic_load(&worker->tun_gone);
}

void
worker_epoch_set(struct worker *worker, uint64_t epoch)
{
	atomic_store(&worker->epoch_said, epoch);
}

uint64_t
worker_epoch(const struct worker *worker)
{
	atomic_thread_fence(memory_order_seq_cst);
	return atomic_load(&worker->epoch_seen);
}

struct stats *
worker_stats(struct worker *worker)
{
	return &worker->stats;
}

const struct wg_counters *
worker_path_counters(const struct worker *worker)
{
	return path_counters(worker->path);
}
