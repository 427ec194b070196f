/*
 * From the sockets to the TUN device.
 */
#include <errno.h>
#include <string.h>

#include "server/tunnel/worker_state.h"

#define UDP_BUDGET 128 /* frames a turn and socket, if they are short ... */
#define UDP_SUPER  8   /* ... and how many superframes at a time */
#define UDP_BYTES  (512U * 1024)

static int
deliver(void *ctx, const struct iovec *iov, unsigned n)
{
	struct worker *worker = ctx;

	return worker->tun.fd < 0 ? -ENODEV : tun_write(&worker->tun, iov, n);
}

static void
merge_now(struct worker *worker)
{
	merge_flush(worker->merge, deliver, worker, worker->now.boot);
}

static void
open_now(struct worker *worker)
{
	path_open(worker->path, worker->in, worker->n_in, worker->now);
	for (unsigned i = 0; i < worker->n_in; i++) {
		const struct path_in *in = &worker->in[i];

		if (in->drop != WG_DROP_NONE || in->plain_len == 0)
			continue;
		if (in->quarantined) { /* there is no second device yet: then it goes nowhere */
			wg_count(&worker->stats.drops, WG_DROP_QUARANTINE, 1);
			continue;
		}
		if (!merge_add(worker->merge, in->plain, in->plain_len)) {
			merge_now(worker);
			if (!merge_add(worker->merge, in->plain, in->plain_len))
				continue;
		}
	}
	worker->n_in = 0;
}

/* The control thread has its own pace: what it has no room for is lost. */
static void
handshake_in(struct worker *worker, const uint8_t *data, uint32_t len, const struct wg_arrival *arrival)
{
	struct worker_datagram *datagram = ring_free(&worker->datagrams, 0);

	if (datagram) {
		datagram->arrival = *arrival;
		datagram->len = len;
		memcpy(datagram->data, data, len);
		ring_push(&worker->datagrams, 1);
	} else {
		wg_count(&worker->stats.drops, WG_DROP_HANDSHAKE_QUEUE, 1);
	}
	worker_tell(worker);
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

/* Returns the bytes. */
static uint32_t
frame_in(struct worker *worker, unsigned i)
{
	struct received *frame = &worker->frames[i];
	unsigned segments = 0;

	if (!receiver_get(worker->receiver, i, frame)) {
		wg_count(&worker->stats.drops, WG_DROP_LENGTH, 1);
		return 0;
	}
	do {
		const uint32_t at = segments * frame->segment;

		datagram_in(worker, frame->data + at, MIN(frame->segment, frame->len - at), &frame->arrival);
		segments++;
	} while (segments * frame->segment < frame->len);
	stats_call(&worker->stats, STATS_UDP_RECEIVE, 1, segments);
	stats_add(&worker->stats.datagrams, segments);
	return frame->len;
}

/* Superframes are taken a few at a time, single datagrams as many as there are. */
void
worker_udp_serve(struct worker *worker, enum udp_family family)
{
	unsigned frames = 0;
	uint32_t bytes = 0;

	while (frames < UDP_BUDGET && bytes < UDP_BYTES) {
		const unsigned want = worker->udp_frames[family];
		const int n = receiver_read(worker->receiver, &worker->udp, family, want, worker->now.boot);
		uint32_t got = 0;

		if (n <= 0)
			return; /* an error belongs to a datagram that was sent: nobody waits for it */
		for (int i = 0; i < n; i++)
			got += frame_in(worker, (unsigned)i);
		open_now(worker);
		merge_now(worker);
		worker->udp_frames[family] = got / (unsigned)n > 8192 ? UDP_SUPER : RECEIVER_FRAMES;
		frames += (unsigned)n;
		bytes += got;
		if ((unsigned)n < want)
			return;
	}
}
