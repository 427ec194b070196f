/*
 * From the TUN device to the sockets.
 */
#include <errno.h>
#include <string.h>

#include "server/tunnel/split.h"
#include "server/tunnel/worker_state.h"

#define TUN_BUDGET 32 /* frames a turn */

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

	if (split_len(split, first) > mtu) /* the MTU was lower a moment ago */
		mtu = 0;
	for (; n < SENDER_ROOMS && first + n < split->n; n++) {
		const uint32_t len = split_len(split, first + n);
		uint8_t *room = sender_room(worker->sender, path_message_len(len, mtu));

		if (!room)
			break;
		split_segment(split, first + n, room + WG_DATA_HEADER);
		out[n] = (struct path_out){.data = room, .len = len};
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
		if (n == 0 && !worker_send(worker))
			return;
	}
}

void
worker_tun_serve(struct worker *worker)
{
	for (unsigned i = 0; i < TUN_BUDGET && !worker->blocked; i++) {
		const ssize_t n = tun_read(&worker->tun, worker->frame, sizeof(worker->frame));

		if (n == 0)
			return;
		if (n < 0) {
			if (n == -EIO) /* it is down */
				return;
			worker_tun_lose(worker);
			return;
		}
		frame_out(worker, (size_t)n);
		if (sender_due(worker->sender))
			worker_send(worker);
	}
}
