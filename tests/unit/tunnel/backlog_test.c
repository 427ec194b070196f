/* What waits is neither changed nor forgotten: each frame is served as it was put, in its peer's order, or
 * told as lost. */
#include "server/tunnel/backlog.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PEERS 5

static struct backlog *backlog;
static uint32_t next_put[PEERS], last_got[PEERS];
static uint64_t put, got, lost;

static int
setup(void **state)
{
	memset(next_put, 0, sizeof(next_put));
	memset(last_got, 0, sizeof(last_got));
	put = got = lost = 0;
	return backlog_new(&backlog);
}

static int
teardown(void **state)
{
	backlog_free(backlog);
	return 0;
}

static void
count_lost(void *ctx, const struct handoff_record *record)
{
	lost++;
}

static void
push(unsigned peer, uint32_t len)
{
	const struct handoff_record record = {.len = len,
					      .frame = {.domain = peer, .serial = ++next_put[peer]}};

	memset(backlog_room(backlog), (int)(record.frame.serial & 0xff), len);
	backlog_push(backlog, peer + 1, &record, fair_cost(record.len, 1), count_lost, NULL);
	put++;
	assert_int_equal(put, got + lost + backlog_count(backlog));
}

static bool
pop(void)
{
	uint8_t *data;
	const struct handoff_record *record = backlog_pop(backlog, &data);

	if (!record)
		return false;
	assert_true(record->frame.serial > last_got[record->frame.domain]);
	last_got[record->frame.domain] = record->frame.serial;
	assert_int_equal(data[0], record->frame.serial & 0xff);
	assert_int_equal(data[record->len - 1], record->frame.serial & 0xff);
	got++;
	return true;
}

static uint32_t
any_len(void)
{
	switch (rand() % 4) {
	case 0:
		return 65535;
	case 1:
		return BACKLOG_SHORT_LEN + (uint32_t)(rand() % 3) - 1;
	default:
		return 20 + (uint32_t)rand() % 1500;
	}
}

static void
nothing_is_changed_or_forgotten(void **state)
{
	const unsigned seed = (unsigned)time(NULL);

	print_message("seed %u\n", seed);
	srand(seed);
	for (unsigned turn = 0; turn < 3000; turn++) {
		for (int n = rand() % 60; n > 0; n--)
			push((unsigned)rand() % PEERS, any_len());
		for (int n = rand() % 50; n > 0 && pop(); n--)
			continue;
		backlog_recycle(backlog);
		if (rand() % 100 == 0) {
			while (pop())
				continue;
			backlog_recycle(backlog);
			backlog_rest(backlog);
		}
	}
	assert_true(lost > 0 && got > lost);
}

/* A greedy peer fills it; one frame of another is neither refused nor kept waiting behind all of them. */
static void
who_has_most_gives_way(void **state)
{
	for (int i = 0; i < 3 * BACKLOG_LONG; i++)
		push(0, 65535);
	for (int i = 0; i < 3 * BACKLOG_SHORT; i++)
		push(0, 100);
	lost = put = got = 0;
	put = backlog_count(backlog);
	push(1, 65535);
	push(1, 100);
	for (int i = 0; i < 8 && last_got[1] < 2; i++)
		assert_true(pop());
	assert_int_equal(last_got[1], 2);
	backlog_recycle(backlog);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nothing_is_changed_or_forgotten, setup, teardown),
		cmocka_unit_test_setup_teardown(who_has_most_gives_way, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
