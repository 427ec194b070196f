/*
 * The supervisor with real children (child_program.c), their ways chosen by argument.  What they were given,
 * and in which order they ended, they write to a log that the tests read.
 */
#include "server/proc/supervise.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/bytes.h"
#include "base/log.h"

#define PATIENCE SECONDS(30)

/* One family for each test. */
struct family {
	struct loop *loop;
	struct supervisor *s;
	struct private_key identity;
	char log[64], log_env[80];
	const char *env[4];
	int ready, stopped;
	char devices[64];
	struct role roles[ROLES_MAX];
	const char *argv[ROLES_MAX][5];
	size_t n_roles;
};

static int
on_config(void *arg, const char *role, char *out, size_t len)
{
	return snprintf(out, len, "WARREN_LISTEN_PORT=4711\n");
}

static void
on_device(void *arg, const char *ifname, bool there)
{
	struct family *f = arg;

	const size_t used = strlen(f->devices);

	snprintf(f->devices + used, sizeof(f->devices) - used, " %c%s", there ? '+' : '-', ifname);
	if (there && supervisor_keep(f->s, "uapi:wg0", dup(0)) == 0)
		supervisor_offer(f->s, "uapi:wg0");
	else
		supervisor_drop(f->s, "uapi:wg0");
}

static void
on_ready(void *arg, nsec_t now)
{
	((struct family *)arg)->ready++;
}

static void
on_stopped(void *arg, nsec_t now)
{
	((struct family *)arg)->stopped++;
}

static void
on_signal(void *arg, const struct signalfd_siginfo *info, nsec_t now)
{
	supervisor_reap(((struct family *)arg)->s, now);
}

static int
setup(void **state)
{
	struct family *f = calloc(1, sizeof(*f));
	const struct supervisor_events events = {.arg = f,
						 .config = on_config,
						 .device = on_device,
						 .all_ready = on_ready,
						 .stopped = on_stopped};
	sigset_t set;
	int fd;

	log_init("test", LOG_LEVEL_SILENT);
	snprintf(f->log, sizeof(f->log), "/tmp/supervise-test.XXXXXX");
	fd = mkstemp(f->log);
	assert_true(fd >= 0);
	close(fd);
	snprintf(f->log_env, sizeof(f->log_env), "CHILD_LOG=%s", f->log);
	f->env[0] = f->log_env;
	f->env[1] = "ASAN_OPTIONS=detect_leaks=0"; /* of a child that is killed nothing can be told */
	f->identity.b[0] = 42;
	assert_int_equal(loop_new(&f->loop), 0);
	assert_int_equal(supervisor_new(&f->s, f->loop, NULL, &events), 0);
	supervisor_identity(f->s, &f->identity);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	assert_int_equal(loop_signals(f->loop, &set, on_signal, f), 0);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct family *f = *state;

	supervisor_free(f->s);
	loop_free(f->loop);
	while (waitpid(-1, NULL, WNOHANG) > 0) /* foster children of an early way out */
		;
	unlink(f->log);
	free(f);
	return 0;
}

static struct role *
add(struct family *f, const char *name, const char *way, const char *more)
{
	struct role *role = &f->roles[f->n_roles];
	const char **argv = f->argv[f->n_roles++];

	argv[0] = CHILD_PROGRAM;
	argv[1] = name;
	argv[2] = way;
	argv[3] = more;
	*role = (struct role){
		.name = name, .path = CHILD_PROGRAM, .argv = argv, .env = f->env, .stop_limit = SECONDS(20)};
	return role;
}

static void
start(struct family *f)
{
	for (size_t i = 0; i < f->n_roles; i++)
		assert_int_equal(supervisor_add(f->s, &f->roles[i]), 0);
	supervisor_start(f->s);
}

static void
log_read(const struct family *f, char out[8192])
{
	_cleanup_(closep) int fd = open(f->log, O_RDONLY | O_CLOEXEC);
	const ssize_t n = read(fd, out, 8191);

	assert_true(n >= 0);
	out[n] = '\0';
}

/* How often @line is in the log. */
static int
said(const struct family *f, const char *line)
{
	char text[8192], *save = NULL;
	int count = 0;

	log_read(f, text);
	for (char *p = strtok_r(text, "\n", &save); p; p = strtok_r(NULL, "\n", &save))
		count += strcmp(p, line) == 0;
	return count;
}

