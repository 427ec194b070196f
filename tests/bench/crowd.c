/*
 * Up to 100,000 WireGuard clients in one process, over real sockets.  What it does, it prints as JSON.
 *
 *   crowd keys CLIENTS                                 public key, inner address, endpoint; a line each
 *   crowd handshakes AT PORT KEY CLIENTS TIMES WINDOW  each shakes hands so many times; the initiations are
 * made before, and at most WINDOW of them wait for an answer crowd send AT PORT KEY CLIENTS SECONDS SEGMENTS
 * all shake hands, then send full-size packets in turn, SEGMENTS at a time, as fast as they can crowd receive
 * AT PORT KEY CLIENTS SECONDS          all shake hands, then count what comes
 *
 * Clients say "ready" on standard output before they begin, and begin when they read a line.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/ip.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "server/tunnel/backends.h"
#include "tests/bench/client.h"
#include "tests/bench/gso.h"

#define CLIENTS_MAX    100000U
#define SOCKETS_MAX    1000U
#define INNER_LEN      1420U
#define DONT_FRAGMENT  0x4000
#define TARGET         0x0a800001U /* 10.128.0.1, somewhere behind the gateway */
#define SOURCES        0xc6330001U /* 198.51.0.1: where the sockets are */
#define SOURCE_PORT    40000
#define FRAME_MAX      65536U
#define RECEIVE_BATCH  16U
#define SEGMENTS_MAX   45U
#define STALL          SECONDS(1) /* no answer for so long: what was outstanding is lost */
#define STALLS_MAX     20U
#define REPEATS        20U
#define VERIFY_MAX     1000U
#define HANDSHAKE_SLOT 17 /* bits of an index that number the client; the round is above */

struct crowd {
	struct gateway gateway;
	struct client *clients;
	uint32_t n;
	int fds[SOCKETS_MAX];
	unsigned n_fds;
	int epoll_fd;
};

struct counted {
	uint64_t responses, cookies, datagrams, bytes, other;
};

/* What is to be done with a response. */
typedef void response_fn(struct crowd *crowd, const uint8_t *message, void *arg);

static int
failed(const char *what)
{
	fprintf(stderr, "crowd: %s: %s\n", what, strerror(errno));
	return EXIT_FAILURE;
}

static uint8_t frames[RECEIVE_BATCH][FRAME_MAX];

/* The client that the gateway answers, by the index that we chose. */
static struct client *
client_of(struct crowd *crowd, const uint8_t *receiver)
{
	const uint32_t number = le32_load(receiver) & (BIT(HANDSHAKE_SLOT) - 1);

	return number < crowd->n ? &crowd->clients[number] : NULL;
}

/* For its next initiation; one that is not for the last is of no use. */
static bool
cookie_take(struct crowd *crowd, const uint8_t *message)
{
	struct client *client = client_of(crowd, message + 4);

	return client &&
	       cookie_reply_read(&client->cookie, &crowd->gateway.key, message, clock_boottime()) == 0;
}

static void
message_take(struct crowd *crowd, const uint8_t *message, size_t len, struct counted *counted,
	     response_fn *response, void *arg)
{
	if (len == WG_RESPONSE_LEN && le32_load(message) == WG_MSG_RESPONSE) {
		counted->responses++;
		if (response)
			response(crowd, message, arg);
	} else if (len == WG_COOKIE_REPLY_LEN && le32_load(message) == WG_MSG_COOKIE) {
		if (cookie_take(crowd, message))
			counted->cookies++;
	} else if (len > WG_DATA_MIN && le32_load(message) == WG_MSG_DATA) {
		counted->datagrams++;
		counted->bytes += len - WG_DATA_OVERHEAD;
	} else {
		counted->other++;
	}
}

/* All that has come to one socket. */
static void
socket_take(struct crowd *crowd, int fd, struct counted *counted, response_fn *response, void *arg)
{
	static char control[RECEIVE_BATCH][GRO_CONTROL_LEN];
	struct mmsghdr msgs[RECEIVE_BATCH];
	struct iovec iov[RECEIVE_BATCH];
	int n;

	do {
		for (unsigned i = 0; i < RECEIVE_BATCH; i++) {
			iov[i] = (struct iovec){frames[i], FRAME_MAX};
			msgs[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i],
							  .msg_iovlen = 1,
							  .msg_control = control[i],
							  .msg_controllen = sizeof(control[i])};
		}
		n = recvmmsg(fd, msgs, RECEIVE_BATCH, MSG_DONTWAIT, NULL);
		for (int i = 0; i < n; i++) {
			const size_t len = msgs[i].msg_len, size = gro_size(&msgs[i].msg_hdr, len);

			for (size_t at = 0; at < len; at += size)
				message_take(crowd, frames[i] + at, MIN(size, len - at), counted, response,
					     arg);
		}
	} while (n == (int)RECEIVE_BATCH);
}

