#include "server/net/present.h"

#include <errno.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if_arp.h>
#include <string.h>

#define READ_TRIES 16 /* while it changes under our eyes */

static int
full(void)
{
	errno = E2BIG;
	return MNL_CB_ERROR;
}

static void
link_kind(struct net_link *link, const struct nlattr *info)
{
	const struct nlattr *in[IFLA_INFO_MAX + 1];

	netlink_nested(info, in, IFLA_INFO_MAX);
	link->tuntap = in[IFLA_INFO_KIND] && strcmp(mnl_attr_get_str(in[IFLA_INFO_KIND]), "tun") == 0;
}

static void
link_inet6(struct net_link *link, const struct nlattr *families)
{
	const struct nlattr *family[AF_INET6 + 1], *inet6[IFLA_INET6_MAX + 1];

	netlink_nested(families, family, AF_INET6);
	netlink_nested(family[AF_INET6], inet6, IFLA_INET6_MAX);
	link->inet6 = inet6[IFLA_INET6_ADDR_GEN_MODE];
	if (link->inet6)
		link->addr_gen = mnl_attr_get_u8(inet6[IFLA_INET6_ADDR_GEN_MODE]);
}

static int
link_take(const struct nlmsghdr *head, void *arg)
{
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(head);
	const struct nlattr *in[IFLA_MAX + 1];
	struct present *present = arg;
	struct net_link *link;

	if (present->n_links == PRESENT_LINKS_MAX)
		return full();
	netlink_attributes(head, sizeof(*info), in, IFLA_MAX);
	if (!in[IFLA_IFNAME])
		return MNL_CB_OK;
	link = &present->links[present->n_links++];
	*link = (struct net_link){
		.index = info->ifi_index,
		.type = info->ifi_type,
		.up = info->ifi_flags & IFF_UP,
		.carrier = info->ifi_flags & IFF_LOWER_UP,
		.mtu = in[IFLA_MTU] ? mnl_attr_get_u32(in[IFLA_MTU]) : 0,
		.queue_len = in[IFLA_TXQLEN] ? mnl_attr_get_u32(in[IFLA_TXQLEN]) : 0,
	};
	snprintf(link->ifname, sizeof(link->ifname), "%s", mnl_attr_get_str(in[IFLA_IFNAME]));
	link_kind(link, in[IFLA_LINKINFO]);
	link_inet6(link, in[IFLA_AF_SPEC]);
	return MNL_CB_OK;
}

static int
address_take(const struct nlmsghdr *head, void *arg)
{
	const struct ifaddrmsg *info = mnl_nlmsg_get_payload(head);
	const struct nlattr *in[IFA_MAX + 1];
	struct present *present = arg;
	struct net_address *address;
	uint32_t flags;

	if (info->ifa_family != AF_INET && info->ifa_family != AF_INET6)
		return MNL_CB_OK;
	if (present->n_addresses == PRESENT_ADDRESSES_MAX)
		return full();
	netlink_attributes(head, sizeof(*info), in, IFA_MAX);
	flags = in[IFA_FLAGS] ? mnl_attr_get_u32(in[IFA_FLAGS]) : info->ifa_flags;
	address = &present->addresses[present->n_addresses++];
	*address = (struct net_address){
		.index = (int)info->ifa_index,
		.cidr.ip = netlink_ip(in[IFA_LOCAL] ? in[IFA_LOCAL] : in[IFA_ADDRESS], info->ifa_family),
		.cidr.len = info->ifa_prefixlen,
		.usable = info->ifa_scope < RT_SCOPE_LINK && !(flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED)),
	};
	return MNL_CB_OK;
}

static int
default_take(struct present *present, const struct rtmsg *info, const struct nlattr *const *in)
{
	if (present->n_routes == PRESENT_ROUTES_MAX)
		return full();
	present->routes[present->n_routes++] = (struct net_route){
		.index = in[RTA_OIF] ? (int)mnl_attr_get_u32(in[RTA_OIF]) : 0,
		.family = info->rtm_family,
		.gateway = netlink_ip(in[RTA_GATEWAY], info->rtm_family),
		.priority = in[RTA_PRIORITY] ? mnl_attr_get_u32(in[RTA_PRIORITY]) : 0,
	};
	return MNL_CB_OK;
}

