/*
 * A library to be preloaded: system calls that are answered otherwise than the kernel would, by the rules
 * that the test writes into the file REFUSE, at any time.  Each rule names a call, which of these calls it is
 * about, what is answered, and how often; it counts how often it was.  See ladder_test.py.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/udp.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define RULES      16
#define SOL_OF_UDP 17
#define TUN_READ   60000 /* nothing else is read into that much room */

enum call { NONE, SENDMMSG, SENDMSG, RECVMMSG, RECVMSG, SETSOCKOPT, GETSOCKOPT, IOCTL, WRITEV, READ };

/* Bits that a call must have, all of them. */
enum of {
	OF_BATCH = 1,  /* UDP_SEGMENT is given */
	OF_SINGLE = 2, /* it is not */
	OF_V4 = 4,     /* of the destination */
	OF_V6 = 8,
	OF_SOURCE = 16, /* a source address is given */
	OF_TCP = 32,    /* superframes written */
	OF_UDP = 64,
};

/* Answers beside errnos. */
enum { SHORT = -1, TRUNCATED = -2, CONTROL_TRUNCATED = -3, ZERO = -4, SWALLOW = -5 };

struct rule {
	uint32_t call, of;
	uint32_t name, mask; /* option or request; bits of its argument */
	int32_t answer;
	_Atomic uint32_t left; /* UINT32_MAX: always */
	_Atomic uint64_t hits;
};

static struct rule *
rules(void)
{
	static struct rule *at;

	if (!at) {
		const char *path = getenv("REFUSE");
		const int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
		void *map =
			fd >= 0 ? mmap(NULL, RULES * sizeof(*at), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
				: MAP_FAILED;

		if (fd >= 0)
			close(fd);
		if (map == MAP_FAILED)
			abort();
		at = map;
	}
	return at;
}

static bool
about(const struct rule *rule, enum call call, uint32_t of, uint32_t name, uint32_t bits)
{
	return rule->call == call && (rule->of & of) == rule->of && (!rule->name || rule->name == name) &&
	       (!rule->mask || rule->mask & bits) && rule->left > 0;
}

/* Whether something is to be answered; it is not yet. */
static bool
has_answer(enum call call, uint32_t of)
{
	for (const struct rule *rule = rules(); rule < rules() + RULES; rule++)
		if (about(rule, call, of, 0, 0))
			return true;
	return false;
}

/* What is to be answered, 0: what the kernel says. */
static int
answer(enum call call, uint32_t of, uint32_t name, uint32_t bits)
{
	for (struct rule *rule = rules(); rule < rules() + RULES; rule++) {
		uint32_t left = rule->left;

		if (!about(rule, call, of, name, bits))
			continue;
		while (left > 0 && left != UINT32_MAX &&
		       !atomic_compare_exchange_weak(&rule->left, &left, left - 1))
			continue;
		if (left == 0)
			continue;
		rule->hits++;
		return rule->answer;
	}
	return 0;
}

static int
fail(int error)
{
	errno = error;
	return -1;
}

static uint32_t
of_message(const struct msghdr *msg)
{
	const struct sockaddr *to = msg->msg_name;
	uint32_t of = OF_SINGLE | (to && to->sa_family == AF_INET6 ? OF_V6 : OF_V4);

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR((struct msghdr *)(uintptr_t)msg, c)) {
		if (c->cmsg_level == SOL_OF_UDP && c->cmsg_type == UDP_SEGMENT)
			of = (of & ~(uint32_t)OF_SINGLE) | OF_BATCH;
		else if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) ||
			 (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO))
			of |= OF_SOURCE;
	}
	return of;
}

/* As the kernel: an error is told of the first only, else what came before it is what was sent. */
int
sendmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags)
{
	const int what = answer(SENDMMSG, of_message(&msgs[0].msg_hdr), 0, 0);
	unsigned before = 1;

	if (what > 0)
		return fail(what);
	if (what == SWALLOW || what == SHORT)
		return what == SWALLOW ? 1 : (int)syscall(SYS_sendmmsg, fd, msgs, 1, flags);
	while (before < n && !has_answer(SENDMMSG, of_message(&msgs[before].msg_hdr)))
		before++;
	return (int)syscall(SYS_sendmmsg, fd, msgs, before, flags);
}