/* What comes within @wait, or has come.  False: nothing. */
static bool
crowd_take(struct crowd *crowd, nsec_t wait, struct counted *counted, response_fn *response, void *arg)
{
	struct epoll_event events[64];
	const int n = epoll_wait(crowd->epoll_fd, events, ARRAY_LEN(events), (int)(wait / MILLISECONDS(1)));

	for (int i = 0; i < n; i++)
		socket_take(crowd, events[i].data.fd, counted, response, arg);
	return n > 0;
}

/* Each from an address of its own, as clients have: a gateway under load counts by address. */
static int
socket_open(const struct crowd *crowd, unsigned number)
{
	const int on = 1, buffer = 4 << 20;
	const struct sockaddr_in here = {.sin_family = AF_INET,
					 .sin_port = htons(SOURCE_PORT),
					 .sin_addr.s_addr = htonl(SOURCES + number)};
	struct epoll_event event = {.events = EPOLLIN};
	struct sockaddr_storage to;
	const socklen_t len = endpoint_to_sockaddr(&to, &crowd->gateway.at);
	_cleanup_(closep) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	event.data.fd = fd;
	if (fd < 0 || bind(fd, (const struct sockaddr *)&here, sizeof(here)) < 0 ||
	    connect(fd, (struct sockaddr *)&to, len) < 0 ||
	    epoll_ctl(crowd->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		return -errno;
	setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer));
	return take_fd(&fd);
}

static int
sockets_open(struct crowd *crowd)
{
	const struct rlimit limit = {SOCKETS_MAX + 64, SOCKETS_MAX + 64};
	int fd = 0;

	setrlimit(RLIMIT_NOFILE, &limit);
	crowd->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	for (; crowd->n_fds < MIN(crowd->n, SOCKETS_MAX) && fd >= 0; crowd->n_fds++)
		crowd->fds[crowd->n_fds] = fd = socket_open(crowd, crowd->n_fds);
	return MIN(fd, 0);
}

static int
crowd_make(struct crowd *crowd)
{
	static struct ladder ladder;
	int r = aead_choose(&crowd->gateway.aead, NULL, &ladder);

	crowd->clients = calloc(crowd->n, sizeof(*crowd->clients));
	if (r < 0 || !crowd->clients)
		return r < 0 ? r : -ENOMEM;
	r = sockets_open(crowd);
	for (uint32_t i = 0; r == 0 && i < crowd->n; i++) {
		r = client_init(&crowd->clients[i], &crowd->gateway, i);
		crowd->clients[i].fd = crowd->fds[i % crowd->n_fds];
	}
	return r;
}

/* Whoever started us may now read its clocks. */
static void
begin(void)
{
	int c;

	puts("ready");
	fflush(stdout);
	do
		c = getchar();
	while (c != '\n' && c != EOF);
}

static void
session_take(struct crowd *crowd, const uint8_t *message, void *arg)
{
	struct client *client = client_of(crowd, message + 8);
	uint32_t *done = arg;

	if (client && client->remote == 0 && client_respond(client, &crowd->gateway, message) == 0)
		++*done;
}

/* Initiations in flight, at most a window of them. */
struct flight {
	uint32_t window;
	uint64_t sent, answered, lost;
	uint32_t stalls;
};

static int
flight_wait(struct crowd *crowd, struct flight *f, struct counted *counted, response_fn *response, void *arg)
{
	const uint64_t before = counted->responses + counted->cookies;

	if (!crowd_take(crowd, STALL, counted, response, arg)) {
		f->lost = f->sent - MIN(f->sent, f->answered);
		if (++f->stalls > STALLS_MAX)
			return -ETIMEDOUT;
	}
	f->answered += counted->responses + counted->cookies - before;
	return 0;
}

static bool
flight_full(const struct flight *f)
{
	return f->sent - MIN(f->sent, f->answered + f->lost) >= f->window;
}

/* Before anybody is asked again: until nothing has come for a while, so that late answers are not taken for
 * new ones. */
