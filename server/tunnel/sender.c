/*
 * Messages lie in an arena, one behind the other; a batch is a run of them.  sendmmsg() is given one
 * entry a batch, or one a message where batches are not possible.  Whatever it took is gone from its
 * batch; whatever it refused is looked up in refused(), which changes the terms and lets it be tried
 * again, or drops it.
 */
#include "server/tunnel/sender.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "server/wg/constants.h"

#define ENTRIES 64
#define ALIGN   16U

struct batch {
	struct wg_peer_id peer;
	struct wg_route route;
	uint8_t tos;
	bool closed;
	unsigned first, n;
	uint32_t size, total;
	nsec_t sealed; /* the oldest */
};

struct sender {
	struct sender_config config;
	uint32_t used;
	unsigned n_messages, n_batches, head; /* batches before head are gone */
	struct iovec messages[SENDER_MESSAGES];
	struct batch batches[SENDER_BATCHES];

	nsec_t alone_until; /* 0: no peer is in alone[] */
	uint8_t alone[WG_PEERS_MAX / 8];

	struct mmsghdr entries[ENTRIES];
	struct sockaddr_storage names[ENTRIES];
	_Alignas(struct cmsghdr) uint8_t controls[ENTRIES][UDP_CONTROL_LEN];

	_Alignas(64) uint8_t arena[SENDER_ARENA];
};

int
sender_new(const struct sender_config *config, struct sender **ret)
{
	struct sender *sender = aligned_alloc(64, sizeof(*sender));

	if (!sender)
		return -ENOMEM;
	memset(sender, 0, sizeof(*sender));
	sender->config = *config;
	if (!sender->config.sendmmsg)
		sender->config.sendmmsg = sendmmsg;
	*ret = sender;
	return 0;
}

void
sender_free(struct sender *sender)
{
	free(sender);
}

void
sender_freep(struct sender **sender)
{
	sender_free(*sender);
}

static bool
alone(const struct sender *sender, struct wg_peer_id peer)
{
	return sender->alone_until && sender->alone[peer.number / 8] & BIT(peer.number % 8);
}

static void
alone_set(struct sender *sender, struct wg_peer_id peer, nsec_t now)
{
	if (!sender->alone_until)
		sender->alone_until = now + SENDER_ALONE_TIME;
	sender->alone[peer.number / 8] |= (uint8_t)BIT(peer.number % 8);
}

/* Paths change: every now and then batches are tried again. */
static void
alone_age(struct sender *sender, nsec_t now)
{
	if (sender->alone_until && now >= sender->alone_until) {
		memset(sender->alone, 0, sizeof(sender->alone));
		sender->alone_until = 0;
	}
}

uint8_t *
sender_room(struct sender *sender, uint32_t len)
{
	const uint32_t at = (sender->used + ALIGN - 1) & ~(ALIGN - 1);

	if (sender->n_messages + SENDER_ROOMS > SENDER_MESSAGES ||
	    sender->n_batches + SENDER_ROOMS > SENDER_BATCHES || at + len > SENDER_ARENA)
		return NULL;
	sender->used = at + len;
	return sender->arena + at;
}

static bool
may_join(const struct batch *batch, struct wg_peer_id peer, const struct wg_route *route, uint8_t tos,
	 uint32_t len)
{
	const uint32_t most = route->to.ip.family == AF_INET ? SENDER_BATCH4 : SENDER_BATCH6;

	return !batch->closed && batch->tos == tos && len <= batch->size && batch->n < SENDER_SEGMENTS &&
	       batch->total + len <= most && wg_peer_id_equal(batch->peer, peer) &&
	       endpoint_equal(&batch->route.to, &route->to) && ip_equal(&batch->route.from, &route->from) &&
	       batch->route.ifindex == route->ifindex;
}

/*
 * A message joins the newest batch of its peer only, and only if no message of another batch was added in
 * between: a batch is a run.
 */
void
sender_add(struct sender *sender, struct wg_peer_id peer, const struct wg_route *route, uint8_t tos,
	   uint8_t *data, uint32_t len, nsec_t now)
{
	struct batch *batch =
		sender->n_batches > sender->head ? &sender->batches[sender->n_batches - 1] : NULL;

	assert(sender->n_messages < SENDER_MESSAGES && len > 0);
	if (!batch || !may_join(batch, peer, route, tos, len)) {
		assert(sender->n_batches < SENDER_BATCHES);
		batch = &sender->batches[sender->n_batches++];
		*batch = (struct batch){
			.peer = peer,
			.route = *route,
			.tos = tos,
			.first = sender->n_messages,
			.size = len,
			.sealed = now,
		};
	}
	sender->messages[sender->n_messages++] = (struct iovec){data, len};
	batch->n++;
	batch->total += len;
	batch->closed = len < batch->size;
}

bool
sender_due(const struct sender *sender)
{
	return sender->used >= SENDER_FLUSH_AT || sender->n_messages >= SENDER_MESSAGES / 2 ||
	       sender->n_batches >= SENDER_BATCHES / 2;
}

