/* Values and tables: what a datagram is, why it is dropped, indices, load, ends of access, ECN. */
#include "server/wg/values.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ctype.h>
#include <string.h>

#include "server/wg/index.h"
#include "server/wg/inner.h"
#include "server/wg/load.h"
#include "server/wg/messages.h"
#include "tests/unit/wg/rig.h"

static void
messages_have_the_sizes_of_the_paper(void **state)
{
	assert_int_equal(WG_INITIATION_LEN, 4 + 4 + 32 + 48 + 28 + 16 + 16);
	assert_int_equal(WG_RESPONSE_LEN, 4 + 4 + 4 + 32 + 16 + 16 + 16);
	assert_int_equal(WG_COOKIE_REPLY_LEN, 4 + 4 + 24 + 32);
	assert_int_equal(WG_DATA_MIN, 32);
}

static void
limits_are_those_of_the_kernel(void **state)
{
	assert_int_equal(WG_REKEY_AFTER_TIME, SECONDS(120));
	assert_int_equal(WG_REJECT_AFTER_TIME, SECONDS(180));
	assert_int_equal(WG_NEW_HANDSHAKE_TIMEOUT, SECONDS(15));
	assert_int_equal(WG_LAST_MINUTE, SECONDS(165));
	assert_int_equal(WG_ZERO_KEYS_TIME, SECONDS(540));
	assert_true(WG_REJECT_AFTER_MESSAGES <= UINT64_MAX - 8128 - 1);
	assert_true(WG_REJECT_AFTER_MESSAGES <= UINT64_MAX - 1 - (1 << 13) + 1);
	assert_int_equal(WG_REKEY_AFTER_MESSAGES, 1ULL << 60);
	assert_int_equal(WG_REKEY_TIMEOUT, SECONDS(5));
	assert_int_equal(WG_REKEY_JITTER, MILLISECONDS(333));
	assert_int_equal(WG_INITIATION_INTERVAL, MILLISECONDS(20));
	assert_int_equal(WG_TIMESTAMP_MASK, ~0xffffffULL);
	assert_int_equal(WG_HANDSHAKE_QUEUE, 4096);
	assert_int_equal(WG_STAGED_PER_PEER, 128);
	assert_int_equal(WG_TOS_HANDSHAKE, 0x88);
}

/* Written as a list of what is right; everything else is junk. */
static enum wg_kind
kind_of(uint32_t type, size_t len)
{
	if ((type == 1 && len == 148) || (type == 2 && len == 92) || (type == 3 && len == 64))
		return WG_KIND_HANDSHAKE;
	return type == 4 && len >= 32 ? WG_KIND_DATA : WG_KIND_JUNK;
}

static void
a_datagram_is_classified_by_type_and_exact_length(void **state)
{
	static const uint32_t types[] = {0,          1,          2,          3,          4,
					 5,          255,        0x100,      0x101,      0x10004,
					 0x01000001, 0x04000000, 0x01000000, 0x80000004, UINT32_MAX};

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		for (size_t len = 0; len < 1600; len++) {
			uint8_t *data = calloc(1, len ? len : 1);
			uint8_t type[4];
			enum wg_drop why = WG_DROP_NONE;
			enum wg_kind kind, expected = len >= 4 ? kind_of(types[i], len) : WG_KIND_JUNK;

			le32_store(type, types[i]);
			memcpy(data, type, MIN(len, sizeof(type)));
			kind = wg_classify(data, len, &why);
			assert_int_equal(kind, expected);
			if (kind == WG_KIND_JUNK)
				assert_int_equal(why, len >= 4 && types[i] >= 1 && types[i] <= 4
							      ? WG_DROP_LENGTH
							      : WG_DROP_TYPE);
			free(data);
		}
	}
}

