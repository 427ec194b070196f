/* Operations on allowed IPs, and what a list searched from end to end says after each. */
#include "server/wg/allowedips.h"

#include <errno.h>
#include <stdio.h>

#include "tests/fuzz/wg/input.h"

#define PEERS  8
#define ROUTES 64

struct route {
	struct cidr cidr;
	uint32_t peer;
};

static void
prefix_take(struct input *in, struct cidr *cidr)
{
	const uint8_t choice = input_byte(in);

	memset(cidr, 0, sizeof(*cidr));
	cidr->ip.family = choice & 1 ? AF_INET6 : AF_INET;
	/* Few different bytes, so that prefixes nest. */
	for (unsigned i = 0; i < 4; i++)
		cidr->ip.addr[choice & 2 ? i : (i * 5) % (ip_bits(&cidr->ip) / 8)] = input_byte(in);
	cidr->len = input_byte(in);
	if (choice & 4)
		cidr->len = (uint8_t)(cidr->len % (ip_bits(&cidr->ip) + 1));
}

static struct route *
route_find(struct route *routes, unsigned n, const struct cidr *cidr)
{
	for (unsigned i = 0; i < n; i++)
		if (routes[i].cidr.len == cidr->len && ip_equal(&routes[i].cidr.ip, &cidr->ip))
			return &routes[i];
	return NULL;
}

static void
ask(const struct allowedips *table, const struct route *routes, unsigned n, const struct ip *ip)
{
	const struct wg_peer_id got = ip->family == AF_INET ? allowedips_lookup4(table, ip->addr)
							    : allowedips_lookup6(table, ip->addr);
	uint32_t expected = 0;
	int best = -1;

	for (unsigned i = 0; i < n; i++)
		if (routes[i].cidr.len > best && cidr_contains(&routes[i].cidr, ip)) {
			best = routes[i].cidr.len;
			expected = routes[i].peer + 1;
		}
	check(got.serial == expected);
	check(!expected || got.number == expected - 1);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	struct allowedips_list lists[PEERS] = {0};
	struct route routes[ROUTES];
	struct allowedips_pool *pool;
	struct allowedips *table;
	unsigned n = 0, listed = 0;

	check(allowedips_pool_new(ROUTES, &pool) == 0 && allowedips_new(pool, &table) == 0);
	while (in.left) {
		const uint8_t choice = input_byte(&in);
		const uint32_t peer = choice >> 5;
		const struct wg_peer_id id = {.number = peer, .serial = peer + 1};
		struct route *route;
		struct cidr cidr;
		bool valid;
		int r;

		prefix_take(&in, &cidr);
		valid = cidr.len <= ip_bits(&cidr.ip);
		if (valid)
			cidr_mask(&cidr);
		route = valid ? route_find(routes, n, &cidr) : NULL;
		switch (choice & 7) {
		default:
			r = allowedips_insert(table, &cidr, id, &lists[peer]);
			if (!valid) {
				check(r == -EINVAL);
			} else if (!route && n == ROUTES) {
				check(r == -ENOSPC);
			} else {
				check(r == 0);
				if (!route)
					route = &routes[n++];
				*route = (struct route){.cidr = cidr, .peer = peer};
			}
			break;
		case 1:
			r = allowedips_remove(table, &cidr, &lists[peer]);
			if (route && route->peer == peer) {
				check(r == 0);
				*route = routes[--n];
			} else {
				check(r < 0);
			}
			break;
		case 2:
			allowedips_remove_all(table, &lists[peer]);
			for (unsigned i = n; i-- > 0;)
				if (routes[i].peer == peer)
					routes[i] = routes[--n];
			break;
		case 3:
			allowedips_reclaim(pool, allowedips_epoch(pool));
			break;
		}
		if (valid)
			ask(table, routes, n, &cidr.ip);
		for (unsigned i = 0; i < n; i++)
			ask(table, routes, n, &routes[i].cidr.ip);
	}
	for (unsigned i = 0; i < PEERS; i++)
		for (const struct allowedips_node *node = NULL; (node = allowedips_next(&lists[i], node));) {
			struct cidr cidr;
			const struct route *route;

			allowedips_cidr(node, &cidr);
			route = route_find(routes, n, &cidr);
			check(route && route->peer == i);
			listed++;
		}
	check(listed == n);
	allowedips_free(table);
	allowedips_pool_free(pool);
	return 0;
}
