/* Steps are counted and told once, whoever takes them. */
#include "server/tunnel/ladder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"

#define THREADS 8

static struct ladder ladder;
static FILE *said;
static int error_fd;

static int
setup(void **state)
{
	memset(&ladder, 0, sizeof(ladder));
	said = tmpfile();
	assert_non_null(said);
	error_fd = dup(STDERR_FILENO);
	assert_true(error_fd >= 0 && dup2(fileno(said), STDERR_FILENO) >= 0);
	return 0;
}

static int
teardown(void **state)
{
	dup2(error_fd, STDERR_FILENO);
	close(error_fd);
	fclose(said);
	return 0;
}

/* How many lines of the log have both words. */
static unsigned
lines(const char *rung, const char *word)
{
	unsigned n = 0;
	char line[1024];

	fflush(stderr);
	rewind(said);
	while (fgets(line, sizeof(line), said))
		n += strstr(line, rung) && strstr(line, word);
	fseek(said, 0, SEEK_END);
	return n;
}

static void
every_rung_says_what_it_costs_and_what_helps(void **state)
{
	for (int i = 0; i < RUNG_COUNT; i++) {
		const struct rung_words *words = rung_words((enum rung)i);

		assert_true(strlen(words->cost) > 20 && strlen(words->remedy) > 10);
		assert_ptr_equal(rung_by_name(words->name), words);
		for (int k = 0; k < i; k++)
			assert_string_not_equal(words->name, rung_words((enum rung)k)->name);
	}
	assert_null(rung_by_name("ladder"));
}

static void
a_rung_is_unknown_until_it_is_probed(void **state)
{
	assert_int_equal(ladder_get(&ladder, RUNG_UDP4_GRO), RUNG_UNKNOWN);
	assert_false(ladder_may(&ladder, RUNG_UDP4_GRO, SECONDS(5)));
	ladder_down(&ladder, RUNG_UDP4_GRO, EIO, SECONDS(1)); /* it was not used */
	ladder_up(&ladder, RUNG_UDP4_GRO);
	assert_int_equal(ladder_get(&ladder, RUNG_UDP4_GRO), RUNG_UNKNOWN);
	ladder_probed(&ladder, RUNG_UDP4_GRO, false, 0);
	assert_int_equal(ladder_get(&ladder, RUNG_UDP4_GRO), RUNG_OFF);
	assert_false(ladder_may(&ladder, RUNG_UDP4_GRO, NSEC_NEVER));
	ladder_probed(&ladder, RUNG_UDP4_GRO, false, 0);
	assert_int_equal(lines("udp4_gro", " off"), 1);
	ladder_probed(&ladder, RUNG_UDP4_GRO, true, 7);
	assert_true(ladder_on(&ladder, RUNG_UDP4_GRO));
	assert_int_equal(ladder_figure(&ladder, RUNG_UDP4_GRO), 7);
	assert_int_equal(ladder.rungs[RUNG_UDP4_GRO].downs, 0);
}

static void
what_is_down_is_due_after_a_while_and_each_failure_puts_it_off(void **state)
{
	const enum rung rung = RUNG_UDP4_GSO;
	nsec_t now = SECONDS(3);

	ladder_probed(&ladder, rung, true, 0);
	for (unsigned i = 0; i < 3; i++) {
		ladder_down(&ladder, rung, EIO, now);
		assert_false(ladder_may(&ladder, rung, now + LADDER_RETRY_TIME - 1));
		assert_true(ladder_due(&ladder, rung, now + LADDER_RETRY_TIME));
		now += LADDER_RETRY_TIME;
	}
	assert_int_equal(ladder.rungs[rung].downs, 1);
	ladder_probed(&ladder, rung, true, 0); /* a new socket: what came out counts for more */
	assert_int_equal(ladder_get(&ladder, rung), RUNG_DOWN);
	ladder_up(&ladder, rung);
	assert_false(ladder_due(&ladder, rung, NSEC_NEVER));
	assert_int_equal(ladder.rungs[rung].ups, 1);
	assert_int_equal(lines("udp4_gso is down", "Input/output error"), 1);
	assert_int_equal(lines("udp4_gso", "works again"), 1);
	for (unsigned i = 0; i < 3; i++) { /* it flaps: told by the counters */
		ladder_down(&ladder, rung, EIO, now);
		ladder_up(&ladder, rung);
	}
	assert_int_equal(ladder.rungs[rung].downs, 4);
	assert_int_equal(ladder.rungs[rung].ups, 4);
	assert_int_equal(lines("udp4_gso", ""), 2);
	assert_int_equal(lines("udp4_gso", rung_words(rung)->remedy), 1);
}

static void
what_is_lost_is_not_tried_again(void **state)
{
	ladder_probed(&ladder, RUNG_SENDMMSG, true, 0);
	ladder_lost(&ladder, RUNG_SENDMMSG, ENOSYS);
	assert_false(ladder_may(&ladder, RUNG_SENDMMSG, NSEC_NEVER - 1));
	assert_int_equal(lines("sendmmsg is down", "seccomp"), 1);
}

static void *
step(void *arg)
{
	for (unsigned i = 0; i < 1000; i++) {
		ladder_down(&ladder, RUNG_TUN_TSO_WRITE, EINVAL, SECONDS(1));
		ladder_probed(&ladder, RUNG_TUN_TSO_WRITE, true, 0);
		ladder_peers(&ladder, RUNG_PEER_PATH, 1);
		if (i % 2)
			ladder_peers(&ladder, RUNG_PEER_PATH, -1);
	}
	return NULL;
}

static void
the_step_of_all_workers_is_one_step(void **state)
{
	pthread_t threads[THREADS];

	ladder_probed(&ladder, RUNG_TUN_TSO_WRITE, true, 0);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, step, NULL), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(ladder.rungs[RUNG_TUN_TSO_WRITE].downs, 1);
	assert_int_equal(ladder_get(&ladder, RUNG_TUN_TSO_WRITE), RUNG_DOWN);
	assert_int_equal(lines("tun_tso_write", ""), 1);
	assert_int_equal(ladder.rungs[RUNG_PEER_PATH].downs, THREADS * 1000);
	assert_int_equal(ladder.rungs[RUNG_PEER_PATH].ups, THREADS * 500);
	assert_int_equal(ladder_figure(&ladder, RUNG_PEER_PATH), THREADS * 500);
	assert_int_equal(lines("peer_path", ""), 1);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(every_rung_says_what_it_costs_and_what_helps),
		TEST(a_rung_is_unknown_until_it_is_probed),
		TEST(what_is_down_is_due_after_a_while_and_each_failure_puts_it_off),
		TEST(what_is_lost_is_not_tried_again),
		TEST(the_step_of_all_workers_is_one_step),
	};

	log_init("test", LOG_LEVEL_INFO);
	return cmocka_run_group_tests_name("ladder", tests, NULL, NULL);
}
