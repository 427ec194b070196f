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

static bool
is_pools(const struct wanted *wanted, const struct cidr *network)
{
	for (size_t d = 0; d < wanted->n_domains; d++)
		for (size_t i = 0; i < wanted->domains[d].n_pools; i++)
			if (cidr_overlaps(&wanted->domains[d].pools[i], network))
				return true;
	return false;
}

static bool
is_of_a_pools_family(const struct wanted_domain *domain, const struct cidr *network)
{
	for (size_t i = 0; i < domain->n_pools; i++)
		if (domain->pools[i].ip.family == network->ip.family)
			return true;
	return false;
}

/* NULL: nothing keeps it from being behind a peer. */
static const char *
unfit(const struct wanted *wanted, const struct config *config, const struct wanted_domain *domain,
      const struct cidr *network)
{
	if (is_pools(wanted, network))
		return "overlaps a pool";
	if (!is_of_a_pools_family(domain, network))
		return "is of a family that no pool is of";
	if (is_nobodys(network))
		return "holds addresses that no host can have";
	return is_uplinks(config, network) ? "is the uplink's own network" : NULL;
}

/* A peer's own address, which its pool leads to. */
static bool
is_address(const struct wanted_domain *domain, const struct cidr *cidr)
{
	for (size_t i = 0; cidr->len == ip_bits(&cidr->ip) && i < domain->n_pools; i++)
		if (cidr_contains(&domain->pools[i], &cidr->ip))
			return true;
	return false;
}

static int
cidr_compare(const struct cidr *x, const struct cidr *y)
{
	int order;

	if (x->ip.family != y->ip.family)
		return x->ip.family < y->ip.family ? -1 : 1;
	order = memcmp(x->ip.addr, y->ip.addr, sizeof(x->ip.addr));
	return order ? order : (x->len > y->len) - (x->len < y->len);
}

/* By address, so that what overlaps lies side by side; of equal ones the first domain's comes first. */
static int
network_compare(const void *a, const void *b)
{
	const struct network_behind *x = a, *y = b;
	const int order = cidr_compare(&x->cidr, &y->cidr);

	return order ? order : (x->domain > y->domain) - (x->domain < y->domain);
}

static int
domain_compare(const void *a, const void *b)
{
	const struct network_behind *x = a, *y = b;

	if (x->domain != y->domain)
		return x->domain < y->domain ? -1 : 1;
	return cidr_compare(&x->cidr, &y->cidr);
}

static void
unfit_add(struct networks *networks, const struct cidr *cidr, const char *why)
{
	if (networks->n_unfit++ == 0 || cidr_compare(cidr, &networks->unfit) < 0) {
		networks->unfit = *cidr;
		networks->why = why;
	}
}

/* So sorted, a network comes right behind the widest that it is within, or behind others in that one. */
static void
networks_tidy(struct networks *networks)
{
	size_t kept = 0;

	if (networks->n)
		qsort(networks->v, networks->n, sizeof(*networks->v), network_compare);
	for (size_t i = 0; i < networks->n; i++) {
		const struct network_behind *network = &networks->v[i];
		const struct network_behind *last = kept ? &networks->v[kept - 1] : NULL;

		if (!last || !cidr_overlaps(&last->cidr, &network->cidr))
			networks->v[kept++] = *network;
		else if (last->domain != network->domain)
			unfit_add(networks, &network->cidr, "is behind another tenant's peer too");
	}
	networks->n = kept;
	if (kept)
		qsort(networks->v, kept, sizeof(*networks->v), domain_compare);
}

static void
networks_take(struct networks *networks, const struct wanted *wanted, const struct config *config,
	      const struct wanted_domain *domain, const struct cidr *route)
{
	const char *why = unfit(wanted, config, domain, route);

	if (why)
		unfit_add(networks, route, why);
	else
		networks->v[networks->n++] =
			(struct network_behind){(size_t)(domain - wanted->domains), *route};
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
		const struct wanted_domain *domain = wanted_domain(wanted, wanted->v[i].tenant);

		for (size_t k = 0; domain && access->state == ACCESS_ACTIVE && k < access->allowed.n; k++)
			if (!is_address(domain, &access->allowed.v[k]))
				networks_take(ret, wanted, config, domain, &access->allowed.v[k]);
	}
	networks_tidy(ret);
	return 0;
}

void
networks_done(struct networks *networks)
{
	free(networks->v);
}
