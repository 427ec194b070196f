#include <assert.h>
#include <errno.h>

#include "server/wg/device_state.h"

/*
 * Domains: tenants of a device, each with its allowed IPs and its peers.  Port, identity, cookies and
 * timers are the device's.  A number is used again; what a reader may still see of a table that is gone
 * waits with the allowed IPs that were taken out.
 */

static void
domain_free(struct wg_domain *domain)
{
	if (domain)
		allowedips_free(domain->allowed);
	free(domain);
}

static void
domain_freep(struct wg_domain **domain)
{
	domain_free(*domain);
}

/* The lowest number that is free, so that they stay small. */
static int
number_take(struct wg_device *device)
{
	for (unsigned i = device->domains_from; i < WG_DOMAINS_MAX; i++)
		if (!device->domains[i]) {
			device->domains_from = i + 1;
			return (int)i;
		}
	device->domains_from = WG_DOMAINS_MAX;
	return -ENOSPC;
}

int
wg_domain_add(struct wg_device *device, struct wg_domain **ret)
{
	_cleanup_(domain_freep) struct wg_domain *domain = calloc(1, sizeof(*domain));
	int r;

	if (!domain)
		return -ENOMEM;
	TAILQ_INIT(&domain->peers);
	r = allowedips_new(device->pool, &domain->allowed);
	if (r < 0)
		return r;
	r = number_take(device);
	if (r < 0)
		return r;
	domain->number = (unsigned)r;
	device->domains[r] = domain;
	*ret = take_ptr(domain);
	return 0;
}

void
wg_domain_remove(struct wg_device *device, struct wg_domain *domain, const struct wg_effects *out)
{
	struct wg_peer *peer;

	while ((peer = TAILQ_FIRST(&domain->peers)))
		wg_peer_remove(device, peer, out);
	if (domain->up)
		device->up--;
	device->domains[domain->number] = NULL;
	device->domains_from = MIN(device->domains_from, domain->number);
	allowedips_retire(take_ptr(domain->allowed));
	domain_free(domain);
}

void
domains_done(struct wg_device *device)
{
	for (unsigned i = 0; i < WG_DOMAINS_MAX; i++)
		domain_free(device->domains[i]);
}

unsigned
wg_domain_number(const struct wg_domain *domain)
{
	return domain->number;
}

const struct allowedips *
wg_domain_allowed(const struct wg_domain *domain)
{
	return domain->allowed;
}

uint32_t
wg_domain_peer_count(const struct wg_domain *domain)
{
	return domain->peer_count;
}

struct wg_peer *
wg_peer_next(const struct wg_domain *domain, const struct wg_peer *prev)
{
	return prev ? TAILQ_NEXT(prev, same_domain) : TAILQ_FIRST(&domain->peers);
}

void
domain_up(const struct turn *turn, struct wg_domain *domain)
{
	struct wg_device *device = turn->device;
	struct wg_peer *peer;

	if (domain->up)
		return;
	domain->up = true;
	device->up++;
	TAILQ_FOREACH(peer, &domain->peers, same_domain)
	{
		if (peer->keepalive == 0)
			continue;
		timers_arm(&device->timers, &peer->timers, TIMER_PERSISTENT,
			   turn->now.boot + SECONDS(peer->keepalive));
		device_order_simple(device, peer, WG_ORDER_KEEPALIVE, turn->out);
	}
}

void
domain_down(const struct turn *turn, struct wg_domain *domain)
{
	struct wg_device *device = turn->device;
	struct wg_peer *peer;

	if (domain->up)
		device->up--;
	domain->up = false;
	TAILQ_FOREACH(peer, &domain->peers, same_domain)
	{
		timers_stop_all(&device->timers, &peer->timers);
		peer->attempts = 0;
		peer->another_keepalive = false;
		peer->last_sent = 0;
		device_order_simple(device, peer, WG_ORDER_PURGE, turn->out);
		peer_keys_clear(device, peer, turn->out);
	}
}
