/*
 * Packets for tests, made and checked byte by byte: slow, plain, and nothing of the code under test in
 * it.
 */
#ifndef TESTS_UNIT_TUNNEL_PACKETS_H
#define TESTS_UNIT_TUNNEL_PACKETS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PROTO_TCP 6
#define PROTO_UDP 17

#define FIN 0x01
#define SYN 0x02
#define RST 0x04
#define PSH 0x08
#define ACK 0x10
#define URG 0x20
#define ECE 0x40
#define CWR 0x80

struct pkt {
	uint32_t len;
	uint8_t b[65600];
};

/* What a packet is made of. */
struct pkt_spec {
	bool v6, udp;
	uint8_t tos, ttl, flags;
	bool df;
	uint16_t id, sport, dport, window;
	uint8_t host; /* last byte of the source address */
	uint32_t seq, ack;
	unsigned options; /* bytes of TCP options, a multiple of 4 */
	uint32_t payload;
	uint8_t fill; /* first byte of the payload, which counts up */
};

static inline void
put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void
put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v & 0xffff);
}

static inline unsigned
get16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

/* RFC 1071, two bytes at a time. */
static inline uint32_t
naive_sum(const uint8_t *p, size_t len, uint32_t sum)
{
	for (size_t i = 0; i < len; i++)
		sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static inline uint32_t
naive_pseudo(const uint8_t *ip, uint32_t l4_len)
{
	const bool v6 = ip[0] >> 4 == 6;

	return naive_sum(ip + (v6 ? 8 : 12), v6 ? 32 : 8,
			 l4_len / 65536 + l4_len % 65536 + (v6 ? ip[6] : ip[9]));
}

/* Lengths and checksums as a sender without offloads would set them. */
static inline void
pkt_finish(struct pkt *pkt)
{
	const bool v6 = pkt->b[0] >> 4 == 6, udp = (v6 ? pkt->b[6] : pkt->b[9]) == PROTO_UDP;
	const uint32_t l4 = v6 ? 40 : (pkt->b[0] & 15U) * 4, at = l4 + (udp ? 6 : 16);
	uint32_t sum;

	if (v6) {
		put16(pkt->b + 4, pkt->len - 40);
	} else {
		put16(pkt->b + 2, pkt->len);
		put16(pkt->b + 10, 0);
		put16(pkt->b + 10, ~naive_sum(pkt->b, l4, 0) & 0xffff);
	}
	if (udp)
		put16(pkt->b + l4 + 4, pkt->len - l4);
	put16(pkt->b + at, 0);
	sum = ~naive_sum(pkt->b + l4, pkt->len - l4, naive_pseudo(pkt->b, pkt->len - l4)) & 0xffff;
	put16(pkt->b + at, udp && sum == 0 ? 0xffff : sum);
}

static inline void
pkt_make(struct pkt *pkt, const struct pkt_spec *spec)
{
	const uint32_t l4 = spec->v6 ? 40 : 20, head = l4 + (spec->udp ? 8 : 20 + spec->options);
	uint8_t *b = pkt->b;

	memset(b, 0, head);
	pkt->len = head + spec->payload;
	if (spec->v6) {
		put32(b, 6U << 28 | (uint32_t)spec->tos << 20 | 0x12345);
		b[6] = spec->udp ? PROTO_UDP : PROTO_TCP;
		b[7] = spec->ttl;
		memcpy(b + 8, "\xfd\x09\0\0\0\0\0\0\0\0\0\0\0\0\0\1\xfd\x09\0\0\0\0\0\0\0\0\0\0\0\0\0\2", 32);
		b[23] = spec->host;
	} else {
		b[0] = 0x45;
		b[1] = spec->tos;
		put16(b + 4, spec->id);
		b[6] = spec->df ? 0x40 : 0;
		b[8] = spec->ttl;
		b[9] = spec->udp ? PROTO_UDP : PROTO_TCP;
		memcpy(b + 12, "\x0a\x09\0\1\x0a\x09\0\2", 8);
		b[15] = spec->host;
	}
	put16(b + l4, spec->sport);
	put16(b + l4 + 2, spec->dport);
	if (!spec->udp) {
		put32(b + l4 + 4, spec->seq);
		put32(b + l4 + 8, spec->ack);
		b[l4 + 12] = (uint8_t)((20 + spec->options) / 4 << 4);
		b[l4 + 13] = spec->flags;
		put16(b + l4 + 14, spec->window);
		memset(b + l4 + 20, 1, spec->options); /* NOP */
	}
	for (uint32_t i = 0; i < spec->payload; i++)
		b[head + i] = (uint8_t)(spec->fill + i * 7);
	pkt_finish(pkt);
}

/* A seed of its own for each run, printed so that a failure can be had again: WARREN_SEED. */
static uint64_t rnd_state;

static inline void
rnd_begin(void)
{
	const char *seed = getenv("WARREN_SEED");

	rnd_state = seed ? strtoull(seed, NULL, 0) : (uint64_t)time(NULL) * 0x9e3779b97f4a7c15ULL;
	rnd_state |= 1;
	print_message("# WARREN_SEED=%#llx\n", (unsigned long long)rnd_state);
}

static inline uint32_t
rnd(uint32_t below)
{
	rnd_state ^= rnd_state << 13;
	rnd_state ^= rnd_state >> 7;
	rnd_state ^= rnd_state << 17;
	return (uint32_t)(rnd_state >> 32) % below;
}

static inline void
rnd_fill(uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)rnd(256);
}

#endif