/* Turns the loop until the condition holds; fails with the log when it never does. */
#define UNTIL(f, condition)                                                                                  \
	do {                                                                                                 \
		const nsec_t until_limit = clock_boottime() + PATIENCE;                                      \
		while (!(condition)) {                                                                       \
			char until_log[8192];                                                                \
			assert_int_equal(loop_turn((f)->loop, clock_boottime() + MILLISECONDS(10)), 0);      \
			log_read(f, until_log);                                                              \
			if (clock_boottime() > until_limit)                                                  \
				fail_msg("waited in vain for %s; log:\n%s", #condition, until_log);          \
		}                                                                                            \
	} while (0)

static void
a_child_gets_its_configuration_its_sockets_in_order_and_the_identity(void **state)
{
	struct family *f = *state;
	struct role *role = add(f, "tunnel", "good", NULL);

	role->identity = true;
	role->sockets = "udp4 tun:*";
	assert_int_equal(supervisor_keep(f->s, "tun:wg0", dup(0)), 0);
	assert_int_equal(supervisor_keep(f->s, "http", dup(0)), 0);
	assert_int_equal(supervisor_keep(f->s, "udp4", dup(0)), 0);
	assert_int_equal(supervisor_keep(f->s, "udp4", dup(0)), 0);
	start(f);
	UNTIL(f, f->ready == 1);
	assert_int_equal(said(f, "tunnel port 4711"), 1);
	assert_int_equal(said(f, "tunnel socket udp4"), 2);
	assert_int_equal(said(f, "tunnel socket tun:wg0"), 1);
	assert_int_equal(said(f, "tunnel socket http"), 0);
	assert_int_equal(said(f, "tunnel identity 42"), 1);
}

static void
only_the_role_that_has_the_identity_gets_it(void **state)
{
	struct family *f = *state;

	add(f, "control", "good", NULL);
	start(f);
	UNTIL(f, f->ready == 1);
	assert_int_equal(said(f, "control identity 42"), 0);
}

static void
a_child_that_is_killed_comes_back_with_the_same_descriptors(void **state)
{
	struct family *f = *state;
	struct role *role = add(f, "tunnel", "good", NULL);
	pid_t first;

	role->sockets = "udp4";
	assert_int_equal(supervisor_keep(f->s, "udp4", dup(0)), 0);
	start(f);
	UNTIL(f, said(f, "tunnel ready") == 1);
	first = supervisor_pid(f->s, "tunnel");
	kill(first, SIGKILL);
	UNTIL(f, said(f, "tunnel ready") == 2);
	assert_int_not_equal(supervisor_pid(f->s, "tunnel"), first);
	assert_int_equal(said(f, "tunnel socket udp4"), 2);
	assert_int_equal(f->ready, 1); /* said once */
}

static void
siblings_are_connected_and_connected_again_when_either_dies(void **state)
{
	static const struct link link = {"control", "tunnel", "tunnel", "control", SOCK_SEQPACKET};
	struct family *f = *state;

	add(f, "control", "good", NULL);
	add(f, "tunnel", "good", NULL);
	for (size_t i = 0; i < f->n_roles; i++)
		assert_int_equal(supervisor_add(f->s, &f->roles[i]), 0);
	assert_int_equal(supervisor_link(f->s, &link), 0);
	supervisor_start(f->s);
	UNTIL(f, said(f, "control hears tunnel on tunnel") == 1 &&
			 said(f, "tunnel hears control on control") == 1);
	kill(supervisor_pid(f->s, "control"), SIGKILL);
	UNTIL(f, said(f, "control hears tunnel on tunnel") == 2 &&
			 said(f, "tunnel hears control on control") == 2);
	kill(supervisor_pid(f->s, "tunnel"), SIGKILL);
	UNTIL(f, said(f, "control hears tunnel on tunnel") == 3 &&
			 said(f, "tunnel hears control on control") == 3);
}

static void
both_siblings_may_die_at_once(void **state)
{
	static const struct link link = {"control", "tunnel", "tunnel", "control", SOCK_STREAM};
	struct family *f = *state;

	add(f, "control", "good", NULL);
	add(f, "tunnel", "good", NULL);
	for (size_t i = 0; i < f->n_roles; i++)
		assert_int_equal(supervisor_add(f->s, &f->roles[i]), 0);
	assert_int_equal(supervisor_link(f->s, &link), 0);
	supervisor_start(f->s);
	UNTIL(f, f->ready == 1);
	UNTIL(f, said(f, "control hears tunnel on tunnel") == 1 &&
			 said(f, "tunnel hears control on control") == 1);
	kill(supervisor_pid(f->s, "control"), SIGKILL);
	kill(supervisor_pid(f->s, "tunnel"), SIGKILL);
	UNTIL(f, said(f, "control hears tunnel on tunnel") == 2 &&
			 said(f, "tunnel hears control on control") == 2);
}

static void
who_needs_a_device_waits_for_it_and_gets_it(void **state)
{
	struct family *f = *state;
	struct role *tunnel = add(f, "tunnel", "good", NULL);
	struct role *net = add(f, "net", "device", "wg0");

	tunnel->needs = "tun:wg0";
	tunnel->sockets = "tun:*";
	net->sends_tun = true;
	start(f);
	assert_int_equal(supervisor_pid(f->s, "tunnel"), 0);
	UNTIL(f, f->ready == 1);
	assert_int_equal(said(f, "tunnel socket tun:wg0"), 1);
	assert_true(supervisor_keeps(f->s, "tun:wg0"));
}

static void
a_device_that_comes_anew_is_handed_to_who_runs_and_who_sent_it_dying_takes_nothing_away(void **state)
{
	struct family *f = *state;
	struct role *tunnel = add(f, "tunnel", "good", NULL);
	struct role *net = add(f, "net", "device", "wg0");
	pid_t pid;

	tunnel->needs = "tun:wg0";
	tunnel->sockets = "tun:*";
	net->sends_tun = true;
	start(f);
	UNTIL(f, f->ready == 1);
	pid = supervisor_pid(f->s, "tunnel");
	kill(supervisor_pid(f->s, "net"), SIGKILL);
	UNTIL(f, supervisor_pid(f->s, "net") == 0);
	assert_true(supervisor_keeps(f->s, "tun:wg0"));
	UNTIL(f, said(f, "tunnel later SOCKET tun:wg0") == 1);
	assert_int_equal(supervisor_pid(f->s, "tunnel"), pid);
}

static void
a_device_from_a_role_that_may_send_none_ends_it(void **state)
{
	struct family *f = *state;

	add(f, "control", "device", "wg0");
	start(f);
	UNTIL(f, said(f, "control port 4711") == 2); /* a second life */
	assert_false(supervisor_keeps(f->s, "tun:wg0"));
	assert_int_equal(f->ready, 0);
}

static void
nonsense_ends_a_child_and_it_is_started_again(void **state)
{
	static const char *const ways[] = {"garbage", "impostor", "wrong"};
	struct family *f = *state;
	struct role *role = add(f, "net", "garbage", NULL);
	pid_t before = 0;

	(void)role;
	start(f);
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		f->argv[0][2] = ways[i]; /* of its next life */
		UNTIL(f, supervisor_pid(f->s, "net") && supervisor_pid(f->s, "net") != before);
		before = supervisor_pid(f->s, "net");
	}
	f->argv[0][2] = "good";
	UNTIL(f, f->ready == 1);
}

