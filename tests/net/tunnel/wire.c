/*
 * What an interface sends, as it leaves: whether the counters of each WireGuard session rise strictly.  Then
 * a receiver with any replay window, one of 32 packets too, takes all that arrives.
 *
 *     wire [--list] INTERFACE
 *
 * Runs until SIGTERM; the last line of the output is a JSON object of figures.  Superframes are seen whole,
 * with the length of their segments beside them.  --list: a line for each message, both ways: when, "out" or
 * "in", type, length.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <poll.h>
#include <unistd.h>

#include "base/bytes.h"

#define SESSIONS    4096 /* a power of two */
#define FRAME_MAX   (sizeof(struct virtio_net_hdr) + 66000)
#define BUFFER      (64 << 20)
#define DATA        4
#define DATA_HEADER 16
#define IP_HEADER   20
#define UDP_HEADER  8

struct session {
	bool used;
	uint32_t index;
	uint64_t last;
};

static struct session sessions[SESSIONS];
static uint64_t messages, back, missing, whole;
static unsigned n_sessions;
static bool list;

static void
fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

static struct session *
session_of(uint32_t index)
{
	uint32_t at = (index * 2654435761U) % SESSIONS;

	while (sessions[at].used && sessions[at].index != index)
		at = (at + 1) % SESSIONS;
	return &sessions[at];
}

static void
message_see(const uint8_t *data, size_t len)
{
	struct session *session;
	uint64_t counter;
	uint32_t type, index;

	if (len < 2 * DATA_HEADER)
		return;
	memcpy(&type, data, sizeof(type));
	memcpy(&index, data + 4, sizeof(index));
	memcpy(&counter, data + 8, sizeof(counter));
	if (le32toh(type) != DATA)
		return;
	counter = le64toh(counter);
	session = session_of(index);
	messages++;
	if (!session->used) {
		if (++n_sessions == SESSIONS) {
			fprintf(stderr, "too many sessions\n");
			exit(1);
		}
		*session = (struct session){.used = true, .index = index, .last = counter};
		return;
	}
	if (counter <= session->last)
		back++;
	else
		missing += counter - session->last - 1;
	session->last = MAX(counter, session->last);
}

static void
message_list(int fd, const uint8_t *data, size_t len, bool out)
{
	struct timespec ts = {0};
	uint32_t type = 0;

	memcpy(&type, data, MIN(len, sizeof(type)));
	if (ioctl(fd, SIOCGSTAMPNS, &ts) < 0)
		fail("the time of a packet");
	printf("%lld.%09ld %s %u %zu\n", (long long)ts.tv_sec, ts.tv_nsec, out ? "out" : "in", le32toh(type),
	       len);
	fflush(stdout);
}

static void
frame_see(int fd, const uint8_t *frame, size_t len, bool out)
{
	struct virtio_net_hdr vnet;
	const uint8_t *ip = frame + sizeof(vnet) + ETH_HLEN;
	size_t head, segment;

	if (len < sizeof(vnet) + ETH_HLEN + IP_HEADER)
		return;
	memcpy(&vnet, frame, sizeof(vnet));
	len -= sizeof(vnet) + ETH_HLEN;
	if (ip[0] >> 4 == 4 && ip[9] == IPPROTO_UDP)
		head = (ip[0] & 15U) * 4 + UDP_HEADER;
	else if (ip[0] >> 4 == 6 && ip[6] == IPPROTO_UDP)
		head = 40 + UDP_HEADER;
	else
		return;
	if (len <= head)
		return;
	segment = vnet.gso_type == VIRTIO_NET_HDR_GSO_NONE ? len - head : vnet.gso_size;
	whole += out && segment < len - head;
	for (size_t at = head; segment > 0 && at < len; at += segment) {
		if (list)
			message_list(fd, ip + at, MIN(segment, len - at), out);
		if (out)
			message_see(ip + at, MIN(segment, len - at));
	}
}

static int
packet_socket(const char *interface)
{
	const int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ALL));
	struct sockaddr_ll sa = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	const int on = 1, len = BUFFER;

	sa.sll_ifindex = (int)if_nametoindex(interface);
	if (fd < 0 || setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)) < 0 ||
	    (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &len, sizeof(len)) < 0 &&
	     setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &len, sizeof(len)) < 0) ||
	    bind(fd, (const struct sockaddr *)&sa, sizeof(sa)) < 0)
		fail(interface);
	return fd;
}

static void
drain(int fd)
{
	static uint8_t frame[FRAME_MAX];
	struct sockaddr_ll from;
	socklen_t from_len = sizeof(from);
	ssize_t n;

	while ((n = recvfrom(fd, frame, sizeof(frame), 0, (struct sockaddr *)&from, &from_len)) >= 0) {
		frame_see(fd, frame, (size_t)n, from.sll_pkttype == PACKET_OUTGOING);
		from_len = sizeof(from);
	}
}

int
main(int argc, char *argv[])
{
	struct tpacket_stats stats = {0};
	socklen_t len = sizeof(stats);
	struct pollfd fds[2];
	sigset_t set;

	list = argc == 3 && strcmp(argv[1], "--list") == 0;
	if (argc != 2 && !list)
		return 2;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fds[0] = (struct pollfd){packet_socket(argv[argc - 1]), POLLIN, 0};
	fds[1] = (struct pollfd){signalfd(-1, &set, SFD_CLOEXEC), POLLIN, 0};
	puts("listening");
	fflush(stdout);
	do {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			fail("poll");
		drain(fds[0].fd);
	} while (!(fds[1].revents & POLLIN));
	if (getsockopt(fds[0].fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len) < 0)
		fail("statistics");
	printf("{\"messages\": %" PRIu64 ", \"sessions\": %u, \"superframes\": %" PRIu64
	       ", \"back\": %" PRIu64 ", \"missing\": %" PRIu64 ", \"unseen\": %u}\n",
	       messages, n_sessions, whole, back, missing, stats.tp_drops);
	return 0;
}
