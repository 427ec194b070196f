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
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "base/log.h"
#include "server/tunnel/merge.h"
#include "server/tunnel/receiver.h"
#include "server/tunnel/sender.h"
#include "server/tunnel/split.h"
#include "server/wg/constants.h"
#include "server/wg/path.h"

#define UDP_BUDGET      128 /* frames a turn and socket, if they are short ... */
#define UDP_SUPER       8   /* ... and how many superframes at a time */
#define UDP_BYTES       (512U * 1024)
#define TUN_BUDGET      32
#define IN_BATCH        256
#define BLOCKED_TIMEOUT MILLISECONDS(50)
#define ASLEEP          UINT64_MAX

enum source { SOURCE_WAKE, SOURCE_UDP4, SOURCE_UDP6, SOURCE_TUN, SOURCE_COUNT };

struct worker {
	struct worker_config config;
	struct stats stats;
	struct wg_path *path;
	struct receiver *receiver;
	struct sender *sender;
	struct merge *merge;
	struct tun tun;
	struct udp udp;
	struct wg_now now;
	int epoll_fd, wake_fd, event_fd;
	bool blocked;                      /* a socket is full */
	unsigned udp_frames[UDP_FAMILIES]; /* to ask for next time */

	struct received frames[RECEIVER_FRAMES];
	struct path_in in[IN_BATCH];
	unsigned n_in;

	/* the last answer of the allowed IPs */
	uint64_t looked_version;
	uint8_t looked_len, looked[16];
	struct wg_peer_id looked_peer;

	struct ring orders, reports, datagrams;
	_Atomic uint64_t epoch_said, epoch_seen;
	atomic_uint mtu;
	atomic_bool told, woken, stop, pause, tun_gone;
	bool started;
	pthread_t thread;
	sem_t paused, resumed;

	uint8_t frame[TUN_FRAME_MAX];
};

static int
watch(struct worker *worker, enum source source, int fd, uint32_t events)
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

