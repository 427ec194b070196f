/* The replay window against a table of all counters seen. */
#include "server/wg/replay.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tests/model/wg/random.h"

#define WINDOW 8128
#define SPAN   (1U << 20) /* counters that the naive model can hold, from a base */

static struct replay replay;
static uint8_t *seen;
static uint64_t base, top;
static bool any;

static int
setup(void **state)
{
	seen = calloc(1, SPAN);
	assert_non_null(seen);
	random_begin();
	return 0;
}

static int
teardown(void **state)
{
	free(seen);
	return 0;
}

static void
begin(uint64_t from)
{
	memset(&replay, 0, sizeof(replay));
	memset(seen, 0, SPAN);
	base = from;
	top = 0;
	any = false;
}

static void
offer(uint64_t counter)
{
	const uint64_t at = counter - base;
	const bool fresh = !seen[at] && (!any || counter >= top || top - counter <= WINDOW);

	assert_true(at < SPAN);
	if (replay_fresh(&replay, counter) != fresh || replay_accept(&replay, counter) != fresh)
		fail_msg("counter %" PRIu64 ", top %" PRIu64 ": expected %s", counter, top,
			 fresh ? "fresh" : "old");
	if (fresh) {
		seen[at] = 1;
		top = any && top > counter ? top : counter;
		any = true;
	}
}

/* Counters before the first one are judged from the beginning of the numbers: start there. */
static void
random_sequences_agree(void **state)
{
	for (unsigned round = 0; round < 40; round++) {
		const uint64_t spread = 1ULL << random_below(15);
		uint64_t at = 0;

		begin(0);
		for (unsigned i = 0; i < 20000 && at + 2 * spread + 20000 < SPAN; i++) {
			switch (random_below(16)) {
			case 0:
				at += random_below(spread);
				break;
			case 1:
				offer(at >= WINDOW ? at - WINDOW + random_below(3) : at);
				break;
			case 2:
				offer(at > WINDOW + 2 ? at - WINDOW - random_below(3) : 0);
				break;
			default:
				at += random_below(3);
				break;
			}
			offer(at > spread ? at - random_below(spread) : random_below(at + 1));
		}
	}
}

static void
every_distance_from_the_top_agrees(void **state)
{
	for (unsigned start = 0; start < 130; start++) {
		begin(0);
		offer(20000 + start);
		for (uint64_t back = 0; back <= WINDOW + 130; back++)
			offer(20000 + start - back);
		for (uint64_t back = 0; back <= WINDOW + 130; back += 7)
			offer(20000 + start - back);
	}
}

static void
every_step_forward_agrees(void **state)
{
	for (uint64_t step = 1; step < 3 * WINDOW; step += step < 200 ? 1 : 61) {
		begin(0);
		for (uint64_t c = 0; c < 300; c++)
			offer(c);
		offer(299 + step);
		for (uint64_t c = 0; c < 300; c++)
			offer(c);
		for (uint64_t back = 0; back <= 299 + step && back < WINDOW + 70; back++)
			offer(299 + step - back);
	}
}

/* The kernel's table: forwards, backwards, holes, and a wait of one window. */
static void
sweeps_agree(void **state)
{
	begin(0);
	for (uint64_t c = 0; c <= WINDOW; c++)
		offer(c);
	offer(0);
	offer(0);
	begin(0);
	for (uint64_t c = WINDOW + 1; c > 0; c--)
		offer(c);
	offer(0);
	begin(0);
	for (uint64_t c = WINDOW + 2; c > 1; c--)
		offer(c);
	offer(0);
	offer(1);
	begin(0);
	for (uint64_t c = WINDOW; c > 0; c--)
		offer(c);
	offer(0);
	offer(WINDOW + 1);
	offer(0);
}

static void
the_end_of_the_numbers_agrees(void **state)
{
	/* One jump there; then the model's window is all that matters. */
	begin(UINT64_MAX - SPAN + 1);
	offer(UINT64_MAX - 200000);
	for (unsigned i = 0; i < 100000; i++)
		offer(UINT64_MAX - 200000 + 2 * i - random_below(WINDOW + 100));
	offer(UINT64_MAX);
	offer(UINT64_MAX);
	offer(UINT64_MAX - WINDOW);
	offer(UINT64_MAX - WINDOW - 1);
	offer(UINT64_MAX - 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_sequences_agree),
		cmocka_unit_test(every_distance_from_the_top_agrees),
		cmocka_unit_test(every_step_forward_agrees),
		cmocka_unit_test(sweeps_agree),
		cmocka_unit_test(the_end_of_the_numbers_agrees),
	};

	return cmocka_run_group_tests_name("replay", tests, setup, teardown);
}
