/* Internet checksums against two bytes at a time. */
#include "server/tunnel/checksum.h"

#include "tests/unit/tunnel/packets.h"

static void
compare_all(void)
{
	static uint8_t data[9000], copy[9000];

	for (unsigned round = 0; round < 3000; round++) {
		const size_t at = rnd(64), len = round < 200 ? round : rnd(8900);
		uint16_t folded;

		rnd_fill(data + at, len);
		if (round % 7 == 0)
			memset(data + at, 0xff, len);
		folded = checksum_fold(checksum_add(data + at, len));
		assert_int_equal(get16((uint8_t *)&folded) % 0xffff, naive_sum(data + at, len, 0) % 0xffff);
		memset(copy, 0x5a, sizeof(copy));
		assert_int_equal(checksum_fold(checksum_copy(copy + 3, data + at, len)), folded);
		assert_memory_equal(copy + 3, data + at, len);
		assert_int_equal(copy[2], 0x5a);
		assert_int_equal(copy[3 + len], 0x5a);
	}
}

static void
the_portable_sum_is_the_naive_one(void **state)
{
	checksum_portable();
	compare_all();
}

static void
the_sum_of_this_cpu_is_the_naive_one(void **state)
{
	checksum_init();
	compare_all();
}

static void
a_stored_checksum_makes_the_sum_all_ones(void **state)
{
	struct pkt_spec spec = {.ttl = 64, .flags = ACK, .payload = 777};
	static struct pkt pkt;

	for (int i = 0; i < 4; i++) {
		uint32_t l4;

		spec.v6 = i & 1;
		spec.udp = i & 2;
		pkt_make(&pkt, &spec);
		l4 = spec.v6 ? 40 : 20;
		assert_int_equal(checksum_fold(checksum_add(pkt.b + l4, pkt.len - l4) +
					       checksum_pseudo(pkt.b, spec.v6, pkt.len - l4,
							       spec.udp ? PROTO_UDP : PROTO_TCP)),
				 0xffff);
	}
}

static void
a_udp_checksum_is_never_zero(void **state)
{
	uint8_t field[2] = {0};

	checksum_store(field, 0xffff, true);
	assert_memory_equal(field, "\xff\xff", 2);
	checksum_store(field, 0xffff, false);
	assert_memory_equal(field, "\0\0", 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_portable_sum_is_the_naive_one),
		cmocka_unit_test(the_sum_of_this_cpu_is_the_naive_one),
		cmocka_unit_test(a_stored_checksum_makes_the_sum_all_ones),
		cmocka_unit_test(a_udp_checksum_is_never_zero),
	};

	rnd_begin();
	return cmocka_run_group_tests_name("checksum", tests, NULL, NULL);
}
