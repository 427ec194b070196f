#include "server/control/networks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* No host can have such addresses, or not beyond its own link. */
static bool
is_nobodys(const struct cidr *network)
{
	static const struct cidr nobodys[] = {
		{.ip = {AF_INET, {0}}, .len = 8},         {.ip = {AF_INET, {127}}, .len = 8},
		{.ip = {AF_INET, {169, 254}}, .len = 16}, {.ip = {AF_INET, {224}}, .len = 3},
		{.ip = {AF_INET6, {0}}, .len = 8},        {.ip = {AF_INET6, {0xfe, 0x80}}, .len = 10},
		{.ip = {AF_INET6, {0xff}}, .len = 8},
	};

	for (size_t i = 0; i < ARRAY_LEN(nobodys); i++)
		if (cidr_overlaps(&nobodys[i], network))
			return true;
	return false;
}

static bool
is_uplinks(const struct config *config, const struct cidr *network)
{
	if (strcmp(config->uplink, "pasta") == 0)
		return false; /* it brings its own, and net knows them */
	for (size_t i = 0; i < config->uplink_address.n; i++)
		if (cidr_overlaps(&config->uplink_address.v[i], network))
			return true;
	for (size_t i = 0; i < config->uplink_gateway.n; i++)
		if (cidr_contains(network, &config->uplink_gateway.v[i]))
			return true;
	return false;
}

/* NULL: nothing keeps it from being behind a peer. */
static const char *
unfit(const struct wanted *wanted, const struct config *config, const struct cidr *network)
{
	bool of_a_pools_family = false;

	for (size_t i = 0; i < wanted->n_pools; i++) {
		if (cidr_overlaps(&wanted->pools[i], network))
			return "overlaps a pool";
		of_a_pools_family |= wanted->pools[i].ip.family == network->ip.family;
	}
	if (!of_a_pools_family)
		return "is of a family that no pool is of";
	if (is_nobodys(network))
		return "holds addresses that no host can have";
	return is_uplinks(config, network) ? "is the uplink's own network" : NULL;
}

/* A peer's own address, which its pool leads to. */
static bool
is_address(const struct wanted *wanted, const struct cidr *cidr)
{
	for (size_t i = 0; cidr->len == ip_bits(&cidr->ip) && i < wanted->n_pools; i++)
		if (cidr_contains(&wanted->pools[i], &cidr->ip))
			return true;
	return false;
}

static int
network_compare(const void *a, const void *b)
{
	const struct cidr *x = a, *y = b;
	int order;

	if (x->ip.family != y->ip.family)
		return x->ip.family < y->ip.family ? -1 : 1;
	order = memcmp(x->ip.addr, y->ip.addr, sizeof(x->ip.addr));
	return order ? order : (x->len > y->len) - (x->len < y->len);
}

/* So sorted, a network comes right behind the widest that it is within, or behind others in that one. */
static void
networks_tidy(struct networks *networks)
{
	size_t kept = 0;

	if (networks->n)
		qsort(networks->v, networks->n, sizeof(*networks->v), network_compare);
	for (size_t i = 0; i < networks->n; i++)
		if (kept == 0 || !cidr_overlaps(&networks->v[kept - 1], &networks->v[i]))
			networks->v[kept++] = networks->v[i];
	networks->n = kept;
}

static void
networks_take(struct networks *networks, const struct wanted *wanted, const struct config *config,
	      const struct cidr *route)
{
	const char *why = unfit(wanted, config, route);

	if (!why) {
		networks->v[networks->n++] = *route;
		return;
	}
	if (networks->n_unfit++ == 0 || network_compare(route, &networks->unfit) < 0) {
		networks->unfit = *route;
		networks->why = why;
	}
}

int
networks_of(struct networks *ret, const struct wanted *wanted, const struct config *config)
{
	size_t most = 0;

	*ret = (struct networks){0};
	for (size_t i = 0; i < wanted->n; i++)
		most += wanted->v[i].access.state == ACCESS_ACTIVE ? wanted->v[i].access.allowed.n : 0;
	ret->v = calloc(most + 1, sizeof(*ret->v));
	if (!ret->v)
		return -ENOMEM;
	for (size_t i = 0; i < wanted->n; i++) {
		const struct access *access = &wanted->v[i].access;

		for (size_t k = 0; access->state == ACCESS_ACTIVE && k < access->allowed.n; k++)
			if (!is_address(wanted, &access->allowed.v[k]))
				networks_take(ret, wanted, config, &access->allowed.v[k]);
	}
	networks_tidy(ret);
	return 0;
}

void
networks_done(struct networks *networks)
{
	free(networks->v);
}
