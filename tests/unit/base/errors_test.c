/* The table of errors: every line has a code, a status and words of its own. */
#include "base/errors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ctype.h>
#include <errno.h>
#include <string.h>

static void
every_line_has_a_stable_code_a_status_and_words(void **state)
{
	for (int e = ERR_FIRST + 1; e < ERR_END; e++) {
		const char *code = error_code(-e);

		assert_true(strlen(code) > 0);
		for (const char *c = code; *c; c++)
			assert_true(islower(*c) || isdigit(*c) || *c == '_');
		assert_true(error_status(-e) >= 400 && error_status(-e) < 600);
		assert_true(strlen(error_words(-e)) > 0);
		for (int f = e + 1; f < ERR_END; f++) {
			assert_string_not_equal(code, error_code(-f));
			assert_string_not_equal(error_words(-e), error_words(-f));
		}
	}
}

static void
a_few_codes_that_others_rely_on(void **state)
{
	assert_string_equal(error_code(-ERR_POOL_FULL), "pool_full");
	assert_int_equal(error_status(-ERR_POOL_FULL), 409);
	assert_string_equal(error_words(-ERR_POOL_FULL), "no free address in the pool");
	assert_int_equal(error_status(-ERR_NOT_FOUND), 404);
	assert_string_equal(error_code(-ERR_NO_USERNS), "no_userns");
}

static void
an_errno_has_its_name_and_words_and_is_our_fault(void **state)
{
	assert_string_equal(error_code(-ENOENT), "ENOENT");
	assert_string_equal(error_words(-ENOENT), strerror(ENOENT));
	assert_int_equal(error_status(-ENOENT), 500);
}

static void
our_errors_lie_above_every_errno(void **state)
{
	for (int e = ERR_FIRST; e < ERR_END; e++)
		assert_null(strerrorname_np(e));
}

static void
what_is_in_no_table_still_has_words(void **state)
{
	static const int strange[] = {-ERR_FIRST, -ERR_END, -ERR_END - 1000, -4095, -0x7fffffff};

	for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++) {
		assert_non_null(error_words(strange[i]));
		assert_non_null(error_code(strange[i]));
		assert_int_equal(error_status(strange[i]), 500);
	}
	assert_string_equal(error_words(0), "success");
	assert_string_equal(error_words(7), "success");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_line_has_a_stable_code_a_status_and_words),
		cmocka_unit_test(a_few_codes_that_others_rely_on),
		cmocka_unit_test(an_errno_has_its_name_and_words_and_is_our_fault),
		cmocka_unit_test(our_errors_lie_above_every_errno),
		cmocka_unit_test(what_is_in_no_table_still_has_words),
	};

	return cmocka_run_group_tests_name("errors", tests, NULL, NULL);
}
