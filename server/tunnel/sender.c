/*
 * Messages lie in an arena, one behind the other; a batch is a run of them.  sendmmsg() is given one
 * entry a batch, or one a message where batches are not possible.  Whatever it took is gone from its
 * batch; whatever it refused is looked up in refused(), which changes the terms and lets it be tried
 * again, or drops it.
 *
 * Peers that get no batches are kept in a small table of sets.  When a set is full the entry that ends first
 * gives way: that peer's next batch is refused once more, and nothing else happens.
 */
#include "server/tunnel/sender.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "server/wg/constants.h"

#define ENTRIES 64

#define ALONE_WAYS 4U
#define ALONE_SETS (SENDER_ALONE_MAX / ALONE_WAYS)

/* A peer to which batches go only if their segments are short enough. */
struct alone {
	struct wg_peer_id peer; /* serial 0: none */
	uint32_t most;          /* bytes; 0: no batches at all */
	enum rung rung;         /* why: PEER_PATH or PEER_ANSWERS */
	nsec_t until;
};

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

	unsigned n_alone;
	nsec_t alone_until; /* of the first of them */
	struct alone alone[ALONE_SETS][ALONE_WAYS];

	struct mmsghdr entries[ENTRIES];
	unsigned segments[ENTRIES];
	unsigned n_iovs;
	struct iovec iovs[SENDER_MESSAGES];
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
	if (!sender->config.calls.sendmmsg)
		sender->config.calls = mmsg_system;
	ladder_probed(config->stats->ladder, RUNG_SENDMMSG, true, 0);
	*ret = sender;
	return 0;
}

static void
alone_end(struct sender *sender, struct alone *alone)
{
	ladder_peers(sender->config.stats->ladder, alone->rung, -1);
	alone->peer.serial = 0;
	sender->n_alone--;
}

/* Ends those whose time is over: paths change, and batches are tried again. */
static void
alone_age(struct sender *sender, nsec_t now)
{
	if (sender->n_alone == 0 || now < sender->alone_until)
		return;
	sender->alone_until = NSEC_NEVER;
	for (unsigned i = 0; i < SENDER_ALONE_MAX; i++) {
		struct alone *alone = &sender->alone[i / ALONE_WAYS][i % ALONE_WAYS];

		if (alone->peer.serial && alone->until <= now)
			alone_end(sender, alone);
		else if (alone->peer.serial)
			sender->alone_until = MIN(sender->alone_until, alone->until);
	}
}

static struct alone *
alone_set_of(struct sender *sender, struct wg_peer_id peer)
{
	return sender->alone[(peer.number * 0x9e3779b1U) >> 16 & (ALONE_SETS - 1)];
}

/* The longest segments that a batch to that peer may have. */
static uint32_t
segment_most(struct sender *sender, struct wg_peer_id peer)
{
	const struct alone *set = alone_set_of(sender, peer);

	if (sender->n_alone > 0)
		for (unsigned i = 0; i < ALONE_WAYS; i++)
			if (wg_peer_id_equal(set[i].peer, peer))
				return set[i].most;
	return UINT32_MAX;
}

/* Its own entry, or a free one, or the one that ends first. */
static struct alone *
alone_slot(struct sender *sender, struct wg_peer_id peer)
{
	struct alone *set = alone_set_of(sender, peer), *slot = set;

	for (unsigned i = 0; i < ALONE_WAYS; i++) {
		if (wg_peer_id_equal(set[i].peer, peer))
			return &set[i];
		if (slot->peer.serial && (!set[i].peer.serial || set[i].until < slot->until))
			slot = &set[i];
	}
	return slot;
}

static void
alone_set(struct sender *sender, struct wg_peer_id peer, uint32_t most, enum rung rung, nsec_t now)
{
	struct alone *slot = alone_slot(sender, peer);

	if (slot->peer.serial && (!wg_peer_id_equal(slot->peer, peer) || slot->rung != rung))
		alone_end(sender, slot);
	if (!slot->peer.serial) {
		ladder_peers(sender->config.stats->ladder, rung, 1);
		if (sender->n_alone++ == 0)
			sender->alone_until = NSEC_NEVER;
	}
	*slot = (struct alone){.peer = peer, .most = most, .rung = rung, .until = now + SENDER_ALONE_TIME};
	sender->alone_until = MIN(sender->alone_until, slot->until);
}

void
sender_free(struct sender *sender)
{
	if (sender)
		alone_age(sender, NSEC_NEVER);
	free(sender);
}

void
sender_freep(struct sender **sender)
{
	sender_free(*sender);
}

