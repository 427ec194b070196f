/*
 * Numbered datagrams through a tunnel, both ways at once: whether a flow stays in order.
 *
 *     flows LOCAL REMOTE PORT FLOWS RATE SECONDS
 *
 * runs at both ends, begins with SIGUSR1, and ends early with SIGUSR2.  Every second flow sends superframes
 * (UDP_SEGMENT), the others single datagrams.  A flow's numbers rise by one; the other end counts those that
 * came late (a higher one was there before) or again.  When the time is over each flow says how many it sent,
 * several times, so that loss is known too.  The last line of the output is a JSON object of figures.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/udp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/ip.h"

#define FLOWS_MAX   256
#define SEGMENTS    20
#define MESSAGE_MIN 24
#define MESSAGE_MAX 1380
#define REMEMBERED  4096 /* numbers of a flow, so that what came again is told from what came late */
#define GOODBYES    10
#define PAUSE_NS    50000000
#define PATIENCE_S  20
#define BUFFER      (8 << 20)
#define BATCH       64

enum kind { NUMBERED = 1, GOODBYE };

struct message {
	uint32_t kind, flow;
	uint64_t number;
};

struct sending {
	int fd;
	unsigned size;
	bool super;
	uint64_t next;
};

struct receiving {
	uint64_t last, received, late, again, total;
	bool any, ended;
	uint64_t seen[REMEMBERED];
};

static struct sending sending[FLOWS_MAX];
static struct receiving receiving[FLOWS_MAX];
static unsigned flows;
static atomic_bool all_ended;
static volatile sig_atomic_t enough;

static void
fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static int
udp_socket(int family)
{
	const int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0), len = BUFFER;

	if (fd < 0)
		fail("socket");
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &len, sizeof(len)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &len, sizeof(len));
	return fd;
}

/* Receiving. */

static void
numbered_take(struct receiving *flow, uint64_t number)
{
	uint64_t *seen = &flow->seen[number % REMEMBERED];

	flow->received++;
	if (*seen == number + 1)
		flow->again++;
	else if (flow->any && number < flow->last)
		flow->late++;
	*seen = number + 1;
	if (!flow->any || number > flow->last)
		flow->last = number;
	flow->any = true;
}

static void
message_take(const uint8_t *data, size_t len)
{
	struct message message;

	if (len < sizeof(message))
		return;
	memcpy(&message, data, sizeof(message));
	if (message.flow >= flows)
		return;
	if (message.kind == NUMBERED) {
		numbered_take(&receiving[message.flow], message.number);
	} else if (message.kind == GOODBYE) {
		receiving[message.flow].ended = true;
		receiving[message.flow].total = message.number;
	}
}

static bool
ended(void)
{
	for (unsigned i = 0; i < flows; i++)
		if (!receiving[i].ended)
			return false;
	return true;
}

static void *
receive(void *arg)
{
	static uint8_t buffers[BATCH][2048];
	struct mmsghdr messages[BATCH] = {0};
	struct iovec iov[BATCH];
	const int fd = *(const int *)arg;

	for (unsigned i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){buffers[i], sizeof(buffers[i])};
		messages[i].msg_hdr.msg_iov = &iov[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	while (!ended()) {
		const int n = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);

		for (int i = 0; i < n; i++)
			message_take(buffers[i], messages[i].msg_len);
	}
	atomic_store(&all_ended, true);
	return NULL;
}

/* Sending. */

static void
flow_open(unsigned number, const struct sockaddr_storage *local, const struct sockaddr_storage *remote,
	  socklen_t len)
{
	struct sending *flow = &sending[number];
	int segment;

	flow->fd = udp_socket(local->ss_family);
	flow->super = number % 2;
	flow->size = MESSAGE_MIN + (number * 977) % (MESSAGE_MAX - MESSAGE_MIN);
	segment = (int)flow->size;
	if (bind(flow->fd, (const struct sockaddr *)local, len) < 0 ||
	    connect(flow->fd, (const struct sockaddr *)remote, len) < 0)
		fail("the address of a flow");
	if (flow->super && setsockopt(flow->fd, SOL_UDP, UDP_SEGMENT, &segment, sizeof(segment)) < 0)
		fail("UDP_SEGMENT");
}

