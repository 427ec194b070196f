/* The data directory, its lock, and the identity in it. */
#include "server/proc/datadir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/bytes.h"
#include "server/proc/identity.h"

struct fixture {
	char top[64], dir[128], key[192];
	struct trouble t;
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->top, "/tmp/datadir-test.XXXXXX");
	assert_non_null(mkdtemp(f->top));
	snprintf(f->dir, sizeof(f->dir), "%s/a/b", f->top);
	snprintf(f->key, sizeof(f->key), "%s/" IDENTITY_NAME, f->dir);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", f->top);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

static void
it_is_made_closed_to_others_with_what_is_missing_above(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	int lock;

	assert_int_equal(datadir_open(f->dir, &lock, &f->t), 0);
	assert_int_equal(stat(f->dir, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	close(lock);
}

static void
one_that_is_open_to_others_is_closed(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	int lock;

	assert_int_equal(directory_make(f->dir), 0);
	assert_int_equal(chmod(f->dir, 0755), 0);
	assert_int_equal(datadir_open(f->dir, &lock, &f->t), 0);
	assert_int_equal(stat(f->dir, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	close(lock);
}

static void
a_second_one_is_told_who_has_it_and_gets_it_when_that_one_is_gone(void **state)
{
	struct fixture *f = *state;
	char pid[32];
	int first, second;

	assert_int_equal(datadir_open(f->dir, &first, &f->t), 0);
	assert_int_equal(datadir_open(f->dir, &second, &f->t), -EBUSY);
	snprintf(pid, sizeof(pid), "(pid %d)", (int)getpid());
	assert_non_null(strstr(f->t.text, pid));
	close(first);
	assert_int_equal(datadir_open(f->dir, &second, &f->t), 0);
	close(second);
}

static void
the_lock_of_a_process_that_was_killed_is_free(void **state)
{
	struct fixture *f = *state;
	int lock, ready[2], status;
	char byte;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		if (datadir_open(f->dir, &lock, &f->t) == 0 && write(ready[1], "x", 1) == 1)
			for (;;)
				pause();
		_exit(1);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(datadir_open(f->dir, &lock, &f->t), -EBUSY);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(datadir_open(f->dir, &lock, &f->t), 0);
	close(lock);
	close(ready[0]);
	close(ready[1]);
}

static void
what_is_no_directory_and_what_cannot_be_made_is_refused(void **state)
{
	struct fixture *f = *state;
	int lock;

	assert_true(datadir_open("/dev/null", &lock, &f->t) < 0);
	assert_non_null(strstr(f->t.text, "/dev/null"));
	assert_true(datadir_open("/dev/null/below", &lock, &f->t) < 0);
	assert_true(datadir_open("/proc/warren", &lock, &f->t) < 0);
	assert_non_null(strstr(f->t.text, "WARREN_DATA_DIR"));
}

static void
a_lock_that_is_a_link_is_not_followed(void **state)
{
	struct fixture *f = *state;
	char path[192], target[128];
	int lock;

	assert_int_equal(directory_make(f->dir), 0);
	snprintf(path, sizeof(path), "%s/warrend.lock", f->dir);
	snprintf(target, sizeof(target), "%s/elsewhere", f->top);
	assert_int_equal(symlink(target, path), 0);
	assert_true(datadir_open(f->dir, &lock, &f->t) < 0);
	assert_int_equal(access(target, F_OK), -1);
}

/* -- identity ----------------------------------------------------------------------------------- */

static void
key_put(struct fixture *f, const char *text, mode_t mode)
{
	_cleanup_(closep) int fd = open(f->key, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, mode), 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void
it_is_made_once_and_found_again(void **state)
{
	struct fixture *f = *state;
	struct private_key first, second;
	struct stat st;

	assert_int_equal(directory_make(f->dir), 0);
	assert_int_equal(identity_load(f->dir, &first, &f->t), 0);
	assert_false(key_is_zero(first.b));
	assert_int_equal(stat(f->key, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_size, KEY_BASE64_LEN); /* as `wg genkey` prints it */
	assert_int_equal(identity_load(f->dir, &second, &f->t), 0);
	assert_memory_equal(first.b, second.b, KEY_LEN);
}

static void
one_that_was_cut_short_while_it_was_made_is_made_again(void **state)
{
	struct fixture *f = *state;
	struct private_key key;
	char half[224];

	assert_int_equal(directory_make(f->dir), 0);
	snprintf(half, sizeof(half), "%s.new", f->key);
	close(open(half, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	assert_int_equal(identity_load(f->dir, &key, &f->t), 0);
	assert_int_equal(access(half, F_OK), -1);
}

static void
a_file_that_holds_something_else_is_refused_and_left(void **state)
{
	static const char *const bad[] = {
		"",
		"\n",
		"garbage",
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", /* zeroes: no key */
		"4Gx4b2JjYWRlZmdoaWprbG1ub3BxcnN0dXZ3eHl6MDE=4\n",
		"4Gx4b2JjYWRlZmdoaWprbG1ub3BxcnN0dXZ3eHl6MDE=\nmore\n",
		"4Gx4b2JjYWRlZmdoaWprbG1ub3BxcnN0dXZ3eHl6MDE",
	};
	struct fixture *f = *state;
	struct private_key key;

	assert_int_equal(directory_make(f->dir), 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct stat st;

		key_put(f, bad[i], 0600);
		if (identity_load(f->dir, &key, &f->t) >= 0)
			fail_msg("taken: \"%s\"", bad[i]);
		assert_non_null(strstr(f->t.text, IDENTITY_NAME));
		assert_int_equal(stat(f->key, &st), 0);
		assert_int_equal(st.st_size, strlen(bad[i]));
	}
}

static void
one_that_others_may_read_is_refused(void **state)
{
	struct fixture *f = *state;
	struct private_key key;

	assert_int_equal(directory_make(f->dir), 0);
	key_put(f, "4Gx4b2JjYWRlZmdoaWprbG1ub3BxcnN0dXZ3eHl6MDE=\n", 0640);
	assert_int_equal(identity_load(f->dir, &key, &f->t), -EACCES);
	assert_int_equal(chmod(f->key, 0400), 0);
	assert_int_equal(identity_load(f->dir, &key, &f->t), 0);
}

static void
a_link_and_a_fifo_are_refused(void **state)
{
	struct fixture *f = *state;
	struct private_key key;

	assert_int_equal(directory_make(f->dir), 0);
	assert_int_equal(symlink("/etc/hostname", f->key), 0);
	assert_true(identity_load(f->dir, &key, &f->t) < 0);
	assert_int_equal(unlink(f->key), 0);
	assert_int_equal(mkfifo(f->key, 0600), 0);
	assert_true(identity_load(f->dir, &key, &f->t) < 0);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(it_is_made_closed_to_others_with_what_is_missing_above),
		TEST(one_that_is_open_to_others_is_closed),
		TEST(a_second_one_is_told_who_has_it_and_gets_it_when_that_one_is_gone),
		TEST(the_lock_of_a_process_that_was_killed_is_free),
		TEST(what_is_no_directory_and_what_cannot_be_made_is_refused),
		TEST(a_lock_that_is_a_link_is_not_followed),
		TEST(it_is_made_once_and_found_again),
		TEST(one_that_was_cut_short_while_it_was_made_is_made_again),
		TEST(a_file_that_holds_something_else_is_refused_and_left),
		TEST(one_that_others_may_read_is_refused),
		TEST(a_link_and_a_fifo_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
