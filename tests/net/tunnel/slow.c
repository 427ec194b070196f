/*
 * A library to be preloaded: a machine on which everything that goes out costs SLOW_US microseconds more of the
 * thread's time, as a long list of filter rules would.  So a gateway is saturated by what another part of the
 * same machine can send, whatever the machine; see fair_test.py.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static void
burn(void)
{
	static long us = -1;
	struct timespec begin, now;

	if (us < 0)
		us = getenv("SLOW_US") ? atol(getenv("SLOW_US")) : 0;
	clock_gettime(CLOCK_MONOTONIC, &begin);
	do
		clock_gettime(CLOCK_MONOTONIC, &now);
	while ((now.tv_sec - begin.tv_sec) * 1000000 + (now.tv_nsec - begin.tv_nsec) / 1000 < us);
}

ssize_t
writev(int fd, const struct iovec *iov, int n)
{
	burn();
	return syscall(SYS_writev, fd, iov, n);
}

ssize_t
sendmsg(int fd, const struct msghdr *msg, int flags)
{
	burn();
	return syscall(SYS_sendmsg, fd, msg, flags);
}

int
sendmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags)
{
	for (unsigned i = 0; i < n; i++)
		burn();
	return (int)syscall(SYS_sendmmsg, fd, msgs, n, flags);
}
