#include "server/clash.h"

#include <errno.h>
#include <string.h>

#include "base/errors.h"
#include "base/log.h"
#include "server/net/host.h"

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

bool
clash_find(const struct cidr *pool, char words[CLASH_LEN])
{
	_cleanup_(freep) struct host_networks *networks = calloc(1, sizeof(*networks));
	const int r = networks ? host_networks(networks) : -ENOMEM;
	char ours[CIDR_TEXT_LEN], theirs[CIDR_TEXT_LEN], other[CIDR_TEXT_LEN] = "";
	const struct host_network *clash;
	struct cidr alternative;

	if (r < 0) {
		log_error("this host's networks are not known, so the pool is not compared with them: %s",
			  error_words(r));
		return false;
	}
	clash = host_networks_clash(networks, pool);
	if (!clash)
		return false;
	cidr_text(ours, pool);
	cidr_text(theirs, &clash->cidr);
	if (pool_alternative(networks, pool, &alternative))
		cidr_text(other, &alternative);
	snprintf(words, CLASH_LEN, "WARREN_POOL: %s overlaps %s, which this host reaches over %s; %s%s", ours,
		 theirs, *clash->ifname ? clash->ifname : "no interface (a blackhole route)",
		 *other ? "free is WARREN_POOL=" : "choose a pool that this host does not use", other);
	return true;
}
