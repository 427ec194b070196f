/*
 * The first segment is put behind room for the headers, looked at there as what it is, untrusted, and cut to
 * what may be quoted.
 */
#include "server/tunnel/icmp.h"

#include <netinet/in.h>
#include <string.h>

#include "base/bytes.h"
#include "server/tunnel/checksum.h"

#define IP4_HEADER   20U
#define IP6_HEADER   40U
#define ICMP_HEADER  8U
#define FRAGMENT_LEN 8U
#define TTL          64
#define IP4_TOS      0xc0 /* RFC 1812, 4.3.2.5: internetwork control */
#define IP4_DF       0x4000U
#define IP4_OFFSET   0x1fffU
#define IP6_OFFSET   0xfff8U
#define EXTENSIONS_MAX                                                                                       \
	8 /* headers of IPv6 that are walked over; more of them are no packet of the inside's */

/* Of the types that RFC 792 and its successors name, and an IPv4 host may answer at all. */
#define ICMP4_ECHO_REPLY 0
#define ICMP4_ECHO       8
#define ICMP4_TIMESTAMP  13
#define ICMP4_MASK_REPLY 18
#define ICMP6_FIRST_INFO 128
#define ICMP6_REDIRECT   137

static const struct {
	uint8_t type4, code4, type6, code6;
} words[] = {
	[ICMP_UNREACHABLE] = {3, 1, 1, 3},
	[ICMP_PROHIBITED] = {3, 13, 1, 1},
	[ICMP_TOO_LONG] = {3, 4, 2, 0},
};

bool
icmp_of_drop(enum wg_drop drop, enum icmp_error *ret)
{
	switch (drop) {
	case WG_DROP_NO_PEER:
	case WG_DROP_NO_ENDPOINT:
		*ret = ICMP_UNREACHABLE;
		return true;
	case WG_DROP_CUT:
	case WG_DROP_ENDED:
	case WG_DROP_QUARANTINE:
		*ret = ICMP_PROHIBITED;
		return true;
	default:
		return false;
	}
}

bool
icmp_too_long(const struct split *split, uint32_t mtu)
{
	if (mtu == 0 || split_len(split, 0) <= mtu)
		return false;
	return split->v6 || be16_load(split->ip + 6) & IP4_DF;
}

/* An address that one host may have: not "this network", loopback, a group, or everybody. */
static bool
is_host4(const uint8_t *addr)
{
	return addr[0] != 0 && addr[0] != 127 && (addr[0] & 0xf0) != 0xe0 && be32_load(addr) != UINT32_MAX;
}

static bool
is_host6(const uint8_t *addr)
{
	return addr[0] != 0xff && (be64_load(addr) != 0 || be64_load(addr + 8) > 1);
}

/* Answers by ICMP are for questions: errors, redirects and what nobody knows are left alone. */
static bool
is_question4(uint8_t type)
{
	return type == ICMP4_ECHO_REPLY || type == ICMP4_ECHO ||
	       (type >= ICMP4_TIMESTAMP && type <= ICMP4_MASK_REPLY);
}

static bool
is_question6(uint8_t type)
{
	return type >= ICMP6_FIRST_INFO && type != ICMP6_REDIRECT;
}

/* The length of the packet at @ip, of which @len bytes are there; 0: it is not to be answered. */
static uint32_t
answerable4(const uint8_t *ip, uint32_t len)
{
	const uint32_t head = (ip[0] & 15U) * 4, total = be16_load(ip + 2);

	if (head < IP4_HEADER || total < head || total > len)
		return 0;
	if (be16_load(ip + 6) & IP4_OFFSET || !is_host4(ip + 12) || !is_host4(ip + 16))
		return 0;
	if (ip[9] == IPPROTO_ICMP && (total == head || !is_question4(ip[head])))
		return 0;
	return total;
}

