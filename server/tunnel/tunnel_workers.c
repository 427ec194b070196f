/*
 * The workers: made, paused, and what they say.  Reports come before handshakes; handshakes are taken from
 * all workers in turn, for HANDSHAKES_TIME at most, and then all else has its turn: requests, timers, and
 * with them the orders that revoke.
 */
#include <assert.h>
#include <errno.h>

#include "base/bytes.h"
#include "base/log.h"
#include "server/tunnel/backends.h"
#include "server/tunnel/tunnel_state.h"

#define HANDSHAKES_TIME MILLISECONDS(1)

static void
reports_take(struct tunnel *tunnel, struct worker *worker)
{
	struct ring *ring = worker_reports(worker);
	const struct wg_report *report;

	while ((report = ring_front(ring))) {
		const struct wg_event event = {.type = WG_EVENT_REPORT, .report = *report};

		ring_pop(ring);
		tunnel_step(tunnel, &event);
	}
}

static unsigned
backlog(const struct tunnel *tunnel)
{
	unsigned n = 0;

	for (unsigned i = 0; i < tunnel->config.workers; i++)
		n += ring_count(worker_datagrams(tunnel->workers[i]));
	return n;
}

/* False: it has none. */
static bool
datagram_take(struct tunnel *tunnel, struct worker *worker, bool loaded)
{
	struct ring *ring = worker_datagrams(worker);
	const struct worker_datagram *datagram = ring_front(ring);
	struct wg_event event = {.type = WG_EVENT_DATAGRAM};

	if (!datagram)
		return false;
	event.datagram.loaded = loaded;
	event.datagram.data = datagram->data;
	event.datagram.len = datagram->len;
	event.datagram.arrival = datagram->arrival;
	tunnel_step(tunnel, &event);
	ring_pop(ring);
	return true;
}

/* One of each worker in turn.  False: more of them wait. */
static bool
datagrams_take(struct tunnel *tunnel)
{
	const nsec_t until = clock_boottime() + HANDSHAKES_TIME;

	assert(tunnel->config.workers > 0);

	for (;;) {
		const nsec_t now = clock_boottime();
		const bool loaded = wg_load_judge(&tunnel->load, backlog(tunnel), now);
		bool any = false;

		if (now >= until)
			return false;
		for (unsigned i = 0; i < tunnel->config.workers; i++) {
			const unsigned from = (tunnel->first + i) % tunnel->config.workers;

			if (datagram_take(tunnel, tunnel->workers[from], loaded))
				any = true;
		}
		tunnel->first = (tunnel->first + 1) % tunnel->config.workers;
		if (!any)
			return true;
	}
}

static void datagrams_again(void *arg, nsec_t now);

static void
datagrams_turn(struct tunnel *tunnel)
{
	if (!datagrams_take(tunnel) && !tunnel->again)
		tunnel->again = loop_post(tunnel->loop, datagrams_again, tunnel) == 0;
	tunnel_settle(tunnel);
}

static void
datagrams_again(void *arg, nsec_t now)
{
	struct tunnel *tunnel = arg;

	tunnel->again = false;
	datagrams_turn(tunnel);
}

static void
bell_rung(void *arg, int fd, uint32_t events, nsec_t now)
{
	struct tunnel *tunnel = arg;
	bool lost = false;

	bell_silence(&tunnel->bell);
	bell_listen(&tunnel->bell);
	for (unsigned i = 0; i < tunnel->config.workers; i++) {
		reports_take(tunnel, tunnel->workers[i]);
		lost = worker_lost(tunnel->workers[i]) || lost;
	}
	if (lost)
		tunnel_links_lost(tunnel);
	if (tunnel->again)
		tunnel_settle(tunnel);
	else
		datagrams_turn(tunnel);
}

static int
worker_make(struct tunnel *tunnel, unsigned number)
{
	struct worker_config config = {.number = number,
				       .count = tunnel->config.workers,
				       .all = tunnel->workers,
				       .bell = &tunnel->bell,
				       .index = wg_index(tunnel->device),
				       .ladder = &tunnel->ladder};
	int r;

	r = aead_choose(&config.aead, tunnel->config.aead, &tunnel->ladder);
	if (r < 0)
		return r;
	tunnel->aead_name = config.aead.name;
	r = worker_new(&config, &tunnel->workers[number]);
	if (r < 0)
		aead_done(&config.aead);
	return r;
}

int
tunnel_workers_make(struct tunnel *tunnel)
{
	int r;

	for (unsigned i = 0; i < tunnel->config.workers; i++) {
		r = worker_make(tunnel, i);
		if (r < 0)
			return r;
	}
	return loop_io_add(tunnel->loop, tunnel->bell.fd, EPOLLIN, bell_rung, tunnel, &tunnel->bell_io);
}

void
tunnel_workers_pause(struct tunnel *tunnel)
{
	for (unsigned i = 0; i < tunnel->config.workers; i++)
		worker_pause(tunnel->workers[i]);
}

void
tunnel_workers_resume(struct tunnel *tunnel)
{
	for (unsigned i = 0; i < tunnel->config.workers; i++)
		worker_resume(tunnel->workers[i]);
}
