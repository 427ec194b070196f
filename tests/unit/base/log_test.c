/* The log: one line an event, whatever the fields hold.  What is written is read back through a pipe. */
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <string.h>

static char said[8192];
static int pipes[2], saved;

static void
listen_begin(void)
{
	assert_int_equal(pipe2(pipes, O_NONBLOCK | O_CLOEXEC), 0);
	saved = dup(STDERR_FILENO);
	assert_true(saved >= 0);
	assert_true(dup2(pipes[1], STDERR_FILENO) >= 0);
}

/* What was written since listen_begin(); up to the pipe's capacity nothing is lost. */
static const char *
listen_end(void)
{
	ssize_t n;

	assert_true(dup2(saved, STDERR_FILENO) >= 0);
	n = read(pipes[0], said, sizeof(said) - 1);
	said[n > 0 ? n : 0] = '\0';
	close(saved);
	close(pipes[0]);
	close(pipes[1]);
	return said;
}

static int
plain(void **state)
{
	unsetenv("JOURNAL_STREAM");
	log_init("test", LOG_LEVEL_DEBUG);
	return 0;
}

static void
a_line_says_who_and_what(void **state)
{
	listen_begin();
	log_info("peer=%s up", "alice");
	log_error("n=%d", 7);
	log_debug("x");
	assert_string_equal(listen_end(), "test: peer=alice up\ntest: error: n=7\ntest: debug: x\n");
}

static void
levels_above_the_wanted_one_are_silent(void **state)
{
	static const struct {
		enum log_level level;
		const char *text;
	} cases[] = {
		{LOG_LEVEL_SILENT, ""},
		{LOG_LEVEL_ERROR, "t: error: e\n"},
		{LOG_LEVEL_INFO, "t: error: e\nt: i\n"},
		{LOG_LEVEL_DEBUG, "t: error: e\nt: i\nt: debug: d\n"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		log_init("t", cases[i].level);
		listen_begin();
		log_error("e");
		log_info("i");
		log_debug("d");
		assert_string_equal(listen_end(), cases[i].text);
	}
}

static void
the_journal_is_told_the_priority(void **state)
{
	setenv("JOURNAL_STREAM", "8:1", 1);
	listen_begin();
	log_error("e");
	log_info("i");
	log_debug("d");
	assert_string_equal(listen_end(), "<3>test: error: e\n<6>test: i\n<7>test: debug: d\n");
}

static void
control_characters_cannot_forge_a_line_nor_reach_a_terminal(void **state)
{
	for (int c = 1; c < 0x20; c++) {
		const char field[] = {'a', (char)c, 'b', '\0'};

		listen_begin();
		log_info("name=%s", field);
		assert_string_equal(listen_end(), "test: name=a b\n");
	}
	listen_begin();
	log_info("name=%s", "x\x7f\x1b[2Jy\r\n<0>test: error: all is lost\n");
	assert_string_equal(listen_end(), "test: name=x  [2Jy  <0>test: error: all is lost \n");
}

static void
a_percent_sign_in_a_field_is_only_that(void **state)
{
	listen_begin();
	log_info("name=%s", "%n%s%x");
	assert_string_equal(listen_end(), "test: name=%n%s%x\n");
}

static void
a_line_that_is_too_long_is_cut_and_still_one_line(void **state)
{
	static char field[5000];
	const char *text;

	memset(field, 'y', sizeof(field) - 1);
	for (size_t len = 900; len < sizeof(field); len = len < 1100 ? len + 1 : len * 2) {
		const char *const value = field + sizeof(field) - 1 - len;

		listen_begin();
		log_info("name=%s", value);
		text = listen_end();
		assert_int_equal(strncmp(text, "test: name=yyyy", 15), 0);
		assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
		assert_true(strlen(text) <= 1024);
		assert_true(len > 990 || strlen(text) == len + 12);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_line_says_who_and_what, plain),
		cmocka_unit_test_setup(levels_above_the_wanted_one_are_silent, plain),
		cmocka_unit_test_setup_teardown(the_journal_is_told_the_priority, plain, plain),
		cmocka_unit_test_setup(control_characters_cannot_forge_a_line_nor_reach_a_terminal, plain),
		cmocka_unit_test_setup(a_percent_sign_in_a_field_is_only_that, plain),
		cmocka_unit_test_setup(a_line_that_is_too_long_is_cut_and_still_one_line, plain),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