static unsigned
flow_send(unsigned number, enum kind kind)
{
	static uint8_t data[SEGMENTS * MESSAGE_MAX];
	struct sending *flow = &sending[number];
	const unsigned n = flow->super && kind == NUMBERED ? SEGMENTS : 1;

	for (unsigned i = 0; i < n; i++) {
		const struct message message = {.kind = kind, .flow = number, .number = flow->next};

		memcpy(data + i * flow->size, &message, sizeof(message));
		if (kind == NUMBERED)
			flow->next++;
	}
	if (send(flow->fd, data, n * flow->size, 0) < 0 && errno != ECONNREFUSED && errno != ENOBUFS)
		fprintf(stderr, "flow %u: %s\n", number, strerror(errno));
	return n;
}

static void
until(uint64_t when)
{
	const struct timespec ts = {.tv_sec = (time_t)(when / 1000000000),
				    .tv_nsec = (long)(when % 1000000000)};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
		continue;
}

static void
enough_of_it(int number)
{
	enough = 1;
}

static uint64_t
traffic(uint64_t rate, uint64_t seconds)
{
	const uint64_t begin = now_ns(), end = begin + seconds * 1000000000;
	uint64_t sent = 0;

	for (unsigned i = 0; !enough && now_ns() < end; i = (i + 1) % flows) {
		sent += flow_send(i, NUMBERED);
		until(begin + sent * 1000000000 / rate);
	}
	return sent;
}

static void
figures_print(uint64_t sent)
{
	uint64_t received = 0, late = 0, again = 0, expected = 0;
	unsigned n = 0;

	for (unsigned i = 0; i < flows; i++) {
		received += receiving[i].received;
		late += receiving[i].late;
		again += receiving[i].again;
		expected += receiving[i].total;
		n += receiving[i].ended;
	}
	printf("{\"sent\": %" PRIu64 ", \"expected\": %" PRIu64 ", \"received\": %" PRIu64
	       ", \"late\": %" PRIu64 ", \"again\": %" PRIu64 ", \"ended\": %u}\n",
	       sent, expected, received, late, again, n);
}

static void
address(const char *text, uint16_t port, struct sockaddr_storage *ret, socklen_t *len)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)ret;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret;

	*ret = (struct sockaddr_storage){0};
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		*len = sizeof(*v4);
	} else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
		*len = sizeof(*v6);
	} else {
		errno = EINVAL;
		fail(text);
	}
}

int
main(int argc, char *argv[])
{
	struct sockaddr_storage here, anywhere, there;
	uint64_t sent, patience;
	pthread_t thread;
	uint16_t port;
	sigset_t go;
	int got;
	socklen_t len;
	int fd;

	if (argc != 7)
		return 2;
	port = (uint16_t)strtoul(argv[3], NULL, 10);
	address(argv[1], port, &here, &len);
	address(argv[1], 0, &anywhere, &len);
	address(argv[2], port, &there, &len);
	flows = (unsigned)MIN(strtoul(argv[4], NULL, 10), (unsigned long)FLOWS_MAX);
	fd = udp_socket(here.ss_family);
	if (bind(fd, (const struct sockaddr *)&here, len) < 0)
		fail("bind");
	for (unsigned i = 0; i < flows; i++)
		flow_open(i, &anywhere, &there, len);
	signal(SIGUSR2, enough_of_it);
	sigemptyset(&go);
	sigaddset(&go, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &go, NULL);
	if (pthread_create(&thread, NULL, receive, &fd) != 0)
		fail("thread");
	puts("ready");
	fflush(stdout);
	sigwait(&go, &got); /* both ends are */
	sent = traffic(strtoul(argv[5], NULL, 10), strtoul(argv[6], NULL, 10));
	patience = now_ns() + PATIENCE_S * 1000000000ULL;
	for (unsigned n = 0; n < GOODBYES || (!atomic_load(&all_ended) && now_ns() < patience); n++) {
		for (unsigned i = 0; i < flows; i++)
			flow_send(i, GOODBYE);
		until(now_ns() + PAUSE_NS);
	}
	if (atomic_load(&all_ended))
		pthread_join(thread, NULL);
	figures_print(sent);
	return 0;
}
