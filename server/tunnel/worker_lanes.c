/*
 * A worker's queues, by domain.  While a socket is full no TUN device is read: a queue is taken out of the
 * watch when it has something to say, so that the many which are silent cost nothing.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/log.h"
#include "server/tunnel/worker_state.h"

static struct lane *
lane_by_name(const struct worker *worker, uint32_t name)
{
	struct worker_domain *domain = worker_domain(worker, name / DOMAIN_LINKS);

	return domain ? &domain->lanes[name % DOMAIN_LINKS] : NULL;
}

static struct worker_domain *
domain_make(struct worker *worker, struct domain *domain)
{
	struct worker_domain **place = &worker->domains[domain->number];

	if (*place)
		return *place;
	*place = calloc(1, sizeof(**place));
	if (!*place)
		return NULL;
	(*place)->domain = domain;
	for (unsigned i = 0; i < DOMAIN_LINKS; i++)
		(*place)->lanes[i].tun = (struct tun)TUN_NONE;
	return *place;
}

static void
lane_clear(struct worker *worker, struct lane *lane)
{
	if (worker->merging == lane)
		worker->merging = NULL;
	if (lane->reads)
		worker_unwatch(worker, lane->tun.fd);
	*lane = (struct lane){.tun = TUN_NONE};
}

int
worker_lane_set(struct worker *worker, const struct worker_order *order)
{
	struct worker_domain *domain = domain_make(worker, order->lane.domain);
	struct lane *lane;

	if (!domain)
		return -ENOMEM;
	lane = &domain->lanes[order->lane.link];
	lane_clear(worker, lane);
	lane->tun = order->lane.tun;
	if (lane->tun.fd < 0)
		return 0;
	tun_probe(&lane->tun, &worker->stats);
	lane->reads = order->lane.reads;
	if (!lane->reads)
		return 0;
	return worker_watch(worker, SOURCE_TUN, lane_name(order->lane.domain->number, order->lane.link),
			    lane->tun.fd, EPOLLIN);
}

void
worker_domain_drop(struct worker *worker, uint32_t number)
{
	struct worker_domain *domain = worker_domain(worker, number);

	if (!domain)
		return;
	for (unsigned i = 0; i < DOMAIN_LINKS; i++)
		lane_clear(worker, &domain->lanes[i]);
	worker->domains[number] = NULL;
	free(domain);
}

void
worker_lane_lose(struct worker *worker, struct worker_domain *domain, enum domain_link link)
{
	worker_unwatch(worker, domain->lanes[link].tun.fd);
	domain->lanes[link].reads = false;
	atomic_store(&domain->domain->links[link].gone, true);
	atomic_store(&worker->lost, true);
	bell_ring(worker->config.bell);
}

/* One that was set anew may be in the list twice, which does no harm. */
void
worker_lane_mute(struct worker *worker, uint32_t name)
{
	struct lane *lane = lane_by_name(worker, name);

	if (!lane || !lane->reads || lane->muted || worker->n_muted == ARRAY_LEN(worker->muted))
		return;
	if (worker_watch(worker, SOURCE_TUN, name, lane->tun.fd, 0) < 0) {
		log_error("interface %s cannot be left for a while: %s", lane->tun.name, strerror(errno));
		return;
	}
	lane->muted = true;
	worker->muted[worker->n_muted++] = name;
}

/* Some may be gone by now, or others. */
void
worker_lanes_unmute(struct worker *worker)
{
	for (unsigned i = 0; i < worker->n_muted; i++) {
		struct lane *lane = lane_by_name(worker, worker->muted[i]);

		if (!lane || !lane->muted)
			continue;
		lane->muted = false;
		if (worker_watch(worker, SOURCE_TUN, worker->muted[i], lane->tun.fd, EPOLLIN) < 0)
			log_error("interface %s cannot be watched: %s", lane->tun.name, strerror(errno));
	}
	worker->n_muted = 0;
}