/* Told once, until it listens again. */
static void
control_tell(struct worker *worker)
{
	if (!atomic_exchange(&worker->told, true))
		event_write(worker->event_fd);
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

/* False: the socket is full, and what is left waits for it. */
static bool
send_now(struct worker *worker)
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

static void
send_copy(void *ctx, struct wg_peer_id peer, const struct wg_route *route, struct path_out *out, unsigned n)
{
	struct worker *worker = ctx;

	for (unsigned i = 0; i < n; i++) {
		uint8_t *room = sender_room(worker->sender, out[i].len);

		if (!room && send_now(worker))
			room = sender_room(worker->sender, out[i].len);
		if (!room)
			return; /* lost, as on a full link */
		memcpy(room, out[i].data, out[i].len);
		sender_add(worker->sender, peer, route, out[i].tos, room, out[i].len, worker->now.boot);
	}
}

/* From the TUN device to the sockets. */

static struct wg_peer_id
lookup(struct worker *worker, const struct split *split)
{
	const uint64_t version = allowedips_version(worker->config.allowed);
	const uint8_t len = split->v6 ? 16 : 4, *to = split_destination(split);

	if (worker->looked_len != len || worker->looked_version != version ||
	    memcmp(worker->looked, to, len) != 0) {
		worker->looked_peer = split->v6 ? allowedips_lookup6(worker->config.allowed, to)
						: allowedips_lookup4(worker->config.allowed, to);
		worker->looked_version = version;
		worker->looked_len = len;
		memcpy(worker->looked, to, len);
	}
	return worker->looked_peer;
}

/* Cuts from @first on what there is room for, seals it, and hands it to the sender.  Returns how many
 * segments. */
static unsigned
seal_some(struct worker *worker, const struct split *split, unsigned first, struct wg_peer_id peer)
{
	struct path_out out[SENDER_ROOMS];
	const struct wg_route *route;
	unsigned n = 0, mtu = atomic_load_explicit(&worker->mtu, memory_order_relaxed);
	int r;

	for (; n < SENDER_ROOMS && first + n < split->n; n++) {
		const uint32_t len = split_len(split, first + n);
		uint8_t *room = sender_room(worker->sender, WG_DATA_HEADER + len + PATH_TAIL);

		if (!room)
			break;
		split_segment(split, first + n, room + WG_DATA_HEADER);
		out[n] = (struct path_out){.data = room, .len = len};
		if (len > mtu) /* the MTU was lower a moment ago */
			mtu = 0;
	}
	if (n == 0)
		return 0;
	r = path_seal(worker->path, peer, out, n, mtu, false, worker->now, &route);
	for (int i = 0; i < r; i++)
		sender_add(worker->sender, peer, route, out[i].tos, out[i].data, out[i].len,
			   worker->now.boot);
	return n;
}

/* What finds no room even after sending is lost: the socket is full. */
static void
frame_out(struct worker *worker, size_t len)
{
	struct wg_peer_id peer;
	struct split split;

	if (split_frame(&split, worker->frame, len, worker->tun.vnet) < 0) {
		wg_count(&worker->stats.drops, WG_DROP_INNER_VERSION, 1);
		return;
	}
	stats_call(&worker->stats, STATS_TUN_READ, 1, split.n);
	peer = lookup(worker, &split);
	if (peer.serial == 0) {
		wg_count(&worker->stats.drops, WG_DROP_NO_PEER, split.n);
		return;
	}
	for (unsigned done = 0, n; done < split.n; done += n) {
		n = seal_some(worker, &split, done, peer);
		if (n == 0 && !send_now(worker))
			return;
	}
}

static void
tun_serve(struct worker *worker)
{
	for (unsigned i = 0; i < TUN_BUDGET && !worker->blocked; i++) {
		const ssize_t n = tun_read(&worker->tun, worker->frame, sizeof(worker->frame));

		if (n == 0)
			return;
		if (n < 0) {
			if (n == -EIO) /* it is down */
				return;
			unwatch(worker, worker->tun.fd);
			atomic_store(&worker->tun_gone, true);
			control_tell(worker);
			return;
		}
		frame_out(worker, (size_t)n);
		if (sender_due(worker->sender))
			send_now(worker);
	}
}

/* From the sockets to the TUN device. */

static int
deliver(void *ctx, const struct iovec *iov, unsigned n, unsigned segments)
{
	struct worker *worker = ctx;
	int r;

	if (worker->tun.fd < 0)
		return -ENODEV;
	r = tun_write(&worker->tun, iov, n);
	if (r == 0)
		stats_call(&worker->stats, STATS_TUN_WRITE, 1, segments);
	return r;
}

/* The kernel may refuse superframes of one kind: from then on they are written in single packets. */
static void
merge_now(struct worker *worker)
{
	const bool tcp = merge_allows_tcp(worker->merge), udp = merge_allows_udp(worker->merge);

	merge_flush(worker->merge, deliver, worker);
	if (tcp && !merge_allows_tcp(worker->merge))
		offload_set(&worker->stats, OFFLOAD_TUN_TSO, OFFLOAD_DOWN);
	if (udp && !merge_allows_udp(worker->merge))
		offload_set(&worker->stats, OFFLOAD_TUN_USO, OFFLOAD_DOWN);
}

static void
open_now(struct worker *worker)
{
	path_open(worker->path, worker->in, worker->n_in, worker->now);
	for (unsigned i = 0; i < worker->n_in; i++) {
		const struct path_in *in = &worker->in[i];

		if (in->drop != WG_DROP_NONE || in->plain_len == 0)
			continue;
		if (in->quarantined) { /* there is no second device yet: then it goes nowhere */
			wg_count(&worker->stats.drops, WG_DROP_QUARANTINE, 1);
			continue;
		}
		if (!merge_add(worker->merge, in->plain, in->plain_len)) {
			merge_now(worker);
			if (!merge_add(worker->merge, in->plain, in->plain_len))
				continue;
		}
	}
	worker->n_in = 0;
}

/* The control thread has its own pace: what it has no room for is lost. */
static void
handshake_in(struct worker *worker, const uint8_t *data, uint32_t len, const struct wg_arrival *arrival)
{
	struct worker_datagram *datagram = ring_free(&worker->datagrams, 0);

	if (datagram) {
		datagram->arrival = *arrival;
		datagram->len = len;
		memcpy(datagram->data, data, len);
		ring_push(&worker->datagrams, 1);
	} else {
		wg_count(&worker->stats.drops, WG_DROP_RATE_LIMITED, 1);
	}
	control_tell(worker);
}

static void
datagram_in(struct worker *worker, uint8_t *data, uint32_t len, const struct wg_arrival *arrival)
{
	enum wg_drop why;

	switch (wg_classify(data, len, &why)) {
	case WG_KIND_DATA:
		if (worker->n_in == IN_BATCH)
			open_now(worker);
		worker->in[worker->n_in++] = (struct path_in){
			.data = data, .len = len, .arrival = arrival, .plain = data + WG_DATA_HEADER};
		break;
	case WG_KIND_HANDSHAKE:
		handshake_in(worker, data, len, arrival);
		break;
	case WG_KIND_JUNK:
		wg_count(&worker->stats.drops, why, 1);
		break;
	}
}

/* Returns the bytes. */
static uint32_t
frame_in(struct worker *worker, unsigned i)
{
	struct received *frame = &worker->frames[i];
	unsigned segments = 0;

	if (!receiver_get(worker->receiver, i, frame)) {
		wg_count(&worker->stats.drops, WG_DROP_LENGTH, 1);
		return 0;
	}
	do {
		const uint32_t at = segments * frame->segment;

		datagram_in(worker, frame->data + at, MIN(frame->segment, frame->len - at), &frame->arrival);
		segments++;
	} while (segments * frame->segment < frame->len);
	stats_call(&worker->stats, STATS_UDP_RECEIVE, 1, segments);
	stats_add(&worker->stats.datagrams, segments);
	return frame->len;
}

/* Superframes are taken a few at a time, single datagrams as many as there are. */
static void
udp_serve(struct worker *worker, enum udp_family family)
{
	unsigned frames = 0;
	uint32_t bytes = 0;

	while (frames < UDP_BUDGET && bytes < UDP_BYTES) {
		const unsigned want = worker->udp_frames[family];
		const int n = receiver_read(worker->receiver, worker->udp.fd[family], want);
		uint32_t got = 0;

		if (n <= 0)
			return; /* an error belongs to a datagram that was sent: nobody waits for it */
		for (int i = 0; i < n; i++)
			got += frame_in(worker, (unsigned)i);
		open_now(worker);
		merge_now(worker);
		worker->udp_frames[family] = got / (unsigned)n > 8192 ? UDP_SUPER : RECEIVER_FRAMES;
		frames += (unsigned)n;
		bytes += got;
		if ((unsigned)n < want)
			return;
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
		control_tell(worker);
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
	switch ((enum source)event->data.u32) {
	case SOURCE_WAKE:
		event_read(worker->wake_fd);
		break;
	case SOURCE_UDP4:
	case SOURCE_UDP6:
		if (event->events & EPOLLOUT)
			send_now(worker);
		if (event->events & ~(uint32_t)EPOLLOUT)
			udp_serve(worker, event->data.u32 == SOURCE_UDP4 ? UDP4 : UDP6);
		break;
	case SOURCE_TUN:
		tun_serve(worker);
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
		send_now(worker);
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
	worker->epoll_fd = worker->wake_fd = worker->event_fd = -1;
	worker->tun = (struct tun)TUN_NONE;
	worker->udp = (struct udp)UDP_NONE;
	worker->udp_frames[UDP4] = worker->udp_frames[UDP6] = RECEIVER_FRAMES;
	atomic_store(&worker->epoch_seen, ASLEEP);
	sem_init(&worker->paused, 0, 0);
	sem_init(&worker->resumed, 0, 0);
	path = (struct path_config){
		.worker = config->number, .index = config->index, .aead = &worker->config.aead};
	sender = (struct sender_config){
		.udp = &worker->udp, .stats = &worker->stats, .source_clear = source_clear, .ctx = worker};
	if ((r = path_new(&path, &worker->path)) < 0 ||
	    (r = receiver_new(&worker->stats, &worker->receiver)) < 0 ||
	    (r = sender_new(&sender, &worker->sender)) < 0 || (r = merge_new(&worker->merge)) < 0 ||
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
	merge_allow(worker->merge, offload_get(&worker->stats, OFFLOAD_TUN_TSO) == OFFLOAD_ON,
		    offload_get(&worker->stats, OFFLOAD_TUN_USO) == OFFLOAD_ON);
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
