#include "server/tunnel/netlink.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#define READ_LEN 32768

int
netlink_open(bool links, bool routes)
{
	struct sockaddr_nl sa = {
		.nl_family = AF_NETLINK,
		.nl_groups =
			(links ? RTMGRP_LINK : 0U) | (routes ? RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE : 0U),
	};
	_cleanup_(closep) int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -errno;
	return take_fd(&fd);
}

static int
attribute_read(const struct nlattr *attr, void *ctx)
{
	struct netlink_link *link = ctx;

	if (mnl_attr_get_type(attr) == IFLA_MTU && mnl_attr_validate(attr, MNL_TYPE_U32) == 0)
		link->mtu = mnl_attr_get_u32(attr);
	return MNL_CB_OK;
}

static void
link_read(const struct nlmsghdr *nlh, netlink_link_fn *fn, void *ctx)
{
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(nlh);
	struct netlink_link link = {.gone = nlh->nlmsg_type == RTM_DELLINK};

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*info) || info->ifi_family != AF_UNSPEC)
		return;
	link.ifindex = (unsigned)info->ifi_index;
	link.up = info->ifi_flags & IFF_UP;
	if (mnl_attr_parse(nlh, sizeof(*info), attribute_read, &link) == MNL_CB_OK)
		fn(ctx, &link);
}

/*
 * Whether the way to somewhere may be another now.  A connected network comes and goes with every container
 * on the host and moves no peer; an address that went is noticed when it is sent from.
 */
static bool
route_moves(const struct nlmsghdr *nlh)
{
	const struct rtmsg *route = mnl_nlmsg_get_payload(nlh);

	return mnl_nlmsg_get_payload_len(nlh) >= sizeof(*route) && route->rtm_type == RTN_UNICAST &&
	       route->rtm_protocol != RTPROT_KERNEL;
}

static void
message_read(const struct nlmsghdr *nlh, netlink_link_fn *link, void *ctx, struct netlink_heard *ret)
{
	switch (nlh->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		if (link)
			link_read(nlh, link, ctx);
		break;
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		ret->routes = ret->routes || route_moves(nlh);
		break;
	default:
		break;
	}
}

int
netlink_read(int fd, netlink_link_fn *link, void *ctx, struct netlink_heard *ret)
{
	_Alignas(struct nlmsghdr) char buffer[READ_LEN];
	struct sockaddr_nl from = {0};

	*ret = (struct netlink_heard){0};
	for (;;) {
		socklen_t from_len = sizeof(from);
		ssize_t n = recvfrom(fd, buffer, sizeof(buffer), MSG_DONTWAIT, (struct sockaddr *)&from,
				     &from_len);
		const struct nlmsghdr *nlh = (const struct nlmsghdr *)buffer;
		int len = (int)n;

		if (n < 0 && errno == ENOBUFS) {
			ret->overrun = true;
			continue;
		}
		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -errno;
		if (from.nl_pid != 0) /* not the kernel */
			continue;
		for (; mnl_nlmsg_ok(nlh, len); nlh = mnl_nlmsg_next(nlh, &len))
			message_read(nlh, link, ctx, ret);
	}
}
