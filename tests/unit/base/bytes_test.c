/* Bytes on the wire, and hexadecimal that is exactly what it says. */
#include "base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

static void
loads_and_stores_have_the_stated_order_at_any_address(void **state)
{
	uint8_t room[24];

	for (unsigned at = 0; at < 8; at++) {
		uint8_t *p = room + at;

		le64_store(p, 0x1122334455667788);
		assert_memory_equal(p, "\x88\x77\x66\x55\x44\x33\x22\x11", 8);
		assert_int_equal(le64_load(p), 0x1122334455667788);
		assert_int_equal(le32_load(p), 0x55667788);
		assert_int_equal(le16_load(p), 0x7788);
		assert_int_equal(be64_load(p), 0x8877665544332211);
		assert_int_equal(be32_load(p), 0x88776655);
		assert_int_equal(be16_load(p), 0x8877);
		be32_store(p, 0xdeadbeef);
		assert_memory_equal(p, "\xde\xad\xbe\xef\x44", 5);
		be16_store(p, 0x0102);
		assert_memory_equal(p, "\x01\x02\xbe", 3);
		le16_store(p, 0x0102);
		assert_memory_equal(p, "\x02\x01\xbe", 3);
	}
}

static void
hexadecimal_goes_both_ways(void **state)
{
	uint8_t bytes[256], again[256];
	char text[513];

	for (unsigned i = 0; i < 256; i++)
		bytes[i] = (uint8_t)i;
	hex_encode(text, bytes, sizeof(bytes));
	assert_int_equal(strlen(text), 512);
	assert_memory_equal(text, "000102030405060708090a0b", 24);
	assert_int_equal(hex_decode(again, sizeof(again), text), 0);
	assert_memory_equal(again, bytes, sizeof(bytes));
	assert_int_equal(hex_decode(again, 3, "DEadBE"), 0);
	assert_memory_equal(again, "\xde\xad\xbe", 3);
	assert_int_equal(hex_decode(again, 0, ""), 0);
}

static void
hexadecimal_of_another_length_or_alphabet_is_refused(void **state)
{
	static const char *const bad[] = {
		"",     "0",    "000",  "00000",   "000000", "00 0", " 0000", "0000 ", "0x00", "00:00",
		"0:00", "000g", "-000", "000\xc3", "00\n0",  "+0+0", "/000",  ":000",  "@000", "`000",
	};
	uint8_t out[8];

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (hex_decode(out, 2, bad[i]) != -EINVAL)
			fail_msg("\"%s\" was taken for two bytes", bad[i]);
}

static void
equality_sees_every_bit(void **state)
{
	uint8_t a[33], b[33];

	memset(a, 0x5a, sizeof(a));
	memcpy(b, a, sizeof(a));
	assert_true(bytes_equal(a, b, sizeof(a)));
	assert_true(bytes_equal(a, b, 0));
	for (unsigned bit = 0; bit < 8 * sizeof(a); bit++) {
		b[bit / 8] ^= (uint8_t)BIT(bit % 8);
		assert_false(bytes_equal(a, b, sizeof(a)));
		b[bit / 8] ^= (uint8_t)BIT(bit % 8);
	}
}

static void
what_is_wiped_is_zero_and_no_more_is(void **state)
{
	uint8_t room[10];

	memset(room, 0xff, sizeof(room));
	bytes_wipe(room + 1, 8);
	assert_memory_equal(room, "\xff\0\0\0\0\0\0\0\0\xff", 10);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(loads_and_stores_have_the_stated_order_at_any_address),
		cmocka_unit_test(hexadecimal_goes_both_ways),
		cmocka_unit_test(hexadecimal_of_another_length_or_alphabet_is_refused),
		cmocka_unit_test(equality_sees_every_bit),
		cmocka_unit_test(what_is_wiped_is_zero_and_no_more_is),
	};

	return cmocka_run_group_tests_name("bytes", tests, NULL, NULL);
}
