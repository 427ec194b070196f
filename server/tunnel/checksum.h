/*
 * Internet checksums (RFC 1071).  Sums are of words in memory order, so that nothing is swapped: a
 * folded sum is stored with memcpy(), as it is.
 */
#ifndef SERVER_TUNNEL_CHECKSUM_H
#define SERVER_TUNNEL_CHECKSUM_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The sum over @len bytes (an odd last one is followed by a zero), to be added to others. */
uint64_t checksum_add(const void *p, size_t len);

/* The same, while copying. */
uint64_t checksum_copy(void *dst, const void *src, size_t len);

/* Chooses what this CPU does best.  To be called once, before threads; else the portable way is taken. */
void checksum_init(void);

/* For tests: back to the portable way. */
void checksum_portable(void);

/* 16 bits with end-around carry, not complemented. */
static inline uint16_t
checksum_fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + ((sum >> 16) & 0xffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* The pseudo-header of the packet at @ip for @len bytes of protocol @proto. */
static inline uint64_t
checksum_pseudo(const uint8_t *ip, bool v6, uint32_t len, uint8_t proto)
{
	uint64_t sum = (uint64_t)htonl(len) + htons(proto);
	uint32_t words[8];
	const unsigned n = v6 ? 8 : 2;

	memcpy(words, ip + (v6 ? 8 : 12), n * 4);
	for (unsigned i = 0; i < n; i++)
		sum += words[i];
	return sum;
}

/* The complement of @sum to @field; UDP's 0 means none, and becomes 0xffff. */
static inline void
checksum_store(uint8_t *field, uint64_t sum, bool udp)
{
	uint16_t v = (uint16_t)~checksum_fold(sum);

	if (udp && v == 0)
		v = 0xffff;
	memcpy(field, &v, sizeof(v));
}

/* The checksum of the IPv4 header of @ihl bytes at @ip, anew. */
static inline void
checksum_ipv4(uint8_t *ip, unsigned ihl)
{
	memset(ip + 10, 0, 2);
	checksum_store(ip + 10, checksum_add(ip, ihl), false);
}

#endif
