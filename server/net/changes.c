#include "server/net/changes.h"

#include <errno.h>
#include <linux/if_link.h>
#include <string.h>

struct finder {
	struct changes *out;
	const struct net_plan *plan;
	const struct present *present;
	const struct net_devices *kept;
	const struct net_link *uplink; /* NULL: it is not there */
	bool full;
};

static const struct {
	enum net_problem problem;
	const char *words;
} lines[CHANGE_COUNT] = {
#define X(name, problem, words) [CHANGE_##name] = {NET_PROBLEM_##problem, words},
	NET_CHANGES(X)
#undef X
};

bool
net_devices_have(const struct net_devices *devices, const char *ifname)
{
	for (size_t i = 0; i < devices->n; i++)
		if (strcmp(devices->v[i], ifname) == 0)
			return true;
	return false;
}

static struct change *
change_add(struct finder *in, enum change_kind kind, const struct net_link *link)
{
	struct change *change;

	if (in->out->n == CHANGES_MAX) {
		in->full = true;
		change = &in->out->v[CHANGES_MAX - 1];
	} else {
		change = &in->out->v[in->out->n++];
	}
	*change = (struct change){.kind = kind, .index = link->index};
	memcpy(change->ifname, link->ifname, sizeof(change->ifname));
	return change;
}

/* Another's link that only has the name of a domain's is none. */
static const struct net_domain *
domain_of(const struct finder *in, const struct net_link *link)
{
	for (size_t i = 0; i < in->plan->n_domains && net_link_is_tun(link); i++)
		if (strcmp(in->plan->domains[i].ifname, link->ifname) == 0)
			return &in->plan->domains[i];
	return NULL;
}

static bool
cidr_equal(const struct cidr *a, const struct cidr *b)
{
	return a->len == b->len && ip_equal(&a->ip, &b->ip);
}

static bool
cidrs_have(const struct cidr *v, size_t n, const struct cidr *cidr)
{
	for (size_t i = 0; i < n; i++)
		if (cidr_equal(&v[i], cidr))
			return true;
	return false;
}

static bool
present_has(const struct finder *in, int index, const struct cidr *address)
{
	for (size_t i = 0; i < in->present->n_addresses; i++)
		if (in->present->addresses[i].index == index &&
		    cidr_equal(&in->present->addresses[i].cidr, address))
			return true;
	return false;
}

static bool
is_link_local(const struct cidr *address)
{
	static const struct cidr link_local = {.ip = {.family = AF_INET6, .addr = {0xfe, 0x80}}, .len = 10};

	return cidr_contains(&link_local, &address->ip);
}

/* @foreign: link-local addresses, and those of a family that is not wanted at all, are not ours to touch. */
static void
addresses_take(struct finder *in, const struct net_link *link, const struct net_addresses *wanted,
	       bool foreign)
{
	for (size_t i = 0; i < in->present->n_addresses; i++) {
		const struct net_address *address = &in->present->addresses[i];

		if (address->index != link->index || cidrs_have(wanted->v, wanted->n, &address->cidr))
			continue;
		if (foreign &&
		    (is_link_local(&address->cidr) || !net_addresses_have(wanted, address->cidr.ip.family)))
			continue;
		change_add(in, CHANGE_ADDRESS_DELETE, link)->address = address->cidr;
	}
}

static void
addresses_give(struct finder *in, const struct net_link *link, const struct net_addresses *wanted,
	       bool no_dad)
{
	for (size_t i = 0; i < wanted->n; i++) {
		struct change *change;

		if (present_has(in, link->index, &wanted->v[i]))
			continue;
		change = change_add(in, CHANGE_ADDRESS_ADD, link);
		change->address = wanted->v[i];
		change->no_dad = no_dad && wanted->v[i].ip.family == AF_INET6;
	}
}

static void
networks_take(struct finder *in, const struct net_link *link, const struct net_routes *wanted)
{
	for (size_t i = 0; i < in->present->n_networks; i++) {
		const struct net_network *network = &in->present->networks[i];
		struct change *change;

		if (network->index != link->index || cidrs_have(wanted->v, wanted->n, &network->cidr))
			continue;
		change = change_add(in, CHANGE_NETWORK_DELETE, link);
		change->network = network->cidr;
		change->priority = network->priority;
	}
}

static bool
network_present(const struct finder *in, int index, const struct cidr *cidr)
{
	for (size_t i = 0; i < in->present->n_networks; i++)
		if (in->present->networks[i].index == index &&
		    cidr_equal(&in->present->networks[i].cidr, cidr))
			return true;
	return false;
}

static void
networks_give(struct finder *in, const struct net_link *link, const struct net_routes *wanted)
{
	for (size_t i = 0; i < wanted->n; i++)
		if (!network_present(in, link->index, &wanted->v[i]))
			change_add(in, CHANGE_NETWORK_ADD, link)->network = wanted->v[i];
}