static void
flight_land(struct crowd *crowd, struct flight *f, struct counted *counted, response_fn *response, void *arg)
{
	while (crowd_take(crowd, STALL, counted, response, arg))
		continue;
	f->lost = f->sent - MIN(f->sent, f->answered);
	f->answered = f->sent - f->lost;
}

/* Sessions for all, asking again those who were not answered. */
static int
crowd_connect(struct crowd *crowd, struct counted *counted)
{
	struct flight f = {.window = 128};
	uint32_t done = 0;
	int r = 0;

	while (done < crowd->n && r == 0) {
		for (uint32_t i = 0; i < crowd->n && r == 0; i++) {
			struct client *client = &crowd->clients[i];
			uint8_t message[WG_INITIATION_LEN];

			if (client->remote != 0)
				continue;
			while (flight_full(&f) && r == 0)
				r = flight_wait(crowd, &f, counted, session_take, &done);
			if (r == 0)
				r = client_initiate(client, &crowd->gateway, i, message);
			if (r == 0 && send(client->fd, message, sizeof(message), 0) < 0 &&
			    errno != ECONNREFUSED)
				r = -errno;
			f.sent++;
		}
		while (r == 0 && f.sent > f.answered + f.lost)
			r = flight_wait(crowd, &f, counted, session_take, &done);
		if (done < crowd->n)
			flight_land(crowd, &f, counted, session_take, &done);
	}
	for (uint32_t i = 0; i < crowd->n && r == 0; i++) { /* a responder sends when it has heard of us */
		uint8_t keepalive[WG_DATA_MIN];

		client_seal(&crowd->clients[i], &crowd->gateway, keepalive, 0, 1, keepalive);
		if (send(crowd->clients[i].fd, keepalive, sizeof(keepalive), 0) < 0)
			r = -errno;
	}
	return r;
}

static int
run_keys(uint32_t clients)
{
	for (uint32_t i = 0; i < clients; i++) {
		const struct in_addr address = {client_address(i)},
				     source = {htonl(SOURCES + i % SOCKETS_MAX)};
		struct private_key secret;
		struct public_key key;
		char hex[KEY_HEX_LEN];

		client_key(i, &secret, &key);
		hex_encode(hex, key.b, KEY_LEN);
		printf("%s %s", hex, inet_ntoa(address));
		printf(" %s:%d\n", inet_ntoa(source), SOURCE_PORT);
	}
	return EXIT_SUCCESS;
}

/* The answers to the last initiation of each client, to be read when the clock has stopped. */
struct answers {
	uint32_t round;
	uint8_t (*responses)[WG_RESPONSE_LEN];
	bool *there;
};

static void
answer_keep(struct crowd *crowd, const uint8_t *message, void *arg)
{
	const uint32_t index = le32_load(message + 8), number = index & (BIT(HANDSHAKE_SLOT) - 1);
	struct answers *answers = arg;

	if (number >= crowd->n || index >> HANDSHAKE_SLOT != answers->round)
		return;
	memcpy(answers->responses[number], message, WG_RESPONSE_LEN);
	answers->there[number] = true;
}

/* Of the first ones, how many are authentic: bytes that are no answer must not pass for one. */
static uint32_t
answers_verify(struct crowd *crowd, const struct answers *answers, uint32_t *looked)
{
	uint32_t authentic = 0;

	*looked = 0;
	for (uint32_t i = 0; i < crowd->n && *looked < VERIFY_MAX; i++) {
		if (!answers->there[i])
			continue;
		++*looked;
		authentic += client_respond(&crowd->clients[i], &crowd->gateway, answers->responses[i]) == 0;
	}
	return authentic;
}

static int
initiations_make(struct crowd *crowd, uint64_t total, uint8_t (*messages)[WG_INITIATION_LEN])
{
	int r = 0;

	for (uint64_t i = 0; i < total && r == 0; i++) {
		const uint32_t number = (uint32_t)(i % crowd->n), round = (uint32_t)(i / crowd->n);

		r = client_initiate(&crowd->clients[number], &crowd->gateway,
				    round << HANDSHAKE_SLOT | number, messages[i]);
	}
	return r;
}

static int
initiations_send(struct crowd *crowd, uint64_t total, uint8_t (*messages)[WG_INITIATION_LEN],
		 struct flight *f, struct counted *counted, struct answers *answers)
{
	int r = 0;

