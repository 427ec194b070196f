/*
 * The routes of all tables: those of policy routing (a VPN's) are as much in the way as the main ones.  Own
 * addresses are routes of type local.  The source is asked for with addresses that are nobody's (RFC 5737,
 * RFC 3849, RFC 9637) and that no network found here contains, so that the default route answers.
 */
#include "server/net/host.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "server/net/netlink.h"

#define READ_TRIES 16

/* Shorter prefixes are a default route in pieces (0.0.0.0/1 and 128.0.0.0/1), and lead nowhere in particular.
 */
#define NETWORK_LEN_MIN 4

static bool
never_clashes(const struct cidr *cidr)
{
	static const struct cidr never[] = {
		{.ip = {AF_INET, {127}}, .len = 8},          {.ip = {AF_INET, {169, 254}}, .len = 16},
		{.ip = {AF_INET, {224}}, .len = 3},          {.ip = {AF_INET6, {[15] = 1}}, .len = 128},
		{.ip = {AF_INET6, {0xfe, 0x80}}, .len = 10}, {.ip = {AF_INET6, {0xff}}, .len = 8},
	};

	if (cidr->len < NETWORK_LEN_MIN)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(never); i++)
		if (never[i].len <= cidr->len && cidr_contains(&never[i], &cidr->ip))
			return true;
	return false;
}

static bool
has(const struct host_networks *networks, const struct host_network *network)
{
	for (size_t i = 0; i < networks->n; i++)
		if (networks->v[i].cidr.len == network->cidr.len &&
		    ip_equal(&networks->v[i].cidr.ip, &network->cidr.ip) &&
		    strcmp(networks->v[i].ifname, network->ifname) == 0)
			return true;
	return false;
}

static void
network_add(struct host_networks *networks, const struct host_network *network)
{
	if (never_clashes(&network->cidr) || has(networks, network))
		return;
	if (networks->n == HOST_NETWORKS_MAX)
		networks->cut = true;
	else
		networks->v[networks->n++] = *network;
}

/* A route's device; of several next hops the first one's.  0: none. */
static unsigned
device_of(const struct nlattr *const *in)
{
	const struct rtnexthop *hop;

	if (in[RTA_OIF])
		return mnl_attr_get_u32(in[RTA_OIF]);
	if (!in[RTA_MULTIPATH] || mnl_attr_get_payload_len(in[RTA_MULTIPATH]) < sizeof(*hop))
		return 0;
	hop = mnl_attr_get_payload(in[RTA_MULTIPATH]);
	return (unsigned)hop->rtnh_ifindex;
}

static int
route_take(const struct nlmsghdr *head, void *arg)
{
	const struct rtmsg *info = mnl_nlmsg_get_payload(head);
	const struct nlattr *in[RTA_MAX + 1];
	struct host_networks *networks = arg;
	struct host_network network = {0};

	if (info->rtm_family != AF_INET && info->rtm_family != AF_INET6)
		return MNL_CB_OK;
	netlink_attributes(head, sizeof(*info), in, RTA_MAX);
	network.cidr =
		(struct cidr){.ip = netlink_ip(in[RTA_DST], info->rtm_family), .len = info->rtm_dst_len};
	if (!network.cidr.ip.family)
		return MNL_CB_OK;
	switch (info->rtm_type) {
	case RTN_UNICAST:
	case RTN_LOCAL:
		if (!if_indextoname(device_of(in), network.ifname))
			network.ifname[0] = '\0';
		break;
	case RTN_BLACKHOLE:
	case RTN_UNREACHABLE:
	case RTN_PROHIBIT:
		break;
	default:
		return MNL_CB_OK;
	}
	network_add(networks, &network);
	return MNL_CB_OK;
}

static int
source_take(const struct nlmsghdr *head, void *arg)
{
	const struct rtmsg *info = mnl_nlmsg_get_payload(head);
	const struct nlattr *in[RTA_MAX + 1];
	struct ip *ret = arg;

	netlink_attributes(head, sizeof(*info), in, RTA_MAX);
	if (info->rtm_type == RTN_UNICAST)
		*ret = netlink_ip(in[RTA_PREFSRC], info->rtm_family);
	return MNL_CB_OK;
}

/* Whatever keeps the kernel from naming a source, there is none then. */
static void
source_towards(struct netlink *nl, const struct ip *target, struct ip *ret)
{
	struct netlink_request request;
	struct rtmsg *info = netlink_begin(&request, RTM_GETROUTE, 0, sizeof(*info));

	info->rtm_family = target->family;
	info->rtm_dst_len = (unsigned char)ip_bits(target);
	netlink_put_ip(&request, RTA_DST, target);
	if (netlink_ask(nl, &request, source_take, ret) < 0)
		*ret = (struct ip){0};
}

static void
source_find(struct netlink *nl, const struct host_networks *networks, uint8_t family, struct ip *ret)
{
	static const char *const nobodys[] = {"192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1",
					      "3fff::1"};

	for (size_t i = 0; i < ARRAY_LEN(nobodys); i++) {
		struct cidr target;

		if (cidr_parse(&target, nobodys[i]) == 0 && target.ip.family == family &&
		    !host_networks_clash(networks, &target)) {
			source_towards(nl, &target.ip, ret);
			return;
		}
	}
}

static int
networks_read(struct netlink *nl, struct host_networks *networks)
{
	int r = -EINTR;

	for (int i = 0; i < READ_TRIES && r == -EINTR; i++) {
		memset(networks, 0, sizeof(*networks));
		r = netlink_dump(nl, RTM_GETROUTE, AF_UNSPEC, route_take, networks);
	}
	if (r < 0)
		return r;
	source_find(nl, networks, AF_INET, &networks->source4);
	source_find(nl, networks, AF_INET6, &networks->source6);
	return 0;
}

int
host_networks(struct host_networks *ret)
{
	_cleanup_(netlink_freep) struct netlink *nl = NULL;
	_cleanup_(freep) struct host_networks *networks = calloc(1, sizeof(*networks));
	int r;

	if (!networks)
		return -ENOMEM;
	r = netlink_open(&nl);
	if (r == 0)
		r = networks_read(nl, networks);
	if (r == 0)
		*ret = *networks;
	return r;
}

const struct host_network *
host_networks_clash(const struct host_networks *networks, const struct cidr *pool)
{
	for (size_t i = 0; i < networks->n; i++)
		if (cidr_overlaps(&networks->v[i].cidr, pool))
			return &networks->v[i];
	return NULL;
}
