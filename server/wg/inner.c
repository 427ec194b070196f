#include "server/wg/inner.h"

#include <sys/socket.h>

#include "base/bytes.h"

#define IP4_HEADER 20U
#define IP6_HEADER 40U

#define ECN_MASK 3U
#define ECN_NOT  0U /* the ends do not speak ECN */
#define ECN_ECT1 1U
#define ECN_ECT0 2U
#define ECN_CE   3U /* congestion experienced */

enum wg_drop
inner_check(const uint8_t *packet, uint32_t len, struct inner *ret)
{
	switch (packet[0] >> 4) {
	case 4:
		if (len < IP4_HEADER)
			return WG_DROP_INNER_LENGTH;
		ret->len = be16_load(packet + 2);
		if (ret->len < IP4_HEADER || ret->len > len)
			return WG_DROP_INNER_LENGTH;
		ret->family = AF_INET;
		ret->source = packet + 12;
		return WG_DROP_NONE;
	case 6:
		if (len < IP6_HEADER)
			return WG_DROP_INNER_LENGTH;
		ret->len = IP6_HEADER + be16_load(packet + 4);
		if (ret->len > len)
			return WG_DROP_INNER_LENGTH;
		ret->family = AF_INET6;
		ret->source = packet + 8;
		return WG_DROP_NONE;
	default:
		return WG_DROP_INNER_VERSION;
	}
}

/* RFC 1624, equation 3: the checksum of a header of which one word changed. */
static void
checksum_update(uint8_t *checksum, uint16_t before, uint16_t after)
{
	uint32_t sum = (uint16_t)~be16_load(checksum);

	sum += (uint16_t)~before;
	sum += after;
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	be16_store(checksum, (uint16_t)~sum);
}

/* What the inner header shows: a mark comes in where the ends speak ECN, and a path that made ECT(0) ECT(1),
 * too. */
static unsigned
ecn_decapsulate(unsigned inner, unsigned outer)
{
	if (inner == ECN_NOT)
		return inner;
	if (outer == ECN_CE)
		return ECN_CE;
	return outer == ECN_ECT1 && inner == ECN_ECT0 ? ECN_ECT1 : inner;
}

void
inner_decapsulate(uint8_t *packet, uint8_t outer_tos)
{
	const unsigned shift = packet[0] >> 4 == 4 ? 0 : 4;
	const unsigned inner = packet[1] >> shift & ECN_MASK;
	const unsigned ecn = ecn_decapsulate(inner, outer_tos & ECN_MASK);
	const uint16_t before = be16_load(packet);

	if (ecn == inner)
		return;
	packet[1] = (uint8_t)((packet[1] & ~(ECN_MASK << shift)) | ecn << shift);
	if (shift == 0)
		checksum_update(packet + 10, before, be16_load(packet));
}

uint8_t
inner_encapsulate(const uint8_t *packet, uint32_t len)
{
	unsigned ecn;

	if (len < IP4_HEADER)
		return 0;
	if (packet[0] >> 4 == 4)
		ecn = packet[1] & ECN_MASK;
	else if (packet[0] >> 4 == 6)
		ecn = packet[1] >> 4 & ECN_MASK;
	else
		return 0;
	/* The outer path starts unmarked. */
	return (uint8_t)(ecn == ECN_CE ? ECN_ECT0 : ecn);
}