	while (f->sent < total && r == 0) {
		const uint64_t i = f->sent;

		if (flight_full(f)) {
			r = flight_wait(crowd, f, counted, answer_keep, answers);
			continue;
		}
		if (send(crowd->clients[i % crowd->n].fd, messages[i], WG_INITIATION_LEN, 0) < 0)
			return -errno;
		f->sent++;
	}
	while (r == 0 && f->sent > f->answered + f->lost)
		r = flight_wait(crowd, f, counted, answer_keep, answers);
	return r;
}

/* Those who were not answered, or by a cookie only, ask again. */
static int
initiations_repeat(struct crowd *crowd, struct flight *f, struct counted *counted, struct answers *answers)
{
	int r = 0;

	flight_land(crowd, f, counted, answer_keep, answers);
	answers->round++;
	for (uint32_t i = 0; i < crowd->n && r == 0; i++) {
		struct client *client = &crowd->clients[i];
		uint8_t message[WG_INITIATION_LEN];

		while (r == 0 && flight_full(f))
			r = flight_wait(crowd, f, counted, answer_keep, answers);
		if (answers->there[i] || r < 0)
			continue;
		r = client_initiate(client, &crowd->gateway, answers->round << HANDSHAKE_SLOT | i, message);
		if (r == 0 && send(client->fd, message, sizeof(message), 0) < 0)
			r = -errno;
		f->sent++;
	}
	while (r == 0 && f->sent > f->answered + f->lost)
		r = flight_wait(crowd, f, counted, answer_keep, answers);
	return r;
}

static uint32_t
answers_count(const struct crowd *crowd, const struct answers *answers)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < crowd->n; i++)
		n += answers->there[i];
	return n;
}

static int
run_handshakes(struct crowd *crowd, uint32_t times, uint32_t window)
{
	const uint64_t total = (uint64_t)crowd->n * times;
	_cleanup_(freep) uint8_t(*messages)[WG_INITIATION_LEN] = calloc(total, sizeof(*messages));
	_cleanup_(freep) uint8_t(*responses)[WG_RESPONSE_LEN] = calloc(crowd->n, sizeof(*responses));
	_cleanup_(freep) bool *there = calloc(crowd->n, sizeof(*there));
	struct answers answers = {.round = times - 1, .responses = responses, .there = there};
	struct flight f = {.window = window};
	struct counted counted = {0};
	uint32_t looked, authentic;
	double seconds;
	nsec_t start;
	int r = messages && responses && there ? initiations_make(crowd, total, messages) : -ENOMEM;

	if (r < 0)
		return r;
	begin();
	start = clock_boottime();
	r = initiations_send(crowd, total, messages, &f, &counted, &answers);
	for (unsigned i = 0; i < REPEATS && r == 0 && answers_count(crowd, &answers) < crowd->n; i++)
		r = initiations_repeat(crowd, &f, &counted, &answers);
	seconds = (double)(clock_boottime() - start) / 1e9;
	authentic = answers_verify(crowd, &answers, &looked);
	printf("{\"sent\": %llu, \"answered\": %llu, \"cookies\": %llu, \"lost\": %llu, \"seconds\": %.6f, "
	       "\"clients\": %u, \"verified\": %u, \"authentic\": %u}\n",
	       (unsigned long long)f.sent, (unsigned long long)counted.responses,
	       (unsigned long long)counted.cookies, (unsigned long long)f.lost, seconds,
	       answers_count(crowd, &answers), looked, authentic);
	return r;
}

static uint32_t
sum16(uint32_t sum, const void *p, size_t len)
{
	for (size_t i = 0; i + 1 < len; i += 2)
		sum += be16_load((const uint8_t *)p + i);
	return sum;
}

static uint16_t
fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

/* The headers of a full-size UDP packet of zeroes from that client; the same ports for all. */
static void
inner_address(uint8_t inner[INNER_LEN], uint32_t number)
{
	const uint16_t udp_len = INNER_LEN - sizeof(struct iphdr);
	struct iphdr ip = {.version = 4,
			   .ihl = 5,
			   .tot_len = htons(INNER_LEN),
			   .frag_off = htons(DONT_FRAGMENT),
			   .ttl = 64,
			   .protocol = IPPROTO_UDP,
			   .saddr = client_address(number),
			   .daddr = htonl(TARGET)};
	struct udphdr udp = {.source = htons(5000), .dest = htons(5001), .len = htons(udp_len)};

	ip.check = fold(sum16(0, &ip, sizeof(ip)));
	udp.check = fold(sum16(sum16(IPPROTO_UDP + udp_len, &ip.saddr, 8), &udp, sizeof(udp)));
	memcpy(inner, &ip, sizeof(ip));
	memcpy(inner + sizeof(ip), &udp, sizeof(udp));
}

