/*
 * What workers are told.  A ring that is full makes later orders wait behind it, for none may be lost: a
 * peer that was cut off would go on.
 *
 * What workers hold (queues, domains) goes in two steps: an order to forget it, and when every worker has
 * obeyed as many orders as were given to it by then, it is closed and freed.
 */
#include <assert.h>

#include "base/bytes.h"
#include "base/log.h"
#include "server/tunnel/closer.h"
#include "server/tunnel/tunnel_state.h"

#define ORDER_RETRY MILLISECONDS(1)

struct waiting {
	struct waiting *next;
	struct worker_order order;
};

struct retired {
	struct retired *next;
	struct tunnel_domain *domain;
	unsigned n_fds;
	int *fds;
	uint64_t given[]; /* a worker */
};

void
tunnel_orders_init(struct tunnel *tunnel)
{
	for (unsigned i = 0; i < WG_WORKERS_MAX; i++)
		tunnel->orders[i].tail = &tunnel->orders[i].waiting;
	tunnel->retired_tail = &tunnel->retired;
}

static bool
push(struct tunnel *tunnel, unsigned worker, const struct worker_order *order)
{
	struct ring *ring = worker_orders(tunnel->workers[worker]);
	struct worker_order *slot = ring_free(ring, 0);

	if (!slot)
		return false;
	*slot = *order;
	ring_push(ring, 1);
	tunnel->orders[worker].fresh = true;
	return true;
}

void
tunnel_order(struct tunnel *tunnel, unsigned worker, const struct worker_order *order)
{
	struct tunnel_orders *orders = &tunnel->orders[worker];
	struct waiting *waiting;

	orders->given++;
	if (!orders->waiting && push(tunnel, worker, order))
		return;
	waiting = calloc(1, sizeof(*waiting));
	if (!waiting) {
		log_error("no memory for an order to a worker");
		abort();
	}
	waiting->order = *order;
	*orders->tail = waiting;
	orders->tail = &waiting->next;
}

static void
waiting_free(struct tunnel_orders *orders)
{
	struct waiting *waiting = orders->waiting;

	orders->waiting = waiting->next;
	if (!orders->waiting)
		orders->tail = &orders->waiting;
	bytes_wipe(waiting, sizeof(*waiting));
	free(waiting);
}

static void
waiting_push(struct tunnel *tunnel, unsigned worker)
{
	struct tunnel_orders *orders = &tunnel->orders[worker];

	while (orders->waiting && push(tunnel, worker, &orders->waiting->order))
		waiting_free(orders);
}

static bool
any_waits(const struct tunnel *tunnel)
{
	for (unsigned i = 0; i < tunnel->config.workers; i++)
		if (tunnel->orders[i].waiting)
			return true;
	return false;
}

nsec_t
tunnel_orders_deadline(const struct tunnel *tunnel, nsec_t now)
{
	return any_waits(tunnel) ? now + ORDER_RETRY : NSEC_NEVER;
}

/* Going. */

static void
retired_free(struct tunnel *tunnel)
{
	struct retired *retired = tunnel->retired;

	tunnel->retired = retired->next;
	if (!tunnel->retired)
		tunnel->retired_tail = &tunnel->retired;
	free(retired->domain);
	free(retired->fds);
	free(retired);
}

static bool
retired_seen(const struct tunnel *tunnel)
{
	for (unsigned i = 0; i < tunnel->config.workers; i++)
		if (worker_obeyed(tunnel->workers[i]) < tunnel->retired->given[i])
			return false;
	return true;
}

/* An old device that cannot be let go for want of memory is kept rather than closed under a worker's feet. */
void
tunnel_retire(struct tunnel *tunnel, struct link *link, struct tunnel_domain *domain)
{
	struct retired *retired = calloc(1, sizeof(*retired) + tunnel->config.workers * sizeof(uint64_t));

	if (!retired) {
		log_error("no memory to let go of a device");
		return;
	}
	retired->domain = domain;
	if (link && link->n > 0)
		retired->fds = calloc(link->n, sizeof(int));
	for (unsigned i = 0; retired->fds && i < link->n; i++)
		retired->fds[retired->n_fds++] = link->queues[i].fd;
	for (unsigned i = 0; i < tunnel->config.workers; i++)
		retired->given[i] = tunnel->orders[i].given;
	if (link)
		link->n = 0;
	*tunnel->retired_tail = retired;
	tunnel->retired_tail = &retired->next;
}

static void
retired_release(struct tunnel *tunnel)
{
	while (tunnel->retired && retired_seen(tunnel)) {
		if (tunnel->retired->n_fds > 0)
			closer_take(tunnel->retired->fds, tunnel->retired->n_fds);
		retired_free(tunnel);
	}
}

/*
 * An order that was not given yet may be to forget what is about to be freed, so that nothing is before it is:
 * not even by the word of a worker that is asleep, which is only that it looks at nothing until it has obeyed
 * what is in its ring.
 */
static void
epoch_settle(struct tunnel *tunnel)
{
	uint64_t epoch, seen;

	if (any_waits(tunnel))
		return;
	seen = epoch = wg_epoch(tunnel->device);
	for (unsigned i = 0; i < tunnel->config.workers; i++)
		worker_epoch_set(tunnel->workers[i], epoch);
	for (unsigned i = 0; i < tunnel->config.workers; i++)
		seen = MIN(seen, worker_epoch(tunnel->workers[i]));
	wg_reclaim(tunnel->device, seen);
}

void
tunnel_orders_settle(struct tunnel *tunnel)
{
	for (unsigned i = 0; i < tunnel->config.workers; i++)
		waiting_push(tunnel, i);
	epoch_settle(tunnel);
	for (unsigned i = 0; i < tunnel->config.workers; i++) {
		if (tunnel->orders[i].fresh)
			worker_wake(tunnel->workers[i]);
		tunnel->orders[i].fresh = false;
	}
	retired_release(tunnel);
}

/* The workers are gone. */
void
tunnel_orders_done(struct tunnel *tunnel)
{
	for (unsigned i = 0; i < WG_WORKERS_MAX; i++)
		while (tunnel->orders[i].waiting)
			waiting_free(&tunnel->orders[i]);
	while (tunnel->retired) {
		for (unsigned i = 0; i < tunnel->retired->n_fds; i++)
			close(tunnel->retired->fds[i]);
		retired_free(tunnel);
	}
}
