#include "server/tunnel/mss.h"

#include <netinet/in.h>

#include "base/bytes.h"

#define IP4_HEADER   20U
#define IP4_FRAGMENT 0x3fffU /* more of them, or an offset */
#define IP6_HEADER   40U
#define TCP_HEADER   20U
#define TCP_SYN      0x02

#define OPTION_END     0
#define OPTION_NOP     1
#define OPTION_MSS     2
#define OPTION_MSS_LEN 4

#define EXTENSIONS_MAX 8

/* Where TCP begins in the packet, of which @len bytes count from then on; 0: it is not (wholly) there. */
static uint32_t
tcp_find4(const uint8_t *packet, uint32_t *len)
{
	const uint32_t head = (packet[0] & 15U) * 4, total = be16_load(packet + 2);

	if (head < IP4_HEADER || total > *len || packet[9] != IPPROTO_TCP ||
	    be16_load(packet + 6) & IP4_FRAGMENT)
		return 0;
	*len = total;
	return head;
}

/* A fragment header ends the search: who cuts SYNs is left alone. */
static uint32_t
tcp_find6(const uint8_t *packet, uint32_t *len)
{
	const uint32_t total = IP6_HEADER + be16_load(packet + 4);
	uint32_t at = IP6_HEADER;
	uint8_t next = packet[6];

	if (total > *len)
		return 0;
	*len = total;
	for (unsigned i = 0; i < EXTENSIONS_MAX; i++) {
		if (next == IPPROTO_TCP)
			return at;
		if ((next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS) ||
		    at + 2 > total)
			return 0;
		next = packet[at];
		at += (packet[at + 1] + 1U) * 8;
	}
	return 0;
}

/*
 * RFC 1624, equation 3, for a word that may begin at an odd byte of what is summed: then its halves are in
 * the other places of the words around it, which is the same as a swapped word.
 */
static void
checksum_update(uint8_t *field, uint16_t before, uint16_t after, bool odd)
{
	uint32_t sum = (uint16_t)~be16_load(field);

	if (odd) {
		before = __builtin_bswap16(before);
		after = __builtin_bswap16(after);
	}
	sum += (uint16_t)~before;
	sum += after;
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	be16_store(field, (uint16_t)~sum);
}

static bool
option_clamp(uint8_t *tcp, uint32_t at, uint16_t max)
{
	const uint16_t mss = be16_load(tcp + at);

	if (mss <= max)
		return false;
	be16_store(tcp + at, max);
	checksum_update(tcp + 16, mss, max, at % 2);
	return true;
}

/* An option that reaches beyond the header ends the walk; so does one that does not get on. */
static bool
options_clamp(uint8_t *tcp, uint32_t head, uint16_t max)
{
	bool changed = false;

	for (uint32_t at = TCP_HEADER; at < head && tcp[at] != OPTION_END;) {
		uint32_t len = 1;

		if (tcp[at] != OPTION_NOP) {
			if (at + 2 > head)
				break;
			len = tcp[at + 1];
			if (len < 2 || at + len > head)
				break;
			if (tcp[at] == OPTION_MSS && len == OPTION_MSS_LEN)
				changed |= option_clamp(tcp, at + 2, max);
		}
		at += len;
	}
	return changed;
}

bool
mss_clamp_syn(uint8_t *packet, uint32_t len, uint32_t mtu)
{
	const bool v6 = len > 0 && packet[0] >> 4 == 6;
	const uint32_t headers = (v6 ? IP6_HEADER : IP4_HEADER) + TCP_HEADER;
	uint32_t at, head;

	if (len < headers || mtu <= headers || (!v6 && packet[0] >> 4 != 4))
		return false;
	at = v6 ? tcp_find6(packet, &len) : tcp_find4(packet, &len);
	if (at == 0 || at + TCP_HEADER > len || !(packet[at + 13] & TCP_SYN))
		return false;
	head = (packet[at + 12] >> 4) * 4U;
	if (head < TCP_HEADER || at + head > len)
		return false;
	return options_clamp(packet + at, head, (uint16_t)MIN(mtu - headers, UINT16_MAX));
}