static bool
batch_send(int fd, uint8_t *batch, unsigned segments)
{
	const uint16_t size = INNER_LEN + WG_DATA_OVERHEAD;
	_Alignas(struct cmsghdr) char control[GSO_CONTROL_LEN] = {0};
	struct iovec iov = {batch, (size_t)segments * size};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (segments > 1)
		gso_set(&msg, control, size);
	return sendmsg(fd, &msg, 0) >= 0;
}

static int
run_send(struct crowd *crowd, double lasting, unsigned segments)
{
	static uint8_t inner[INNER_LEN], batch[SEGMENTS_MAX * (INNER_LEN + WG_DATA_OVERHEAD)];
	struct counted counted = {0};
	uint64_t packets = 0;
	nsec_t start, end;
	int r = crowd_connect(crowd, &counted);

	if (r < 0)
		return r;
	begin();
	start = clock_boottime();
	end = start + (nsec_t)(lasting * 1e9);
	for (uint32_t i = 0; clock_boottime() < end; i = (i + 1) % crowd->n) {
		inner_address(inner, i);
		client_seal(&crowd->clients[i], &crowd->gateway, inner, INNER_LEN, segments, batch);
		if (batch_send(crowd->clients[i].fd, batch, segments))
			packets += segments;
	}
	printf("{\"clients\": %u, \"sent\": %llu, \"bytes\": %llu, \"seconds\": %.6f}\n", crowd->n,
	       (unsigned long long)packets, (unsigned long long)packets * INNER_LEN,
	       (double)(clock_boottime() - start) / 1e9);
	return 0;
}

static int
run_receive(struct crowd *crowd, double lasting)
{
	struct counted counted = {0};
	nsec_t start, end;
	int r = crowd_connect(crowd, &counted);

	if (r < 0)
		return r;
	begin();
	counted = (struct counted){0};
	start = clock_boottime();
	end = start + (nsec_t)(lasting * 1e9);
	while (clock_boottime() < end)
		crowd_take(crowd, MILLISECONDS(10), &counted, NULL, NULL);
	printf("{\"clients\": %u, \"packets\": %llu, \"bytes\": %llu, \"seconds\": %.6f}\n", crowd->n,
	       (unsigned long long)counted.datagrams, (unsigned long long)counted.bytes,
	       (double)(clock_boottime() - start) / 1e9);
	return 0;
}

/* AT PORT KEY CLIENTS */
static int
crowd_parse(struct crowd *crowd, char *argv[])
{
	const int port = atoi(argv[1]), clients = atoi(argv[3]);

	if (ip_parse(&crowd->gateway.at.ip, argv[0]) < 0 || port < 1 || port > UINT16_MAX ||
	    hex_decode(crowd->gateway.key.b, KEY_LEN, argv[2]) < 0 || clients < 1 ||
	    clients > (int)CLIENTS_MAX)
		return -EINVAL;
	crowd->gateway.at.port = (uint16_t)port;
	crowd->n = (uint32_t)clients;
	return 0;
}

int
main(int argc, char *argv[])
{
	static struct crowd crowd;
	const char *what = argc > 2 ? argv[1] : "";
	int r = -EINVAL;

	if (argc == 3 && strcmp(what, "keys") == 0 && atoi(argv[2]) > 0 && atoi(argv[2]) <= (int)CLIENTS_MAX)
		return run_keys((uint32_t)atoi(argv[2]));
	if (argc > 6 && crowd_parse(&crowd, argv + 2) == 0) {
		const int more = argc > 7 ? atoi(argv[7]) : 0;

		r = crowd_make(&crowd);
		if (r == 0 && strcmp(what, "handshakes") == 0 && atoi(argv[6]) > 0 && more > 0)
			r = run_handshakes(&crowd, (uint32_t)atoi(argv[6]), (uint32_t)more);
		else if (r == 0 && strcmp(what, "send") == 0 && more > 0 && more <= (int)SEGMENTS_MAX)
			r = run_send(&crowd, atof(argv[6]), (unsigned)more);
		else if (r == 0 && strcmp(what, "receive") == 0)
			r = run_receive(&crowd, atof(argv[6]));
		else if (r == 0)
			r = -EINVAL;
	}
	if (r < 0) {
		errno = -r;
		return failed("usage at the head of crowd.c");
	}
	return EXIT_SUCCESS;
}
