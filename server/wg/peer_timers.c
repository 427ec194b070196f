#include "server/wg/device_state.h"

/*
 * The timers of a peer, as the kernel has them.  Which event arms or stops which is told here; the
 * events are sends and receptions of handshakes, and what the paths report.
 */

/* The keepalive that we ordered comes back as a report that something was sent. */
#define KEEPALIVE_ECHO (2 * WG_REPORT_INTERVAL)

static nsec_t
jitter(const struct wg_device *device)
{
	uint32_t random;

	device->random.fill(device->random.ctx, &random, sizeof(random));
	return (nsec_t)((uint64_t)random * WG_REKEY_JITTER >> 32);
}

/* Anything authentic, either way. */
static void
traversed(const struct turn *turn, struct wg_peer *peer, nsec_t at)
{
	if (peer->keepalive != 0)
		timers_arm(&turn->device->timers, &peer->timers, TIMER_PERSISTENT,
			   at + SECONDS(peer->keepalive));
}

void
peer_sent(const struct turn *turn, struct wg_peer *peer, nsec_t at)
{
	if (peer->keepalive_ordered == 0 || at - peer->keepalive_ordered >= KEEPALIVE_ECHO) {
		timers_stop(&turn->device->timers, &peer->timers, TIMER_KEEPALIVE);
		peer->another_keepalive = false;
		peer->keepalive_ordered = 0;
	}
	traversed(turn, peer, at);
}

void
peer_received(const struct turn *turn, struct wg_peer *peer, nsec_t at)
{
	timers_stop(&turn->device->timers, &peer->timers, TIMER_NEW_HANDSHAKE);
	traversed(turn, peer, at);
}

void
peer_data_sent(const struct turn *turn, struct wg_peer *peer, nsec_t at)
{
	if (!timers_armed(&peer->timers, TIMER_NEW_HANDSHAKE))
		timers_arm(&turn->device->timers, &peer->timers, TIMER_NEW_HANDSHAKE,
			   at + WG_NEW_HANDSHAKE_TIMEOUT + jitter(turn->device));
}

void
peer_data_received(const struct turn *turn, struct wg_peer *peer, nsec_t at, bool more)
{
	if (timers_armed(&peer->timers, TIMER_KEEPALIVE))
		more = true;
	else
		timers_arm(&turn->device->timers, &peer->timers, TIMER_KEEPALIVE, at + WG_KEEPALIVE_TIMEOUT);
	peer->another_keepalive |= more;
}

void
peer_initiated(const struct turn *turn, struct wg_peer *peer)
{
	timers_arm(&turn->device->timers, &peer->timers, TIMER_RETRANSMIT,
		   turn->now.boot + WG_REKEY_TIMEOUT + jitter(turn->device));
}

void
peer_session_derived(const struct turn *turn, struct wg_peer *peer)
{
	timers_arm(&turn->device->timers, &peer->timers, TIMER_ZERO_KEYS, turn->now.boot + WG_ZERO_KEYS_TIME);
}

static void
order(const struct turn *turn, const struct wg_peer *peer, enum wg_order_type type)
{
	device_order_simple(turn->device, peer, type, turn->out);
}

static void
give_up(const struct turn *turn, struct wg_peer *peer)
{
	struct timer_heap *heap = &turn->device->timers;

	timers_stop(heap, &peer->timers, TIMER_KEEPALIVE);
	order(turn, peer, WG_ORDER_PURGE);
	if (!timers_armed(&peer->timers, TIMER_ZERO_KEYS))
		timers_arm(heap, &peer->timers, TIMER_ZERO_KEYS, turn->now.boot + WG_ZERO_KEYS_TIME);
}

/* A dead source address may be why there is no answer. */
static void
expired_retransmit(const struct turn *turn, struct wg_peer *peer)
{
	if (peer->attempts > WG_MAX_TIMER_HANDSHAKES) {
		give_up(turn, peer);
		return;
	}
	peer->attempts++;
	peer_source_forget(turn->device, peer, turn->out);
	handshake_initiate(turn, peer, true);
}

static void
expired_keepalive(const struct turn *turn, struct wg_peer *peer)
{
	order(turn, peer, WG_ORDER_KEEPALIVE);
	peer->keepalive_ordered = 0;
	if (!peer->another_keepalive)
		return;
	peer->another_keepalive = false;
	peer->keepalive_ordered = turn->now.boot;
	timers_arm(&turn->device->timers, &peer->timers, TIMER_KEEPALIVE,
		   turn->now.boot + WG_KEEPALIVE_TIMEOUT);
}

static void
expired_new_handshake(const struct turn *turn, struct wg_peer *peer)
{
	peer_source_forget(turn->device, peer, turn->out);
	handshake_initiate(turn, peer, false);
}

static void
expired_zero_keys(const struct turn *turn, struct wg_peer *peer)
{
	peer_keys_clear(turn->device, peer, turn->out);
}

/* Armed again here, too: what cannot be sent now does not end the habit. */
static void
expired_persistent(const struct turn *turn, struct wg_peer *peer)
{
	traversed(turn, peer, turn->now.boot);
	order(turn, peer, WG_ORDER_KEEPALIVE);
}

static void (*const expired[TIMER_COUNT])(const struct turn *, struct wg_peer *) = {
	[TIMER_RETRANSMIT] = expired_retransmit,       [TIMER_KEEPALIVE] = expired_keepalive,
	[TIMER_NEW_HANDSHAKE] = expired_new_handshake, [TIMER_ZERO_KEYS] = expired_zero_keys,
	[TIMER_PERSISTENT] = expired_persistent,
};

void
peer_timers_tick(const struct turn *turn)
{
	struct timer_heap *heap = &turn->device->timers;
	struct timers *timers;

	for (unsigned served = 0; served < WG_TICK_PEERS && (timers = timer_heap_due(heap, turn->now.boot));
	     served++) {
		struct wg_peer *peer = container_of(timers, struct wg_peer, timers);

		for (enum timer i = 0; i < TIMER_COUNT; i++) {
			if (!timers_armed(timers, i) || timers->at[i] > turn->now.boot)
				continue;
			timers_stop(heap, timers, i);
			expired[i](turn, peer);
		}
	}
}
