/* Keys as text: one key, one spelling. */
#include "base/key.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/bytes.h"

static void
keys_go_to_base64_and_back(void **state)
{
	uint8_t key[KEY_LEN], again[KEY_LEN];
	char text[KEY_BASE64_LEN];

	for (unsigned round = 0; round < 256; round++) {
		for (unsigned i = 0; i < KEY_LEN; i++)
			key[i] = (uint8_t)(round * 7 + i * 29);
		key_to_base64(text, key);
		assert_int_equal(strlen(text), KEY_BASE64_LEN - 1);
		assert_int_equal(text[43], '=');
		assert_int_equal(key_from_base64(again, text), 0);
		assert_memory_equal(key, again, KEY_LEN);
	}
}

static void
base64_is_that_of_wg(void **state)
{
	/* RFC 7748, 6.1: Alice's public key. */
	static const char hex[] = "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a";
	uint8_t key[KEY_LEN];
	char text[KEY_BASE64_LEN];

	assert_int_equal(hex_decode(key, KEY_LEN, hex), 0);
	key_to_base64(text, key);
	assert_string_equal(text, "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=");
}

static void
other_spellings_and_lengths_are_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"=",
		"hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo",  /* no padding */
		"hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmp=", /* unused bits set */
		"hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmoA", /* 33 bytes */
		"hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTg==", /* 31 bytes */
		"hSDwCYkwp1R0i33ctD73Wg2_Og0mOBr066SpjqqbTmo=", /* the URL alphabet */
		"hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo= ",
		" hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=",
		"hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTm\n=",
		"hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066Spj=qbTmo=",
		"============================================",
		"hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=",
	};
	uint8_t key[KEY_LEN];

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (key_from_base64(key, bad[i]) != -EINVAL)
			fail_msg("\"%s\" was taken for a key", bad[i]);
}

static void
the_public_key_is_that_of_rfc_7748(void **state)
{
	/* 6.1: Bob's. */
	static const char secret[] = "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb";
	static const char known[] = "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f";
	struct private_key private;
	struct public_key public, expected;

	assert_int_equal(hex_decode(private.b, KEY_LEN, secret), 0);
	assert_int_equal(hex_decode(expected.b, KEY_LEN, known), 0);
	public_key_derive(&public, &private);
	assert_memory_equal(public.b, expected.b, KEY_LEN);
}

static void
no_key_is_all_zeroes_and_nothing_else(void **state)
{
	uint8_t key[KEY_LEN] = {0};

	assert_true(key_is_zero(key));
	for (unsigned i = 0; i < KEY_LEN; i++) {
		key[i] = 1;
		assert_false(key_is_zero(key));
		key[i] = 0;
	}
}

static void
generated_secrets_are_clamped_and_differ(void **state)
{
	struct private_key a, b;
	struct preshared_key c, d;

	for (int i = 0; i < 100; i++) {
		private_key_generate(&a);
		private_key_generate(&b);
		assert_int_equal(a.b[0] & 7, 0);
		assert_int_equal(a.b[31] & 0xc0, 0x40);
		assert_memory_not_equal(a.b, b.b, KEY_LEN);
		preshared_key_generate(&c);
		preshared_key_generate(&d);
		assert_memory_not_equal(c.b, d.b, KEY_LEN);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_go_to_base64_and_back),
		cmocka_unit_test(base64_is_that_of_wg),
		cmocka_unit_test(other_spellings_and_lengths_are_refused),
		cmocka_unit_test(the_public_key_is_that_of_rfc_7748),
		cmocka_unit_test(no_key_is_all_zeroes_and_nothing_else),
		cmocka_unit_test(generated_secrets_are_clamped_and_differ),
	};

	return cmocka_run_group_tests_name("key", tests, NULL, NULL);
}
