/*
 * A paced stream of numbered datagrams, and who counts them.
 *
 *   stream send ADDRESS PORT SIZE RATE SECONDS [SEGMENTS [ADDRESSES]]
 *       RATE datagrams a second; SEGMENTS of them a call with UDP_SEGMENT, as QUIC stacks send (1: each
 *       alone); to so many ADDRESSES from the first on, in turn.  Prints JSON: what was sent.
 *   stream receive PORT [SEGMENTS]
 *       until SIGTERM; with UDP_GRO if SEGMENTS > 1.  Prints JSON: what came, and how often out of order.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/ip.h"
#include "tests/bench/gso.h"

#define TICK        MICROSECONDS(500) /* the sender's pace */
#define CALL_MAX    64U               /* messages a call */
#define FRAME_MAX   65536U
#define BUFFER      (8 << 20) /* of the receiver's socket: it must not be the one that loses */
#define PAYLOAD_MIN 8U        /* the number */

static volatile sig_atomic_t stopped;

static void
stop(int signal_number)
{
	stopped = 1;
}

static int
failed(const char *what)
{
	fprintf(stderr, "stream: %s: %s\n", what, strerror(errno));
	return EXIT_FAILURE;
}

struct sending {
	int fd;
	struct endpoint first;
	size_t size;
	unsigned segments, addresses, turn;
	uint64_t sent;
	uint8_t frames[CALL_MAX][FRAME_MAX];
	struct iovec iov[CALL_MAX];
	struct sockaddr_storage to[CALL_MAX];
	struct mmsghdr msgs[CALL_MAX];
	_Alignas(struct cmsghdr) char control[GSO_CONTROL_LEN];
};

static struct sending sending;

static void
address_set(struct sending *s, struct sockaddr_storage *ret, struct msghdr *msg)
{
	struct endpoint to = s->first;
	const size_t last = to.ip.family == AF_INET ? 0 : 12;

	be32_store(to.ip.addr + last, be32_load(to.ip.addr + last) + s->turn);
	s->turn = (s->turn + 1) % s->addresses;
	msg->msg_namelen = endpoint_to_sockaddr(ret, &to);
	msg->msg_name = ret;
}

/* Up to @n datagrams, one call; returns how many. */
static uint64_t
send_some(struct sending *s, uint64_t n)
{
	unsigned calls = 0;
	uint64_t put = 0;
	int done;

	for (; put < n && calls < CALL_MAX; calls++) {
		const unsigned k = (unsigned)MIN(n - put, s->segments);
		struct msghdr *msg = &s->msgs[calls].msg_hdr;

		for (unsigned i = 0; i < k; i++)
			be64_store(s->frames[calls] + i * s->size, s->sent + put + i);
		s->iov[calls] = (struct iovec){s->frames[calls], k * s->size};
		*msg = (struct msghdr){.msg_iov = &s->iov[calls], .msg_iovlen = 1};
		if (k > 1)
			gso_set(msg, s->control, (uint16_t)s->size);
		address_set(s, &s->to[calls], msg);
		put += k;
	}
	done = sendmmsg(s->fd, s->msgs, calls, 0);
	if (done < 0 && errno != ECONNREFUSED && errno != ENOBUFS && errno != EAGAIN)
		exit(failed("sendmmsg"));
	if (done < (int)calls) /* the rest was not sent and goes with the next call */
		for (put = 0; done > 0; done--)
			put += s->iov[done - 1].iov_len / s->size;
	s->sent += put;
	return put;
}

static int
run_sender(struct sending *s, double rate, double seconds)
{
	const nsec_t start = clock_boottime(), end = start + (nsec_t)(seconds * 1e9);
	nsec_t now = start, next = start;

	prctl(PR_SET_TIMERSLACK, 1);
	for (; now < end; now = clock_boottime()) {
		const uint64_t due = (uint64_t)((double)(now - start) / 1e9 * rate);
		struct timespec until;

		while (s->sent + s->segments <= due && clock_boottime() < end)
			if (send_some(s, (due - s->sent) / s->segments * s->segments) == 0)
				break;
		next = MAX(next + TICK, now);
		until = (struct timespec){.tv_sec = next / SECONDS(1), .tv_nsec = next % SECONDS(1)};
		clock_nanosleep(CLOCK_BOOTTIME, TIMER_ABSTIME, &until, NULL);
	}
	printf("{\"sent\": %llu, \"seconds\": %.6f}\n", (unsigned long long)s->sent,
	       (double)(clock_boottime() - start) / 1e9);
	return EXIT_SUCCESS;
}

