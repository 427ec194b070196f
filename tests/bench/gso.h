/*
 * Many datagrams a call: how the kernel is told to cut what is sent, and how it tells what it has merged.
 */
#ifndef TESTS_BENCH_GSO_H
#define TESTS_BENCH_GSO_H

#include <netinet/udp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#define GSO_CONTROL_LEN CMSG_SPACE(sizeof(uint16_t))
#define GRO_CONTROL_LEN CMSG_SPACE(sizeof(int))

/* @control: zeroed, GSO_CONTROL_LEN, lent to @msg. */
static inline void
gso_set(struct msghdr *msg, void *control, uint16_t size)
{
	struct cmsghdr *cmsg;

	msg->msg_control = control;
	msg->msg_controllen = GSO_CONTROL_LEN;
	cmsg = CMSG_FIRSTHDR(msg);
	cmsg->cmsg_level = SOL_UDP;
	cmsg->cmsg_type = UDP_SEGMENT;
	cmsg->cmsg_len = CMSG_LEN(sizeof(size));
	memcpy(CMSG_DATA(cmsg), &size, sizeof(size));
}

/* The length of each datagram but the last in the @len bytes that came with @msg. */
static inline size_t
gro_size(struct msghdr *msg, size_t len)
{
	int size;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c))
		if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
			memcpy(&size, CMSG_DATA(c), sizeof(size));
			return (size_t)size;
		}
	return len;
}

#endif
