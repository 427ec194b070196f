#include "server/reach.h"

#include <errno.h>
#include <string.h>

#include "base/errors.h"
#include "base/log.h"
#include "server/net/host.h"

bool
reach_is_private(const struct ip *ip)
{
	static const char *const prefixes[] = {"10.0.0.0/8",    "172.16.0.0/12",  "192.168.0.0/16",
					       "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8",
					       "fc00::/7",      "fe80::/10",      "::1/128"};

	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
		struct cidr cidr;

		if (cidr_parse(&cidr, prefixes[i]) == 0 && cidr_contains(&cidr, ip))
			return true;
	}
	return false;
}

/* A prefix of the size of @pool, of the private ranges, that meets no network of the host's. */
static bool
pool_alternative(const struct host_networks *networks, const struct cidr *pool, struct cidr *ret)
{
	static const char *const ranges[] = {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"};

	for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
		struct cidr range;

		if (cidr_parse(&range, ranges[i]) < 0 || pool->len < range.len)
			continue;
		for (uint64_t n = 0; n < 1ULL << MIN(pool->len - range.len, 8); n++) {
			/* at /16 steps at the least: 10.83.0.0/16 after 10.82.0.0/16, then round to 10.0.0.0
			 */
			const unsigned step = MAX(32U - pool->len, 32U - range.len - 8);
			const uint64_t at = i == 0 && pool->len >= 16 ? (n + 83) % 256 : n;

			*ret = (struct cidr){.len = pool->len};
			if (cidr_nth(&ret->ip, &range, at << step) == 0 &&
			    !host_networks_clash(networks, ret))
				return true;
		}
	}
	return false;
}

static void
pool_check(struct reach *ret, const struct host_networks *networks, const struct cidr *pool)
{
	const struct host_network *clash = host_networks_clash(networks, pool);
	char ours[CIDR_TEXT_LEN], theirs[CIDR_TEXT_LEN], other[CIDR_TEXT_LEN] = "";
	struct cidr alternative;

	if (!clash)
		return;
	cidr_text(ours, pool);
	cidr_text(theirs, &clash->cidr);
	if (pool_alternative(networks, pool, &alternative))
		cidr_text(other, &alternative);
	snprintf(ret->pool_clash, sizeof(ret->pool_clash),
		 "WARREN_POOL: %s overlaps %s, which this host has on %s; %s%s", ours, theirs,
		 *clash->ifname ? clash->ifname : "a blackhole route",
		 *other ? "free is " : "choose another one", other);
}

static void
endpoint_find(struct reach *ret, const struct host_networks *networks, uint16_t port)
{
	struct endpoint endpoint = {.ip = networks->source4.family ? networks->source4 : networks->source6,
				    .port = port};
	char text[ENDPOINT_TEXT_LEN];

	if (!endpoint.ip.family)
		return;
	endpoint_text(text, &endpoint);
	snprintf(ret->endpoint, sizeof(ret->endpoint), "%s", text);
	ret->guessed = true;
	ret->private_address = reach_is_private(&endpoint.ip);
}

static void
endpoint_take(struct reach *ret, const char *configured)
{
	struct endpoint endpoint;

	snprintf(ret->endpoint, sizeof(ret->endpoint), "%s", configured);
	ret->private_address = endpoint_parse(&endpoint, configured) == 0 && reach_is_private(&endpoint.ip);
}

void
reach_find(struct reach *ret, const struct config *config)
{
	_cleanup_(freep) struct host_networks *networks = calloc(1, sizeof(*networks));
	int r = networks ? host_networks(networks) : -ENOMEM;

	memset(ret, 0, sizeof(*ret));
	if (*config->endpoint)
		endpoint_take(ret, config->endpoint);
	if (r < 0) {
		log_error("this host's networks are not known: %s", error_words(r));
		return;
	}
	if (!*config->endpoint)
		endpoint_find(ret, networks, config->listen_port);
	pool_check(ret, networks, &config->pool);
}
