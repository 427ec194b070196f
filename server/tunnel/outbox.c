#include "server/tunnel/outbox.h"

#include <errno.h>
#include <string.h>

#include "base/errors.h"
#include "base/log.h"

/* Once more without a source, if that is what failed. */
static int
send_once(const struct udp *udp, struct wg_route *route, uint8_t tos, const void *data, size_t len,
	  bool *source_dead)
{
	int r = udp_send(udp, route, tos, data, len);

	*source_dead = r < 0 && udp_source_failed(route, r);
	if (!*source_dead)
		return r;
	route->from.family = 0;
	route->ifindex = 0;
	return udp_send(udp, route, tos, data, len);
}

void
outbox_send(struct outbox *outbox, const struct udp *udp, const struct wg_datagram *datagram, nsec_t now,
	    bool *source_dead)
{
	struct wg_route route = datagram->route;
	const int r = send_once(udp, &route, datagram->tos, datagram->data, datagram->len, source_dead);

	if (r == -EAGAIN && outbox->n < OUTBOX_MAX && datagram->len <= WG_HANDSHAKE_MAX) {
		struct outbox_message *message = &outbox->messages[outbox->n++];

		message->route = route;
		message->since = now;
		message->tos = datagram->tos;
		message->len = (uint8_t)datagram->len;
		memcpy(message->data, datagram->data, datagram->len);
	} else if (r < 0) { /* the timers send another one */
		log_debug("handshake message not sent: %s", error_words(r));
	}
}

void
outbox_retry(struct outbox *outbox, const struct udp *udp, nsec_t now)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < outbox->n; i++) {
		struct outbox_message *message = &outbox->messages[i];
		bool source_dead;

		if (now - message->since > OUTBOX_TIME ||
		    send_once(udp, &message->route, message->tos, message->data, message->len,
			      &source_dead) != -EAGAIN)
			continue;
		if (kept != i)
			outbox->messages[kept] = *message;
		kept++;
	}
	outbox->n = kept;
}

nsec_t
outbox_deadline(const struct outbox *outbox, nsec_t now)
{
	return outbox->n > 0 ? now + OUTBOX_RETRY : NSEC_NEVER;
}
