/*
 * A host's domains as the UAPI asks for them: a few, by name.
 */
#ifndef TESTS_UNIT_TUNNEL_DOMAINS_H
#define TESTS_UNIT_TUNNEL_DOMAINS_H

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "server/tunnel/uapi.h"

#define DOMAINS 8

struct domains {
	struct wg_device *device;
	const struct wg_effects *effects;
	struct {
		char name[UAPI_DOMAIN_MAX + 1];
		struct wg_domain *domain;
	} by_number[DOMAINS];
};

static struct wg_domain *
domain_find(void *ctx, const char *name)
{
	struct domains *domains = ctx;

	for (unsigned i = 0; i < DOMAINS; i++)
		if (domains->by_number[i].domain && strcmp(domains->by_number[i].name, name) == 0)
			return domains->by_number[i].domain;
	return NULL;
}

static int
domain_get(void *ctx, const char *name, struct wg_domain **ret)
{
	struct wg_domain *domain = domain_find(ctx, name);
	struct domains *domains = ctx;
	unsigned number;
	int r;

	if (domain) {
		*ret = domain;
		return 0;
	}
	r = wg_domain_add(domains->device, &domain);
	if (r < 0)
		return r;
	number = wg_domain_number(domain);
	if (number >= DOMAINS) {
		wg_domain_remove(domains->device, domain, domains->effects);
		return -ENOSPC;
	}
	domains->by_number[number].domain = domain;
	snprintf(domains->by_number[number].name, UAPI_DOMAIN_MAX + 1, "%s", name);
	*ret = domain;
	return 0;
}

static int
domain_remove(void *ctx, const char *name)
{
	struct wg_domain *domain = domain_find(ctx, name);
	struct domains *domains = ctx;

	if (domain) {
		domains->by_number[wg_domain_number(domain)].domain = NULL;
		wg_domain_remove(domains->device, domain, domains->effects);
	}
	return domain ? 0 : -ENOENT;
}

static struct wg_domain *
domain_at(void *ctx, unsigned number)
{
	return number < DOMAINS ? ((struct domains *)ctx)->by_number[number].domain : NULL;
}

static const char *
domain_name(void *ctx, const struct wg_domain *domain)
{
	return ((struct domains *)ctx)->by_number[wg_domain_number(domain)].name;
}

#endif