ssize_t
sendmsg(int fd, const struct msghdr *msg, int flags)
{
	const int what = msg->msg_name ? answer(SENDMSG, of_message(msg), 0, 0) : 0;

	return what > 0 ? fail(what) : syscall(SYS_sendmsg, fd, msg, flags);
}

static bool
has_segments(struct msghdr *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c))
		if (c->cmsg_level == SOL_OF_UDP && c->cmsg_type == UDP_GRO)
			return true;
	return false;
}

/* Superframes lose their end, or what says that they are such. */
static void
cut(struct msghdr *msg, int what)
{
	if (what == TRUNCATED)
		msg->msg_flags |= MSG_TRUNC;
	if (what == CONTROL_TRUNCATED) {
		msg->msg_flags |= MSG_CTRUNC;
		msg->msg_controllen = 0;
	}
}

int
recvmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags, struct timespec *timeout)
{
	int what = answer(RECVMMSG, OF_SINGLE, 0, 0), got;

	if (what > 0)
		return fail(what);
	got = (int)syscall(SYS_recvmmsg, fd, msgs, what == SHORT ? 1 : n, flags, timeout);
	for (int i = 0; i < got; i++)
		if (has_segments(&msgs[i].msg_hdr)) {
			what = answer(RECVMMSG, OF_BATCH, 0, 0);
			cut(&msgs[i].msg_hdr, what);
		}
	return got;
}

ssize_t
recvmsg(int fd, struct msghdr *msg, int flags)
{
	const int what = answer(RECVMSG, 0, 0, 0);

	return what > 0 ? fail(what) : syscall(SYS_recvmsg, fd, msg, flags);
}

int
setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	uint32_t bits = 0;
	int what;

	if (len == sizeof(bits))
		memcpy(&bits, value, sizeof(bits));
	what = answer(SETSOCKOPT, 0, (uint32_t)(level << 16 | name), bits);

	return what > 0 ? fail(what) : (int)syscall(SYS_setsockopt, fd, level, name, value, len);
}

int
getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	const int what = answer(GETSOCKOPT, 0, (uint32_t)(level << 16 | name), 0);
	int r;

	if (what > 0)
		return fail(what);
	r = (int)syscall(SYS_getsockopt, fd, level, name, value, len);
	if (r == 0 && what == ZERO)
		memset(value, 0, *len);
	return r;
}

int
ioctl(int fd, unsigned long request, ...)
{
	uint32_t bits = 0;
	va_list args;
	void *arg;
	int what;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	if (request == TUNSETIFF)
		bits = (uint16_t)((struct ifreq *)arg)->ifr_flags;
	else if (request == TUNSETOFFLOAD)
		bits = (uint32_t)(uintptr_t)arg;
	what = answer(IOCTL, 0, (uint32_t)request, bits);
	return what > 0 ? fail(what) : (int)syscall(SYS_ioctl, fd, request, arg);
}

ssize_t
writev(int fd, const struct iovec *iov, int n)
{
	uint32_t of = OF_SINGLE;
	ssize_t written;
	int what;

	if (iov[0].iov_len == sizeof(struct virtio_net_hdr)) {
		const struct virtio_net_hdr *hdr = iov[0].iov_base;

		if (hdr->gso_type == VIRTIO_NET_HDR_GSO_TCPV4 || hdr->gso_type == VIRTIO_NET_HDR_GSO_TCPV6)
			of = OF_TCP;
		else if (hdr->gso_type != VIRTIO_NET_HDR_GSO_NONE)
			of = OF_UDP;
	}
	what = answer(WRITEV, of, 0, 0);
	if (what > 0)
		return fail(what);
	written = syscall(SYS_writev, fd, iov, n);
	return what == SHORT && written > 1 ? written / 2 : written;
}

ssize_t
read(int fd, void *to, size_t len)
{
	const int what = len >= TUN_READ ? answer(READ, 0, 0, 0) : 0;
	ssize_t got;

	if (what > 0)
		return fail(what);
	got = syscall(SYS_read, fd, to, len);
	return what == SHORT && got > 1 ? got / 2 : got;
}
