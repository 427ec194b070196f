/*
 * TCP says at its start how long a segment it wants (MSS, RFC 9293 3.7.1).  Where the way to a peer carries
 * less than the link that an end sees, the number is made smaller on its way through, in both directions, so
 * that no segment has to be refused or cut.
 */
#ifndef SERVER_TUNNEL_MSS_H
#define SERVER_TUNNEL_MSS_H

#include <stdbool.h>
#include <stdint.h>

/* Of an unfragmented packet without extension headers, quickly.  True: perhaps. */
static inline bool
mss_maybe(const uint8_t *packet, uint32_t len)
{
	if (len < 40)
		return false;
	if (packet[0] >> 4 == 4) {
		const uint32_t flags = (packet[0] & 15U) * 4 + 13;

		return packet[9] == 6 && flags < len && packet[flags] & 2;
	}
	/* behind extension headers nobody can tell quickly, and few are there */
	return packet[6] == 6 ? len > 53 && packet[53] & 2
			      : packet[6] == 0 || packet[6] == 43 || packet[6] == 60;
}

/*
 * Makes the MSS in the SYN of @len bytes at @packet at most what fits into @mtu (0: leave it), and keeps its
 * checksum right, or as wrong as it was.  All else is left alone: other packets, fragments, a SYN without the
 * option or with a smaller one, what is malformed.  True: it was changed.
 */
bool mss_clamp_syn(uint8_t *packet, uint32_t len, uint32_t mtu);

static inline bool
mss_clamp(uint8_t *packet, uint32_t len, uint32_t mtu)
{
	return mtu != 0 && mss_maybe(packet, len) && mss_clamp_syn(packet, len, mtu);
}

#endif