static void
every_drop_has_a_label_and_words_of_its_own(void **state)
{
	assert_string_equal(wg_drop_name(WG_DROP_NONE), "none");
	for (unsigned i = 1; i < WG_DROP_COUNT; i++) {
		assert_true(strlen(wg_drop_words(i)) > 5);
		for (const char *c = wg_drop_name(i); *c; c++)
			assert_true(islower(*c) || isdigit(*c) || *c == '_');
		for (unsigned k = 0; k < i; k++) {
			assert_string_not_equal(wg_drop_name(i), wg_drop_name(k));
			assert_string_not_equal(wg_drop_words(i), wg_drop_words(k));
		}
	}
	assert_string_equal(wg_drop_name(WG_DROP_NO_SESSION), "no_session");
	assert_string_equal(wg_drop_name(WG_DROP_MAC1), "mac1");
}

static void
counters_count(void **state)
{
	struct wg_counters counters = {0};

	wg_count(&counters, WG_DROP_REPLAY, 3);
	wg_count(&counters, WG_DROP_REPLAY, 4);
	assert_int_equal(wg_counted(&counters, WG_DROP_REPLAY), 7);
	assert_int_equal(wg_counted(&counters, WG_DROP_SOURCE), 0);
}

static void
load_is_a_backlog_and_lasts_a_second(void **state)
{
	struct wg_load load = {0};
	const nsec_t t = SECONDS(100);

	assert_false(wg_load_judge(&load, 0, t));
	assert_false(wg_load_judge(&load, 511, t));
	assert_true(wg_load_judge(&load, 512, t));
	assert_true(wg_load_judge(&load, 0, t + MILLISECONDS(999)));
	assert_false(wg_load_judge(&load, 0, t + SECONDS(1)));
	assert_true(wg_load_judge(&load, 4096, t + SECONDS(2)));
	assert_true(wg_load_judge(&load, 512, t + MILLISECONDS(2900)));
	assert_true(wg_load_judge(&load, 0, t + MILLISECONDS(3800)));
	assert_false(wg_load_judge(&load, 511, t + MILLISECONDS(3900)));
}

static void
fixed_fill(void *ctx, void *buf, size_t len)
{
	uint8_t *p = buf;

	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(i * 37 + *(const uint8_t *)ctx);
}

