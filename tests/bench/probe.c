/*
 * Round trips, by small datagrams with the time in them.
 *
 *   probe echo PORT                            sends back what comes, for ever
 *   probe ask ADDRESS PORT RATE SECONDS [SIZE] asks at that rate; prints JSON: percentiles in microseconds
 *
 * A question that is slow does not delay the next one, so a stall is seen by all that it would have hit.
 */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/ip.h"

#define SIZE_MAX_PROBE 1500U
#define PATIENCE       MILLISECONDS(500) /* for answers after the last question */

struct samples {
	double *microseconds;
	size_t n, max;
};

static int
failed(const char *what)
{
	fprintf(stderr, "probe: %s: %s\n", what, strerror(errno));
	return EXIT_FAILURE;
}

static int
echo(uint16_t port)
{
	const struct sockaddr_in6 here = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	const int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_storage from;
	uint8_t data[SIZE_MAX_PROBE];

	if (fd < 0 || bind(fd, (const struct sockaddr *)&here, sizeof(here)) < 0)
		return failed("bind");
	puts("listening");
	fflush(stdout);
	for (;;) {
		socklen_t len = sizeof(from);
		const ssize_t n = recvfrom(fd, data, sizeof(data), 0, (struct sockaddr *)&from, &len);

		if (n > 0 && sendto(fd, data, (size_t)n, 0, (struct sockaddr *)&from, len) < 0)
			fprintf(stderr, "probe: sendto: %s\n", strerror(errno));
	}
}

static int
by_value(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double
percentile(const struct samples *s, double part)
{
	const size_t at = (size_t)((double)s->n * part);

	return s->n ? s->microseconds[MIN(at, s->n - 1)] : 0;
}

static void
answers_take(int fd, struct samples *s)
{
	uint8_t data[SIZE_MAX_PROBE];

	while (recv(fd, data, sizeof(data), MSG_DONTWAIT) >= (ssize_t)sizeof(nsec_t)) {
		const nsec_t sent = (nsec_t)le64_load(data);

		if (s->n < s->max)
			s->microseconds[s->n++] = (double)(clock_boottime() - sent) / 1e3;
	}
}

static void
wait_until(int fd, nsec_t until, struct samples *s)
{
	for (nsec_t now = clock_boottime(); now < until; now = clock_boottime()) {
		const struct timespec left = {.tv_sec = (until - now) / SECONDS(1),
					      .tv_nsec = (until - now) % SECONDS(1)};
		struct pollfd p = {.fd = fd, .events = POLLIN};

		if (ppoll(&p, 1, &left, NULL) > 0)
			answers_take(fd, s);
	}
}

static int
ask(const struct endpoint *to, unsigned rate, unsigned seconds, size_t size)
{
	const unsigned questions = rate * seconds;
	struct samples s = {.microseconds = calloc(questions, sizeof(double)), .max = questions};
	uint8_t data[SIZE_MAX_PROBE] = {0};
	struct sockaddr_storage sa;
	const socklen_t len = endpoint_to_sockaddr(&sa, to);
	const int fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	nsec_t next = clock_boottime();

	if (!s.microseconds || fd < 0 || connect(fd, (struct sockaddr *)&sa, len) < 0)
		return failed("connect");
	prctl(PR_SET_TIMERSLACK, 1);
	for (unsigned i = 0; i < questions; i++) {
		le64_store(data, (uint64_t)clock_boottime());
		if (send(fd, data, size, 0) < 0 && errno != ECONNREFUSED)
			fprintf(stderr, "probe: send: %s\n", strerror(errno));
		next += SECONDS(1) / rate;
		wait_until(fd, next, &s);
	}
	wait_until(fd, s.n < questions ? next + PATIENCE : next, &s);
	qsort(s.microseconds, s.n, sizeof(double), by_value);
	printf("{\"asked\": %u, \"answered\": %zu, \"p50\": %.1f, \"p90\": %.1f, \"p99\": %.1f, \"max\": "
	       "%.1f}\n",
	       questions, s.n, percentile(&s, .5), percentile(&s, .9), percentile(&s, .99),
	       percentile(&s, 1));
	free(s.microseconds);
	close(fd);
	return EXIT_SUCCESS;
}

int
main(int argc, char *argv[])
{
	struct endpoint to = {0};

	if (argc == 3 && strcmp(argv[1], "echo") == 0)
		return echo((uint16_t)atoi(argv[2]));
	if ((argc == 6 || argc == 7) && strcmp(argv[1], "ask") == 0 && ip_parse(&to.ip, argv[2]) == 0) {
		const int size = argc == 7 ? atoi(argv[6]) : 64;

		to.port = (uint16_t)atoi(argv[3]);
		if (atoi(argv[4]) > 0 && size >= (int)sizeof(nsec_t) && size <= (int)SIZE_MAX_PROBE)
			return ask(&to, (unsigned)atoi(argv[4]), (unsigned)atoi(argv[5]), (size_t)size);
	}
	fputs("usage: probe echo PORT | probe ask ADDRESS PORT RATE SECONDS [SIZE]\n", stderr);
	return 2;
}