static const struct ip *
gateway_wanted(const struct net_uplink *uplink, uint8_t family)
{
	for (size_t i = 0; i < uplink->n_gateways; i++)
		if (uplink->gateways[i].family == family)
			return &uplink->gateways[i];
	return NULL;
}

static bool
route_is(const struct net_route *route, int index, const struct ip *gateway)
{
	return route->index == index && ip_equal(&route->gateway, gateway);
}

static bool
route_present(const struct finder *in, const struct ip *gateway)
{
	for (size_t i = 0; i < in->present->n_routes; i++)
		if (route_is(&in->present->routes[i], in->uplink->index, gateway))
			return true;
	return false;
}

/* Also those over other links: there is one way out. */
static void
routes_take(struct finder *in)
{
	for (size_t i = 0; i < in->present->n_routes; i++) {
		const struct net_route *route = &in->present->routes[i];
		const struct ip *gateway = gateway_wanted(&in->plan->uplink, route->family);

		if (gateway && !route_is(route, in->uplink->index, gateway))
			change_add(in, CHANGE_ROUTE_DELETE, in->uplink)->route = *route;
	}
}

static void
routes_give(struct finder *in)
{
	for (size_t i = 0; i < in->plan->uplink.n_gateways; i++) {
		const struct ip *gateway = &in->plan->uplink.gateways[i];

		if (!route_present(in, gateway))
			change_add(in, CHANGE_ROUTE_SET, in->uplink)->route = (struct net_route){
				.index = in->uplink->index, .family = gateway->family, .gateway = *gateway};
	}
}

static void
link_set(struct finder *in, const struct net_link *link, const struct net_domain *domain)
{
	const bool makes_up = link->inet6 && link->addr_gen != IN6_ADDR_GEN_MODE_NONE;
	struct change *change;

	if (link->mtu == domain->mtu && link->queue_len == TUN_QUEUE_LEN && !makes_up)
		return;
	change = change_add(in, CHANGE_LINK_SET, link);
	change->mtu = domain->mtu;
	change->queue_len = TUN_QUEUE_LEN;
	change->no_link_local = makes_up;
}

static void
link_take(struct finder *in, const struct net_link *link)
{
	static const struct net_addresses no_addresses;
	static const struct net_routes no_routes;
	const struct net_domain *domain = domain_of(in, link);

	if (domain) {
		networks_take(in, link, &domain->routes);
		addresses_take(in, link, &domain->addresses, false);
	} else if (link == in->uplink) {
		addresses_take(in, link, &in->plan->uplink.addresses, true);
		routes_take(in);
	} else if (net_devices_have(in->kept, link->ifname)) {
		if (link->up)
			change_add(in, CHANGE_LINK_DOWN, link);
		networks_take(in, link, &no_routes);
		addresses_take(in, link, &no_addresses, false);
	}
}

static void
link_give(struct finder *in, const struct net_link *link)
{
	const struct net_domain *domain = domain_of(in, link);

	if (domain) {
		link_set(in, link, domain);
		addresses_give(in, link, &domain->addresses, true);
	} else if (link == in->uplink) {
		addresses_give(in, link, &in->plan->uplink.addresses, false);
	} else {
		return;
	}
	if (!link->up)
		change_add(in, CHANGE_LINK_UP, link);
	if (domain)
		networks_give(in, link, &domain->routes);
	else
		routes_give(in);
}

int
changes_find(struct changes *ret, const struct net_plan *plan, const struct present *present,
	     const struct net_devices *kept)
{
	struct finder in = {.out = ret,
			    .plan = plan,
			    .present = present,
			    .kept = kept,
			    .uplink = present_uplink(present, plan)};

	ret->n = 0;
	for (size_t i = 0; i < present->n_links; i++)
		link_take(&in, &present->links[i]);
	for (size_t i = 0; i < present->n_links; i++)
		link_give(&in, &present->links[i]);
	return in.full ? -E2BIG : 0;
}

enum net_problem
change_problem(const struct change *change)
{
	return lines[change->kind].problem;
}

void
change_text(char out[CHANGE_TEXT_LEN], const struct change *change)
{
	char what[CIDR_TEXT_LEN] = "the link";

	switch (change->kind) {
	case CHANGE_ADDRESS_ADD:
	case CHANGE_ADDRESS_DELETE:
		cidr_text(what, &change->address);
		break;
	case CHANGE_NETWORK_ADD:
	case CHANGE_NETWORK_DELETE:
		cidr_text(what, &change->network);
		break;
	case CHANGE_ROUTE_SET:
	case CHANGE_ROUTE_DELETE:
		if (change->route.gateway.family)
			ip_text(what, &change->route.gateway);
		else
			snprintf(what, sizeof(what), "that has no gateway");
		break;
	case CHANGE_LINK_SET:
		snprintf(what, sizeof(what), "mtu %u queue %u%s", change->mtu, change->queue_len,
			 change->no_link_local ? " no-link-local" : "");
		break;
	default:
		break;
	}
	snprintf(out, CHANGE_TEXT_LEN, "%s: %s %s", change->ifname, lines[change->kind].words, what);
}
