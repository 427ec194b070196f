/* Numbers in words, and what people write for an end of access. */
#include "server/cli/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"

#define NOW ((time_t)1795550400) /* 2026-11-24T20:00:00Z */
#define DAY 86400

static void
bytes_have_three_digits_that_count(void **state)
{
	static const struct {
		uint64_t n;
		const char *words;
	} cases[] = {
		{0, "0 B"},
		{1023, "1023 B"},
		{1024, "1.00 KiB"},
		{1536, "1.50 KiB"},
		{10239, "10.0 KiB"},
		{102300, "99.9 KiB"},
		{1023 * 1024, "1023 KiB"},
		{1024 * 1024 - 1, "1.00 MiB"},
		{5ULL << 30, "5.00 GiB"},
		{UINT64_MAX, "16.0 EiB"},
	};
	char words[UNITS_LEN];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		bytes_words(words, cases[i].n);
		assert_string_equal(words, cases[i].words);
	}
}

static void
a_span_is_its_two_largest_units(void **state)
{
	static const struct {
		int64_t seconds;
		const char *words;
	} cases[] = {
		{-5, "0s"},
		{0, "0s"},
		{59, "59s"},
		{60, "1m"},
		{200, "3m 20s"},
		{3600, "1h"},
		{3661, "1h 1m"},
		{DAY + 59, "1d"},
		{30 * DAY + 43200, "30d 12h"},
		{3599, "59m 59s"},
		{INT64_MAX, "106751991167300d 15h"},
	};
	char words[UNITS_LEN];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		span_words(words, cases[i].seconds);
		assert_string_equal(words, cases[i].words);
	}
}

static void
a_time_is_absolute_and_relative(void **state)
{
	char words[UNITS_LEN];

	time_words(words, NOW + 30 * DAY, NOW);
	assert_string_equal(words, "2026-12-24 20:00:00Z (in 30d)");
	time_words(words, NOW - 95, NOW);
	assert_string_equal(words, "2026-11-24 19:58:25Z (1m 35s ago)");
	time_words(words, NOW, NOW);
	assert_string_equal(words, "2026-11-24 20:00:00Z (0s ago)");
}

static void
the_api_s_form_of_time_alone_is_taken(void **state)
{
	static const char *const wrong[] = {
		"",
		"2026-11-24",
		"2026-11-24T20:00:00",
		"2026-11-24T20:00:00+00:00",
		"2026-11-24 20:00:00Z",
		"2026-13-24T20:00:00Z",
		"2026-02-30T20:00:00Z",
		"2026-11-24T24:00:00Z",
		"2026-11-24T20:00:00Z ",
		"1969-12-31T23:59:59Z",
		"2026-11-24T20:60:00Z",
		"+026-11-24T20:00:00Z",
	};
	time_t t = 7;

	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_int_equal(time_parse(&t, wrong[i]), -EINVAL);
	assert_int_equal(t, 7);
	assert_int_equal(time_parse(&t, "2026-11-24T20:00:00Z"), 0);
	assert_int_equal(t, NOW);
}

static void
assert_end(const char *text, const char *wanted)
{
	char words[CLOCK_TEXT_LEN];
	time_t t;

	if (end_parse(&t, text, NOW) != 0)
		fail_msg("\"%s\" is not taken", text);
	clock_text(words, t);
	assert_string_equal(words, wanted);
}

static void
an_end_is_a_span_a_date_or_never(void **state)
{
	time_t t = 7;

	assert_end("30d", "2026-12-24T20:00:00Z");
	assert_end("12h", "2026-11-25T08:00:00Z");
	assert_end("90m", "2026-11-24T21:30:00Z");
	assert_end("2w", "2026-12-08T20:00:00Z");
	assert_end("1s", "2026-11-24T20:00:01Z");
	assert_end("1d12h", "2026-11-26T08:00:00Z");
	assert_end("30d 12h 90m", "2026-12-25T09:30:00Z");
	assert_end("2027-01-31", "2027-01-31T23:59:59Z");
	assert_end("2027-01-31 18:00", "2027-01-31T18:00:00Z");
	assert_end("2027-01-31T18:00:30", "2027-01-31T18:00:30Z");
	assert_end("2027-01-31T18:00:00Z", "2027-01-31T18:00:00Z");
	assert_end("2027-01-31T18:00:00+02:00", "2027-01-31T16:00:00Z");
	assert_end("2027-01-31T18:00:00-05:30", "2027-01-31T23:30:00Z");
	assert_end("2028-02-29", "2028-02-29T23:59:59Z");
	assert_int_equal(end_parse(&t, "never", NOW), 0);
	assert_int_equal(t, END_NEVER);
}

static void
a_date_without_a_zone_is_local(void **state)
{
	setenv("TZ", "XST-2", 1); /* two hours east of Greenwich */
	tzset();
	assert_end("2027-01-31", "2027-01-31T21:59:59Z");
	assert_end("2027-01-31 18:00", "2027-01-31T16:00:00Z");
	setenv("TZ", "UTC", 1);
	tzset();
}

static void
what_is_no_end_is_refused(void **state)
{
	static const char *const wrong[] = {
		"",
		" ",
		"30",
		"d",
		"30 d",
		"-1d",
		"+1d",
		"1.5d",
		"1d ",
		" 1d",
		"1d1d",
		"1d,2h",
		"1y",
		"soon",
		"Never",
		"2027-02-30",
		"2027-13-01",
		"2027-1-1",
		"27-01-01",
		"2027-01-31T",
		"2027-01-31T18",
		"2027-01-31T25:00",
		"2027-01-31Z",
		"2027-01-31T18:00:00ZZ",
		"2027-01-31T18:00:00+15:00",
		"1d  2h",
		"0x1d",
		"1D",
	};
	static const char *const out_of_range[] = {
		"0d",         "0s",     "2026-11-24T20:00:00Z",    "2026-11-23",
		"1970-01-01", "36601d", "9999999999999999999999d", "99999999999999w",
		"9999-12-31",
	};
	time_t t = 7;

	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		if (end_parse(&t, wrong[i], NOW) != -EINVAL)
			fail_msg("\"%s\" is taken", wrong[i]);
	for (size_t i = 0; i < ARRAY_LEN(out_of_range); i++)
		if (end_parse(&t, out_of_range[i], NOW) != -ERANGE)
			fail_msg("\"%s\" is not out of range", out_of_range[i]);
	assert_int_equal(t, 7);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_have_three_digits_that_count),
		cmocka_unit_test(a_span_is_its_two_largest_units),
		cmocka_unit_test(a_time_is_absolute_and_relative),
		cmocka_unit_test(the_api_s_form_of_time_alone_is_taken),
		cmocka_unit_test(an_end_is_a_span_a_date_or_never),
		cmocka_unit_test(a_date_without_a_zone_is_local),
		cmocka_unit_test(what_is_no_end_is_refused),
	};

	setenv("TZ", "UTC", 1);
	tzset();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
