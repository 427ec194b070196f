#include "base/ip.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Digits only, no sign, no space, at most @max.  -EINVAL otherwise. */
static int
number_parse(unsigned long *ret, const char *text, unsigned long max)
{
	const size_t len = strspn(text, "0123456789");
	unsigned long v;

	if (len == 0 || len > 9 || text[len] != '\0')
		return -EINVAL;
	v = strtoul(text, NULL, 10);
	if (v > max)
		return -EINVAL;
	*ret = v;
	return 0;
}

int
ip_parse(struct ip *ret, const char *text)
{
	struct ip ip = {0};

	if (inet_pton(AF_INET, text, ip.addr) == 1)
		ip.family = AF_INET;
	else if (inet_pton(AF_INET6, text, ip.addr) == 1)
		ip.family = AF_INET6;
	else
		return -EINVAL;
	*ret = ip;
	return 0;
}

void
ip_text(char out[IP_TEXT_LEN], const struct ip *ip)
{
	if (ip->family == 0 || !inet_ntop(ip->family, ip->addr, out, IP_TEXT_LEN))
		snprintf(out, IP_TEXT_LEN, "(none)");
}

bool
ip_equal(const struct ip *a, const struct ip *b)
{
	return a->family == b->family && memcmp(a->addr, b->addr, ip_bits(a) / 8) == 0;
}

int
cidr_parse(struct cidr *ret, const char *text)
{
	char address[IP_TEXT_LEN];
	const char *slash = strchr(text, '/');
	const size_t len = slash ? (size_t)(slash - text) : strlen(text);
	unsigned long bits;
	struct cidr cidr = {0};

	if (len >= sizeof(address))
		return -EINVAL;
	memcpy(address, text, len);
	address[len] = '\0';
	if (ip_parse(&cidr.ip, address) < 0)
		return -EINVAL;
	bits = ip_bits(&cidr.ip);
	if (slash && number_parse(&bits, slash + 1, bits) < 0)
		return -EINVAL;
	cidr.len = (uint8_t)bits;
	*ret = cidr;
	return 0;
}

void
cidr_text(char out[CIDR_TEXT_LEN], const struct cidr *cidr)
{
	char address[IP_TEXT_LEN];

	ip_text(address, &cidr->ip);
	snprintf(out, CIDR_TEXT_LEN, "%s/%u", address, cidr->len);
}

void
cidr_mask(struct cidr *cidr)
{
	const unsigned bits = ip_bits(&cidr->ip);

	for (unsigned i = cidr->len; i < bits; i++)
		cidr->ip.addr[i / 8] &= (uint8_t)~(0x80U >> (i % 8));
}

/* Whether the first @len bits are the same. */
static bool
bits_equal(const uint8_t *a, const uint8_t *b, unsigned len)
{
	const unsigned rest = len % 8;

	if (memcmp(a, b, len / 8) != 0)
		return false;
	return rest == 0 || ((a[len / 8] ^ b[len / 8]) >> (8 - rest)) == 0;
}

bool
cidr_contains(const struct cidr *cidr, const struct ip *ip)
{
	return cidr->ip.family == ip->family && bits_equal(cidr->ip.addr, ip->addr, cidr->len);
}

bool
cidr_overlaps(const struct cidr *a, const struct cidr *b)
{
	return a->ip.family == b->ip.family && bits_equal(a->ip.addr, b->ip.addr, MIN(a->len, b->len));
}

int
cidr_nth(struct ip *ret, const struct cidr *cidr, uint64_t offset)
{
	struct cidr at = *cidr;
	const unsigned host = ip_bits(&cidr->ip) - cidr->len;

	if (host < 64 && offset >> host)
		return -ERANGE;
	cidr_mask(&at);
	for (unsigned i = ip_bits(&cidr->ip) / 8; i-- > 0 && offset; offset >>= 8)
		at.ip.addr[i] |= (uint8_t)offset;
	*ret = at.ip;
	return 0;
}

int
endpoint_parse(struct endpoint *ret, const char *text)
{
	char address[IP_TEXT_LEN];
	const char *start = text, *end, *port;
	unsigned long number;
	struct endpoint endpoint = {0};

	if (*text == '[') {
		start = text + 1;
		end = strchr(start, ']');
		if (!end || end[1] != ':')
			return -EINVAL;
		port = end + 2;
	} else {
		end = strrchr(text, ':');
		if (!end)
			return -EINVAL;
		port = end + 1;
	}
	if ((size_t)(end - start) >= sizeof(address))
		return -EINVAL;
	memcpy(address, start, (size_t)(end - start));
	address[end - start] = '\0';
	if (ip_parse(&endpoint.ip, address) < 0 || (endpoint.ip.family == AF_INET6) != (*text == '['))
		return -EINVAL;
	if (number_parse(&number, port, UINT16_MAX) < 0 || number == 0)
		return -EINVAL;
	endpoint.port = (uint16_t)number;
	*ret = endpoint;
	return 0;
}

void
endpoint_text(char out[ENDPOINT_TEXT_LEN], const struct endpoint *endpoint)
{
	char address[IP_TEXT_LEN];

	ip_text(address, &endpoint->ip);
	snprintf(out, ENDPOINT_TEXT_LEN, endpoint->ip.family == AF_INET6 ? "[%s]:%u" : "%s:%u",
		 address, endpoint->port);
}

bool
endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
	return a->port == b->port && a->scope == b->scope && ip_equal(&a->ip, &b->ip);
}

socklen_t
endpoint_to_sockaddr(struct sockaddr_storage *ret, const struct endpoint *endpoint)
{
	memset(ret, 0, sizeof(*ret));
	if (endpoint->ip.family == AF_INET) {
		struct sockaddr_in *sin = (struct sockaddr_in *)ret;

		sin->sin_family = AF_INET;
		sin->sin_port = htons(endpoint->port);
		memcpy(&sin->sin_addr, endpoint->ip.addr, 4);
		return sizeof(*sin);
	}
	struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)ret;

	sin6->sin6_family = AF_INET6;
	sin6->sin6_port = htons(endpoint->port);
	sin6->sin6_scope_id = endpoint->scope;
	memcpy(&sin6->sin6_addr, endpoint->ip.addr, 16);
	return sizeof(*sin6);
}

int
endpoint_from_sockaddr(struct endpoint *ret, const struct sockaddr *sa)
{
	struct endpoint endpoint = {0};

	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *sin = (const struct sockaddr_in *)sa;

		endpoint.ip.family = AF_INET;
		memcpy(endpoint.ip.addr, &sin->sin_addr, 4);
		endpoint.port = ntohs(sin->sin_port);
	} else if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *sin6 = (const struct sockaddr_in6 *)sa;

		if (IN6_IS_ADDR_V4MAPPED(&sin6->sin6_addr)) {
			endpoint.ip.family = AF_INET;
			memcpy(endpoint.ip.addr, sin6->sin6_addr.s6_addr + 12, 4);
		} else {
			endpoint.ip.family = AF_INET6;
			memcpy(endpoint.ip.addr, &sin6->sin6_addr, 16);
			endpoint.scope = IN6_IS_ADDR_LINKLOCAL(&sin6->sin6_addr) ? sin6->sin6_scope_id : 0;
		}
		endpoint.port = ntohs(sin6->sin6_port);
	} else {
		return -EAFNOSUPPORT;
	}
	*ret = endpoint;
	return 0;
}
