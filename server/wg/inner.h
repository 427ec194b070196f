/*
 * What WireGuard looks at in the packets that it carries: version, length, source, ECN bits.
 */
#ifndef SERVER_WG_INNER_H
#define SERVER_WG_INNER_H

#include <stdint.h>

#include "server/wg/drops.h"

/* A packet that passed inner_check(). */
struct inner {
	const uint8_t *source; /* in the packet, 4 or 16 bytes */
	uint32_t len;          /* without padding */
	int family;
};

/* Whether @len > 0 bytes hold a whole packet of either version.  @ret is written for DROP_NONE. */
enum wg_drop inner_check(const uint8_t *packet, uint32_t len, struct inner *ret);

/* RFC 6040, as the kernel does it: what the way did to ECN goes into the inner header.  After inner_check(). */
void inner_decapsulate(uint8_t *packet, uint8_t outer_tos);

/* The outer ECN bits for a packet to send; 0 if it has no IP header. */
uint8_t inner_encapsulate(const uint8_t *packet, uint32_t len);

#endif
