/* The loop: descriptors, timers, signals and posted calls, and what callbacks may do to each other. */
#include "server/proc/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>

struct fixture {
	struct loop *loop;
	int pipe[2], other[2];
	struct loop_io *io, *other_io;
	struct loop_timer *timer, *other_timer;
	char trace[64];
	nsec_t again;
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_int_equal(loop_new(&f->loop), 0);
	assert_int_equal(pipe2(f->pipe, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(pipe2(f->other, O_CLOEXEC | O_NONBLOCK), 0);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	loop_free(f->loop);
	for (int i = 0; i < 2; i++) {
		closep(&f->pipe[i]);
		closep(&f->other[i]);
	}
	free(f);
	return 0;
}

static void
note(struct fixture *f, char c)
{
	const size_t len = strlen(f->trace);

	assert_true(len + 1 < sizeof(f->trace));
	f->trace[len] = c;
}

static void
put(int fd)
{
	assert_int_equal(write(fd, "x", 1), 1);
}

/* Turns that wait for nothing. */
static void
turn(struct fixture *f, int times)
{
	while (times--)
		assert_int_equal(loop_turn(f->loop, clock_boottime()), 0);
}

static void
io_note(void *arg, int fd, uint32_t events, nsec_t now)
{
	note(arg, events & EPOLLIN ? 'i' : events & EPOLLOUT ? 'o' : 'h');
}

static void
io_read(void *arg, int fd, uint32_t events, nsec_t now)
{
	char c;

	note(arg, 'r');
	assert_int_equal(read(fd, &c, 1), 1);
}

static void
a_descriptor_is_served_as_long_as_it_is_readable(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(loop_io_add(f->loop, f->pipe[0], EPOLLIN, io_read, f, &f->io), 0);
	turn(f, 2);
	assert_string_equal(f->trace, "");
	put(f->pipe[1]);
	put(f->pipe[1]);
	turn(f, 4);
	assert_string_equal(f->trace, "rr");
}

static void
the_end_of_a_pipe_comes_unasked(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(loop_io_add(f->loop, f->pipe[0], 0, io_note, f, &f->io), 0);
	closep(&f->pipe[1]);
	turn(f, 2);
	assert_int_equal(f->trace[0], 'h');
}

static void
what_is_waited_for_can_change(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(loop_io_add(f->loop, f->pipe[1], 0, io_note, f, &f->io), 0);
	turn(f, 2);
	assert_int_equal(loop_io_events(f->io, EPOLLOUT), 0);
	turn(f, 2);
	assert_int_equal(loop_io_events(f->io, 0), 0);
	f->trace[1] = '\0';
	turn(f, 2);
	assert_string_equal(f->trace, "o");
}

static void
a_descriptor_twice_is_refused_and_undone(void **state)
{
	struct fixture *f = *state;
	struct loop_io *again;

	assert_int_equal(loop_io_add(f->loop, f->pipe[0], EPOLLIN, io_note, f, &f->io), 0);
	assert_int_equal(loop_io_add(f->loop, f->pipe[0], EPOLLIN, io_note, f, &again), -EEXIST);
}

/* Whichever of the two is served first ends the other, whose event is in hand already. */
static void
io_free_other(void *arg, int fd, uint32_t events, nsec_t now)
{
	struct fixture *f = arg;
	struct loop_io **victim = fd == f->pipe[0] ? &f->other_io : &f->io;

	note(f, 'f');
	loop_io_free(*victim);
	*victim = NULL;
}

static void
a_callback_frees_another_whose_event_came_in_the_same_turn(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(loop_io_add(f->loop, f->pipe[0], EPOLLIN, io_free_other, f, &f->io), 0);
	assert_int_equal(loop_io_add(f->loop, f->other[0], EPOLLIN, io_free_other, f, &f->other_io), 0);
	put(f->pipe[1]);
	put(f->other[1]);
	turn(f, 1);
	assert_string_equal(f->trace, "f");
}

static void
io_free_self(void *arg, int fd, uint32_t events, nsec_t now)
{
	struct fixture *f = arg;

	note(f, 's');
	loop_io_free(f->io);
	f->io = NULL;
}

static void
a_callback_frees_itself_and_is_not_called_again(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(loop_io_add(f->loop, f->pipe[0], EPOLLIN, io_free_self, f, &f->io), 0);
	put(f->pipe[1]);
	turn(f, 3);
	assert_string_equal(f->trace, "s");
}

static void
timer_note(void *arg, nsec_t now)
{
	note(arg, 't');
}

static void
timer_note_other(void *arg, nsec_t now)
{
	note(arg, 'u');
}

static void
a_timer_fires_once_and_not_before_its_time(void **state)
{
	struct fixture *f = *state;
	const nsec_t deadline = clock_boottime() + MILLISECONDS(30);

	assert_int_equal(loop_timer_new(f->loop, timer_note, f, &f->timer), 0);
	turn(f, 2);
	loop_timer_set(f->timer, deadline);
	while (!*f->trace)
		assert_int_equal(loop_turn(f->loop, NSEC_NEVER), 0);
	assert_true(loop_now(f->loop) >= deadline);
	turn(f, 3);
	assert_string_equal(f->trace, "t");
}

static void
timers_fire_in_the_order_of_their_time_and_one_unset_does_not(void **state)
{
	struct fixture *f = *state;
	struct loop_timer *unset;

	assert_int_equal(loop_timer_new(f->loop, timer_note, f, &f->timer), 0);
	assert_int_equal(loop_timer_new(f->loop, timer_note_other, f, &f->other_timer), 0);
	assert_int_equal(loop_timer_new(f->loop, timer_note, f, &unset), 0);
	loop_timer_set(f->timer, 2);
	loop_timer_set(f->other_timer, 1);
	loop_timer_set(unset, 1);
	loop_timer_set(unset, NSEC_NEVER);
	turn(f, 3);
	assert_string_equal(f->trace, "ut");
}

static void
timer_again(void *arg, nsec_t now)
{
	struct fixture *f = arg;

	note(f, 't');
	loop_timer_set(f->timer, f->again);
}

static void
a_timer_set_again_from_its_own_call_waits_for_the_next_turn(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(loop_timer_new(f->loop, timer_again, f, &f->timer), 0);
	loop_timer_set(f->timer, 1);
	f->again = 1; /* long ago */
	turn(f, 1);
	assert_string_equal(f->trace, "t");
	turn(f, 1);
	assert_string_equal(f->trace, "tt");
}

static void
timer_free_other(void *arg, nsec_t now)
{
	struct fixture *f = arg;

	note(f, 'f');
	loop_timer_free(f->other_timer);
	f->other_timer = NULL;
}

static void
a_timer_frees_another_that_is_due(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(loop_timer_new(f->loop, timer_free_other, f, &f->timer), 0);
	assert_int_equal(loop_timer_new(f->loop, timer_note_other, f, &f->other_timer), 0);
	loop_timer_set(f->timer, 1);
	loop_timer_set(f->other_timer, 2);
	turn(f, 2);
	assert_string_equal(f->trace, "f");
}

static void
post_a(void *arg, nsec_t now)
{
	note(arg, 'a');
}

static void
post_b(void *arg, nsec_t now)
{
	struct fixture *f = arg;

	note(f, 'b');
	assert_int_equal(loop_post(f->loop, post_a, f), 0);
}

static void
posted_calls_come_in_order_and_those_posted_meanwhile_in_the_next_turn(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(loop_post(f->loop, post_b, f), 0);
	assert_int_equal(loop_post(f->loop, post_a, f), 0);
	turn(f, 1);
	assert_string_equal(f->trace, "ba");
	turn(f, 1);
	assert_string_equal(f->trace, "baa");
}

static void
a_call_posted_by_a_posted_call_does_not_wait_for_something_else(void **state)
{
	struct fixture *f = *state;
	const nsec_t patience = clock_boottime() + SECONDS(20);

	assert_int_equal(loop_post(f->loop, post_b, f), 0);
	assert_int_equal(loop_turn(f->loop, patience), 0);
	assert_string_equal(f->trace, "b");
	assert_int_equal(loop_turn(f->loop, patience), 0);
	assert_string_equal(f->trace, "ba");
	assert_true(loop_now(f->loop) < patience);
}

static void
count(void *arg, nsec_t now)
{
	(*(int *)arg)++;
}

static void *
count_poster(void *arg)
{
	void **both = arg;

	for (int i = 0; i < 1000; i++)
		if (loop_post(both[0], count, both[1]) < 0)
			return NULL;
	return NULL;
}

static void
calls_posted_by_other_threads_are_all_made(void **state)
{
	struct fixture *f = *state;
	int counted = 0;
	void *both[2] = {f->loop, &counted};
	pthread_t threads[4];

	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, count_poster, both), 0);
	while (counted < 4000)
		assert_int_equal(loop_turn(f->loop, NSEC_NEVER), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(counted, 4000);
}

static void *
stopper(void *arg)
{
	loop_stop(arg, 7);
	return NULL;
}

static void
another_thread_stops_it_with_a_result(void **state)
{
	struct fixture *f = *state;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, stopper, f->loop), 0);
	assert_int_equal(loop_run(f->loop), 7);
	pthread_join(thread, NULL);
}

