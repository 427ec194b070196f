/* The ring between two workers: by itself, and between two threads. */
#include "server/tunnel/handoff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LONGEST 65600U

static struct handoff *handoff;

static int
setup(void **state)
{
	return handoff_new(2, &handoff);
}

static int
teardown(void **state)
{
	handoff_free(handoff);
	return 0;
}

/* Of record @i; lengths from a few bytes to a superframe. */
static uint32_t
len_of(uint32_t i)
{
	return i % 7 == 0 ? LONGEST - i % 64 : 8 + i * 37 % 1500;
}

static bool
push(uint32_t i)
{
	static uint8_t data[LONGEST];
	const struct handoff_record record = {.len = len_of(i), .datagrams = {.segment = i}};

	memset(data, (int)(i & 0xff), record.len);
	return handoff_push(handoff, &record, data);
}

static void
expect(const struct handoff_record *record, uint32_t i)
{
	assert_int_equal(record->datagrams.segment, i);
	assert_int_equal(record->len, len_of(i));
	assert_int_equal(record->data[0], i & 0xff);
	assert_int_equal(record->data[record->len - 1], i & 0xff);
	assert_int_equal((uintptr_t)record->data % 64, 0);
}

static void
what_goes_in_comes_out_in_order_and_nothing_else_does(void **state)
{
	const unsigned seed = (unsigned)time(NULL);
	uint32_t in = 0, out = 0, full = 0;

	print_message("seed %u\n", seed);
	srand(seed);
	for (unsigned turn = 0; turn < 20000; turn++) {
		const struct handoff_record *record;
		int n = rand() % 12;

		while (n-- > 0)
			if (push(in))
				in++;
			else
				full++;
		n = rand() % 12;
		while (n-- > 0 && (record = handoff_next(handoff)))
			expect(record, out++);
		handoff_release(handoff);
		assert_true(out <= in);
		assert_true(handoff_waiting(handoff) > 0 || out == in);
	}
	assert_true(full > 0 && in > 1000);
}

static void
what_is_lent_is_not_overwritten(void **state)
{
	const struct handoff_record *first;
	uint32_t in = 0;

	assert_true(push(in++));
	first = handoff_next(handoff);
	while (push(in))
		in++;
	expect(first, 0);
	for (uint32_t out = 1; out < in; out++)
		expect(handoff_next(handoff), out);
	assert_null(handoff_next(handoff));
	expect(first, 0);
	handoff_release(handoff);
	assert_true(push(in));
}

/* One that is empty has room for a superframe wherever it stands, and for more right behind it. */
static void
an_empty_one_takes_superframes_wherever_it_stands(void **state)
{
	for (uint32_t i = 0; i < 5000; i++) {
		assert_true(push(7 * i));
		assert_true(push(7 * i + 1));
		assert_true(push(7 * i + 7));
		for (int n = 0; n < 3; n++)
			assert_non_null(handoff_next(handoff));
		assert_null(handoff_next(handoff));
		handoff_release(handoff);
		assert_int_equal(handoff_waiting(handoff), 0);
	}
}

#define BETWEEN_THREADS 200000U

static void *
produce(void *arg)
{
	for (uint32_t i = 0; i < BETWEEN_THREADS; i++)
		while (!push(i))
			sched_yield();
	return NULL;
}

static void
it_works_between_threads(void **state)
{
	pthread_t thread;
	uint32_t out = 0;

	assert_int_equal(pthread_create(&thread, NULL, produce, NULL), 0);
	while (out < BETWEEN_THREADS) {
		const struct handoff_record *record = handoff_next(handoff);

		if (record)
			expect(record, out++);
		else
			sched_yield();
		handoff_release(handoff);
	}
	pthread_join(thread, NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_goes_in_comes_out_in_order_and_nothing_else_does, setup,
						teardown),
		cmocka_unit_test_setup_teardown(what_is_lent_is_not_overwritten, setup, teardown),
		cmocka_unit_test_setup_teardown(an_empty_one_takes_superframes_wherever_it_stands, setup,
						teardown),
		cmocka_unit_test_setup_teardown(it_works_between_threads, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