static bool
is_tun(const struct present *present, int index)
{
	for (size_t i = 0; i < present->n_links; i++)
		if (present->links[i].index == index)
			return net_link_is_tun(&present->links[i]);
	return false;
}

static int
network_take(struct present *present, const struct rtmsg *info, const struct nlattr *const *in)
{
	const int index = in[RTA_OIF] ? (int)mnl_attr_get_u32(in[RTA_OIF]) : 0;

	if (info->rtm_protocol != OUR_PROTOCOL || in[RTA_GATEWAY] || !is_tun(present, index))
		return MNL_CB_OK;
	if (present->n_networks == PRESENT_NETWORKS_MAX)
		return full();
	present->networks[present->n_networks++] = (struct net_network){
		.index = index,
		.cidr.ip = netlink_ip(in[RTA_DST], info->rtm_family),
		.cidr.len = info->rtm_dst_len,
		.priority = in[RTA_PRIORITY] ? mnl_attr_get_u32(in[RTA_PRIORITY]) : 0,
	};
	return MNL_CB_OK;
}

/* After the links. */
static int
route_take(const struct nlmsghdr *head, void *arg)
{
	const struct rtmsg *info = mnl_nlmsg_get_payload(head);
	const struct nlattr *in[RTA_MAX + 1];
	struct present *present = arg;

	if (info->rtm_type != RTN_UNICAST || info->rtm_table != RT_TABLE_MAIN ||
	    (info->rtm_family != AF_INET && info->rtm_family != AF_INET6))
		return MNL_CB_OK;
	netlink_attributes(head, sizeof(*info), in, RTA_MAX);
	return info->rtm_dst_len == 0 ? default_take(present, info, in) : network_take(present, info, in);
}

static int
read_once(struct netlink *nl, struct present *ret)
{
	int r;

	ret->n_links = ret->n_addresses = ret->n_routes = ret->n_networks = 0;
	r = netlink_dump(nl, RTM_GETLINK, AF_UNSPEC, link_take, ret);
	if (r < 0)
		return r;
	r = netlink_dump(nl, RTM_GETADDR, AF_UNSPEC, address_take, ret);
	if (r < 0)
		return r;
	return netlink_dump(nl, RTM_GETROUTE, AF_UNSPEC, route_take, ret);
}

int
present_read(struct netlink *nl, struct present *ret)
{
	int r = -EINTR;

	for (int i = 0; i < READ_TRIES && r == -EINTR; i++)
		r = read_once(nl, ret);
	return r;
}

const struct net_link *
present_link(const struct present *present, const char *ifname)
{
	for (size_t i = 0; i < present->n_links; i++)
		if (strcmp(present->links[i].ifname, ifname) == 0)
			return &present->links[i];
	return NULL;
}

bool
net_link_is_tun(const struct net_link *link)
{
	return link->tuntap && link->type == ARPHRD_NONE;
}

/* The rules would take '*' for a pattern. */
static bool
name_is_plain(const char *ifname)
{
	return ifname[strspn(ifname, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")] ==
	       '\0';
}

static bool
is_domains(const struct net_plan *plan, const struct net_link *link)
{
	for (size_t i = 0; i < plan->n_domains; i++)
		if (strcmp(plan->domains[i].ifname, link->ifname) == 0)
			return true;
	return false;
}

const struct net_link *
present_uplink(const struct present *present, const struct net_plan *plan)
{
	if (*plan->uplink.ifname)
		return present_link(present, plan->uplink.ifname);
	for (size_t i = 0; i < present->n_links; i++) {
		const struct net_link *link = &present->links[i];

		if (link->tuntap && link->type == ARPHRD_ETHER && name_is_plain(link->ifname) &&
		    !is_domains(plan, link))
			return link;
	}
	return NULL;
}
