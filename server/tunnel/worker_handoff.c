/*
 * From and to other workers.  What comes is handled as if it had been read here, but for what was found
 * out there already: whose it is.  Nothing is handed on twice.
 */
#include <string.h>

#include "server/tunnel/worker_state.h"

#define HANDOFF_BUDGET (512U * 1024) /* bytes a turn and kind, of all others together */

unsigned
worker_of_datagram(const struct worker *worker, const uint8_t *data, uint32_t len)
{
	unsigned owner;

	if (worker->config.count == 1 || len < WG_DATA_MIN || le32_load(data) != WG_MSG_DATA)
		return worker->config.number;
	owner = index_worker(&worker->config.index, le32_load(data + 4));
	return owner < worker->config.count ? owner : worker->config.number;
}

static void
hand(struct worker *worker, unsigned to, enum handoff_kind kind, const struct handoff_record *record,
     const void *data, unsigned segments)
{
	struct worker *other = worker->config.all[to];

	if (!handoff_push(other->handoffs[kind][worker->config.number], record, data))
		wg_count(&worker->stats.drops, WG_DROP_HANDOFF, segments);
	else
		stats_add(&worker->handoff_out, 1);
	worker->handed[to] = true;
}

void
worker_hand_datagrams(struct worker *worker, unsigned to, const uint8_t *data, uint32_t len, uint32_t segment,
		      const struct wg_arrival *arrival)
{
	const struct handoff_record record = {
		.len = len,
		.datagrams = {.segment = segment, .arrival = *arrival},
	};

	hand(worker, to, HANDOFF_DATAGRAMS, &record, data, (len + segment - 1) / segment);
}

void
worker_hand_frame(struct worker *worker, unsigned to, const struct worker_domain *domain,
		  enum domain_link link, const uint8_t *frame, size_t len, unsigned segments,
		  struct wg_peer_id peer)
{
	const struct handoff_record record = {
		.len = (uint32_t)len,
		.frame = {.peer = peer,
			  .domain = domain->domain->number,
			  .serial = domain->domain->serial,
			  .link = (uint8_t)link,
			  .vnet = domain->lanes[link].tun.vnet},
	};

	hand(worker, to, HANDOFF_FRAMES, &record, frame, segments);
}

void
worker_handed_wake(struct worker *worker)
{
	for (unsigned i = 0; i < worker->config.count; i++) {
		if (!worker->handed[i])
			continue;
		worker->handed[i] = false;
		bell_ring(&worker->config.all[i]->bell);
	}
}

static void
datagrams_take(struct worker *worker, struct handoff_record *record)
{
	const uint32_t segment = record->datagrams.segment;

	for (uint32_t at = 0; at < record->len; at += segment)
		worker_datagram(worker, record->data + at, MIN(segment, record->len - at),
				&record->datagrams.arrival);
}

static void
frame_take(struct worker *worker, const struct handoff_record *record)
{
	const struct worker_domain *domain = worker_domain(worker, record->frame.domain);
	struct split split;

	if (!domain || domain->domain->serial != record->frame.serial ||
	    split_frame(&split, record->data, record->len, record->frame.vnet) < 0)
		return; /* its domain went while it was on its way */
	worker_seal(worker, domain, record->frame.link, &split, record->frame.peer);
}

/* Returns the bytes; what is opened in place is written before its room is given back. */
static size_t
datagrams_ring(struct worker *worker, struct handoff *handoff, size_t budget)
{
	size_t bytes = 0;
	struct handoff_record *record;

	while (bytes < budget && (record = handoff_next(handoff))) {
		datagrams_take(worker, record);
		bytes += record->len;
		stats_add(&worker->handoff_in, 1);
	}
	worker_deliver(worker);
	handoff_release(handoff);
	return bytes;
}

/* As from a TUN device: not while a socket is full. */
static size_t
frames_ring(struct worker *worker, struct handoff *handoff, size_t budget)
{
	size_t bytes = 0;
	struct handoff_record *record;

	while (bytes < budget && !worker->blocked && (record = handoff_next(handoff))) {
		frame_take(worker, record);
		bytes += record->len;
		stats_add(&worker->handoff_in, 1);
	}
	handoff_release(handoff);
	return bytes;
}

/* True: some is left, for want of budget. */
static bool
kind_take(struct worker *worker, enum handoff_kind kind)
{
	const unsigned count = worker->config.count;
	size_t left = HANDOFF_BUDGET;
	bool more = false;

	for (unsigned i = 0; i < count; i++) {
		const unsigned from = (worker->handoff_first + i) % count;
		struct handoff *handoff = worker->handoffs[kind][from];

		if (!handoff || handoff_waiting(handoff) == 0)
			continue;
		left -= MIN(left, kind == HANDOFF_FRAMES ? frames_ring(worker, handoff, left)
							 : datagrams_ring(worker, handoff, left));
		more = more || handoff_waiting(handoff) > 0;
	}
	return more;
}

/* Whoever was served last within the budget is not the first next time. */
void
worker_handoffs_take(struct worker *worker)
{
	const bool datagrams = kind_take(worker, HANDOFF_DATAGRAMS),
		   frames = kind_take(worker, HANDOFF_FRAMES);

	worker->handoff_left = datagrams || (frames && !worker->blocked);
	worker->handoff_first = (worker->handoff_first + 1) % worker->config.count;
}
