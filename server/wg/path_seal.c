#include <string.h>

#include "base/bytes.h"
#include "server/wg/inner.h"
#include "server/wg/path_state.h"

/*
 * A batch is sealed with the current session, or waits: for a handshake, or because what came before
 * still waits.  A counter is taken before anything is sealed with it and never again.
 */

/* As the kernel: to 16, not beyond the MTU; what is longer than that counts by its last part. */
static uint32_t
padding(uint32_t len, uint32_t mtu)
{
	uint32_t padded;

	if (mtu != 0 && len > mtu)
		len %= mtu;
	padded = (len + WG_PADDING - 1) & ~(uint32_t)(WG_PADDING - 1);
	if (mtu != 0 && padded > mtu)
		padded = mtu;
	return padded - len;
}

/*
 * The peer's own MTU bounds what fits it.  What does not (it may be cut on the way) is padded as without it,
 * so that no message is longer than path_message_len() says.
 */
static uint32_t
padding_of(const struct path_peer *peer, uint32_t len, uint32_t mtu)
{
	return padding(len,
		       peer->mtu != 0 && len <= peer->mtu && (mtu == 0 || peer->mtu < mtu) ? peer->mtu : mtu);
}

uint32_t
path_message_len(uint32_t len, uint32_t mtu)
{
	return WG_DATA_OVERHEAD + len + padding(len, mtu);
}

/* A chunk of at most PATH_RUN packets.  Returns the bytes of the messages. */
static uint64_t
seal_chunk(struct wg_path *path, const struct path_peer *peer, struct session *session, struct path_out *out,
	   unsigned n, uint32_t mtu)
{
	uint64_t bytes = 0, counter = session->counter;

	session->counter += n;
	for (unsigned i = 0; i < n; i++, counter++) {
		uint8_t *message = out[i].data, *packet = message + WG_DATA_HEADER;
		const uint32_t len = out[i].len, pad = padding_of(peer, len, mtu);

		out[i].tos = inner_encapsulate(packet, len);
		out[i].len = len + pad + WG_DATA_OVERHEAD;
		bytes += out[i].len;
		memset(packet + len, 0, pad);
		le32_store(message, WG_MSG_DATA);
		le32_store(message + 4, session->remote);
		le64_store(message + 8, counter);
		path->jobs[i] = (struct aead_job){
			.key = session->send_key,
			.session = session->send_context,
			.counter = counter,
			.src = packet,
			.dst = packet,
			.len = len + pad,
		};
	}
	path->sessions.aead->seal(path->sessions.aead->ctx, path->jobs, n);
	return bytes;
}

/* A new session is wanted on a send: both ends when this one is used up, the initiator when it ages. */
static bool
rekey_due(const struct session *session, struct wg_now now)
{
	return session->counter > WG_REKEY_AFTER_MESSAGES ||
	       (session->initiator && now.boot - session->birth >= WG_REKEY_AFTER_TIME);
}

/* @session has counters for all @n. */
static void
seal_run(struct wg_path *path, struct path_peer *peer, struct session *session, struct path_out *out,
	 unsigned n, uint32_t mtu, struct wg_now now)
{
	const bool data = out[0].len > 0;
	uint64_t bytes = 0;

	for (unsigned done = 0; done < n; done += PATH_RUN)
		bytes += seal_chunk(path, peer, session, out + done, MIN(n - done, (unsigned)PATH_RUN), mtu);
	path_note_sent(path, peer, data, bytes, now);
	if (rekey_due(session, now))
		path_note(path, peer, WG_REPORT_HANDSHAKE_WANTED, now);
}

/* Returns 0, or the drop, negated, if none of them can wait. */
static int
stage(struct wg_path *path, struct path_peer *peer, const struct path_out *out, unsigned n, uint32_t mtu)
{
	unsigned too_long = 0, pushed_out = 0;

	for (unsigned i = 0; i < n; i++) {
		if (out[i].len > path->staged.packet_max)
			too_long++;
		else
			pushed_out += staged_push(&path->staged, &peer->staged, out[i].data + WG_DATA_HEADER,
						  out[i].len, mtu);
	}
	if (too_long > 0)
		wg_count(&path->counters, WG_DROP_TOO_LONG, too_long);
	if (pushed_out > 0)
		wg_count(&path->counters, WG_DROP_STAGED_OVERFLOW, pushed_out);
	return too_long == n ? -(int)WG_DROP_TOO_LONG : 0;
}

