#include "server/tunnel/netlink.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#define READ_LEN 32768

int
netlink_open(bool links, bool routes)
{
	struct sockaddr_nl sa = {
		.nl_family = AF_NETLINK,
		.nl_groups =
			(links ? RTMGRP_LINK : 0U) | (routes ? RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE |
								       RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR
							     : 0U),
	};
	_cleanup_(closep) int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -errno;
	return take_fd(&fd);
}

static void
message_read(const struct nlmsghdr *nlh, unsigned ifindex, struct netlink_heard *ret)
{
	const struct ifinfomsg *link;

	switch (nlh->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*link))
			return;
		link = mnl_nlmsg_get_payload(nlh);
		if (link->ifi_index != (int)ifindex || link->ifi_family != AF_UNSPEC)
			return;
		ret->link = true;
		ret->link_gone = ret->link_gone || nlh->nlmsg_type == RTM_DELLINK;
		break;
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
	case RTM_NEWADDR:
	case RTM_DELADDR:
		ret->routes = true;
		break;
	default:
		break;
	}
}

int
netlink_read(int fd, unsigned ifindex, struct netlink_heard *ret)
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
			message_read(nlh, ifindex, ret);
	}
}
