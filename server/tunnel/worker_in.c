/*
 * From the sockets to the TUN devices.
 */
#include <errno.h>
#include <string.h>

#include "server/tunnel/mss.h"
#include "server/tunnel/worker_state.h"

#define UDP_BUDGET    128 /* frames a turn and socket, if they are short ... */
#define UDP_SUPER     8   /* ... and how many superframes at a time */
#define UDP_BYTES     (512U * 1024)
#define UDP_SATURATED 4 /* times that, if they are only to be queued */

static int
deliver(void *ctx, const struct iovec *iov, unsigned n)
{
	const struct worker *worker = ctx;

	return tun_write(&worker->merging->tun, iov, n);
}

static void
merge_now(struct worker *worker)
{
	if (worker->merging)
		merge_flush(worker->merge, deliver, worker, worker->now.boot);
}

/* Packets of one device are merged at a time. */
static void
merge_for(struct worker *worker, struct lane *lane)
{
	if (worker->merging == lane)
		return;
	merge_now(worker);
	worker->merging = lane;
	merge_allow(worker->merge, lane->tun.vnet);
}

/* Where the packets of the peer of @in go; NULL: there is no such device. */
static struct lane *
lane_of(const struct worker *worker, const struct path_in *in)
{
	struct worker_domain *domain = worker_domain(worker, in->domain);
	struct lane *lane = domain ? &domain->lanes[in->quarantined ? LINK_QUARANTINE : LINK_OPEN] : NULL;

	return lane && lane->tun.fd >= 0 ? lane : NULL;
}

static void
packet_in(struct worker *worker, const struct path_in *in)
{
	struct lane *lane = lane_of(worker, in);

	if (!lane) {
		wg_count(&worker->stats.drops, in->quarantined ? WG_DROP_QUARANTINE : WG_DROP_TUN_REFUSED, 1);
		return;
	}
	if (mss_maybe(in->plain, in->plain_len))
		mss_clamp(in->plain, in->plain_len, path_mtu(worker->path, in->peer));
	merge_for(worker, lane);
	if (merge_add(worker->merge, in->plain, in->plain_len))
		return;
	merge_now(worker);
	if (!merge_add(worker->merge, in->plain, in->plain_len))
		wg_count(&worker->stats.drops, WG_DROP_TUN_REFUSED, 1);
}

static void
open_now(struct worker *worker)
{
	path_open(worker->path, worker->in, worker->n_in, worker->now);
	for (unsigned i = 0; i < worker->n_in; i++)
		if (worker->in[i].drop == WG_DROP_NONE && worker->in[i].plain_len > 0)
			packet_in(worker, &worker->in[i]);
	worker->n_in = 0;
}

void
worker_deliver(struct worker *worker)
{
	open_now(worker);
	merge_now(worker);
}

/* The control thread has its own pace: what it has no room for is lost. */
static void
handshake_in(struct worker *worker, const uint8_t *data, uint32_t len, const struct wg_arrival *arrival)
{
	struct worker_datagram *datagram;

	if (!path_handshake_worth(worker->path, data, len))
		return;
	datagram = ring_free(&worker->datagrams, 0);
	if (datagram) {
		datagram->arrival = *arrival;
		datagram->len = len;
		memcpy(datagram->data, data, len);
		ring_push(&worker->datagrams, 1);
	} else {
		wg_count(&worker->stats.drops, WG_DROP_HANDSHAKE_QUEUE, 1);
	}
	bell_ring(worker->config.bell);
}

static void
datagram_in(struct worker *worker, uint8_t *data, uint32_t len, const struct wg_arrival *arrival)
{
	enum wg_drop why;

	switch (wg_classify(data, len, &why)) {
	case WG_KIND_DATA:
		if (worker->n_in == WORKER_IN_BATCH)
			open_now(worker);
		worker->in[worker->n_in++] = (struct path_in){
			.data = data, .len = len, .arrival = arrival, .plain = data + WG_DATA_HEADER};
		break;
	case WG_KIND_HANDSHAKE:
		handshake_in(worker, data, len, arrival);
		break;
	case WG_KIND_JUNK:
		wg_count(&worker->stats.drops, why, 1);
		break;
	}
}

