#include "server/wg/device.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>

#include "base/bytes.h"
#include "server/wg/device_state.h"
#include "server/wg/owner.h"
#include "server/wg/route.h"

int
wg_device_new(const struct wg_device_config *config, struct wg_device **ret)
{
	_cleanup_(wg_device_freep) struct wg_device *device = NULL;
	const uint32_t peers_max = config->peers_max ? config->peers_max : WG_PEERS_MAX;
	int r;

	if (config->workers < 1 || config->workers > WG_WORKERS_MAX || peers_max > WG_PEERS_MAX)
		return -EINVAL;
	/* Chooses the fast implementations; the plain ones work if it cannot. */
	(void)!sodium_init();

	device = calloc(1, sizeof(*device));
	if (!device)
		return -ENOMEM;
	device->random = config->random;
	device->workers = config->workers;
	index_init(&device->index, config->workers, &device->random);
	roster_init(&device->peers, peers_max, &device->random);
	r = allowedips_pool_new(WG_ALLOWED_MAX, &device->pool);
	if (r < 0)
		return r;
	r = ratelimit_new(&device->random, &device->ratelimit);
	if (r < 0)
		return r;
	*ret = take_ptr(device);
	return 0;
}

void
wg_device_free(struct wg_device *device)
{
	if (!device)
		return;
	ratelimit_free(device->ratelimit);
	domains_done(device);
	allowedips_pool_free(device->pool);
	timer_heap_done(&device->timers);
	roster_done(&device->peers);
	bytes_wipe(device, sizeof(*device));
	free(device);
}

void
wg_device_freep(struct wg_device **device)
{
	wg_device_free(*device);
}

struct wg_index
wg_index(const struct wg_device *device)
{
	return device->index;
}

uint64_t
wg_epoch(struct wg_device *device)
{
	return allowedips_epoch(device->pool);
}

void
wg_reclaim(struct wg_device *device, uint64_t epoch)
{
	allowedips_reclaim(device->pool, epoch);
}

const struct wg_counters *
wg_device_counters(const struct wg_device *device)
{
	return &device->counters;
}

nsec_t
wg_deadline(const struct wg_device *device)
{
	return timer_heap_deadline(&device->timers);
}

void
device_order(struct wg_device *device, const struct wg_peer *peer, struct wg_order *order,
	     const struct wg_effects *out)
{
	order->peer = peer->id;
	out->order(out->ctx, wg_owner(peer->id.number, device->workers), order);
}

void
device_order_simple(struct wg_device *device, const struct wg_peer *peer, enum wg_order_type type,
		    const struct wg_effects *out)
{
	struct wg_order order = {.type = type};

	device_order(device, peer, &order, out);
}

enum wg_drop
device_refuses(const struct turn *turn, const struct wg_peer *peer)
{
	if (!peer->domain->up || !turn->device->identity.present)
		return WG_DROP_DOWN;
	if (peer->access == WG_CUT)
		return WG_DROP_CUT;
	return wg_ended(&peer->end, turn->now) ? WG_DROP_ENDED : WG_DROP_NONE;
}

void
peer_route_learn(const struct turn *turn, struct wg_peer *peer, const struct wg_route *route, nsec_t learned,
		 bool tell_path)
{
	const bool moved = !endpoint_equal(&peer->route.to, &route->to);

	if (learned < peer->learned)
		return;
	peer->route = *route;
	peer->learned = learned;
	if (tell_path) {
		struct wg_order order = {
			.type = WG_ORDER_ROUTE,
			.route = {.route = *route, .learned = learned},
		};

		device_order(turn->device, peer, &order, turn->out);
	}
	if (moved && turn->out->changed)
		turn->out->changed(turn->out->ctx, peer, WG_CHANGED_ENDPOINT);
}

void
peer_source_forget(struct wg_device *device, struct wg_peer *peer, const struct wg_effects *out)
{
	route_forget_source(&peer->route);
	device_order_simple(device, peer, WG_ORDER_SOURCE_CLEAR, out);
}

void
peer_keys_clear(struct wg_device *device, struct wg_peer *peer, const struct wg_effects *out)
{
	peer_handshake_forget(peer);
	peer->previous.used = peer->current.used = peer->next.used = false;
	device_order_simple(device, peer, WG_ORDER_KEYPAIRS_CLEAR, out);
}

/* A first packet came on what we answered: the path sends with it from now on. */
static void
session_confirmed(const struct turn *turn, struct wg_peer *peer, uint32_t index)
{
	peer->previous = peer->current;
	peer->current = (struct peer_index){.value = index, .used = true};
	if (peer->next.value == index)
		peer->next.used = false;
	handshake_complete(turn, peer);
}

/*
 * "Sent" and "received" stop timers that "unanswered" arms, and "unanswered" happened later, or the
 * path would not say so.
 */
static void
report_receive(const struct turn *turn, const struct wg_report *report)
{
	struct wg_peer *peer = wg_peer_by_id(turn->device, report->peer);
	const uint32_t flags = report->flags;

	if (!peer)
		return;
	peer->path_rx_bytes = report->rx_bytes;
	peer->path_tx_bytes = report->tx_bytes;
	if (flags & WG_REPORT_ROUTE)
		peer_route_learn(turn, peer, &report->route, report->learned, false);
	if (!peer->domain->up)
		return;
	if (flags & WG_REPORT_CONFIRMED)
		session_confirmed(turn, peer, report->confirmed);
	if (flags & WG_REPORT_SENT)
		peer_sent(turn, peer, report->sent);
	if (flags & WG_REPORT_RECEIVED)
		peer_received(turn, peer, report->received);
	if (flags & WG_REPORT_DATA_SENT)
		peer_data_sent(turn, peer, report->data_sent);
	if (flags & WG_REPORT_DATA_RECEIVED)
		peer_data_received(turn, peer, report->data_received, flags & WG_REPORT_MORE_RECEIVED);
	if (flags & WG_REPORT_HANDSHAKE_WANTED)
		handshake_initiate(turn, peer, false);
}

void
wg_step(struct wg_device *device, const struct wg_event *event, struct wg_now now,
	const struct wg_effects *out)
{
	const struct turn turn = {.device = device, .now = now, .out = out};

	device_wall_ahead(device, now);
	switch (event->type) {
	case WG_EVENT_TICK:
		peer_timers_tick(&turn);
		break;
	case WG_EVENT_DATAGRAM:
		handshake_receive(&turn, event->datagram.data, event->datagram.len, &event->datagram.arrival,
				  event->datagram.loaded);
		break;
	case WG_EVENT_REPORT:
		report_receive(&turn, &event->report);
		break;
	case WG_EVENT_UP:
		domain_up(&turn, event->domain);
		break;
	case WG_EVENT_DOWN:
		domain_down(&turn, event->domain);
		break;
	}
}
