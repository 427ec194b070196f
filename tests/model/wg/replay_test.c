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
static struct replay_pool pool = {.max = 2 * REPLAY_CHUNK};
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
	replay_done(&replay, &pool);
	replay_pool_done(&pool);
	free(seen);
	return 0;
}

static void
begin(uint64_t from)
{
	replay_done(&replay, &pool);
	memset(&replay, 0, sizeof(replay));
	assert_int_equal(replay_pool_fill(&pool, 1), 0);
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
	if (replay_fresh(&replay, counter) != fresh || replay_accept(&replay, &pool, counter) != fresh)
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

/*
 * Both forms of a window: the one begins with the few words and finds a ring when it needs it, or finds none
 * for a while.  What it accepts is new by the model, at most once, and everything that is new and recent
 * enough for the form it has.
 */
static void
a_short_window_is_exact_below_256_and_safe_without_a_ring(void **state)
{
	for (unsigned round = 0; round < 300; round++) {
		struct replay_pool empty = {.max = REPLAY_CHUNK};
		struct replay short_one = {0};
		const unsigned fill_at = (unsigned)random_below(2000); /* long before the end */
		uint64_t at = 0, short_since = UINT64_MAX;

		memset(seen, 0, SPAN);
		top = 0;
		for (unsigned i = 0; i < 3000; i++) {
			uint64_t counter;
			bool was_fresh, accepted, recent;

			if (i == fill_at)
				assert_int_equal(replay_pool_fill(&empty, 1), 0);
			at += random_below(random_below(20) ? 3 : 1000);
			counter = random_below(random_below(4) ? 300 : 9000);
			counter = at - MIN(at, counter);
			was_fresh = replay_fresh(&short_one, counter);
			accepted = replay_accept(&short_one, &empty, counter);
			assert_int_equal(accepted, was_fresh);
			if (accepted && seen[counter])
				fail_msg("counter %" PRIu64 " was accepted twice", counter);
			if (!short_one.wide && short_one.top >= REPLAY_NEAR_BITS)
				short_since = i; /* what it forgot meanwhile counts as seen */
			recent = counter >= top || top - counter <= REPLAY_NEAR_WINDOW ||
				 (short_since == UINT64_MAX && top - counter <= WINDOW);
			if (!accepted && !seen[counter] && recent)
				fail_msg("counter %" PRIu64 ", top %" PRIu64 ": refused", counter, top);
			seen[counter] |= accepted;
			top = MAX(top, counter);
		}
		assert_true(short_one.wide);
		replay_done(&short_one, &empty);
		assert_int_equal(empty.left, REPLAY_CHUNK);
		replay_pool_done(&empty);
	}
}

static void
few_counters_need_no_ring(void **state)
{
	begin(0);
	for (uint64_t c = 0; c < REPLAY_NEAR_BITS; c++)
		offer(c ^ 1);
	for (uint64_t c = 0; c < REPLAY_NEAR_BITS; c++)
		offer(c);
	assert_false(replay.wide);
	offer(REPLAY_NEAR_BITS);
	assert_true(replay.wide);
	for (uint64_t c = 0; c <= REPLAY_NEAR_BITS; c++)
		offer(c);
}

static void
a_pool_has_a_ceiling_and_gives_out_each_ring_once(void **state)
{
	struct replay_pool few = {.max = 2 * REPLAY_CHUNK + 1};
	struct replay all[2 * REPLAY_CHUNK + 1] = {0};

	assert_int_equal(replay_pool_fill(&few, REPLAY_CHUNK / 2), 0);
	assert_int_equal(few.left, REPLAY_CHUNK);
	for (unsigned i = 0; i < 3; i++)
		assert_true(replay_accept(&all[i], &few, 1000));
	assert_true(replay_pool_fill(&few, 10 * REPLAY_CHUNK) < 0);
	assert_int_equal(few.made, 2 * REPLAY_CHUNK);
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < ARRAY_LEN(all); i++) {
			replay_accept(&all[i], &few, 1000 + i);
			assert_int_equal(all[i].wide, i < 2 * REPLAY_CHUNK);
			for (unsigned k = 0; k < i; k++)
				assert_true(!all[i].wide || all[i].ring != all[k].ring);
		}
		assert_int_equal(few.left, 0);
		for (unsigned i = 0; i < ARRAY_LEN(all); i++) {
			replay_done(&all[i], &few);
			all[i] = (struct replay){0};
		}
		assert_int_equal(few.left, 2 * REPLAY_CHUNK);
	}
	replay_pool_done(&few);
}

/* The cases of the kernel's own test, judged by what was accepted before: far ends of the numbers, too. */
static void
the_kernels_cases_agree(void **state)
{
	static const uint64_t limit = WINDOW + 1, end = UINT64_MAX - 8192;
	const uint64_t cases[] = {
		0,
		1,
		1,
		9,
		8,
		7,
		7,
		limit,
		limit - 1,
		limit - 1,
		limit - 2,
		2,
		2,
		limit + 16,
		3,
		limit + 16,
		4 * limit,
		3 * limit + 1,
		10,
		3 * limit,
		3 * limit - 1,
		3 * limit + 2,
		3 * limit + 1,
		0,
		end - 1,
		end - 1,
		end - 2,
		end - 2,
		end - 3,
		end - 1 - WINDOW,
		end - 2 - WINDOW,
		0,
	};
	uint64_t accepted[ARRAY_LEN(cases)], greatest = 0;
	unsigned n = 0;

	begin(0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		bool fresh = cases[i] >= greatest || greatest - cases[i] <= WINDOW;

		for (unsigned k = 0; k < n; k++)
			fresh = fresh && accepted[k] != cases[i];
		assert_int_equal(replay_accept(&replay, &pool, cases[i]), fresh);
		if (!fresh)
			continue;
		accepted[n++] = cases[i];
		greatest = MAX(greatest, cases[i]);
	}
	assert_in_range(n, 17, 22);
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
		cmocka_unit_test(the_kernels_cases_agree),
		cmocka_unit_test(a_short_window_is_exact_below_256_and_safe_without_a_ring),
		cmocka_unit_test(few_counters_need_no_ring),
		cmocka_unit_test(a_pool_has_a_ceiling_and_gives_out_each_ring_once),
	};

	return cmocka_run_group_tests_name("replay", tests, setup, teardown);
}