/* Walks to what is carried.  A chain that does not end within the packet cannot be judged. */
static bool
is_answerable_chain(const uint8_t *ip, uint32_t len)
{
	uint32_t at = IP6_HEADER;
	uint8_t next = ip[6];

	for (unsigned i = 0; i < EXTENSIONS_MAX; i++) {
		switch (next) {
		case IPPROTO_ICMPV6:
			return at < len && is_question6(ip[at]);
		case IPPROTO_FRAGMENT:
			if (at + FRAGMENT_LEN > len || be16_load(ip + at + 2) & IP6_OFFSET)
				return false;
			next = ip[at];
			at += FRAGMENT_LEN;
			break;
		case IPPROTO_HOPOPTS:
		case IPPROTO_ROUTING:
		case IPPROTO_DSTOPTS:
			if (at + 2 > len)
				return false;
			next = ip[at];
			at += (ip[at + 1] + 1U) * 8;
			break;
		default:
			return at <= len;
		}
	}
	return false;
}

static uint32_t
answerable6(const uint8_t *ip, uint32_t len)
{
	const uint32_t total = IP6_HEADER + be16_load(ip + 4);

	if (total > len || !is_host6(ip + 8) || !is_host6(ip + 24))
		return 0;
	return is_answerable_chain(ip, total) ? total : 0;
}

/* The headers around @quoted bytes of the packet at @ip, of which @out has room before it. */
static void
headers4(uint8_t *out, const uint8_t *ip, uint32_t quoted, enum icmp_error error, uint32_t mtu)
{
	const uint32_t len = IP4_HEADER + ICMP_HEADER + quoted;
	uint8_t *icmp = out + IP4_HEADER;

	memset(out, 0, IP4_HEADER + ICMP_HEADER);
	out[0] = 0x45;
	out[1] = IP4_TOS;
	be16_store(out + 2, (uint16_t)len);
	be16_store(out + 6, IP4_DF);
	out[8] = TTL;
	out[9] = IPPROTO_ICMP;
	memcpy(out + 12, ip + 16, 4);
	memcpy(out + 16, ip + 12, 4);
	checksum_ipv4(out, IP4_HEADER);

	icmp[0] = words[error].type4;
	icmp[1] = words[error].code4;
	if (error == ICMP_TOO_LONG)
		be16_store(icmp + 6, (uint16_t)mtu);
	checksum_store(icmp + 2, checksum_add(icmp, ICMP_HEADER + quoted), false);
}

static void
headers6(uint8_t *out, const uint8_t *ip, uint32_t quoted, enum icmp_error error, uint32_t mtu)
{
	const uint32_t len = ICMP_HEADER + quoted;
	uint8_t *icmp = out + IP6_HEADER;

	memset(out, 0, IP6_HEADER + ICMP_HEADER);
	out[0] = 0x60;
	be16_store(out + 4, (uint16_t)len);
	out[6] = IPPROTO_ICMPV6;
	out[7] = TTL;
	memcpy(out + 8, ip + 24, 16);
	memcpy(out + 24, ip + 8, 16);

	icmp[0] = words[error].type6;
	icmp[1] = words[error].code6;
	if (error == ICMP_TOO_LONG)
		be32_store(icmp + 4, mtu);
	checksum_store(icmp + 2, checksum_pseudo(out, true, len, IPPROTO_ICMPV6) + checksum_add(icmp, len),
		       false);
}

/* A bucket that fills with time: what was paid for may be ahead of @now by a burst. */
static bool
limit_take(struct icmp_limit *limit, enum icmp_error error, nsec_t now)
{
	const nsec_t price = SECONDS(1) / ICMP_PER_SECOND;
	nsec_t *paid_until = &limit->paid_until[error];

	if (*paid_until < now)
		*paid_until = now;
	if (*paid_until + price > now + ICMP_BURST * price)
		return false;
	*paid_until += price;
	return true;
}

uint32_t
icmp_answer(struct icmp_limit *limit, const struct split *split, enum icmp_error error, uint32_t mtu,
	    nsec_t now, uint8_t out[ICMP_ROOM])
{
	const uint32_t header = (split->v6 ? IP6_HEADER : IP4_HEADER) + ICMP_HEADER;
	const uint32_t max = (split->v6 ? ICMP_IP6_MAX : ICMP_IP4_MAX) - header;
	uint8_t *ip = out + header;
	uint32_t len;

	split_segment(split, 0, ip);
	len = split->v6 ? answerable6(ip, split_len(split, 0)) : answerable4(ip, split_len(split, 0));
	if (len == 0 || !limit_take(limit, error, now))
		return 0;
	len = MIN(len, max);
	if (split->v6)
		headers6(out, ip, len, error, mtu);
	else
		headers4(out, ip, len, error, mtu);
	return header + len;
}
