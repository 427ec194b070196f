/* The sockets of a port, and which of them the kernel gives a datagram to: on loopback, with the kernel that
 * is there. */
#include "server/tunnel/port.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/wg/messages.h"

#define WORKERS 4
#define BITS    2

static struct ladder ladder;
static struct stats stats;
static struct port port;
static struct port_config config;

static int
setup(void **state)
{
	memset(&ladder, 0, sizeof(ladder));
	memset(&stats, 0, sizeof(stats));
	stats.ladder = &ladder;
	config =
		(struct port_config){.workers = WORKERS, .worker_bits = BITS, .steer = true, .stats = &stats};
	port = (struct port){0};
	return port_open(&port, 0, &config);
}

static int
teardown(void **state)
{
	port_close(&port);
	return 0;
}

/* A socket of somebody else: each has a port of its own, and so its own place in the kernel's hash. */
static int
stranger(enum udp_family family)
{
	const struct endpoint to = {.ip = {.family = family == UDP4 ? AF_INET : AF_INET6},
				    .port = port.number};
	struct endpoint there = to;
	struct sockaddr_storage sa;
	const int fd = socket(to.ip.family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (family == UDP4)
		memcpy(there.ip.addr, (const uint8_t[]){127, 0, 0, 1}, 4);
	else
		there.ip.addr[15] = 1;
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, endpoint_to_sockaddr(&sa, &there)), 0);
	return fd;
}

/* The number of the socket that has it; it is taken. */
static unsigned
where(enum udp_family family)
{
	struct pollfd fds[WORKERS];
	uint8_t data[256];

	for (unsigned i = 0; i < WORKERS; i++)
		fds[i] = (struct pollfd){.fd = port.fds[family][i], .events = POLLIN};
	assert_int_equal(poll(fds, WORKERS, -1), 1);
	for (unsigned i = 0; i < WORKERS; i++)
		if (fds[i].revents) {
			assert_true(recv(fds[i].fd, data, sizeof(data), 0) > 0);
			return i;
		}
	return WORKERS;
}

static unsigned
sent(enum udp_family family, int fd, uint32_t type, unsigned index_at, uint32_t index, size_t len)
{
	uint8_t data[256] = {0};

	le32_store(data, type);
	memset(data + 4, 0xff, 8); /* what is no index must not be taken for one */
	le32_store(data + index_at, index);
	assert_int_equal(send(fd, data, len, 0), (ssize_t)len);
	return where(family);
}

static void
what_has_an_index_goes_to_its_worker(void **state)
{
	for (unsigned f = 0; f < UDP_FAMILIES; f++) {
		if (port.n[f] == 0)
			continue;
		assert_int_equal(port.n[f], WORKERS);
		assert_true(port.steered[f]);
		for (unsigned i = 0; i < 64; i++) {
			const int fd = stranger(f);
			const uint32_t index = 0x12345600U + i * 0x01010101U;
			const unsigned worker = index % WORKERS;

			assert_int_equal(sent(f, fd, WG_MSG_DATA, 4, index, WG_DATA_MIN), worker);
			assert_int_equal(sent(f, fd, WG_MSG_COOKIE, 4, index, WG_COOKIE_REPLY_LEN), worker);
			assert_int_equal(sent(f, fd, WG_MSG_RESPONSE, 8, index, WG_RESPONSE_LEN), worker);
			close(fd);
		}
	}
}

/* One sender's always to the same, and those of many to all of them. */
static void
what_has_none_goes_by_the_hash(void **state)
{
	unsigned seen = 0;

	for (unsigned i = 0; i < 128; i++) {
		const int fd = stranger(UDP4);
		const unsigned first = sent(UDP4, fd, WG_MSG_INITIATION, 4, i, WG_INITIATION_LEN);

		assert_int_equal(sent(UDP4, fd, WG_MSG_INITIATION, 4, i + 1, WG_INITIATION_LEN), first);
		assert_int_equal(sent(UDP4, fd, 77, 4, i, 100), first);
		assert_int_equal(sent(UDP4, fd, WG_MSG_DATA, 4, i, 11), first);
		seen |= 1U << first;
		close(fd);
	}
	assert_int_equal(seen, (1U << WORKERS) - 1);
}

/* Nobody gets into a port that is ours, and we get into nobody's: sharing is among our own sockets. */
static void
a_port_in_use_is_said_even_if_it_could_be_shared(void **state)
{
	struct port other = {0};

	assert_int_equal(port_open(&other, port.number, &config), -EADDRINUSE);
	assert_int_equal(other.n[UDP4], 0);
}

static void
workers_without_a_socket_send_through_anothers(void **state)
{
	struct port few = {.n = {2, 1}, .fds = {{10, 11}, {12}}};
	struct udp udp;

	for (unsigned i = 0; i < 5; i++) {
		udp = port_udp(&few, i);
		assert_int_equal(udp.fd[UDP4], 10 + (int)(i % 2));
		assert_int_equal(udp.reads[UDP4], i < 2);
		assert_int_equal(udp.fd[UDP6], 12);
		assert_int_equal(udp.reads[UDP6], i < 1);
	}
	few.n[UDP6] = 0;
	udp = port_udp(&few, 0);
	assert_int_equal(udp.fd[UDP6], -1);
	assert_false(udp.reads[UDP6]);
}

/* As warrend hands them over: bound in order, one by one. */
static void
sockets_handed_over_are_steered_too(void **state)
{
	struct port given = {0};

	for (unsigned i = 0; i < WORKERS; i++)
		assert_int_equal(port_adopt(&given, UDP4, dup(port.fds[UDP4][i]), &config), 0);
	assert_int_equal(given.number, port.number);
	assert_true(given.steered[UDP4]);
	assert_int_equal(port_adopt(&given, UDP4, port.fds[UDP4][0], &config), -ENOSPC);
	port_close(&given);
	what_has_an_index_goes_to_its_worker(state);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_has_an_index_goes_to_its_worker, setup, teardown),
		cmocka_unit_test_setup_teardown(what_has_none_goes_by_the_hash, setup, teardown),
		cmocka_unit_test_setup_teardown(a_port_in_use_is_said_even_if_it_could_be_shared, setup,
						teardown),
		cmocka_unit_test_setup_teardown(workers_without_a_socket_send_through_anothers, setup,
						teardown),
		cmocka_unit_test_setup_teardown(sockets_handed_over_are_steered_too, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
