/*
 * What is told to the inside when a packet cannot go out: ICMP and ICMPv6 errors (RFC 792, 1191, 1812; 4443).
 * Pure: packets in, a packet out, time as an argument.
 *
 * The error is written to the TUN device that the packet was read from.  Its source is the packet's
 * destination: an address of the gateway's own would be refused by the kernel, for it cannot come in from
 * outside, and the destination passes a strict reverse path filter, for it is routed to the device.
 */
#ifndef SERVER_TUNNEL_ICMP_H
#define SERVER_TUNNEL_ICMP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "server/tunnel/split.h"
#include "server/wg/drops.h"

#define ICMP_ERRORS(X)                                                                                       \
	X(UNREACHABLE, "nobody is there, or it is not known where")                                          \
	X(PROHIBITED, "there is somebody, but it is not let through")                                        \
	X(TOO_LONG, "longer than the way to the peer carries")

enum icmp_error {
#define X(name, words) ICMP_##name,
	ICMP_ERRORS(X)
#undef X
		ICMP_ERROR_COUNT
};

#define ICMP_IP4_MAX 576  /* RFC 1812, 4.3.2.3: an error is no longer than that */
#define ICMP_IP6_MAX 1280 /* RFC 4443, 2.4 (c) */
#define ICMP_HEADERS 48   /* at most, before what is quoted */

/* Room to make an error in: a whole first segment behind the headers. */
#define ICMP_ROOM (ICMP_HEADERS + SPLIT_PACKET_MAX)

/* What a worker sends at most, of each kind apart: a flood to nowhere must not hide a path MTU. */
#define ICMP_BURST      50
#define ICMP_PER_SECOND 1000

/* Zeroes are a full bucket. */
struct icmp_limit {
	nsec_t paid_until[ICMP_ERROR_COUNT]; /* in virtual time: each error costs 1 / ICMP_PER_SECOND */
};

/* The error for a packet that path_seal() or the allowed IPs refused.  False: nothing is said of that. */
bool icmp_of_drop(enum wg_drop drop, enum icmp_error *ret);

/*
 * Whether a packet of the inside is too long for @mtu (0: none) and must be answered by ICMP_TOO_LONG.  IPv4
 * without DF is let through: then it is the datagram around it that the network cuts.
 */
bool icmp_too_long(const struct split *split, uint32_t mtu);

/*
 * Makes in @out the one error for all of @split.  @mtu is for ICMP_TOO_LONG, at least 1280 for IPv6.  Returns
 * its length; 0: nothing is to be said, because it must not (an error answered by an error, a later fragment,
 * an address that is nobody's own) or because enough was said.
 */
uint32_t icmp_answer(struct icmp_limit *limit, const struct split *split, enum icmp_error error, uint32_t mtu,
		     nsec_t now, uint8_t out[ICMP_ROOM]);

#endif
