/*
 * Each change as the one netlink message that makes it so.
 */
#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#include "server/net/changes.h"

static void
flag_request(struct netlink_request *request, const struct change *change, unsigned flags)
{
	struct ifinfomsg *info = netlink_begin(request, RTM_NEWLINK, 0, sizeof(*info));

	info->ifi_index = change->index;
	info->ifi_flags = flags;
	info->ifi_change = IFF_UP;
}

static void
set_request(struct netlink_request *request, const struct change *change)
{
	struct ifinfomsg *info = netlink_begin(request, RTM_NEWLINK, 0, sizeof(*info));
	struct nlmsghdr *head = netlink_head(request);

	info->ifi_index = change->index;
	mnl_attr_put_u32(head, IFLA_MTU, change->mtu);
	mnl_attr_put_u32(head, IFLA_TXQLEN, change->queue_len);
	if (change->no_link_local) {
		struct nlattr *families = mnl_attr_nest_start(head, IFLA_AF_SPEC);
		struct nlattr *inet6 = mnl_attr_nest_start(head, AF_INET6);

		mnl_attr_put_u8(head, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
		mnl_attr_nest_end(head, inet6);
		mnl_attr_nest_end(head, families);
	}
}

static void
address_request(struct netlink_request *request, const struct change *change, uint16_t type, uint16_t flags)
{
	struct ifaddrmsg *info = netlink_begin(request, type, flags, sizeof(*info));

	info->ifa_family = change->address.ip.family;
	info->ifa_prefixlen = change->address.len;
	info->ifa_index = (unsigned)change->index;
	info->ifa_flags = change->no_dad ? IFA_F_NODAD : 0;
	netlink_put_ip(request, IFA_LOCAL, &change->address.ip);
	netlink_put_ip(request, IFA_ADDRESS, &change->address.ip);
}

/* The gateway need not lie within an address of the link: with /32 and /128 none does. */
static void
route_request(struct netlink_request *request, const struct change *change, uint16_t type, uint16_t flags)
{
	struct rtmsg *info = netlink_begin(request, type, flags, sizeof(*info));
	const struct net_route *route = &change->route;

	info->rtm_family = route->family;
	info->rtm_table = RT_TABLE_MAIN;
	if (type == RTM_NEWROUTE) {
		info->rtm_protocol = OUR_PROTOCOL;
		info->rtm_type = RTN_UNICAST;
		info->rtm_flags = RTNH_F_ONLINK;
	} else {
		info->rtm_scope = RT_SCOPE_NOWHERE; /* of any scope */
	}
	if (route->gateway.family)
		netlink_put_ip(request, RTA_GATEWAY, &route->gateway);
	if (route->index)
		mnl_attr_put_u32(netlink_head(request), RTA_OIF, (uint32_t)route->index);
	if (route->priority)
		mnl_attr_put_u32(netlink_head(request), RTA_PRIORITY, route->priority);
}

/* What leads there already and is not ours stays: the kernel refuses (NLM_F_EXCL), or prefers what it
 * prefers. */
static void
network_request(struct netlink_request *request, const struct change *change, uint16_t type, uint16_t flags)
{
	struct rtmsg *info = netlink_begin(request, type, flags, sizeof(*info));

	info->rtm_family = change->network.ip.family;
	info->rtm_dst_len = change->network.len;
	info->rtm_table = RT_TABLE_MAIN;
	info->rtm_protocol = OUR_PROTOCOL;
	info->rtm_type = RTN_UNICAST;
	info->rtm_scope = change->network.ip.family == AF_INET ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
	netlink_put_ip(request, RTA_DST, &change->network.ip);
	mnl_attr_put_u32(netlink_head(request), RTA_OIF, (uint32_t)change->index);
	if (change->priority)
		mnl_attr_put_u32(netlink_head(request), RTA_PRIORITY, change->priority);
}

/* Gone is gone, there is there. */
static int
settled(enum change_kind kind, int r)
{
	const bool took = kind == CHANGE_ADDRESS_DELETE || kind == CHANGE_ROUTE_DELETE ||
			  kind == CHANGE_NETWORK_DELETE || kind == CHANGE_LINK_DOWN;

	if (took && (r == -EADDRNOTAVAIL || r == -ESRCH || r == -ENODEV))
		return 0;
	return r;
}

int
change_make(struct netlink *nl, const struct change *change)
{
	struct netlink_request request;

	switch (change->kind) {
	case CHANGE_LINK_UP:
		flag_request(&request, change, IFF_UP);
		break;
	case CHANGE_LINK_DOWN:
		flag_request(&request, change, 0);
		break;
	case CHANGE_LINK_SET:
		set_request(&request, change);
		break;
	case CHANGE_ADDRESS_ADD:
		address_request(&request, change, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE);
		break;
	case CHANGE_ADDRESS_DELETE:
		address_request(&request, change, RTM_DELADDR, 0);
		break;
	case CHANGE_ROUTE_SET:
		route_request(&request, change, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE);
		break;
	case CHANGE_ROUTE_DELETE:
		route_request(&request, change, RTM_DELROUTE, 0);
		break;
	case CHANGE_NETWORK_ADD:
		network_request(&request, change, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL);
		break;
	case CHANGE_NETWORK_DELETE:
		network_request(&request, change, RTM_DELROUTE, 0);
		break;
	default:
		return -EINVAL;
	}
	return settled(change->kind, netlink_change(nl, &request));
}
