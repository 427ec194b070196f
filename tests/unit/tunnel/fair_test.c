/* The queue for saturation against a slow one, and what it promises to peers. */
#include "server/tunnel/fair.h"

#include "tests/unit/tunnel/packets.h"

#define MAX_ITEMS 64U
#define BUFFERS   (MAX_ITEMS + 2)

static struct fair *fair;
static bool taken[BUFFERS]; /* by the queue */

/* The oracle: all that waits, in the order in which it came, and the round as a list of keys. */
static struct {
	struct fair_item items[MAX_ITEMS + 1];
	unsigned n;
	struct {
		uint64_t key;
		uint32_t left;
	} round[MAX_ITEMS + 1];
	unsigned n_round;
	bool begun;
} slow;

static uint64_t
slow_cost(uint64_t key)
{
	uint64_t cost = 0;

	for (unsigned i = 0; i < slow.n; i++)
		cost += slow.items[i].key == key ? slow.items[i].cost : 0;
	return cost;
}

static unsigned
slow_round_find(uint64_t key)
{
	unsigned i = 0;

	while (i < slow.n_round && slow.round[i].key != key)
		i++;
	return i;
}

static void
slow_round_remove(unsigned at)
{
	if (at == 0)
		slow.begun = false;
	slow.n_round--;
	memmove(&slow.round[at], &slow.round[at + 1], (slow.n_round - at) * sizeof(slow.round[0]));
}

static void
slow_remove(unsigned at)
{
	const uint64_t key = slow.items[at].key;

	slow.n--;
	memmove(&slow.items[at], &slow.items[at + 1], (slow.n - at) * sizeof(slow.items[0]));
	if (slow_cost(key) == 0)
		slow_round_remove(slow_round_find(key));
}

static void
slow_push(const struct fair_item *item)
{
	slow.items[slow.n++] = *item;
	if (slow_round_find(item->key) == slow.n_round) {
		slow.round[slow.n_round].key = item->key;
		slow.round[slow.n_round++].left = 0;
	}
}

/* The newest of @key; of several longest peers any may have been chosen. */
static void
slow_lose(const struct fair_item *lost)
{
	unsigned at = slow.n;

	for (unsigned i = 0; i < slow.n; i++)
		assert_true(slow_cost(slow.items[i].key) <= slow_cost(lost->key));
	while (slow.items[--at].key != lost->key)
		assert_true(at > 0);
	assert_int_equal(slow.items[at].buffer, lost->buffer);
	assert_int_equal(slow.items[at].cost, lost->cost);
	slow_remove(at);
}

static bool
slow_pop(struct fair_item *ret)
{
	while (slow.n > 0) {
		unsigned at = 0;

		if (!slow.begun)
			slow.round[0].left += FAIR_QUANTUM;
		slow.begun = true;
		while (slow.items[at].key != slow.round[0].key)
			at++;
		*ret = slow.items[at];
		if (ret->cost <= slow.round[0].left) {
			slow.round[0].left -= ret->cost;
			slow_remove(at);
			return true;
		}
		slow.begun = false;
		slow.round[slow.n_round] = slow.round[0];
		slow.n_round++;
		slow_round_remove(0);
	}
	return false;
}

static uint32_t
buffer_take(void)
{
	uint32_t at = rnd(BUFFERS);

	while (taken[at])
		at = (at + 1) % BUFFERS;
	taken[at] = true;
	return at;
}

static void
push(uint64_t key, uint32_t cost)
{
	const struct fair_item item = {.key = key, .buffer = buffer_take(), .cost = cost};
	struct fair_item lost;

	slow_push(&item);
	if (!fair_push(fair, &item, &lost)) {
		assert_int_equal(slow.n, MAX_ITEMS + 1);
		slow_lose(&lost);
		taken[lost.buffer] = false;
	}
	assert_int_equal(fair_count(fair), slow.n);
	assert_int_equal(fair_peers(fair), slow.n_round);
}

static void
pop(void)
{
	struct fair_item expected, got;
	const bool any = slow_pop(&expected);

	assert_int_equal(fair_pop(fair, &got), any);
	if (!any)
		return;
	assert_int_equal(got.key, expected.key);
	assert_int_equal(got.buffer, expected.buffer);
	assert_int_equal(got.cost, expected.cost);
	taken[got.buffer] = false;
}

