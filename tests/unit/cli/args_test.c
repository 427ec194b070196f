/* The table of commands, and the words on the line against it. */
#include "server/cli/args.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ctype.h>
#include <string.h>

static struct cli cli;
static char error[ARGS_ERROR_LEN];

#define ARGV(...) ((char *[]){"warren", __VA_ARGS__, NULL})

static enum args_end
parse(char *const argv[])
{
	cli = (struct cli){0};
	return args_parse(&cli, argv, error);
}

static void
the_table_is_whole(void **state)
{
	for (size_t i = 0; i < commands_n; i++) {
		const struct command *command = &commands[i];

		assert_non_null(command->run);
		assert_true(command->summary && islower(command->summary[0]));
		assert_true(command->options & BIT(OPTION_HELP));
		assert_ptr_equal(command_find(command->noun, command->verb), command);
		/* A noun has verbs in all its lines or stands alone; its lines stand together. */
		assert_int_equal(noun_has_verbs(command->noun), command->verb != NULL);
		for (size_t j = 0; j < i; j++)
			assert_false(command_is_first(command) &&
				     strcmp(commands[j].noun, command->noun) == 0);
	}
}

static void
options_may_stand_anywhere(void **state)
{
	assert_int_equal(
		parse(ARGV("-ojson", "peer", "--expires", "30d", "add", "--qr", "laptop", "--out=f=g")),
		ARGS_RUN);
	assert_ptr_equal(cli.command, command_find("peer", "add"));
	assert_string_equal(cli.argument, "laptop");
	assert_string_equal(cli.value[OPTION_EXPIRES], "30d");
	assert_string_equal(cli.value[OPTION_OUT], "f=g");
	assert_true(cli_has(&cli, OPTION_QR) && !cli_has(&cli, OPTION_WAIT) && cli.json);
}

static void
two_hyphens_end_the_options(void **state)
{
	assert_int_equal(parse(ARGV("peer", "remove", "--yes", "--", "laptop")), ARGS_RUN);
	assert_string_equal(cli.argument, "laptop");
	assert_int_equal(parse(ARGV("peer", "remove", "--", "--yes")), ARGS_WRONG);
	assert_non_null(strstr(error, "not a name"));
}

static void
help_is_wanted_for_what_was_said_so_far(void **state)
{
	assert_int_equal(parse(ARGV("--help")), ARGS_HELP);
	assert_true(!cli.command && !cli.argument);
	assert_int_equal(parse(ARGV("peer", "-h")), ARGS_HELP);
	assert_true(!cli.command);
	assert_string_equal(cli.argument, "peer");
	assert_int_equal(parse(ARGV("peer", "add", "--help", "--help")), ARGS_HELP);
	assert_ptr_equal(cli.command, command_find("peer", "add"));
	assert_int_equal(parse(ARGV("--version")), ARGS_VERSION);
}

static void
assert_wrong(char *const argv[], const char *words)
{
	assert_int_equal(parse(argv), ARGS_WRONG);
	if (!strstr(error, words))
		fail_msg("\"%s\" does not say \"%s\"", error, words);
}

static void
mistakes_are_named(void **state)
{
	char longest[8192];

	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	assert_wrong(ARGV("sttaus"), "did you mean status");
	assert_wrong(ARGV("entirely"), "there is no command \"entirely\"");
	assert_wrong(ARGV("peer", "lst"), "did you mean list");
	assert_wrong(ARGV("peer", "list", "--ot", "x"), "did you mean --out");
	assert_wrong(ARGV("peer", "add", "x", "--expires"), "--expires wants WHEN");
	assert_wrong(ARGV("peer", "add", "x", "--expires="), "--expires wants WHEN");
	assert_wrong(ARGV("peer", "add", "x", "--qr=1"), "--qr takes no value");
	assert_wrong(ARGV("peer", "add", "x", "--qr", "--qr"), "given twice");
	assert_wrong(ARGV("peer", "remove", "-yx", "a"), "-y takes no value");
	assert_wrong(ARGV("status", "-z"), "no option -z");
	assert_wrong(ARGV("status", "-o"), "--output wants");
	assert_wrong(ARGV("peer", "show", "a", "b", "c", "d", "e"), "too much");
	assert_wrong(ARGV("status", "status"), "too much");
	assert_wrong(ARGV("pool", "list", "--yes"), "pool list takes no --yes");
	assert_wrong(ARGV(longest), "there is no command");
	assert_wrong(ARGV("peer", longest), "there is no command peer");
	assert_wrong(ARGV("peer", "show", longest), "not a name");
	longest[0] = longest[1] = '-';
	assert_wrong(ARGV("status", longest), "there is no option");
	assert_wrong(ARGV(""), "there is no command");
	assert_wrong(ARGV("peer", "show", ""), "not a name");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table_is_whole),
		cmocka_unit_test(options_may_stand_anywhere),
		cmocka_unit_test(two_hyphens_end_the_options),
		cmocka_unit_test(help_is_wanted_for_what_was_said_so_far),
		cmocka_unit_test(mistakes_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
