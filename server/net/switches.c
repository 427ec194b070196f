#include "server/net/switches.h"

#include <string.h>

#include "base/errors.h"
#include "base/log.h"
#include "server/net/devices.h"

/* As sysctl(8) writes it. */
static void
in_words(char out[128], const char *path)
{
	snprintf(out, 128, "%s", path);
	for (; *out; out++)
		if (*out == '/')
			*out = '.';
}

/* @problems NULL: it is as well without. */
static void
switch_set(struct net_problems *problems, const char *path, int value)
{
	const int r = sysctl_set(path, value);
	char name[128];

	in_words(name, path);
	if (r > 0)
		log_info("%s: %d", name, value);
	else if (r < 0 && problems)
		net_problem_add(problems, NET_PROBLEM_SYSCTL, "%s cannot be set to %d: %s", name, value,
				error_words(r));
	else if (r < 0)
		log_debug("%s stays: %s", name, error_words(r));
}

static const char *
path_of(char out[96], const char *family, const char *ifname, const char *name)
{
	snprintf(out, 96, "net/%s/conf/%s/%s", family, ifname, name);
	return out;
}

static bool
plan_has(const struct net_plan *plan, uint8_t family)
{
	for (size_t i = 0; i < plan->n_domains; i++)
		if (net_addresses_have(&plan->domains[i].addresses, family))
			return true;
	return false;
}

/* No peer is told to send to another by itself: between them is the tunnel only. */
static void
domain_switches(const struct net_domain *domain, struct net_problems *problems)
{
	char path[96];

	switch_set(NULL, path_of(path, "ipv4", domain->ifname, "send_redirects"), 0);
	if (net_addresses_have(&domain->addresses, AF_INET6))
		switch_set(problems, path_of(path, "ipv6", domain->ifname, "disable_ipv6"), 0);
}

static bool
uplink_names_inet6(const struct net_uplink *uplink)
{
	for (size_t i = 0; i < uplink->n_gateways; i++)
		if (uplink->gateways[i].family == AF_INET6)
			return true;
	return net_addresses_have(&uplink->addresses, AF_INET6);
}

/*
 * Router advertisements on a moved-in uplink.  What the plan names, they do not add to (0).  What it leaves
 * to the network they go on to bring when this becomes a router (2), if they did before (1).  Pasta sets its
 * link itself.
 */
static void
uplink_switches(const struct net_plan *plan, const struct net_link *link, struct net_problems *problems)
{
	char path[96];
	int is;

	path_of(path, "ipv6", link->ifname, "accept_ra");
	if (plan->uplink.kind != NET_UPLINK_INTERFACE || !link->inet6 || sysctl_get(path, &is) < 0)
		return;
	if (uplink_names_inet6(&plan->uplink))
		switch_set(problems, path, 0);
	else if (is == 1)
		switch_set(problems, path, 2);
}

void
switches_links(const struct net_plan *plan, const struct present *present, struct net_problems *problems)
{
	const struct net_link *uplink = present_uplink(present, plan);

	switch_set(NULL, "net/ipv4/conf/all/send_redirects", 0);
	for (size_t i = 0; i < plan->n_domains; i++) {
		const struct net_link *link = present_link(present, plan->domains[i].ifname);

		if (link && net_link_is_tun(link))
			domain_switches(&plan->domains[i], problems);
	}
	if (uplink && plan_has(plan, AF_INET6))
		uplink_switches(plan, uplink, problems);
}

/* Never switched off again: what may be forwarded is the rules' business. */
void
switches_forwarding(const struct net_plan *plan, struct net_problems *problems)
{
	if (plan_has(plan, AF_INET))
		switch_set(problems, "net/ipv4/ip_forward", 1);
	if (plan_has(plan, AF_INET6))
		switch_set(problems, "net/ipv6/conf/all/forwarding", 1);
}
