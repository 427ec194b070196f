#include "server/tunnel/outbox.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/errors.h"
#include "base/log.h"
#include "server/tunnel/mmsg.h"

bool
outbox_add(struct outbox *outbox, const struct wg_datagram *datagram, nsec_t now)
{
	struct outbox_message *message = &outbox->messages[outbox->n];

	assert(datagram->len <= WG_HANDSHAKE_MAX);
	if (outbox->n == OUTBOX_MAX)
		return false;
	message->peer = datagram->peer;
	message->route = datagram->route;
	message->since = now;
	message->tos = datagram->tos;
	message->len = (uint8_t)datagram->len;
	memcpy(message->data, datagram->data, datagram->len);
	outbox->n++;
	return true;
}

/* One call for all messages of a family. */
struct call {
	unsigned n;
	struct outbox_message *which[OUTBOX_MAX];
	struct mmsghdr entries[OUTBOX_MAX];
	struct iovec iov[OUTBOX_MAX];
	struct sockaddr_storage names[OUTBOX_MAX];
	_Alignas(struct cmsghdr) uint8_t controls[OUTBOX_MAX][UDP_CONTROL_LEN];
};

static void
call_fill(struct call *call, struct outbox *outbox, enum udp_family family)
{
	call->n = 0;
	for (unsigned i = 0; i < outbox->n; i++) {
		struct outbox_message *message = &outbox->messages[i];
		const unsigned n = call->n;
		struct msghdr *msg = &call->entries[n].msg_hdr;

		if (message->len == 0 || udp_family_of(&message->route.to) != family)
			continue;
		call->which[n] = message;
		call->iov[n] = (struct iovec){message->data, message->len};
		memset(call->controls[n], 0, UDP_CONTROL_LEN);
		*msg = (struct msghdr){.msg_iov = &call->iov[n], .msg_iovlen = 1};
		udp_message(msg, &call->names[n], call->controls[n], &message->route, message->tos, 0);
		call->n++;
	}
}

/* Tried on other terms, or dropped. */
static void
refused(struct outbox_message *message, int r, void (*source_dead)(void *ctx, struct wg_peer_id peer),
	void *ctx)
{
	if (udp_source_failed(&message->route, r)) {
		message->route.from.family = 0;
		message->route.ifindex = 0;
		if (message->peer.serial)
			source_dead(ctx, message->peer);
		return;
	}
	log_debug("handshake message not sent: %s", error_words(r)); /* the timers send another one */
	message->len = 0;
}

/* What was sent, or will never be, has no length any more. */
static void
family_flush(struct outbox *outbox, const struct udp *udp, enum udp_family family, struct ladder *ladder,
	     void (*source_dead)(void *ctx, struct wg_peer_id peer), void *ctx)
{
	static struct call call; /* the control thread's */

	for (;;) {
		int r;

		call_fill(&call, outbox, family);
		if (call.n == 0)
			return;
		r = udp->fd[family] < 0
			    ? -EAFNOSUPPORT
			    : mmsg_send(ladder, &mmsg_system, udp->fd[family], call.entries, call.n);
		for (int i = 0; i < r; i++)
			call.which[i]->len = 0;
		if (r >= 0)
			continue;
		if (r == -EAGAIN)
			return;
		if (r != -EINTR)
			refused(call.which[0], r, source_dead, ctx);
	}
}

static void
compact(struct outbox *outbox, nsec_t now)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < outbox->n; i++) {
		const struct outbox_message *message = &outbox->messages[i];

		if (message->len == 0 || now - message->since > OUTBOX_TIME)
			continue;
		if (kept != i)
			outbox->messages[kept] = *message;
		kept++;
	}
	outbox->n = kept;
}

void
outbox_flush(struct outbox *outbox, const struct udp *udp, struct ladder *ladder, nsec_t now,
	     void (*source_dead)(void *ctx, struct wg_peer_id peer), void *ctx)
{
	if (outbox->n == 0)
		return;
	for (unsigned i = 0; i < UDP_FAMILIES; i++)
		family_flush(outbox, udp, i, ladder, source_dead, ctx);
	compact(outbox, now);
}

nsec_t
outbox_deadline(const struct outbox *outbox, nsec_t now)
{
	return outbox->n > 0 ? now + OUTBOX_RETRY : NSEC_NEVER;
}
