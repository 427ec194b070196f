/* The heap of timers against looking at all of them. */
#include "server/wg/timers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "tests/model/wg/random.h"

#define PEERS 300

static struct timers all[PEERS];

static nsec_t
first_of(const struct timers *timers)
{
	nsec_t first = NSEC_NEVER;

	for (unsigned i = 0; i < TIMER_COUNT; i++)
		if (timers->at[i] && timers->at[i] < first)
			first = timers->at[i];
	return first;
}

static void
the_first_of_all_timers_is_found(void **state)
{
	struct timer_heap heap = {0};
	nsec_t at[PEERS][TIMER_COUNT] = {0};

	random_begin();
	for (unsigned peers = 1; peers <= PEERS; peers = peers * 5 / 3 + 1) {
		assert_int_equal(timer_heap_reserve(&heap, peers), 0);
		for (unsigned step = 0; step < 4000; step++) {
			const unsigned who = (unsigned)random_below(peers);
			const enum timer timer = (enum timer)random_below(TIMER_COUNT);
			nsec_t first = NSEC_NEVER;
			struct timers *due;

			switch (random_below(16)) {
			case 0:
				timers_stop_all(&heap, &all[who]);
				memset(at[who], 0, sizeof(at[who]));
				break;
			case 1:
			case 2:
			case 3:
				timers_stop(&heap, &all[who], timer);
				at[who][timer] = 0;
				break;
			default:
				at[who][timer] = 1 + (nsec_t)random_below(1000);
				timers_arm(&heap, &all[who], timer, at[who][timer]);
				break;
			}
			assert_memory_equal(all[who].at, at[who], sizeof(at[who]));
			for (unsigned i = 0; i < peers; i++)
				first = MIN(first, first_of(&all[i]));
			assert_int_equal(timer_heap_deadline(&heap), first);
			assert_null(timer_heap_due(&heap, first == NSEC_NEVER ? NSEC_NEVER - 1 : first - 1));
			if (first == NSEC_NEVER)
				continue;
			due = timer_heap_due(&heap, first);
			assert_non_null(due);
			assert_int_equal(first_of(due), first);
		}
	}
	/* Taken out in order. */
	for (nsec_t last = 0; timer_heap_deadline(&heap) != NSEC_NEVER;) {
		struct timers *due = timer_heap_due(&heap, timer_heap_deadline(&heap));

		assert_true(first_of(due) >= last);
		last = first_of(due);
		timers_stop_all(&heap, due);
	}
	timer_heap_done(&heap);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_of_all_timers_is_found),
	};

	return cmocka_run_group_tests_name("timers", tests, NULL, NULL);
}
