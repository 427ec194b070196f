/* The MSS of a SYN is made small enough, and nothing else is touched. */
#include "server/tunnel/mss.h"

#include "tests/unit/tunnel/packets.h"

#include "base/cleanup.h"

static struct pkt pkt, before;

/* A SYN with @options, a multiple of 4 bytes, and right checksums. */
static void
syn(bool v6, const uint8_t *options, unsigned len, uint8_t flags)
{
	const struct pkt_spec spec = {.v6 = v6,
				      .flags = flags,
				      .ttl = 64,
				      .host = 1,
				      .sport = (uint16_t)rnd(65536),
				      .dport = (uint16_t)rnd(65536),
				      .seq = rnd(UINT32_MAX),
				      .options = len,
				      .payload = rnd(50),
				      .fill = (uint8_t)rnd(256)};

	pkt_make(&pkt, &spec);
	memcpy(pkt.b + (v6 ? 60 : 40), options, len);
	pkt_finish(&pkt);
	before = pkt;
}

static void
assert_untouched(bool changed)
{
	assert_false(changed);
	assert_memory_equal(pkt.b, before.b, before.len);
}

/* The MSS at @at of TCP is now @mss, and all else as a sender would have made it with that. */
static void
assert_clamped(bool changed, bool v6, unsigned at, unsigned mss)
{
	assert_true(changed);
	put16(before.b + (v6 ? 40 : 20) + at, mss);
	pkt_finish(&before);
	assert_memory_equal(pkt.b, before.b, before.len);
}

static void
a_large_mss_is_made_to_fit(void **state)
{
	for (unsigned i = 0; i < 20000; i++) {
		const bool v6 = rnd(2);
		const unsigned mss = rnd(65536), mtu = 1280 + rnd(1000), fits = mtu - (v6 ? 60 : 40);
		const unsigned odd = rnd(4); /* NOPs before it: it may begin at an odd byte */
		uint8_t options[12] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0};

		options[odd] = 2;
		options[odd + 1] = 4;
		put16(options + odd + 2, mss);
		syn(v6, options, sizeof(options), SYN | (rnd(2) ? ACK : 0) | (rnd(2) ? ECE | CWR : 0));
		if (mss > fits)
			assert_clamped(mss_clamp(pkt.b, pkt.len, mtu), v6, 22 + odd, fits);
		else
			assert_untouched(mss_clamp(pkt.b, pkt.len, mtu));
	}
}

static void
it_is_found_among_other_options(void **state)
{
	/* timestamps, SACK permitted, MSS, window scale, as stacks send them in some order */
	static const uint8_t options[20] = {8, 10, 1, 2, 3,    4,    0, 0, 0, 0,
					    4, 2,  2, 4, 0x05, 0xb4, 1, 3, 3, 7};

	for (unsigned v6 = 0; v6 < 2; v6++) {
		syn(v6, options, sizeof(options), SYN);
		assert_clamped(mss_clamp(pkt.b, pkt.len, 1280), v6, 34, v6 ? 1220 : 1240);
	}
}

static void
all_of_several_are_made_to_fit(void **state)
{
	static const uint8_t options[8] = {2, 4, 0x05, 0xb4, 2, 4, 0x23, 0x28};

	syn(false, options, sizeof(options), SYN);
	put16(before.b + 42, 1240);
	assert_clamped(mss_clamp(pkt.b, pkt.len, 1280), false, 26, 1240);
}

static void
without_a_bound_or_an_option_nothing_changes(void **state)
{
	static const uint8_t mss[4] = {2, 4, 0x05, 0xb4}, none[4] = {1, 1, 1, 1},
			     ended[8] = {0, 0, 0, 0, 2, 4, 9, 9};

	for (unsigned v6 = 0; v6 < 2; v6++) {
		syn(v6, mss, 4, SYN);
		assert_untouched(mss_clamp(pkt.b, pkt.len, 0));
		assert_untouched(mss_clamp(pkt.b, pkt.len, v6 ? 60 : 40));
		assert_untouched(mss_clamp(pkt.b, pkt.len, 70000));
		syn(v6, mss, 4, ACK | PSH);
		assert_untouched(mss_clamp(pkt.b, pkt.len, 1280));
		syn(v6, none, 4, SYN);
		assert_untouched(mss_clamp(pkt.b, pkt.len, 1280));
		syn(v6, none, 0, SYN);
		assert_untouched(mss_clamp(pkt.b, pkt.len, 1280));
		syn(v6, ended, 8, SYN);
		assert_untouched(mss_clamp(pkt.b, pkt.len, 1280));
	}
}

