/*
 * Saturation.  A direction that is not run dry within its budget, or whose socket is full, while more than
 * one peer is in what comes, is saturated: from then on frames are read into a backlog as fast as they come,
 * wait there by peer, and are served in turn, until nothing waits.  With one peer alone there is nobody to be
 * fair to: its frames wait in the kernel's queue and are handled as they are read.  But when that overflows,
 * others may be among what is lost there, so it is saturation too.
 */
#include <string.h>

#include "server/tunnel/worker_state.h"

#define FAIR_BUDGET (2 * FAIR_QUANTUM) /* cost that is served a turn */
#define CROWD_TIME  MILLISECONDS(100)  /* peers that came within that time are together */
#define REST_AFTER  SECONDS(1)

void
worker_crowd_note(struct worker *worker, enum worker_way way, uint64_t key)
{
	struct crowd *crowd = &worker->crowds[way];

	if (crowd->key == key)
		return;
	if (crowd->key != 0)
		crowd->mixed_at = worker->now.boot;
	crowd->key = key;
}

void
worker_saturate(struct worker *worker, enum worker_way way)
{
	struct crowd *crowd = &worker->crowds[way];

	if (crowd->mixed_at && worker->now.boot - crowd->mixed_at < CROWD_TIME)
		crowd->saturated = crowd->fresh = true;
}

void
worker_overflow_look(struct worker *worker, enum udp_family family)
{
	struct crowd *crowd = &worker->crowds[WAY_IN];
	const uint32_t lost = udp_overflowed(worker->udp.fd[family]);

	if (lost != worker->overflowed[family])
		crowd->saturated = crowd->fresh = true;
	worker->overflowed[family] = lost;
}

static uint32_t
datagrams_of(const struct handoff_record *record)
{
	const uint32_t segment = record->datagrams.segment;

	return (record->len + segment - 1) / segment;
}

static uint32_t
cost_of(enum worker_way way, const struct handoff_record *record)
{
	return fair_cost(record->len, way == WAY_OUT ? record->frame.segments : datagrams_of(record));
}

static void
frame_lost(void *ctx, const struct handoff_record *record)
{
	struct worker *worker = ctx;

	wg_count(&worker->stats.drops, WG_DROP_SHED, record->frame.segments);
}

static void
datagrams_lost(void *ctx, const struct handoff_record *record)
{
	struct worker *worker = ctx;

	wg_count(&worker->stats.drops, WG_DROP_SHED, datagrams_of(record));
}

static uint64_t
key_of(struct wg_peer_id peer)
{
	return (uint64_t)peer.serial << 32 | peer.number;
}

void
worker_backlog_frame(struct worker *worker, const struct handoff_record *record)
{
	backlog_push(worker->backlogs[WAY_OUT], key_of(record->frame.peer), record, cost_of(WAY_OUT, record),
		     frame_lost, worker);
}

/* Whoever makes up receiver indices has one queue with all others who do. */
void
worker_backlog_datagrams(struct worker *worker, const struct handoff_record *record)
{
	struct backlog *backlog = worker->backlogs[WAY_IN];
	struct wg_peer_id peer = {0};

	(void)path_peer_of(worker->path, le32_load(backlog_room(backlog) + 4), &peer);
	backlog_push(backlog, key_of(peer), record, cost_of(WAY_IN, record), datagrams_lost, worker);
}

static void
out_serve(struct worker *worker)
{
	struct backlog *backlog = worker->backlogs[WAY_OUT];
	const struct handoff_record *record;
	uint32_t cost = 0;
	uint8_t *data;

	while (cost < FAIR_BUDGET && !worker->blocked && (record = backlog_pop(backlog, &data))) {
		worker_frame_take(worker, record, data);
		cost += cost_of(WAY_OUT, record);
	}
	backlog_recycle(backlog);
}

/* What is opened in place is written before its buffers are used again. */
static void
in_serve(struct worker *worker)
{
	struct backlog *backlog = worker->backlogs[WAY_IN];
	const struct handoff_record *record;
	uint32_t cost = 0;
	uint8_t *data;

	while (cost < FAIR_BUDGET && (record = backlog_pop(backlog, &data))) {
		worker_arrive_now(worker, record, &record->datagrams.arrival, data);
		cost += cost_of(WAY_IN, record);
	}
	worker_deliver(worker);
	backlog_recycle(backlog);
}

static void
way_settle(struct worker *worker, enum worker_way way)
{
	struct crowd *crowd = &worker->crowds[way];

	if (crowd->saturated && !crowd->fresh && backlog_count(worker->backlogs[way]) == 0) {
		crowd->saturated = false;
		crowd->rest_at = worker->now.boot + REST_AFTER;
	}
	crowd->fresh = false; /* else it would end before anything was read */
	if (!crowd->saturated && crowd->rest_at && worker->now.boot >= crowd->rest_at) {
		crowd->rest_at = 0;
		backlog_rest(worker->backlogs[way]);
	}
}

void
worker_backlogs_serve(struct worker *worker)
{
	if (worker->crowds[WAY_IN].saturated)
		in_serve(worker);
	if (worker->crowds[WAY_OUT].saturated)
		out_serve(worker);
	for (unsigned way = 0; way < WORKER_WAYS; way++)
		way_settle(worker, way);
}

nsec_t
worker_backlogs_deadline(const struct worker *worker)
{
	nsec_t deadline = NSEC_NEVER;

	for (unsigned way = 0; way < WORKER_WAYS; way++) {
		const struct crowd *crowd = &worker->crowds[way];

		if (crowd->saturated && (way == WAY_IN || !worker->blocked))
			return 0;
		if (crowd->rest_at)
			deadline = MIN(deadline, crowd->rest_at);
	}
	return deadline;
}