static void
restarts_take_twice_as_long_each_up_to_a_limit(void **state)
{
	struct family *f = *state;
	nsec_t lives[4];
	size_t n = 0;

	add(f, "net", "brief", NULL);
	start(f);
	while (n < ARRAY_LEN(lives)) {
		const int ready = (int)n + 1;

		UNTIL(f, said(f, "net ready") >= ready);
		lives[n++] = clock_boottime();
	}
	/* lower bounds alone: a slow machine makes all of them longer */
	assert_true(lives[1] - lives[0] >= BACKOFF_FIRST / 2);
	assert_true(lives[3] - lives[2] >= 3 * BACKOFF_FIRST);
}

static void
a_program_that_is_not_there_is_tried_again_and_found_when_it_is(void **state)
{
	struct family *f = *state;
	struct role *role = add(f, "net", "good", NULL);

	role->path = "/nonexistent/program";
	start(f);
	assert_int_equal(supervisor_pid(f->s, "net"), 0);
	role->path = CHILD_PROGRAM;
	UNTIL(f, f->ready == 1);
}

static void
an_optional_child_that_fails_does_not_keep_the_rest_from_being_ready(void **state)
{
	struct family *f = *state;
	struct role *uplink = add(f, "uplink", "wrong", NULL);

	uplink->optional = true;
	add(f, "net", "good", NULL);
	start(f);
	UNTIL(f, f->ready == 1);
	assert_false(supervisor_is_ready(f->s, "uplink"));
	assert_true(supervisor_is_ready(f->s, "net"));
}

static void
a_child_that_must_be_there_and_fails_keeps_it(void **state)
{
	struct family *f = *state;

	add(f, "control", "wrong", NULL);
	add(f, "net", "good", NULL);
	start(f);
	UNTIL(f, said(f, "net ready") == 1);
	for (int i = 0; i < 20; i++)
		assert_int_equal(loop_turn(f->loop, clock_boottime() + MILLISECONDS(5)), 0);
	assert_int_equal(f->ready, 0);
}

