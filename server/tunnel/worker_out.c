/*
 * From the TUN devices to the sockets.
 */
#include <errno.h>
#include <string.h>

#include "server/tunnel/mss.h"
#include "server/tunnel/worker_state.h"
#include "server/wg/owner.h"

#define TUN_BUDGET           32  /* frames a turn and queue ... */
#define TUN_BUDGET_SATURATED 256 /* ... and if they are only to be queued */

static struct wg_peer_id
lookup(struct worker_domain *domain, const struct split *split)
{
	const struct allowedips *allowed = domain->domain->allowed;
	const uint64_t version = allowedips_version(allowed);
	const uint8_t len = split->v6 ? 16 : 4, *to = split_destination(split);

	if (domain->looked_len != len || domain->looked_version != version ||
	    memcmp(domain->looked, to, len) != 0) {
		domain->looked_peer =
			split->v6 ? allowedips_lookup6(allowed, to) : allowedips_lookup4(allowed, to);
		domain->looked_version = version;
		domain->looked_len = len;
		memcpy(domain->looked, to, len);
	}
	return domain->looked_peer;
}

/* Where a frame goes, and on what terms. */
struct way {
	struct wg_peer_id peer;
	uint32_t mtu, peer_mtu; /* of the device, and of the peer; 0: none */
	bool quarantine;
};

/* Segment @i of @split becomes a packet at @room.  A SYN is never part of a superframe. */
static void
packet_make(const struct split *split, unsigned i, const struct way *way, uint8_t *packet)
{
	split_segment(split, i, packet);
	if (split->n == 1)
		mss_clamp(packet, split->len, way->peer_mtu);
}

/*
 * Cuts from @first on what there is room for, seals it, and hands it to the sender.  Returns how many
 * segments, or a drop, negated, of all of them.
 */
static int
seal_some(struct worker *worker, const struct split *split, unsigned first, const struct way *way)
{
	/* the MTU may have been lower a moment ago */
	const uint32_t mtu = split_len(split, first) > way->mtu ? 0 : way->mtu;
	struct path_out out[SENDER_ROOMS];
	const struct wg_route *route;
	unsigned n = 0;
	int r;

	for (; n < SENDER_ROOMS && first + n < split->n; n++) {
		const uint32_t len = split_len(split, first + n);
		uint8_t *room = sender_room(worker->sender, path_message_len(len, mtu));

		if (!room)
			break;
		packet_make(split, first + n, way, room + WG_DATA_HEADER);
		out[n] = (struct path_out){.data = room, .len = len};
	}
	if (n == 0)
		return 0;
	r = path_seal(worker->path, way->peer, out, n, mtu, way->quarantine, worker->now, &route);
	for (int i = 0; i < r; i++)
		sender_add(worker->sender, way->peer, route, out[i].tos, out[i].data, out[i].len,
			   worker->now.boot);
	return r < 0 ? r : (int)n;
}

/* What finds no room even after sending is lost: the socket is full. */
void
worker_seal(struct worker *worker, const struct worker_domain *domain, enum domain_link link,
	    const struct split *split, struct wg_peer_id peer)
{
	const struct lane *lane = &domain->lanes[link];
	const struct way way = {
		.peer = peer,
		.mtu = worker_mtu(domain, link),
		.peer_mtu = path_mtu(worker->path, peer),
		.quarantine = link == LINK_QUARANTINE,
	};

	if (worker_answer_long(worker, lane, split, way.peer_mtu))
		return;
	for (unsigned done = 0; done < split->n;) {
		const int r = seal_some(worker, split, done, &way);

		if (r < 0) {
			worker_answer_drop(worker, lane, split, (enum wg_drop) - r);
			return;
		}
		if (r == 0 && !worker_send(worker))
			return;
		done += (unsigned)r;
	}
	if (sender_due(worker->sender))
		worker_send(worker);
}