struct counting {
	uint64_t packets, bytes, calls, late, next;
};

static void
count(struct counting *c, const uint8_t *frame, size_t len, size_t size)
{
	for (size_t at = 0; at + PAYLOAD_MIN <= len; at += size) {
		const uint64_t number = be64_load(frame + at);

		c->packets++;
		c->late += number < c->next;
		c->next = MAX(c->next, number + 1);
	}
	c->bytes += len;
	c->calls++;
}

static int
run_receiver(uint16_t port, bool gro)
{
	static uint8_t frames[CALL_MAX][FRAME_MAX];
	static char control[CALL_MAX][GRO_CONTROL_LEN];
	const struct sockaddr_in6 here = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	const int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0), on = gro, buffer = BUFFER;
	const struct timeval look = {.tv_usec = 100000};
	struct sigaction action = {.sa_handler = stop};
	struct mmsghdr msgs[CALL_MAX];
	struct iovec iov[CALL_MAX];
	struct counting c = {0};
	int n;

	if (fd < 0 || bind(fd, (const struct sockaddr *)&here, sizeof(here)) < 0)
		return failed("bind");
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer));
	setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &look, sizeof(look)); /* a signal between look and call */
	sigaction(SIGTERM, &action, NULL);
	puts("listening");
	fflush(stdout);
	do {
		for (unsigned i = 0; i < CALL_MAX; i++) {
			iov[i] = (struct iovec){frames[i], FRAME_MAX};
			msgs[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i],
							  .msg_iovlen = 1,
							  .msg_control = control[i],
							  .msg_controllen = sizeof(control[i])};
		}
		n = recvmmsg(fd, msgs, CALL_MAX, MSG_WAITFORONE, NULL);
		for (int i = 0; i < n; i++)
			count(&c, frames[i], msgs[i].msg_len, gro_size(&msgs[i].msg_hdr, msgs[i].msg_len));
	} while (!stopped || n > 0 || errno == EINTR); /* what was under way when the sender ended counts */
	printf("{\"packets\": %llu, \"bytes\": %llu, \"frames\": %llu, \"late\": %llu}\n",
	       (unsigned long long)c.packets, (unsigned long long)c.bytes, (unsigned long long)c.calls,
	       (unsigned long long)c.late);
	return EXIT_SUCCESS;
}

int
main(int argc, char *argv[])
{
	struct sending *s = &sending;

	if (argc >= 3 && strcmp(argv[1], "receive") == 0)
		return run_receiver((uint16_t)atoi(argv[2]), argc > 3 && atoi(argv[3]) > 1);
	if (argc >= 7 && strcmp(argv[1], "send") == 0 && ip_parse(&s->first.ip, argv[2]) == 0) {
		s->first.port = (uint16_t)atoi(argv[3]);
		s->size = (size_t)atoi(argv[4]);
		s->segments = argc > 7 ? (unsigned)atoi(argv[7]) : 1;
		s->addresses = argc > 8 ? (unsigned)atoi(argv[8]) : 1;
		s->fd = socket(s->first.ip.family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		if (s->size >= PAYLOAD_MIN && s->segments > 0 && s->addresses > 0 &&
		    s->size * s->segments <= FRAME_MAX && s->fd >= 0)
			return run_sender(s, atof(argv[5]), atof(argv[6]));
	}
	fputs("usage: stream send ADDRESS PORT SIZE RATE SECONDS [SEGMENTS [ADDRESSES]] | stream receive "
	      "PORT [SEGMENTS]\n",
	      stderr);
	return 2;
}