static int
by_value(const void *a, const void *b)
{
	const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void
an_index_names_its_peer_and_worker_for_any_number_of_workers(void **state)
{
	static const unsigned workers[] = {1, 2, 3, 4, 7, 8, 16, 33, 64};
	uint8_t seed = 1;
	const struct wg_random random = {.fill = fixed_fill, .ctx = &seed};

	for (size_t w = 0; w < ARRAY_LEN(workers); w++, seed++) {
		struct wg_index index;

		index_init(&index, workers[w], &random);
		assert_true(1U << index.worker_bits >= workers[w]);
		assert_true(index.worker_bits <= 6);
		for (uint32_t n = 0; n < 3000; n++) {
			const uint32_t number = n < 1000 ? n : (n * 2654435761U) % WG_PEERS_MAX;
			const unsigned worker = n % workers[w];
			const uint32_t value = index_make(&index, worker, number, n * 7);

			assert_int_equal(index_number(&index, value), number);
			assert_int_equal(index_worker(&index, value), worker);
		}
		assert_int_equal(index_number(&index, index_make(&index, 0, WG_PEERS_MAX - 1, UINT32_MAX)),
				 WG_PEERS_MAX - 1);
	}
}

static void
no_two_peers_nor_generations_share_an_index(void **state)
{
	static uint32_t values[1 << 16];
	uint8_t seed = 9;
	const struct wg_random random = {.fill = fixed_fill, .ctx = &seed};

	for (unsigned workers = 1; workers <= 64; workers *= 8) {
		struct wg_index index;
		unsigned generations, n = 0;

		index_init(&index, workers, &random);
		generations = 1U << (12 - index.worker_bits);
		for (uint32_t generation = 0; generation < generations && n < ARRAY_LEN(values); generation++)
			for (uint32_t number = 0; number < 64 && n < ARRAY_LEN(values); number++)
				values[n++] =
					index_make(&index, 0, number * 16411 % WG_PEERS_MAX, generation);
		qsort(values, n, sizeof(values[0]), by_value);
		for (unsigned i = 1; i < n; i++)
			assert_int_not_equal(values[i], values[i - 1]);
	}
}

static void
any_index_has_a_peer_number_in_range(void **state)
{
	uint8_t seed = 3;
	const struct wg_random random = {.fill = fixed_fill, .ctx = &seed};
	struct wg_index index;

	index_init(&index, 64, &random);
	for (uint64_t value = 0; value <= UINT32_MAX; value += 65521)
		assert_true(index_number(&index, (uint32_t)value) < WG_PEERS_MAX);
	assert_true(index_number(&index, UINT32_MAX) < WG_PEERS_MAX);
}

/* Each bit above the worker's is one in about half of the indices of consecutive peers and generations. */
static void
indices_show_no_pattern(void **state)
{
	uint8_t seed = 77;
	const struct wg_random random = {.fill = fixed_fill, .ctx = &seed};
	struct wg_index index, other;
	unsigned ones[32] = {0}, flips[32] = {0}, same = 0;

	index_init(&index, 2, &random);
	seed = 78;
	index_init(&other, 2, &random);
	for (uint32_t n = 0; n < 4096; n++) {
		const uint32_t value = index_make(&index, 0, n, n % 2048);
		const uint32_t next = index_make(&index, 0, n, (n + 1) % 2048);

		same += value == index_make(&other, 0, n, n % 2048);
		for (unsigned bit = 0; bit < 32; bit++) {
			ones[bit] += value >> bit & 1;
			flips[bit] += (value ^ next) >> bit & 1;
		}
	}
	for (unsigned bit = 1; bit < 32; bit++) {
		assert_in_range(ones[bit], 2048 - 256, 2048 + 256);
		assert_in_range(flips[bit], 2048 - 256, 2048 + 256);
	}
	assert_true(same < 4);
}

static void
an_end_is_the_earlier_of_two_clocks(void **state)
{
	const struct wg_now now = {.boot = SECONDS(1000), .wall = SECONDS(2000000)};
	struct wg_end end = wg_end_at(2000060, now);
	struct wg_now at = now;

	assert_false(wg_ended(&end, now));
	at.wall = SECONDS(2000059), at.boot = SECONDS(1059);
	assert_false(wg_ended(&end, at));
	at.wall = SECONDS(2000060); /* the wall clock was set forward */
	assert_true(wg_ended(&end, at));
	at.wall = SECONDS(2000060) - SECONDS(3600), at.boot = SECONDS(1060); /* set back an hour */
	assert_true(wg_ended(&end, at));
	at.boot = SECONDS(1060) - 1;
	assert_false(wg_ended(&end, at));
}

static void
what_is_past_ends_at_once_and_no_end_never(void **state)
{
	const struct wg_now now = {.boot = SECONDS(5), .wall = SECONDS(2000000)};
	const struct wg_now far = {.boot = NSEC_NEVER - 1, .wall = NSEC_NEVER - 1};
	static const time_t past[] = {1, 1999999, 2000000, -1, INT64_MIN};
	struct wg_end end = wg_end_at(0, now);

	assert_false(wg_ended(&end, now));
	assert_false(wg_ended(&end, far));
	for (size_t i = 0; i < ARRAY_LEN(past); i++) {
		struct wg_now back = now;

		end = wg_end_at(past[i], now);
		assert_true(wg_ended(&end, now));
		back.wall -= SECONDS(3600); /* and setting the clock back opens no door */
		assert_true(wg_ended(&end, back));
	}
	end = wg_end_at(INT64_MAX, now);
	assert_false(wg_ended(&end, now));
	end = wg_end_at(2000001, now);
	assert_false(wg_ended(&end, now));
}

static void
access_has_words(void **state)
{
	assert_string_equal(wg_access_words(WG_ACTIVE), "active");
	assert_string_equal(wg_access_words(WG_QUARANTINED), "quarantined");
	assert_string_equal(wg_access_words(WG_CUT), "cut");
}

static uint16_t
header_sum(const uint8_t *header)
{
	uint32_t sum = 0;

	for (unsigned i = 0; i < 20; i += 2)
		sum += be16_load(header + i);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

/* RFC 6040 as the kernel does it: CE comes in where the ends speak ECN, and ECT(1) in place of ECT(0). */
static const uint8_t decapsulated[4][4] = {
	/* outer: not, ECT(1), ECT(0), CE */
	{0, 0, 0, 0}, /* inner not */
	{1, 1, 1, 3}, /* inner ECT(1) */
	{2, 1, 2, 3}, /* inner ECT(0) */
	{3, 3, 3, 3}, /* inner CE */
};

static void
a_mark_of_the_outer_header_comes_in_and_the_checksum_with_it(void **state)
{
	for (unsigned dscp = 0; dscp < 64; dscp++)
		for (unsigned inner = 0; inner < 4; inner++)
			for (unsigned outer = 0; outer < 4; outer++)
				for (unsigned other = 0; other < 256; other += 15) {
					const unsigned expected = decapsulated[inner][outer];
					uint8_t p4[60], p6[60];

					packet4(p4, "10.0.0.1", "10.0.0.2", sizeof(p4), other << 8);
					p4[1] = (uint8_t)(dscp << 2 | inner);
					p4[4] = (uint8_t)other; /* of the checksum's sum, all sorts */
					p4[5] = (uint8_t)~other;
					be16_store(p4 + 10, 0);
					be16_store(p4 + 10, (uint16_t)~header_sum(p4));
					inner_decapsulate(p4, (uint8_t)(other << 2 | outer));
					assert_int_equal(p4[1], dscp << 2 | expected);
					assert_int_equal(header_sum(p4), 0xffff);

					packet6(p6, "2001:db8::1", "2001:db8::2", sizeof(p6), 1);
					be32_store(p6, 6U << 28 | (dscp << 2 | inner) << 20 |
							       (other << 8 | 0x55));
					inner_decapsulate(p6, (uint8_t)(other << 2 | outer));
					assert_int_equal(be32_load(p6), 6U << 28 |
										(dscp << 2 | expected) << 20 |
										(other << 8 | 0x55));
				}
}

static void
the_outer_header_shows_ecn_but_neither_mark_nor_dscp(void **state)
{
	static const uint8_t expected[4] = {0, 1, 2, 2};

	for (unsigned tos = 0; tos < 256; tos++) {
		uint8_t p4[60], p6[60];

		packet4(p4, "10.0.0.1", "10.0.0.2", sizeof(p4), 1);
		p4[1] = (uint8_t)tos;
		assert_int_equal(inner_encapsulate(p4, sizeof(p4)), expected[tos & 3]);
		packet6(p6, "2001:db8::1", "2001:db8::2", sizeof(p6), 1);
		be32_store(p6, 6U << 28 | tos << 20 | 0xfffff);
		assert_int_equal(inner_encapsulate(p6, sizeof(p6)), expected[tos & 3]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_have_the_sizes_of_the_paper),
		cmocka_unit_test(limits_are_those_of_the_kernel),
		cmocka_unit_test(a_datagram_is_classified_by_type_and_exact_length),
		cmocka_unit_test(every_drop_has_a_label_and_words_of_its_own),
		cmocka_unit_test(counters_count),
		cmocka_unit_test(load_is_a_backlog_and_lasts_a_second),
		cmocka_unit_test(an_index_names_its_peer_and_worker_for_any_number_of_workers),
		cmocka_unit_test(no_two_peers_nor_generations_share_an_index),
		cmocka_unit_test(any_index_has_a_peer_number_in_range),
		cmocka_unit_test(indices_show_no_pattern),
		cmocka_unit_test(an_end_is_the_earlier_of_two_clocks),
		cmocka_unit_test(what_is_past_ends_at_once_and_no_end_never),
		cmocka_unit_test(access_has_words),
		cmocka_unit_test(a_mark_of_the_outer_header_comes_in_and_the_checksum_with_it),
		cmocka_unit_test(the_outer_header_shows_ecn_but_neither_mark_nor_dscp),
	};

	return cmocka_run_group_tests_name("values", tests, NULL, NULL);
}