void
worker_arrive_now(struct worker *worker, const struct handoff_record *record,
		  const struct wg_arrival *arrival, uint8_t *data)
{
	const uint32_t segment = record->datagrams.segment;

	for (uint32_t at = 0; at < record->len; at += segment)
		datagram_in(worker, data + at, MIN(segment, record->len - at), arrival);
}

/* Handshakes do not wait. */
void
worker_arrive(struct worker *worker, const struct handoff_record *record, const struct wg_arrival *arrival,
	      uint8_t *data)
{
	const bool is_data = record->len >= WG_DATA_MIN && le32_load(data) == WG_MSG_DATA;

	if (is_data)
		worker_crowd_note(worker, WAY_IN, le32_load(data + 4));
	if (is_data && worker->crowds[WAY_IN].saturated) {
		memcpy(backlog_room(worker->backlogs[WAY_IN]), data, record->len);
		worker_backlog_datagrams(worker, record);
	} else {
		worker_arrive_now(worker, record, arrival, data);
	}
}

/* Datagrams of one owner. */
static void
run_in(struct worker *worker, unsigned owner, const struct received *frame, uint32_t from, uint32_t to)
{
	const struct handoff_record record = {
		.len = to - from,
		.datagrams = {.segment = frame->segment, .arrival = frame->arrival},
	};
	uint8_t *data = frame->data + from;

	if (owner == worker->config.number)
		worker_arrive(worker, &record, &frame->arrival, data);
	else
		worker_hand(worker, owner, HANDOFF_DATAGRAMS, &record, data,
			    (record.len + frame->segment - 1) / frame->segment);
}

/*
 * A superframe may hold datagrams of several sessions, old and new or of several peers behind one address:
 * they are told apart one by one, and what is of one owner in a row stays in one piece.  Returns the
 * segments.
 */
static unsigned
segments_in(struct worker *worker, const struct received *frame)
{
	unsigned owner = worker->config.number, n = 0;
	uint32_t from = 0;

	for (uint32_t at = 0; at < frame->len; at += frame->segment, n++) {
		const uint32_t len = MIN(frame->segment, frame->len - at);
		const unsigned of = worker_of_datagram(worker, frame->data + at, len);

		if (of != owner && at > from)
			run_in(worker, owner, frame, from, at);
		if (of != owner)
			from = at;
		owner = of;
	}
	if (frame->len > from)
		run_in(worker, owner, frame, from, frame->len);
	else
		wg_count(&worker->stats.drops, WG_DROP_TYPE, 1); /* it is empty */
	return MAX(n, 1U);
}

/* Returns the bytes. */
static uint32_t
frame_in(struct worker *worker, unsigned i)
{
	struct received *frame = &worker->frames[i];
	unsigned segments;

	if (!receiver_get(worker->receiver, i, frame)) {
		wg_count(&worker->stats.drops, WG_DROP_LENGTH, 1);
		return 0;
	}
	segments = segments_in(worker, frame);
	stats_call(&worker->stats, STATS_UDP_RECEIVE, 1, segments);
	stats_add(&worker->stats.datagrams, segments);
	return frame->len;
}

/* Superframes are taken a few at a time, single datagrams as many as there are. */
void
worker_udp_serve(struct worker *worker, enum udp_family family)
{
	const unsigned scale = worker->crowds[WAY_IN].saturated ? UDP_SATURATED : 1;
	unsigned frames = 0;
	uint32_t bytes = 0;

	while (frames < UDP_BUDGET * scale && bytes < UDP_BYTES * scale) {
		const unsigned want = worker->udp_frames[family];
		const int n = receiver_read(worker->receiver, &worker->udp, family, want, worker->now.boot);
		uint32_t got = 0;

		if (n <= 0)
			return; /* an error belongs to a datagram that was sent: nobody waits for it */
		for (int i = 0; i < n; i++)
			got += frame_in(worker, (unsigned)i);
		worker_deliver(worker);
		worker->udp_frames[family] = got / (unsigned)n > 8192 ? UDP_SUPER : RECEIVER_FRAMES;
		frames += (unsigned)n;
		bytes += got;
		if ((unsigned)n < want)
			return;
	}
	worker_saturate(worker, WAY_IN);
	worker_overflow_look(worker, family);
}