static void
the_stop_goes_step_by_step(void **state)
{
	struct family *f = *state;
	char text[8192];

	add(f, "tunnel", "good", NULL)->stop_step = 3;
	add(f, "control", "good", NULL)->stop_step = 0;
	add(f, "net", "good", NULL)->stop_step = 2;
	add(f, "postgres", "silent", NULL)->stop_step = 1;
	f->roles[3].silent = true;
	f->roles[3].stop_signal = SIGINT;
	start(f);
	UNTIL(f, f->ready == 1 && said(f, "postgres executed") == 1 && said(f, "control ready") == 1 &&
			 said(f, "net ready") == 1 && said(f, "tunnel ready") == 1);
	supervisor_stop(f->s, clock_boottime());
	UNTIL(f, f->stopped == 1);
	log_read(f, text);
	assert_non_null(strstr(text, "control STOP\npostgres signal 2\nnet STOP\ntunnel STOP\n"));
	for (size_t i = 0; i < f->n_roles; i++)
		assert_int_equal(supervisor_pid(f->s, f->roles[i].name), 0);
	assert_true(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
}

static int
is_answered(const void *answer)
{
	return *(const int *)answer;
}

static void
a_silent_child_is_ready_when_it_answers_and_others_wait_for_that(void **state)
{
	struct family *f = *state;
	struct role *postgres = add(f, "postgres", "silent", NULL);
	int answer = -EAGAIN;

	postgres->silent = true;
	postgres->probe = is_answered;
	postgres->probe_arg = &answer;
	add(f, "control", "good", NULL)->after = "postgres";
	start(f);
	UNTIL(f, said(f, "postgres executed") == 1);
	for (int i = 0; i < 20; i++)
		assert_int_equal(loop_turn(f->loop, clock_boottime() + MILLISECONDS(10)), 0);
	assert_false(supervisor_is_ready(f->s, "postgres"));
	assert_int_equal(supervisor_pid(f->s, "control"), 0);
	answer = 0;
	UNTIL(f, f->ready == 1 && said(f, "control ready") == 1);
	assert_true(supervisor_is_ready(f->s, "postgres"));
	answer = -EAGAIN; /* later it is not waited for any more */
	kill(supervisor_pid(f->s, "postgres"), SIGKILL);
	kill(supervisor_pid(f->s, "control"), SIGKILL);
	UNTIL(f, said(f, "control ready") == 2);
}

static void
who_waits_for_one_that_fails_is_started_nevertheless(void **state)
{
	struct family *f = *state;

	add(f, "control", "good", NULL)->after = "postgres";
	add(f, "postgres", "garbage", NULL);
	start(f);
	UNTIL(f, said(f, "control ready") == 1);
}

static void
who_does_not_end_in_its_time_is_killed(void **state)
{
	struct family *f = *state;

	add(f, "net", "stubborn", NULL)->stop_limit = MILLISECONDS(100);
	start(f);
	UNTIL(f, f->ready == 1);
	supervisor_stop(f->s, clock_boottime());
	UNTIL(f, f->stopped == 1);
	assert_int_equal(said(f, "net STOP"), 1);
}

static void
a_second_stop_does_not_wait(void **state)
{
	struct family *f = *state;

	add(f, "control", "stubborn", NULL);
	add(f, "net", "good", NULL)->stop_step = 1;
	start(f);
	UNTIL(f, f->ready == 1);
	supervisor_stop(f->s, clock_boottime());
	UNTIL(f, said(f, "control STOP") == 1);
	assert_int_equal(f->stopped, 0);
	supervisor_stop(f->s, clock_boottime());
	UNTIL(f, f->stopped == 1);
	assert_int_equal(said(f, "net STOP"), 0);
}

static void
a_stop_before_anybody_is_up_ends_too(void **state)
{
	struct family *f = *state;

	add(f, "net", "mute", NULL)->stop_limit = MILLISECONDS(100);
	start(f);
	supervisor_stop(f->s, clock_boottime());
	UNTIL(f, f->stopped == 1);
}

static void
a_child_that_takes_nothing_more_is_killed_and_replaced(void **state)
{
	struct family *f = *state;
	struct role *tunnel = add(f, "tunnel", "deaf", NULL);
	pid_t deaf;

	tunnel->sockets = "tun:*";
	add(f, "net", "flood", "wg0")->sends_tun = true;
	start(f);
	deaf = supervisor_pid(f->s, "tunnel");
	f->argv[0][2] = "good";
	UNTIL(f, supervisor_pid(f->s, "tunnel") != deaf && supervisor_is_ready(f->s, "tunnel"));
}

/* Who uses it is told before, whoever starts later gets nothing of it. */
static void
a_device_that_is_gone_is_kept_no_more_nor_what_came_with_it(void **state)
{
	struct family *f = *state;

	add(f, "tunnel", "good", NULL)->sockets = "tun:* uapi:*";
	add(f, "net", "fleeting", "wg0")->sends_tun = true;
	f->roles[1].after = "tunnel";
	start(f);
	UNTIL(f, f->ready == 1 && strcmp(f->devices, " +wg0 -wg0") == 0);
	assert_false(supervisor_keeps(f->s, "tun:wg0") || supervisor_keeps(f->s, "uapi:wg0"));
	UNTIL(f, said(f, "tunnel later SOCKET tun:wg0") == 1 && said(f, "tunnel later SOCKET uapi:wg0") == 1);
}

/* More than a channel has room for (about 280): the rest waits until the child has read. */
static void
what_finds_no_room_in_a_childs_channel_comes_when_there_is_some(void **state)
{
	const int many = 450;
	struct family *f = *state;

	add(f, "tunnel", "good", NULL)->sockets = "s";
	for (int i = 0; i < many; i++)
		assert_int_equal(supervisor_keep(f->s, "s", dup(0)), 0);
	start(f);
	UNTIL(f, f->ready == 1);
	assert_int_equal(said(f, "tunnel socket s"), many);
}

static bool
is_gone(const char *line)
{
	const pid_t pid = (pid_t)atoi(line);

	return kill(pid, 0) < 0 && errno == ESRCH;
}

static void
what_a_child_left_in_its_group_goes_with_it_and_strays_are_waited_for(void **state)
{
	struct family *f = *state;
	char text[8192], *first, *second;

	add(f, "control", "parent", NULL);
	start(f);
	UNTIL(f,
	      (log_read(f, text), (first = strstr(text, "grandchild ")) && strstr(first + 1, "grandchild ")));
	log_read(f, text);
	first = strstr(text, "grandchild ");
	second = strstr(first + 1, "grandchild ");
	UNTIL(f, f->ready == 1);
	f->argv[0][2] = "good";
	kill(supervisor_pid(f->s, "control"), SIGKILL);
	UNTIL(f, is_gone(first + 11) || is_gone(second + 11));
	supervisor_stop(f->s, clock_boottime());
	UNTIL(f, said(f, "control STOP") >= 0 &&
			 f->stopped == 1); /* the stray is left behind, but not waited for without end */
	for (char *p = first; p; p = p == first ? second : NULL)
		if (!is_gone(p + 11))
			kill((pid_t)atoi(p + 11), SIGKILL);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_child_gets_its_configuration_its_sockets_in_order_and_the_identity),
		TEST(only_the_role_that_has_the_identity_gets_it),
		TEST(a_child_that_is_killed_comes_back_with_the_same_descriptors),
		TEST(siblings_are_connected_and_connected_again_when_either_dies),
		TEST(both_siblings_may_die_at_once),
		TEST(who_needs_a_device_waits_for_it_and_gets_it),
		TEST(a_device_that_comes_anew_is_handed_to_who_runs_and_who_sent_it_dying_takes_nothing_away),
		TEST(a_device_from_a_role_that_may_send_none_ends_it),
		TEST(nonsense_ends_a_child_and_it_is_started_again),
		TEST(restarts_take_twice_as_long_each_up_to_a_limit),
		TEST(a_program_that_is_not_there_is_tried_again_and_found_when_it_is),
		TEST(an_optional_child_that_fails_does_not_keep_the_rest_from_being_ready),
		TEST(a_child_that_must_be_there_and_fails_keeps_it),
		TEST(the_stop_goes_step_by_step),
		TEST(a_silent_child_is_ready_when_it_answers_and_others_wait_for_that),
		TEST(who_waits_for_one_that_fails_is_started_nevertheless),
		TEST(who_does_not_end_in_its_time_is_killed),
		TEST(a_second_stop_does_not_wait),
		TEST(a_stop_before_anybody_is_up_ends_too),
		TEST(a_child_that_takes_nothing_more_is_killed_and_replaced),
		TEST(a_device_that_is_gone_is_kept_no_more_nor_what_came_with_it),
		TEST(what_finds_no_room_in_a_childs_channel_comes_when_there_is_some),
		TEST(what_a_child_left_in_its_group_goes_with_it_and_strays_are_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
