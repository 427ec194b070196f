/*
 * Addresses and prefixes as values, network byte order inside, one type for both families.
 */
#ifndef BASE_IP_H
#define BASE_IP_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/cleanup.h"

/* @family is AF_INET (4 bytes of @addr count), AF_INET6 (16) or 0 for none. */
struct ip {
	uint8_t family;
	uint8_t addr[16];
};

/* Host bits of @ip are kept as given; cidr_mask() clears them. */
struct cidr {
	struct ip ip;
	uint8_t len; /* bits */
};

/* Address and UDP port; the port is in host byte order. */
struct endpoint {
	struct ip ip;
	uint16_t port;
	uint32_t scope; /* interface index of a link-local IPv6 address, else 0 */
};

#define IP_TEXT_LEN 46
#define CIDR_TEXT_LEN 50
#define ENDPOINT_TEXT_LEN 72

static inline unsigned
ip_bits(const struct ip *ip)
{
	return ip->family == AF_INET ? 32 : 128;
}

/* -EINVAL: not an address literal.  No names, no octal, nothing around it. */
int ip_parse(struct ip *ret, const char *text) _must_check_;
void ip_text(char out[IP_TEXT_LEN], const struct ip *ip);
bool ip_equal(const struct ip *a, const struct ip *b);

/* "10.0.0.0/8"; a bare address is a full-length prefix.  -EINVAL: anything else. */
int cidr_parse(struct cidr *ret, const char *text) _must_check_;
void cidr_text(char out[CIDR_TEXT_LEN], const struct cidr *cidr);
void cidr_mask(struct cidr *cidr);
bool cidr_contains(const struct cidr *cidr, const struct ip *ip);
bool cidr_overlaps(const struct cidr *a, const struct cidr *b);

/* The address at @offset from the start of @cidr.  -ERANGE: beyond its end. */
int cidr_nth(struct ip *ret, const struct cidr *cidr, uint64_t offset) _must_check_;

/* "192.0.2.1:51820", "[2001:db8::1]:51820".  -EINVAL: anything else, port 0 included. */
int endpoint_parse(struct endpoint *ret, const char *text) _must_check_;
void endpoint_text(char out[ENDPOINT_TEXT_LEN], const struct endpoint *endpoint);
bool endpoint_equal(const struct endpoint *a, const struct endpoint *b);

/* To and from the kernel's form.  Returns the length; an IPv4-mapped address becomes IPv4. */
socklen_t endpoint_to_sockaddr(struct sockaddr_storage *ret, const struct endpoint *endpoint);
int endpoint_from_sockaddr(struct endpoint *ret, const struct sockaddr *sa) _must_check_;

#endif
