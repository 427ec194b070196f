/*
 * A frame as the TUN device gives it, which may be a superframe of many segments, becomes the packets
 * that a network card would have sent: headers made anew, checksums completed.
 */
#ifndef SERVER_TUNNEL_SPLIT_H
#define SERVER_TUNNEL_SPLIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

/* The largest IP packet, and so the largest frame without its vnet header. */
#define SPLIT_PACKET_MAX 65535

/* A frame that was looked at; @ip is lent. */
struct split {
	const uint8_t *ip;
	uint32_t len;
	bool v6;
	unsigned n; /* segments, at least 1 */

	/* of a superframe */
	bool udp;
	uint32_t l4, head; /* where TCP or UDP begins, and where the payload does */
	uint32_t size;     /* payload of all segments but the last */

	/* of a single packet: where a checksum is to be completed; 0: nowhere */
	uint32_t csum_start, csum_at;
};

/*
 * Looks at what was read: with @vnet, a vnet header and a packet, else the packet alone.  -EINVAL: not a
 * packet, or a superframe that cannot be cut.
 */
int split_frame(struct split *ret, const uint8_t *frame, size_t len, bool vnet) _must_check_;

/* The destination address: 4 or 16 bytes. */
static inline const uint8_t *
split_destination(const struct split *split)
{
	return split->ip + (split->v6 ? 24 : 16);
}

/* The length of segment @i, below split->n. */
static inline uint32_t
split_len(const struct split *split, unsigned i)
{
	const uint32_t at = split->head + i * split->size;

	if (split->n == 1)
		return split->len;
	return split->head + (i + 1 < split->n ? split->size : split->len - at);
}

/* Writes segment @i, split_len() bytes, to @dst, which does not overlap the frame. */
void split_segment(const struct split *split, unsigned i, uint8_t *dst);

#endif
