#include "server/tunnel/udp.h"

#include <errno.h>
#include <linux/sock_diag.h>
#include <linux/udp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "base/bytes.h"

#ifndef SOL_UDP
#define SOL_UDP 17
#endif

#define UDP_RECEIVE_BUFFER (7 << 20)
/*
 * What the kernel holds for a slow link cannot be taken back when a peer's access ends, and waits before all
 * else: twice this (the kernel doubles it) is gone within a second at 5 Mbit/s.
 */
#define UDP_SEND_BUFFER (256 << 10)

static int
option(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

/* As near to it as we may: past rmem_max only with a privilege.  What came of it is read back. */
static void
buffer_set(int fd, int force, int plain, int size, enum rung rung, struct stats *stats)
{
	int got = 0;
	socklen_t len = sizeof(got);

	if (option(fd, SOL_SOCKET, force, size) < 0)
		(void)option(fd, SOL_SOCKET, plain, size);
	if (getsockopt(fd, SOL_SOCKET, plain, &got, &len) < 0)
		got = 0;
	got /= 2; /* the kernel doubles what it is asked for */
	ladder_probed(stats->ladder, rung, got >= size, (uint32_t)got);
}

/* Read back, since some kernels took it without doing it. */
static bool
gro_on(int fd)
{
	int on = 0;
	socklen_t len = sizeof(on);

	return option(fd, SOL_UDP, UDP_GRO, 1) == 0 && getsockopt(fd, SOL_UDP, UDP_GRO, &on, &len) == 0 &&
	       on == 1;
}

static bool
gso_there(int fd)
{
	int size;
	socklen_t len = sizeof(size);

	return getsockopt(fd, SOL_UDP, UDP_SEGMENT, &size, &len) == 0;
}

/*
 * IPv4 goes without DF and ignores what ICMP claims of the path (OMIT): a bad path fragments.  IPv6 has no
 * such thing on the way, so there the kernel may fragment to what it learned (DONT).
 */
static int
options_set(int fd, enum udp_family family, struct stats *stats)
{
	int r;

	if (family == UDP4) {
		r = option(fd, IPPROTO_IP, IP_PKTINFO, 1);
		if (r == 0)
			r = option(fd, IPPROTO_IP, IP_RECVTOS, 1);
		if (r == 0)
			r = option(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_OMIT);
	} else {
		r = option(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
		if (r == 0)
			r = option(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
		if (r == 0)
			r = option(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DONT);
	}
	if (r < 0)
		return r;
	buffer_set(fd, SO_RCVBUFFORCE, SO_RCVBUF, UDP_RECEIVE_BUFFER, RUNG_RECEIVE_BUFFER, stats);
	buffer_set(fd, SO_SNDBUFFORCE, SO_SNDBUF, UDP_SEND_BUFFER, RUNG_SEND_BUFFER, stats);
	ladder_probed(stats->ladder, family == UDP4 ? RUNG_UDP4_GRO : RUNG_UDP6_GRO, gro_on(fd), 0);
	ladder_probed(stats->ladder, family == UDP4 ? RUNG_UDP4_GSO : RUNG_UDP6_GSO, gso_there(fd), 0);
	return 0;
}

static int
local_endpoint(int fd, struct endpoint *ret)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);

	if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		return -errno;
	return endpoint_from_sockaddr(ret, (struct sockaddr *)&sa);
}

int
udp_socket(enum udp_family family, uint16_t port, bool shared, uint16_t *bound, struct stats *stats)
{
	struct endpoint at = {.ip.family = family == UDP4 ? AF_INET : AF_INET6, .port = port};
	struct sockaddr_storage sa;
	_cleanup_(closep) int fd = -1;
	int r = 0;

	fd = socket(at.ip.family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_UDP);
	if (fd < 0)
		return -errno;
	if (family == UDP6)
		r = option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	if (r == 0 && shared)
		r = udp_share(fd);
	if (r < 0)
		return r;
	if (bind(fd, (struct sockaddr *)&sa, endpoint_to_sockaddr(&sa, &at)) < 0)
		return -errno;
	r = local_endpoint(fd, &at);
	if (r == 0)
		r = options_set(fd, family, stats);
	if (r < 0)
		return r;
	*bound = at.port;
	return take_fd(&fd);
}

int
udp_adopt(enum udp_family family, int fd, uint16_t *bound, struct stats *stats)
{
	struct endpoint local = {0};
	int r, type = 0;
	socklen_t len = sizeof(type);

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_DGRAM ||
	    local_endpoint(fd, &local) < 0)
		return -EINVAL;
	r = options_set(fd, family, stats);
	if (r == 0)
		*bound = local.port;
	return r;
}

int
udp_share(int fd)
{
	return option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
}

uint32_t
udp_overflowed(int fd)
{
	uint32_t figures[SK_MEMINFO_VARS] = {0};
	socklen_t len = sizeof(figures);

	return getsockopt(fd, SOL_SOCKET, SO_MEMINFO, figures, &len) == 0 ? figures[SK_MEMINFO_DROPS] : 0;
}

int
udp_mark(int fd, uint32_t mark)
{
	return option(fd, SOL_SOCKET, SO_MARK, (int)mark);
}

static struct cmsghdr *
control_add(struct msghdr *msg, int level, int type, const void *data, size_t len)
{
	struct cmsghdr *cmsg = (struct cmsghdr *)((char *)msg->msg_control + msg->msg_controllen);

	cmsg->cmsg_level = level;
	cmsg->cmsg_type = type;
	cmsg->cmsg_len = CMSG_LEN(len);
	memcpy(CMSG_DATA(cmsg), data, len);
	msg->msg_controllen += CMSG_SPACE(len);
	return cmsg;
}

static void
control_source(struct msghdr *msg, const struct wg_route *route)
{
	if (route->to.ip.family == AF_INET) {
		struct in_pktinfo info = {.ipi_ifindex = (int)route->ifindex};

		memcpy(&info.ipi_spec_dst, route->from.addr, 4);
		control_add(msg, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
	} else {
		struct in6_pktinfo info = {.ipi6_ifindex = route->ifindex};

		memcpy(&info.ipi6_addr, route->from.addr, 16);
		control_add(msg, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
	}
}

void
udp_message(struct msghdr *msg, struct sockaddr_storage *name, void *control, const struct wg_route *route,
	    uint8_t tos, uint16_t segment)
{
	const int value = tos;

	msg->msg_name = name;
	msg->msg_namelen = endpoint_to_sockaddr(name, &route->to);
	msg->msg_control = control;
	msg->msg_controllen = 0;
	if (route->from.family == route->to.ip.family)
		control_source(msg, route);
	if (tos && route->to.ip.family == AF_INET)
		control_add(msg, IPPROTO_IP, IP_TOS, &value, sizeof(value));
	else if (tos)
		control_add(msg, IPPROTO_IPV6, IPV6_TCLASS, &value, sizeof(value));
	if (segment)
		control_add(msg, SOL_UDP, UDP_SEGMENT, &segment, sizeof(segment));
	if (msg->msg_controllen == 0)
		msg->msg_control = NULL;
}

bool
udp_source_failed(const struct wg_route *route, int error)
{
	return route->from.family != 0 &&
	       (error == -ENETUNREACH || error == -EHOSTUNREACH || error == -ENODEV || error == -ENXIO ||
		error == -EADDRNOTAVAIL || error == -EINVAL);
}
