/*
 * A flood of handshake initiations, or a place for it to go.
 *
 *   flood bad ADDRESS PORT RATE SECONDS SOURCES          first MAC wrong
 *   flood spoofed ADDRESS PORT RATE SECONDS SOURCES KEY  first MAC right, for who knows our public key, but
 * nobody's keys flood sink PORT                                      a socket that is bound and never read
 *
 * Both kinds leave from a raw socket, from random addresses of the network SOURCES (a /16, its first
 * address), so that both cost the sender and the stack the same.  All messages are made before the clock
 * starts.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/ip.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "server/wg/cookie.h"

#define TICK     MICROSECONDS(500)
#define CALL_MAX 64U
#define MESSAGES 4096U /* they come round: which one it is matters to nobody */

struct packet {
	struct iphdr ip;
	struct udphdr udp;
	uint8_t message[WG_INITIATION_LEN];
};

static struct packet packets[MESSAGES];

static int
failed(const char *what)
{
	fprintf(stderr, "flood: %s: %s\n", what, strerror(errno));
	return EXIT_FAILURE;
}

static int
sink(uint16_t port)
{
	const struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(port)};
	const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (const struct sockaddr *)&here, sizeof(here)) < 0)
		return failed("bind");
	puts("listening");
	fflush(stdout);
	for (;;)
		pause();
}

static void
random_fill(void *to, size_t len)
{
	for (size_t at = 0; at < len;) {
		const ssize_t n = getrandom((uint8_t *)to + at, len - at, 0);

		if (n < 0)
			exit(failed("getrandom"));
		at += (size_t)n;
	}
}

static void
packet_make(struct packet *p, in_addr_t from, in_addr_t to, uint16_t port, const struct public_key *key)
{
	uint16_t random[2];
	struct cookie none = {0};

	random_fill(p->message, sizeof(p->message));
	random_fill(random, sizeof(random));
	le32_store(p->message, WG_MSG_INITIATION);
	if (key)
		cookie_macs_add(&none, key, p->message, sizeof(p->message), clock_boottime());
	p->ip = (struct iphdr){.version = 4,
			       .ihl = 5,
			       .tot_len = htons(sizeof(*p)),
			       .ttl = 64,
			       .protocol = IPPROTO_UDP,
			       .saddr = htonl((ntohl(from) & 0xffff0000U) + random[0]),
			       .daddr = to};
	/* no UDP checksum: IPv4 allows it, and it costs neither side */
	p->udp = (struct udphdr){.source = htons((uint16_t)(1024 + random[1] % 60000)),
				 .dest = htons(port),
				 .len = htons(sizeof(*p) - sizeof(p->ip))};
}

static uint64_t
send_some(int fd, const struct sockaddr_in *to, uint64_t first, uint64_t n)
{
	struct mmsghdr msgs[CALL_MAX];
	struct iovec iov[CALL_MAX];
	const unsigned k = (unsigned)MIN(n, CALL_MAX);
	int done;

	for (unsigned i = 0; i < k; i++) {
		iov[i] = (struct iovec){&packets[(first + i) % MESSAGES], sizeof(struct packet)};
		msgs[i].msg_hdr = (struct msghdr){.msg_name = (void *)to,
						  .msg_namelen = sizeof(*to),
						  .msg_iov = &iov[i],
						  .msg_iovlen = 1};
	}
	done = sendmmsg(fd, msgs, k, 0);
	if (done < 0 && errno != ENOBUFS && errno != EAGAIN)
		exit(failed("sendmmsg"));
	return done > 0 ? (uint64_t)done : 0;
}

static int
flood(const struct sockaddr_in *to, double rate, double seconds)
{
	const int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	nsec_t start, end, now, next;
	uint64_t sent = 0;

	if (fd < 0)
		return failed("socket");
	prctl(PR_SET_TIMERSLACK, 1);
	puts("ready");
	fflush(stdout);
	start = next = clock_boottime();
	end = start + (nsec_t)(seconds * 1e9);
	for (now = start; now < end; now = clock_boottime()) {
		const uint64_t due = (uint64_t)((double)(now - start) / 1e9 * rate);
		struct timespec until;

		while (sent < due && clock_boottime() < end) {
			const uint64_t n = send_some(fd, to, sent, due - sent);

			if (n == 0)
				break;
			sent += n;
		}
		next = MAX(next + TICK, now);
		until = (struct timespec){.tv_sec = next / SECONDS(1), .tv_nsec = next % SECONDS(1)};
		clock_nanosleep(CLOCK_BOOTTIME, TIMER_ABSTIME, &until, NULL);
	}
	printf("{\"sent\": %llu, \"seconds\": %.6f}\n", (unsigned long long)sent,
	       (double)(clock_boottime() - start) / 1e9);
	return EXIT_SUCCESS;
}

int
main(int argc, char *argv[])
{
	struct sockaddr_in to = {.sin_family = AF_INET};
	struct public_key key;
	const bool spoofed =
		argc == 8 && strcmp(argv[1], "spoofed") == 0 && hex_decode(key.b, KEY_LEN, argv[7]) == 0;
	struct in_addr from;

	if (argc == 3 && strcmp(argv[1], "sink") == 0)
		return sink((uint16_t)atoi(argv[2]));
	if ((spoofed || (argc == 7 && strcmp(argv[1], "bad") == 0)) &&
	    inet_pton(AF_INET, argv[2], &to.sin_addr) == 1 && inet_pton(AF_INET, argv[6], &from) == 1) {
		for (unsigned i = 0; i < MESSAGES; i++)
			packet_make(&packets[i], from.s_addr, to.sin_addr.s_addr, (uint16_t)atoi(argv[3]),
				    spoofed ? &key : NULL);
		return flood(&to, atof(argv[4]), atof(argv[5]));
	}
	fputs("usage: flood bad|spoofed ADDRESS PORT RATE SECONDS SOURCES [KEY] | flood sink PORT\n", stderr);
	return 2;
}
