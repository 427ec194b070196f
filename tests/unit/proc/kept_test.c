/* Descriptors kept by name. */
#include "server/proc/kept.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>

static bool
is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void
a_name_may_stand_for_several_which_keep_their_order(void **state)
{
	struct kept kept = {0};
	const int a = dup(0), b = dup(0), c = dup(0);

	assert_int_equal(kept_add(&kept, "udp4", a), 0);
	assert_int_equal(kept_add(&kept, "http", b), 0);
	assert_int_equal(kept_add(&kept, "udp4", c), 0);
	assert_true(kept_has(&kept, "udp4"));
	assert_false(kept_has(&kept, "udp"));
	assert_int_equal(kept.v[0].fd, a);
	assert_int_equal(kept.v[2].fd, c);
	kept_drop(&kept, "udp4");
	assert_false(kept_has(&kept, "udp4"));
	assert_true(kept_has(&kept, "http"));
	assert_false(is_open(a) || is_open(c));
	assert_true(is_open(b));
	kept_done(&kept);
	assert_false(is_open(b));
}

static void
what_finds_no_place_is_closed(void **state)
{
	struct kept kept = {0};
	char name[MESSAGE_NAME_MAX + 2];
	int fd = dup(0);

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(kept_add(&kept, name, fd), -EINVAL);
	assert_false(is_open(fd));
	for (int i = 0; i < KEPT_MAX; i++)
		assert_int_equal(kept_add(&kept, "many", dup(0)), 0);
	fd = dup(0);
	assert_int_equal(kept_add(&kept, "more", fd), -ENOSPC);
	assert_false(is_open(fd));
	kept_done(&kept);
}

static void
patterns_are_names_or_prefixes(void **state)
{
	static const struct {
		const char *name, *patterns;
		bool match;
	} lines[] = {
		{"udp4", "udp4", true},       {"udp4", "udp6 udp4", true}, {"udp4", "udp6 udp4 http", true},
		{"udp4", "udp", false},       {"udp", "udp4", false},      {"tun:wg0", "udp4 tun:*", true},
		{"tun:", "tun:*", true},      {"tun", "tun:*", false},     {"xtun:wg0", "tun:*", false},
		{"anything", "*", true},      {"udp4", "", false},         {"udp4", NULL, false},
		{"http", "udp4  http", true}, {"a", "ab a", true},
	};

	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		if (kept_matches(lines[i].name, lines[i].patterns) != lines[i].match)
			fail_msg("\"%s\" and \"%s\"", lines[i].name,
				 lines[i].patterns ? lines[i].patterns : "(none)");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_may_stand_for_several_which_keep_their_order),
		cmocka_unit_test(what_finds_no_place_is_closed),
		cmocka_unit_test(patterns_are_names_or_prefixes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
