#include "server/tunnel/receiver.h"

#include <errno.h>
#include <linux/udp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#ifndef SOL_UDP
#define SOL_UDP 17
#endif

#define FRAME_LEN   65536U
#define CONTROL_LEN 128
/*
 * Buffers a power of two apart would all fall into the same sets of the cache when datagrams are short.
 */
#define FRAME_STRIDE (FRAME_LEN + 1536)

struct receiver {
	struct stats *stats;
	struct receiver_calls calls;
	int without[UDP_FAMILIES]; /* the socket on which we turned UDP_GRO off; -1: none */
	uint8_t *frames;
	struct mmsghdr msgs[RECEIVER_FRAMES];
	struct iovec iov[RECEIVER_FRAMES];
	struct sockaddr_storage names[RECEIVER_FRAMES];
	_Alignas(struct cmsghdr) uint8_t controls[RECEIVER_FRAMES][CONTROL_LEN];
};

static int
gro_set(int fd, bool on)
{
	const int value = on;

	return setsockopt(fd, SOL_UDP, UDP_GRO, &value, sizeof(value)) < 0 ? -errno : 0;
}

int
receiver_new(struct stats *stats, const struct receiver_calls *calls, struct receiver **ret)
{
	static const struct receiver_calls of_system = {
		.recvmmsg = recvmmsg, .recvmsg = recvmsg, .gro_set = gro_set};
	_cleanup_(receiver_freep) struct receiver *receiver = calloc(1, sizeof(*receiver));
	void *frames;

	if (!receiver)
		return -ENOMEM;
	receiver->stats = stats;
	receiver->calls = calls ? *calls : of_system;
	receiver->without[UDP4] = receiver->without[UDP6] = -1;
	ladder_probed(stats->ladder, RUNG_RECVMMSG, true, 0);
	/* only the pages that packets touch become real */
	frames = mmap(NULL, RECEIVER_FRAMES * FRAME_STRIDE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (frames == MAP_FAILED)
		return -errno;
	receiver->frames = frames;
	for (unsigned i = 0; i < RECEIVER_FRAMES; i++) {
		struct msghdr *msg = &receiver->msgs[i].msg_hdr;

		receiver->iov[i] = (struct iovec){receiver->frames + i * FRAME_STRIDE, FRAME_LEN};
		msg->msg_iov = &receiver->iov[i];
		msg->msg_iovlen = 1;
		msg->msg_name = &receiver->names[i];
		msg->msg_control = receiver->controls[i];
	}
	*ret = take_ptr(receiver);
	return 0;
}

void
receiver_free(struct receiver *receiver)
{
	if (receiver && receiver->frames)
		munmap(receiver->frames, RECEIVER_FRAMES * FRAME_STRIDE);
	free(receiver);
}

void
receiver_freep(struct receiver **receiver)
{
	receiver_free(*receiver);
}

/* Datagram by datagram.  An error is of something that was sent; behind the first datagram it is not told. */
static int
read_singly(struct receiver *receiver, int fd, unsigned max)
{
	unsigned n = 0;

	while (n < max) {
		struct mmsghdr *msg = &receiver->msgs[n];
		const ssize_t len = receiver->calls.recvmsg(fd, &msg->msg_hdr, MSG_DONTWAIT);

		if (len < 0)
			return n > 0 ? (int)n : -errno;
		msg->msg_len = (unsigned)len;
		n++;
	}
	return (int)n;
}

/* A seccomp filter that does not know recvmmsg() says EPERM or ENOSYS; no socket does. */
static int
read_many(struct receiver *receiver, int fd, unsigned max)
{
	struct ladder *ladder = receiver->stats->ladder;
	int n;

	if (ladder_get(ladder, RUNG_RECVMMSG) == RUNG_DOWN)
		return read_singly(receiver, fd, max);
	n = receiver->calls.recvmmsg(fd, receiver->msgs, max, MSG_DONTWAIT, NULL);
	if (n >= 0)
		return n;
	if (errno != ENOSYS && errno != EPERM)
		return -errno;
	ladder_lost(ladder, RUNG_RECVMMSG, errno);
	return read_singly(receiver, fd, max);
}

/* What any worker found out is done to our socket, too. */
static void
gro_follow(struct receiver *receiver, int fd, enum udp_family family, nsec_t now)
{
	struct ladder *ladder = receiver->stats->ladder;
	const enum rung rung = family == UDP4 ? RUNG_UDP4_GRO : RUNG_UDP6_GRO;
	const bool off = receiver->without[family] == fd;

	if (ladder_due(ladder, rung, now))
		ladder_up(ladder, rung);
	if (off != (ladder_get(ladder, rung) == RUNG_DOWN) && receiver->calls.gro_set(fd, off) == 0)
		receiver->without[family] = off ? -1 : fd;
}

static void
cut_short_look(struct receiver *receiver, unsigned n, int fd, enum udp_family family, nsec_t now)
{
	int flags = 0;

	for (unsigned i = 0; i < n; i++)
		flags |= receiver->msgs[i].msg_hdr.msg_flags;
	if (!(flags & (MSG_TRUNC | MSG_CTRUNC)))
		return;
	ladder_down(receiver->stats->ladder, family == UDP4 ? RUNG_UDP4_GRO : RUNG_UDP6_GRO, 0, now);
	receiver->without[family] = -1; /* it may be another socket of that number */
	gro_follow(receiver, fd, family, now);
}

int
receiver_read(struct receiver *receiver, const struct udp *udp, enum udp_family family, unsigned max,
	      nsec_t now)
{
	const int fd = udp->fd[family];
	int n;

	gro_follow(receiver, fd, family, now);
	for (unsigned i = 0; i < max; i++) {
		receiver->msgs[i].msg_hdr.msg_namelen = sizeof(receiver->names[i]);
		receiver->msgs[i].msg_hdr.msg_controllen = CONTROL_LEN;
		receiver->msgs[i].msg_hdr.msg_flags = 0;
	}
	n = read_many(receiver, fd, max);
	if (n < 0)
		return n == -EAGAIN || n == -EWOULDBLOCK ? 0 : n;
	cut_short_look(receiver, (unsigned)n, fd, family, now);
	return n;
}

static void
control_read(struct received *ret, const struct cmsghdr *cmsg)
{
	const void *data = CMSG_DATA(cmsg);

	if (cmsg->cmsg_level == IPPROTO_IP && cmsg->cmsg_type == IP_PKTINFO) {
		struct in_pktinfo info;

		memcpy(&info, data, sizeof(info));
		ret->arrival.to.family = AF_INET;
		memcpy(ret->arrival.to.addr, &info.ipi_spec_dst, 4);
	} else if (cmsg->cmsg_level == IPPROTO_IPV6 && cmsg->cmsg_type == IPV6_PKTINFO) {
		struct in6_pktinfo info;

		memcpy(&info, data, sizeof(info));
		ret->arrival.to.family = AF_INET6;
		memcpy(ret->arrival.to.addr, &info.ipi6_addr, 16);
	} else if (cmsg->cmsg_level == IPPROTO_IP && cmsg->cmsg_type == IP_TOS) {
		memcpy(&ret->arrival.tos, data, 1);
	} else if (cmsg->cmsg_level == IPPROTO_IPV6 && cmsg->cmsg_type == IPV6_TCLASS) {
		int value;

		memcpy(&value, data, sizeof(value));
		ret->arrival.tos = (uint8_t)value;
	} else if (cmsg->cmsg_level == SOL_UDP && cmsg->cmsg_type == UDP_GRO) {
		int value;

		memcpy(&value, data, sizeof(value));
		if (value > 0 && (uint32_t)value < ret->len)
			ret->segment = (uint32_t)value;
	}
}

bool
receiver_get(struct receiver *receiver, unsigned i, struct received *ret)
{
	struct msghdr *msg = &receiver->msgs[i].msg_hdr;

	*ret = (struct received){
		.data = receiver->frames + i * FRAME_STRIDE,
		.len = receiver->msgs[i].msg_len,
		.segment = receiver->msgs[i].msg_len,
	};
	if (msg->msg_flags & (MSG_TRUNC | MSG_CTRUNC) ||
	    endpoint_from_sockaddr(&ret->arrival.from, (struct sockaddr *)&receiver->names[i]) < 0)
		return false;
	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg))
		control_read(ret, cmsg);
	return true;
}