static void
broken_options_are_left_alone(void **state)
{
	static const uint8_t broken[][4] = {
		{2, 3, 0x05, 0xb4}, {2, 5, 0x05, 0xb4}, {2, 0, 0x05, 0xb4}, {2, 1, 0x05, 0xb4},
		{1, 2, 4, 0x05},    {1, 1, 2, 4},       {1, 1, 1, 2},       {3, 200, 2, 4},
	};

	for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
		syn(i % 2, broken[i], 4, SYN);
		assert_untouched(mss_clamp(pkt.b, pkt.len, 1280));
	}
}

static void
fragments_and_cut_packets_are_left_alone(void **state)
{
	static const uint8_t options[4] = {2, 4, 0x05, 0xb4};
	static const uint16_t fragments[] = {0x2000, 0x2001, 0x0001, 0x1fff};

	for (size_t i = 0; i < ARRAY_LEN(fragments); i++) {
		syn(false, options, 4, SYN);
		put16(pkt.b + 6, fragments[i]);
		before = pkt;
		assert_untouched(mss_clamp(pkt.b, pkt.len, 1280));
	}
	for (unsigned v6 = 0; v6 < 2; v6++) {
		syn(v6, options, 4, SYN);
		for (uint32_t len = 0; len < (v6 ? 64U : 44U); len++) {
			uint8_t *exact = malloc(len ? len : 1);

			assert_non_null(exact);
			memcpy(exact, pkt.b, len);
			assert_false(mss_clamp(exact, len, 1280));
			free(exact);
		}
		put16(pkt.b + (v6 ? 4 : 2), 41 - (v6 ? 40U : 0U)); /* it says that it is shorter */
		before = pkt;
		assert_untouched(mss_clamp(pkt.b, pkt.len, 1280));
	}
	syn(false, options, 4, SYN);
	pkt.b[32] = 0x40; /* shorter than a TCP header */
	before = pkt;
	assert_untouched(mss_clamp(pkt.b, pkt.len, 1280));
}

/* @pkt, IPv6, with @header, a multiple of 8 bytes, between IP and TCP. */
static void
extend(uint8_t kind, const uint8_t *header, unsigned len)
{
	memmove(pkt.b + 40 + len, pkt.b + 40, pkt.len - 40);
	memcpy(pkt.b + 40, header, len);
	pkt.b[40] = pkt.b[6];
	pkt.b[6] = kind;
	pkt.len += len;
	put16(pkt.b + 4, pkt.len - 40);
	before = pkt;
}

static void
extension_headers_are_walked_over_but_not_fragments(void **state)
{
	static const uint8_t options[4] = {2, 4, 0x05, 0xb4}, short_one[8] = {0, 0, 1, 4},
			     long_one[16] = {0, 1, 1, 12};
	static const uint8_t kinds[] = {0, 43, 60};
	uint32_t sum;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		syn(true, options, 4, SYN);
		extend(60, short_one, 8);
		extend(kinds[i], long_one, 16);
		assert_true(mss_clamp(pkt.b, pkt.len, 1280));
		assert_int_equal(get16(pkt.b + 64 + 22), 1220);
		sum = naive_sum(pkt.b + 8, 32, pkt.len - 64 + PROTO_TCP);
		assert_int_equal(naive_sum(pkt.b + 64, pkt.len - 64, sum), 0xffff);
	}
	syn(true, options, 4, SYN);
	extend(44, short_one, 8);
	assert_untouched(mss_clamp(pkt.b, pkt.len, 1280));
	syn(true, options, 4, SYN);
	extend(60, short_one, 8);
	pkt.b[41] = 255;
	before = pkt;
	assert_untouched(mss_clamp(pkt.b, pkt.len, 1280));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_large_mss_is_made_to_fit),
		cmocka_unit_test(it_is_found_among_other_options),
		cmocka_unit_test(all_of_several_are_made_to_fit),
		cmocka_unit_test(without_a_bound_or_an_option_nothing_changes),
		cmocka_unit_test(broken_options_are_left_alone),
		cmocka_unit_test(fragments_and_cut_packets_are_left_alone),
		cmocka_unit_test(extension_headers_are_walked_over_but_not_fragments),
	};

	rnd_begin();
	return cmocka_run_group_tests_name("mss", tests, NULL, NULL);
}