static uint32_t
random_cost(void)
{
	return fair_cost(rnd(3) ? rnd(1500) : rnd(65536), 1 + rnd(FAIR_PACKETS_MAX));
}

static void
it_does_what_a_slow_one_does(void **state)
{
	for (unsigned round = 0; round < 300; round++) {
		const uint32_t peers = 1 + rnd(rnd(2) ? 4 : 200), bias = 20 + rnd(60);

		for (unsigned i = 0; i < 500; i++) {
			if (rnd(100) < bias)
				push((uint64_t)rnd(peers) << rnd(2) * 32, random_cost());
			else
				pop();
		}
		while (slow.n > 0)
			pop();
		pop();
	}
}

/* Two peers that always have something: what was served differs by a quantum and a frame at most. */
static void
two_peers_that_always_wait_are_served_alike(void **state)
{
	for (unsigned round = 0; round < 50; round++) {
		const uint32_t small = fair_cost(rnd(200), 1), max[2] = {small, fair_cost(rnd(65536), 1)};
		uint64_t served[2] = {0};
		unsigned waiting[2] = {0};
		struct fair_item item;

		for (unsigned i = 0; i < 2000; i++) {
			for (unsigned peer = 0; peer < 2; peer++)
				while (waiting[peer] < 2 + rnd(8)) {
					const uint32_t cost =
						peer ? fair_cost(rnd(max[1] - FAIR_PACKET_COST + 1), 1)
						     : small;

					item = (struct fair_item){
						.key = peer, .buffer = buffer_take(), .cost = cost};
					assert_true(fair_push(fair, &item, &item));
					waiting[peer]++;
				}
			assert_true(fair_pop(fair, &item));
			taken[item.buffer] = false;
			waiting[item.key]--;
			served[item.key] += item.cost;
			assert_true(served[0] <= served[1] + FAIR_QUANTUM + max[1]);
			assert_true(served[1] <= served[0] + FAIR_QUANTUM + max[1]);
		}
		while (fair_pop(fair, &item))
			taken[item.buffer] = false;
	}
}

/* Greedy ones fill whatever there is; who has less waiting than his share of it loses nothing. */
static void
who_stays_within_his_share_loses_nothing(void **state)
{
	for (unsigned round = 0; round < 100; round++) {
		const uint32_t greedy = 1 + rnd(5);
		unsigned lost_of[2] = {0};
		struct fair_item item, lost;
		unsigned waiting = 0;

		for (unsigned i = 0; i < 3000; i++) {
			const bool modest = waiting < MAX_ITEMS / (greedy + 1) && rnd(4) == 0;

			item = (struct fair_item){.key = modest ? 1000 : rnd(greedy),
						  .buffer = buffer_take(),
						  .cost = fair_cost(modest ? rnd(100) : 100, 1)};
			waiting += modest;
			if (!fair_push(fair, &item, &lost)) {
				lost_of[lost.key == 1000]++;
				taken[lost.buffer] = false;
			}
			if (rnd(3) == 0) {
				assert_true(fair_pop(fair, &item));
				taken[item.buffer] = false;
				waiting -= item.key == 1000;
			}
		}
		assert_int_equal(lost_of[1], 0);
		assert_true(lost_of[0] > 0);
		while (fair_pop(fair, &item))
			taken[item.buffer] = false;
	}
}

/* It comes back empty-handed each time: what it did not spend is not saved. */
static void
nobody_saves_up_while_he_has_nothing(void **state)
{
	struct fair_item item;
	unsigned turn = 0;

	push(1, fair_cost(0, 1));
	pop();
	for (unsigned i = 0; i < 20; i++) {
		push(1, FAIR_QUANTUM / 4);
		push(2, FAIR_QUANTUM / 4);
	}
	while (fair_pop(fair, &item) && item.key == 1)
		turn++;
	assert_int_equal(turn, 4);
}

static int
setup(void **state)
{
	memset(taken, 0, sizeof(taken));
	memset(&slow, 0, sizeof(slow));
	return fair_new(MAX_ITEMS, BUFFERS, &fair);
}

static int
teardown(void **state)
{
	fair_free(fair);
	return 0;
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(it_does_what_a_slow_one_does),
		TEST(two_peers_that_always_wait_are_served_alike),
		TEST(who_stays_within_his_share_loses_nothing),
		TEST(nobody_saves_up_while_he_has_nothing),
	};

	rnd_begin();
	return cmocka_run_group_tests_name("fair", tests, NULL, NULL);
}
