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

void
worker_hand(struct worker *worker, unsigned to, enum handoff_kind kind, const struct handoff_record *record,
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
worker_handed_wake(struct worker *worker)
{
	for (unsigned i = 0; i < worker->config.count; i++) {
		if (!worker->handed[i])
			continue;
		worker->handed[i] = false;
		bell_ring(&worker->config.all[i]->bell);
	}
}

/* Returns the bytes; what is opened in place is written before its room is given back. */
static size_t
datagrams_ring(struct worker *worker, struct handoff *handoff, size_t budget)
{
	size_t bytes = 0;
	struct handoff_record *record;

	while (bytes < budget && (record = handoff_next(handoff))) {
		worker_arrive(worker, record, &record->datagrams.arrival, record->data);
		bytes += record->len;
		stats_add(&worker->handoff_in, 1);
	}
	worker_deliver(worker);
	handoff_release(handoff);
	return bytes;
}

static void
frame_take(struct worker *worker, const struct handoff_record *record)
{
	struct split split;

	if (split_frame(&split, record->data, record->len, record->frame.vnet) == 0)
		worker_frame(worker, &split, record, record->data);
}

/* As from a TUN device: not while a socket is full. */
static size_t
frames_ring(struct worker *worker, struct handoff *handoff, size_t budget)
{
	size_t bytes = 0;
	struct handoff_record *record;

	while (bytes < budget && (!worker->blocked || worker->crowds[WAY_OUT].saturated) &&
	       (record = handoff_next(handoff))) {
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

	if (datagrams)
		worker_saturate(worker, WAY_IN);
	if (frames)
		worker_saturate(worker, WAY_OUT);
	worker->handoff_left = datagrams || (frames && !worker->blocked);
	worker->handoff_first = (worker->handoff_first + 1) % worker->config.count;
}