static void
signal_note(void *arg, const struct signalfd_siginfo *info, nsec_t now)
{
	note(arg, info->ssi_signo == SIGUSR1 ? '1' : '2');
}

static void
signals_are_calls_of_the_loop(void **state)
{
	struct fixture *f = *state;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	assert_int_equal(loop_signals(f->loop, &set, signal_note, f), 0);
	raise(SIGUSR2);
	raise(SIGUSR1);
	assert_string_equal(f->trace, "");
	turn(f, 2);
	assert_int_equal(strlen(f->trace), 2);
}

static void
what_is_left_in_it_is_freed_with_it(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(loop_io_add(f->loop, f->pipe[0], EPOLLIN, io_note, f, &f->io), 0);
	assert_int_equal(loop_timer_new(f->loop, timer_note, f, &f->timer), 0);
	assert_int_equal(loop_post(f->loop, post_a, f), 0);
	loop_free(f->loop); /* the leak checker is the judge */
	f->loop = NULL;
	assert_string_equal(f->trace, "");
	assert_true(fcntl(f->pipe[0], F_GETFD) >= 0);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_descriptor_is_served_as_long_as_it_is_readable),
		TEST(the_end_of_a_pipe_comes_unasked),
		TEST(what_is_waited_for_can_change),
		TEST(a_descriptor_twice_is_refused_and_undone),
		TEST(a_callback_frees_another_whose_event_came_in_the_same_turn),
		TEST(a_callback_frees_itself_and_is_not_called_again),
		TEST(a_timer_fires_once_and_not_before_its_time),
		TEST(timers_fire_in_the_order_of_their_time_and_one_unset_does_not),
		TEST(a_timer_set_again_from_its_own_call_waits_for_the_next_turn),
		TEST(a_timer_frees_another_that_is_due),
		TEST(posted_calls_come_in_order_and_those_posted_meanwhile_in_the_next_turn),
		TEST(a_call_posted_by_a_posted_call_does_not_wait_for_something_else),
		TEST(calls_posted_by_other_threads_are_all_made),
		TEST(another_thread_stops_it_with_a_result),
		TEST(signals_are_calls_of_the_loop),
		TEST(what_is_left_in_it_is_freed_with_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