/* Its domain may have gone while it was on its way, or waited. */
void
worker_frame_take(struct worker *worker, const struct handoff_record *record, const uint8_t *frame)
{
	const struct worker_domain *domain = worker_domain(worker, record->frame.domain);
	struct split split;

	if (domain && domain->domain->serial == record->frame.serial &&
	    split_frame(&split, frame, record->len, record->frame.vnet) == 0)
		worker_seal(worker, domain, record->frame.link, &split, record->frame.peer);
}

void
worker_frame(struct worker *worker, const struct split *split, const struct handoff_record *record,
	     const uint8_t *frame)
{
	const struct worker_domain *domain = worker_domain(worker, record->frame.domain);
	uint8_t *room;

	worker_crowd_note(worker, WAY_OUT, record->frame.peer.serial);
	if (worker->crowds[WAY_OUT].saturated) {
		room = backlog_room(worker->backlogs[WAY_OUT]);
		if (frame != room)
			memcpy(room, frame, record->len);
		worker_backlog_frame(worker, record);
	} else if (domain && domain->domain->serial == record->frame.serial) {
		worker_seal(worker, domain, record->frame.link, split, record->frame.peer);
	}
}

static void
frame_out(struct worker *worker, struct worker_domain *domain, enum domain_link link, const uint8_t *frame,
	  size_t len)
{
	const struct lane *lane = &domain->lanes[link];
	struct handoff_record record = {
		.len = (uint32_t)len,
		.frame = {.domain = domain->domain->number,
			  .serial = domain->domain->serial,
			  .link = (uint8_t)link,
			  .vnet = lane->tun.vnet},
	};
	struct split split;
	unsigned owner;

	if (split_frame(&split, frame, len, lane->tun.vnet) < 0) {
		wg_count(&worker->stats.drops, WG_DROP_INNER_VERSION, 1);
		return;
	}
	stats_call(&worker->stats, STATS_TUN_READ, 1, split.n);
	record.frame.segments = (uint16_t)split.n;
	record.frame.peer = lookup(domain, &split);
	if (record.frame.peer.serial == 0) {
		wg_count(&worker->stats.drops, WG_DROP_NO_PEER, split.n);
		worker_answer_drop(worker, lane, &split, WG_DROP_NO_PEER);
		return;
	}
	owner = wg_owner(record.frame.peer.number, worker->config.count);
	if (owner == worker->config.number)
		worker_frame(worker, &split, &record, frame);
	else
		worker_hand(worker, owner, HANDOFF_FRAMES, &record, frame, split.n);
}

/* True: there is more. */
static bool
lane_read(struct worker *worker, struct worker_domain *domain, enum domain_link link)
{
	const bool saturated = worker->crowds[WAY_OUT].saturated;
	uint8_t *frame = saturated ? backlog_room(worker->backlogs[WAY_OUT]) : worker->frame;
	const ssize_t n = tun_read(&domain->lanes[link].tun, frame, TUN_FRAME_MAX);

	if (n > 0)
		frame_out(worker, domain, link, frame, (size_t)n);
	else if (n < 0 && n != -EIO) /* else there is nothing, or it is down */
		worker_lane_lose(worker, domain, link);
	return n > 0;
}

void
worker_lane_serve(struct worker *worker, uint32_t name)
{
	const struct crowd *crowd = &worker->crowds[WAY_OUT];
	const enum domain_link link = name % DOMAIN_LINKS;
	struct worker_domain *domain = worker_domain(worker, name / DOMAIN_LINKS);

	if (!domain || !domain->lanes[link].reads) /* it went a moment ago */
		return;
	for (unsigned i = 0; i < (crowd->saturated ? TUN_BUDGET_SATURATED : TUN_BUDGET); i++) {
		if (worker->blocked && !crowd->saturated)
			break;
		if (!lane_read(worker, domain, link))
			return;
	}
	worker_saturate(worker, WAY_OUT);
	if (worker->blocked && !crowd->saturated)
		worker_lane_mute(worker, name);
}
