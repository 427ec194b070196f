/*
 * A worker as the control thread sees it: made, started and ended, its rings, what is published to it.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>

#include "server/tunnel/worker_state.h"

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

/* What is in all rings of handshakes together is bounded as that of one worker is. */
static uint32_t
datagrams_len(unsigned workers)
{
	uint32_t len = WG_HANDSHAKE_QUEUE;

	while (len * workers > WG_HANDSHAKE_QUEUE)
		len /= 2;
	return len;
}

static int
rings_make(struct worker *worker)
{
	const struct worker_config *config = &worker->config;
	int r;

	if ((r = ring_init(&worker->orders, WORKER_ORDERS, sizeof(struct worker_order))) < 0 ||
	    (r = ring_init(&worker->reports, WORKER_REPORTS, sizeof(struct wg_report))) < 0 ||
	    (r = ring_init(&worker->datagrams, datagrams_len(config->count),
			   sizeof(struct worker_datagram))) < 0)
		return r;
	for (unsigned kind = 0; kind < HANDOFF_KINDS; kind++)
		for (unsigned i = 0; i < config->count; i++) {
			if (i == config->number)
				continue;
			r = handoff_new(config->count, &worker->handoffs[kind][i]);
			if (r < 0)
				return r;
		}
	return 0;
}

static int
parts_make(struct worker *worker)
{
	const struct path_config path = {
		.worker = worker->config.number, .index = worker->config.index, .aead = &worker->config.aead};
	const struct sender_config sender = {.udp = &worker->udp,
					     .stats = &worker->stats,
					     .source_clear = source_clear,
					     .may_batch = may_batch,
					     .ctx = worker};
	int r;

	if ((r = path_new(&path, &worker->path)) < 0 ||
	    (r = receiver_new(&worker->stats, NULL, &worker->receiver)) < 0 ||
	    (r = sender_new(&sender, &worker->sender)) < 0 ||
	    (r = merge_new(&worker->stats, &worker->merge)) < 0)
		return r;
	for (unsigned i = 0; i < WORKER_WAYS; i++) {
		r = backlog_new(&worker->backlogs[i]);
		if (r < 0)
			return r;
	}
	worker->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (worker->epoll_fd < 0)
		return -errno;
	r = bell_init(&worker->bell);
	return r < 0 ? r : worker_watch(worker, SOURCE_WAKE, 0, worker->bell.fd, EPOLLIN);
}

int
worker_new(const struct worker_config *config, struct worker **ret)
{
	struct worker *worker = aligned_alloc(64, sizeof(*worker));
	int r;

	if (!worker)
		return -ENOMEM;
	memset(worker, 0, sizeof(*worker));
	worker->config = *config;
	worker->stats.ladder = config->ladder;
	worker->epoll_fd = worker->bell.fd = -1;
	worker->udp = (struct udp)UDP_NONE;
	worker->udp_frames[UDP4] = worker->udp_frames[UDP6] = RECEIVER_FRAMES;
	atomic_store(&worker->epoch_seen, WORKER_ASLEEP);
	sem_init(&worker->paused, 0, 0);
	sem_init(&worker->resumed, 0, 0);
	r = rings_make(worker);
	if (r == 0)
		r = parts_make(worker);
	if (r < 0) {
		worker->config.aead = (struct aead){0}; /* not taken */
		worker_free(worker);
		return r;
	}
	*ret = worker;
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
	r = pthread_create(&worker->thread, NULL, worker_run, worker);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	worker->started = r == 0;
	return -r;
}

void
worker_stop(struct worker *worker)
{
	if (!worker || !worker->started)
		return;
	atomic_store(&worker->stop, true);
	bell_ring(&worker->bell);
	pthread_join(worker->thread, NULL);
	worker->started = false;
}

void
worker_free(struct worker *worker)
{
	if (!worker)
		return;
	for (uint32_t i = 0; i < WG_DOMAINS_MAX; i++)
		free(worker->domains[i]);
	path_free(worker->path);
	aead_done(&worker->config.aead);
	receiver_free(worker->receiver);
	sender_free(worker->sender);
	merge_free(worker->merge);
	ring_done(&worker->orders);
	ring_done(&worker->reports);
	ring_done(&worker->datagrams);
	for (unsigned kind = 0; kind < HANDOFF_KINDS; kind++)
		for (unsigned i = 0; i < worker->config.count; i++)
			handoff_free(worker->handoffs[kind][i]);
	for (unsigned i = 0; i < WORKER_WAYS; i++)
		backlog_free(worker->backlogs[i]);
	closep(&worker->epoll_fd);
	bell_done(&worker->bell);
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
	bell_ring(&worker->bell);
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
worker_udp_set(struct worker *worker, const struct udp *udp)
{
	int r = 0;

	sender_drop(worker->sender);
	worker_blocked_set(worker, false);
	for (unsigned i = 0; i < UDP_FAMILIES; i++)
		worker_unwatch(worker, worker->udp.fd[i]);
	worker->udp = *udp;
	for (unsigned i = 0; i < UDP_FAMILIES && r == 0; i++)
		r = worker_udp_watch(worker, i);
	return r;
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

uint64_t
worker_obeyed(const struct worker *worker)
{
	return atomic_load_explicit(&worker->obeyed, memory_order_acquire);
}

void
worker_wake(struct worker *worker)
{
	bell_ring(&worker->bell);
}

bool
worker_lost(struct worker *worker)
{
	return atomic_exchange(&worker->lost, false);
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

void
worker_handoffs(const struct worker *worker, uint64_t *in, uint64_t *out)
{
	*in = atomic_load_explicit(&worker->handoff_in, memory_order_relaxed);
	*out = atomic_load_explicit(&worker->handoff_out, memory_order_relaxed);
}
