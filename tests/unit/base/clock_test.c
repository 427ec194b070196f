/* The clocks, and dates as RFC 3339. */
#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void
boot_time_never_goes_back(void **state)
{
	nsec_t before = clock_boottime();

	assert_true(before > 0);
	for (int i = 0; i < 1000; i++) {
		const nsec_t now = clock_boottime();

		assert_true(now >= before);
		before = now;
	}
}

static void
the_wall_clock_agrees_with_time(void **state)
{
	const time_t before = time(NULL);
	const nsec_t wall = clock_wall();
	const time_t after = time(NULL);

	assert_true(wall / SECONDS(1) >= before - 1 && wall / SECONDS(1) <= after + 1);
}

static void
dates_are_utc_in_rfc_3339(void **state)
{
	static const struct {
		time_t t;
		const char *text;
	} dates[] = {
		{0, "1970-01-01T00:00:00Z"},          {951782400, "2000-02-29T00:00:00Z"},
		{1795536000, "2026-11-24T16:00:00Z"}, {4102444799, "2099-12-31T23:59:59Z"},
		{-1, "1969-12-31T23:59:59Z"},         {253402300799, "9999-12-31T23:59:59Z"},
	};
	char text[CLOCK_TEXT_LEN];

	for (size_t i = 0; i < sizeof(dates) / sizeof(dates[0]); i++) {
		clock_text(text, dates[i].t);
		assert_string_equal(text, dates[i].text);
	}
}

static void
a_date_that_does_not_fit_is_empty(void **state)
{
	char text[CLOCK_TEXT_LEN];

	clock_text(text, INT64_MAX);
	assert_string_equal(text, "");
	clock_text(text, 253402300800); /* the year 10000 */
	assert_string_equal(text, "");
}

static void
units_are_nanoseconds(void **state)
{
	assert_int_equal(MICROSECONDS(3), 3000);
	assert_int_equal(MILLISECONDS(3), 3000000);
	assert_true(NSEC_NEVER > SECONDS(9000000000));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(boot_time_never_goes_back),
		cmocka_unit_test(the_wall_clock_agrees_with_time),
		cmocka_unit_test(dates_are_utc_in_rfc_3339),
		cmocka_unit_test(a_date_that_does_not_fit_is_empty),
		cmocka_unit_test(units_are_nanoseconds),
	};

	return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