static enum wg_drop
seal_refuses(const struct path_peer *peer, bool quarantine, struct wg_now now)
{
	enum wg_drop why = peer ? path_refuses(peer, now) : WG_DROP_NO_PEER;

	if (why != WG_DROP_NONE)
		return why;
	if (quarantine != (peer->access == WG_QUARANTINED))
		return WG_DROP_QUARANTINE;
	return route_known(&peer->route) ? WG_DROP_NONE : WG_DROP_NO_ENDPOINT;
}

/* How many of them the peer's rate lets pass; they are charged. */
static unsigned
rate_take(struct wg_path *path, struct path_peer *peer, const struct path_out *out, unsigned n, uint32_t mtu,
	  struct wg_now now)
{
	struct bucket *tx = peer->limits ? &peer->limits->tx : NULL;
	unsigned passed = 0;

	if (!tx)
		return n;
	bucket_fill(tx, now.boot);
	while (passed < n &&
	       bucket_take(tx, WG_DATA_OVERHEAD + out[passed].len + padding_of(peer, out[passed].len, mtu)))
		passed++;
	if (passed < n)
		wg_count(&path->counters, WG_DROP_RATE, n - passed);
	return passed;
}

int
path_seal(struct wg_path *path, struct wg_peer_id id, struct path_out *out, unsigned n, uint32_t mtu,
	  bool quarantine, struct wg_now now, const struct wg_route **route)
{
	struct path_peer *peer = path_peer_by_id(path, id);
	const enum wg_drop why = seal_refuses(peer, quarantine, now);
	struct session *session;
	int r;

	if (n == 0)
		return 0;
	if (why != WG_DROP_NONE) {
		wg_count(&path->counters, why, n);
		return -(int)why;
	}
	n = rate_take(path, peer, out, n, mtu, now);
	if (n == 0)
		return -(int)WG_DROP_RATE;
	session = path_sendable(peer, n, now);
	if (session && peer->staged.count == 0) {
		seal_run(path, peer, session, out, n, mtu, now);
		*route = path_route(path, peer);
		return (int)n;
	}

	r = stage(path, peer, out, n, mtu);
	if (session)
		path_ready(path, peer);
	else
		path_note(path, peer, WG_REPORT_HANDSHAKE_WANTED, now);
	return r;
}

/* What waits, in order, in batches of at most PATH_RUN; they leave the queue as they are sent. */
static void
flush_staged(struct wg_path *path, struct path_peer *peer, struct session *session, struct wg_now now,
	     path_send_fn *send, void *ctx)
{
	while (peer->staged.count > 0) {
		uint32_t mtu;
		const unsigned n = staged_peek(&path->staged, &peer->staged, path->outs, PATH_RUN, &mtu);

		seal_run(path, peer, session, path->outs, n, mtu, now);
		send(ctx, peer->id, path_route(path, peer), path->outs, n);
		staged_pop(&path->staged, &peer->staged, n);
	}
}

static void
flush_peer(struct wg_path *path, struct path_peer *peer, struct wg_now now, path_send_fn *send, void *ctx)
{
	const enum wg_drop why = path_refuses(peer, now);
	struct session *session;

	if (why != WG_DROP_NONE) {
		path_purge(path, peer, why);
		return;
	}
	session = path_sendable(peer, MAX(peer->staged.count, 1U), now);
	if (!session) {
		path_note(path, peer, WG_REPORT_HANDSHAKE_WANTED, now);
		return;
	}
	if (!route_known(&peer->route)) /* when it is, the peer will be ready again */
		return;
	if (peer->staged.count > 0) {
		flush_staged(path, peer, session, now, send, ctx);
	} else if (peer->empty) {
		path->outs[0] = (struct path_out){.data = path->keepalive};
		seal_run(path, peer, session, path->outs, 1, 0, now);
		send(ctx, peer->id, path_route(path, peer), path->outs, 1);
	}
	peer->empty = false;
}

void
path_flush(struct wg_path *path, struct wg_now now, path_send_fn *send, void *ctx)
{
	struct path_peer *peer;

	while ((peer = TAILQ_FIRST(&path->ready))) {
		path_unready(path, peer);
		flush_peer(path, peer, now, send, ctx);
	}
}
