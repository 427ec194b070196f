/* Text and tables for a terminal. */
#include "server/cli/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "server/cli/text.h"

static char *
shown(const char *text)
{
	char *out = NULL;
	size_t len;
	FILE *f = open_memstream(&out, &len);

	text_put(f, text);
	fclose(f);
	return out;
}

static void
assert_shown(const char *text, const char *wanted, size_t width)
{
	_cleanup_(freep) char *out = shown(text);

	assert_string_equal(out, wanted);
	assert_int_equal(text_width(text), width);
	assert_int_equal(text_width(out), width);
}

static void
width_counts_columns_and_not_bytes(void **state)
{
	assert_shown("laptop", "laptop", 6);
	assert_shown("Zoë", "Zoë", 3);
	assert_shown("Zoe\u0308", "Zoe\u0308", 3); /* combining */
	assert_shown("日本", "日本", 4);
	assert_shown("", "", 0);
}

static void
what_steers_a_terminal_is_replaced(void **state)
{
	assert_shown("a\033[31mb", "a\uFFFD[31mb", 7);
	assert_shown("a\nb\tc\x7f", "a\uFFFDb\uFFFDc\uFFFD", 6);
	assert_shown("\xc2\x85\xc2\x9b", "\uFFFD\uFFFD", 2);
	assert_shown("\u202Egpj.exe", "\uFFFDgpj.exe", 8);
	assert_shown("\u2066\u200b\u2028\ufeff", "\uFFFD\uFFFD\uFFFD\uFFFD", 4);
	assert_shown("\xff\xc3(\xe2\x82", "\uFFFD\uFFFD(\uFFFD\uFFFD", 5);
	assert_shown("\xc0\x80\xed\xa0\x80", "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD", 5);
}

static void
names_are_what_the_api_takes(void **state)
{
	char longest[NAME_TEXT_MAX + 2];

	memset(longest, 'a', sizeof(longest));
	longest[NAME_TEXT_MAX] = '\0';
	assert_true(text_is_name(longest));
	longest[NAME_TEXT_MAX] = 'a';
	longest[NAME_TEXT_MAX + 1] = '\0';
	assert_false(text_is_name(longest));
	assert_true(text_is_name("a") && text_is_name("17") && text_is_name("A.b_c-d"));
	assert_false(text_is_name("") || text_is_name(".a") || text_is_name("-a") || text_is_name("_a"));
	assert_false(text_is_name("a/b") || text_is_name("a b") || text_is_name("ä") || text_is_name("a\n") ||
		     text_is_name("a?b") || text_is_name("a%2f"));
}

static void
distance_counts_single_changes(void **state)
{
	assert_int_equal(text_distance("peer", "peer", 9), 0);
	assert_int_equal(text_distance("per", "peer", 9), 1);
	assert_int_equal(text_distance("pear", "peer", 9), 1);
	assert_int_equal(text_distance("", "peer", 9), 4);
	assert_int_equal(text_distance("kitten", "sitting", 9), 3);
	assert_int_equal(text_distance("kitten", "sitting", 2), 2);
}

static char *
printed(const struct table *table, size_t indent, bool colour)
{
	char *out = NULL;
	size_t len;
	FILE *f = open_memstream(&out, &len);

	assert_int_equal(table_print(table, f, indent, colour), 0);
	fclose(f);
	return out;
}

static void
columns_are_aligned_by_what_is_seen(void **state)
{
	static const char *const heads[] = {"NAME", "N", "END"};
	_cleanup_(table_freep) struct table *table = table_new(heads, 3, BIT(1));
	_cleanup_(freep) char *plain = NULL, *coloured = NULL;

	for (int i = 0; i < 2; i++) {
		table_cell(table, STYLE_GOOD, "%s", i ? "Zoë日" : "a");
		table_cell(table, STYLE_PLAIN, "%d", i ? 7 : 1234);
		table_cell(table, STYLE_PLAIN, "%s", i ? "" : "x\033y");
	}
	table_cell(table, STYLE_PLAIN, "a row that is not full is not shown");
	plain = printed(table, 2, false);
	assert_string_equal(plain, "  NAME      N  END\n"
				   "  a      1234  x\uFFFDy\n"
				   "  Zoë日     7\n");
	coloured = printed(table, 0, true);
	assert_string_equal(coloured, "\033[1mNAME\033[0m      \033[1mN\033[0m  \033[1mEND\033[0m\n"
				      "\033[32ma\033[0m      1234  x\uFFFDy\n"
				      "\033[32mZoë日\033[0m     7\n");
}

static void
a_table_of_a_thousand_rows_keeps_them_in_order(void **state)
{
	_cleanup_(table_freep) struct table *table = table_new(NULL, 1, BIT(0));
	_cleanup_(freep) char *out = NULL;
	char line[16], *at;

	for (int i = 0; i < 1000; i++)
		table_cell(table, STYLE_PLAIN, "%d", i);
	at = out = printed(table, 0, false);
	for (int i = 0; i < 1000; i++) {
		snprintf(line, sizeof(line), "%3d\n", i);
		assert_memory_equal(at, line, 4);
		at += 4;
	}
	assert_string_equal(at, "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(width_counts_columns_and_not_bytes),
		cmocka_unit_test(what_steers_a_terminal_is_replaced),
		cmocka_unit_test(names_are_what_the_api_takes),
		cmocka_unit_test(distance_counts_single_changes),
		cmocka_unit_test(columns_are_aligned_by_what_is_seen),
		cmocka_unit_test(a_table_of_a_thousand_rows_keeps_them_in_order),
	};

	text_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