bool
sender_empty(const struct sender *sender)
{
	return sender->n_batches == sender->head;
}

enum udp_family
sender_waits_for(const struct sender *sender)
{
	return udp_family_of(&sender->batches[sender->head].route.to);
}

void
sender_drop(struct sender *sender)
{
	sender->used = 0;
	sender->n_messages = sender->n_batches = sender->head = 0;
}

static enum stats_offload
gso_of(enum udp_family family)
{
	return family == UDP4 ? OFFLOAD_UDP4_GSO : OFFLOAD_UDP6_GSO;
}

static bool
whole(const struct sender *sender, const struct batch *batch)
{
	return batch->n > 1 && !alone(sender, batch->peer) &&
	       offload_get(sender->config.stats, gso_of(udp_family_of(&batch->route.to))) == OFFLOAD_ON;
}

/* Entries for the batches from head on, as long as they go to @family. */
static unsigned
entries_fill(struct sender *sender, enum udp_family family)
{
	unsigned n = 0;

	for (unsigned b = sender->head; b < sender->n_batches; b++) {
		struct batch *batch = &sender->batches[b];
		const bool together = whole(sender, batch);

		if (udp_family_of(&batch->route.to) != family)
			break;
		for (unsigned i = 0; i < (together ? 1 : batch->n); i++, n++) {
			struct msghdr *msg;

			if (n == ENTRIES)
				return n;
			msg = &sender->entries[n].msg_hdr;
			memset(msg, 0, sizeof(*msg));
			memset(sender->controls[n], 0, UDP_CONTROL_LEN);
			msg->msg_iov = &sender->messages[batch->first + i];
			msg->msg_iovlen = together ? batch->n : 1;
			udp_message(msg, &sender->names[n], sender->controls[n], &batch->route, batch->tos,
				    together ? (uint16_t)batch->size : 0);
		}
	}
	return n;
}

/* @n messages of the first batch are done with. */
static void
batch_advance(struct sender *sender, unsigned n)
{
	struct batch *batch = &sender->batches[sender->head];

	batch->first += n;
	batch->n -= n;
	if (batch->n == 0)
		sender->head++;
}

static void
entries_gone(struct sender *sender, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		const unsigned segments = (unsigned)sender->entries[i].msg_hdr.msg_iovlen;

		stats_call(sender->config.stats, STATS_UDP_SEND, 1, segments);
		batch_advance(sender, segments);
	}
}

/* All batches of that peer that still wait go without a source. */
static void
source_clear(struct sender *sender, struct wg_peer_id peer)
{
	for (unsigned b = sender->head; b < sender->n_batches; b++)
		if (wg_peer_id_equal(sender->batches[b].peer, peer)) {
			sender->batches[b].route.from.family = 0;
			sender->batches[b].route.ifindex = 0;
		}
	sender->config.source_clear(sender->config.ctx, peer);
}

/* The first entry was refused.  The same messages are tried on other terms, or dropped. */
static void
refused(struct sender *sender, enum udp_family family, int error, nsec_t now)
{
	struct batch *batch = &sender->batches[sender->head];
	const unsigned segments = (unsigned)sender->entries[0].msg_hdr.msg_iovlen;

	if (error == EINTR)
		return;
	if (segments > 1 && error == EIO) { /* no checksum offload on the way out */
		offload_set(sender->config.stats, gso_of(family), OFFLOAD_DOWN);
		return;
	}
	if (segments > 1 &&
	    error == EMSGSIZE) { /* longer than the path takes: the kernel fragments single ones */
		alone_set(sender, batch->peer, now);
		return;
	}
	if (udp_source_failed(&batch->route, -error)) {
		source_clear(sender, batch->peer);
		return;
	}
	if (segments > 1 && error == EINVAL) { /* what EMSGSIZE is called by kernels of before 2025 */
		alone_set(sender, batch->peer, now);
		return;
	}
	batch_advance(sender, segments); /* ENOBUFS, a firewall's EPERM, no route: as if lost on the way */
}

/* What waited too long, and what has no socket. */
static bool
hopeless(const struct sender *sender, const struct batch *batch, nsec_t now)
{
	return now - batch->sealed > SENDER_PATIENCE ||
	       sender->config.udp->fd[udp_family_of(&batch->route.to)] < 0;
}

int
sender_flush(struct sender *sender, nsec_t now)
{
	alone_age(sender, now);
	while (!sender_empty(sender)) {
		const struct batch *batch = &sender->batches[sender->head];
		const enum udp_family family = udp_family_of(&batch->route.to);
		unsigned n;
		int r;

		if (hopeless(sender, batch, now)) {
			sender->head++;
			continue;
		}
		n = entries_fill(sender, family);
		r = sender->config.sendmmsg(sender->config.udp->fd[family], sender->entries, n, 0);
		if (r > 0)
			entries_gone(sender, (unsigned)r);
		else if (r < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return -EAGAIN;
		else
			refused(sender, family, r < 0 ? errno : EIO, now);
	}
	sender_drop(sender);
	return 0;
}