uint8_t *
sender_room(struct sender *sender, uint32_t len)
{
	const uint32_t at = sender->used;

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
batch_lose(struct sender *sender, unsigned n, enum wg_drop why)
{
	wg_count(&sender->config.stats->drops, why, n);
	batch_advance(sender, n);
}

void
sender_drop(struct sender *sender)
{
	while (!sender_empty(sender))
		batch_lose(sender, sender->batches[sender->head].n, WG_DROP_SEND_LATE);
	sender->used = 0;
	sender->n_messages = sender->n_batches = sender->head = 0;
}

static enum rung
gso_of(enum udp_family family)
{
	return family == UDP4 ? RUNG_UDP4_GSO : RUNG_UDP6_GSO;
}

/* Whether a batch goes as one. */
static bool
whole(struct sender *sender, const struct batch *batch, nsec_t now)
{
	const struct sender_config *config = &sender->config;

	if (batch->n < 2 ||
	    !ladder_may(config->stats->ladder, gso_of(udp_family_of(&batch->route.to)), now) ||
	    batch->size > segment_most(sender, batch->peer))
		return false;
	if (config->may_batch && !config->may_batch(config->ctx, batch->peer, now)) {
		alone_set(sender, batch->peer, 0, RUNG_PEER_ANSWERS, now);
		return false;
	}
	return true;
}

/* Messages that lie one behind the other are one piece to the kernel. */
static void
pieces_fill(struct sender *sender, struct msghdr *msg, unsigned first, unsigned n)
{
	struct iovec *iov = &sender->iovs[sender->n_iovs];

	msg->msg_iov = iov;
	*iov = sender->messages[first];
	for (unsigned i = 1; i < n; i++) {
		const struct iovec *message = &sender->messages[first + i];

		if ((uint8_t *)iov->iov_base + iov->iov_len == message->iov_base)
			iov->iov_len += message->iov_len;
		else
			*++iov = *message;
	}
	msg->msg_iovlen = (size_t)(iov - msg->msg_iov) + 1;
	sender->n_iovs += (unsigned)msg->msg_iovlen;
}

static void
entry_fill(struct sender *sender, unsigned n, const struct batch *batch, unsigned first, bool together)
{
	struct msghdr *msg = &sender->entries[n].msg_hdr;

	assert(!together || (batch->n > 1 && batch->size > 0 && batch->size <= UINT16_MAX));
	memset(msg, 0, sizeof(*msg));
	memset(sender->controls[n], 0, UDP_CONTROL_LEN);
	sender->segments[n] = together ? batch->n : 1;
	pieces_fill(sender, msg, first, sender->segments[n]);
	udp_message(msg, &sender->names[n], sender->controls[n], &batch->route, batch->tos,
		    together ? (uint16_t)batch->size : 0);
}

/*
 * Entries for the batches from head on, as long as they go to @family.  A batch that is a trial is the last
 * of them.
 */
static unsigned
entries_fill(struct sender *sender, enum udp_family family, nsec_t now)
{
	unsigned n = 0;

	sender->n_iovs = 0;
	for (unsigned b = sender->head; b < sender->n_batches; b++) {
		struct batch *batch = &sender->batches[b];

		if (n == ENTRIES || udp_family_of(&batch->route.to) != family)
			break;
		if (whole(sender, batch, now)) {
			entry_fill(sender, n++, batch, batch->first, true);
			if (!ladder_on(sender->config.stats->ladder, gso_of(family)))
				break;
			continue;
		}
		for (unsigned i = 0; i < batch->n && n < ENTRIES; i++)
			entry_fill(sender, n++, batch, batch->first + i, false);
	}
	return n;
}

static void
entries_gone(struct sender *sender, enum udp_family family, unsigned n)
{
	struct stats *stats = sender->config.stats;

	for (unsigned i = 0; i < n; i++) {
		const unsigned segments = sender->segments[i];

		if (segments > 1 && !ladder_on(stats->ladder, gso_of(family)))
			ladder_up(stats->ladder, gso_of(family));
		stats_call(stats, STATS_UDP_SEND, 1, segments);
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

/*
 * The first entry was refused.  The same messages are tried on other terms, or dropped.  A batch is refused
 * as a whole before any of it is sent; but ENOBUFS comes from a queue further on, when some of it may be
 * gone.
 */
static void
refused(struct sender *sender, enum udp_family family, int error, nsec_t now)
{
	struct batch *batch = &sender->batches[sender->head];
	const unsigned segments = sender->segments[0];

	if (error == EINTR)
		return;
	if (segments > 1 && error == EIO) { /* no checksum offload on the way out */
		ladder_down(sender->config.stats->ladder, gso_of(family), error, now);
	} else if (segments > 1 && error == EMSGSIZE) { /* single ones longer than the path are fragmented */
		alone_set(sender, batch->peer, batch->size - 1, RUNG_PEER_PATH, now);
	} else if (udp_source_failed(&batch->route, -error)) {
		source_clear(sender, batch->peer);
	} else if (segments > 1 && error == EINVAL) { /* EMSGSIZE, in the words of kernels before 2025 */
		alone_set(sender, batch->peer, batch->size - 1, RUNG_PEER_PATH, now);
	} else if (error == ENOBUFS || error == ENOMEM) {
		batch_lose(sender, segments, WG_DROP_SEND_FULL);
	} else { /* a firewall's EPERM, no route: as if lost on the way */
		batch_lose(sender, segments, WG_DROP_SEND_REFUSED);
	}
}

/* What waited too long, and what has no socket. */
static enum wg_drop
hopeless(const struct sender *sender, const struct batch *batch, nsec_t now)
{
	if (sender->config.udp->fd[udp_family_of(&batch->route.to)] < 0)
		return WG_DROP_SEND_REFUSED;
	return now - batch->sealed > SENDER_PATIENCE ? WG_DROP_SEND_LATE : WG_DROP_NONE;
}

int
sender_flush(struct sender *sender, nsec_t now)
{
	alone_age(sender, now);
	while (!sender_empty(sender)) {
		const struct batch *batch = &sender->batches[sender->head];
		const enum udp_family family = udp_family_of(&batch->route.to);
		const enum wg_drop why = hopeless(sender, batch, now);
		int r;

		if (why != WG_DROP_NONE) {
			batch_lose(sender, batch->n, why);
			continue;
		}
		r = mmsg_send(sender->config.stats->ladder, &sender->config.calls,
			      sender->config.udp->fd[family], sender->entries,
			      entries_fill(sender, family, now));
		if (r > 0)
			entries_gone(sender, family, (unsigned)r);
		else if (r == -EAGAIN || r == -EWOULDBLOCK)
			return -EAGAIN;
		else
			refused(sender, family, -r, now);
	}
	sender_drop(sender);
	return 0;
}
