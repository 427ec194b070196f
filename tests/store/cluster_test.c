/* The private cluster: made whole, taken over from the dead, and what is wrong is said. */
#include "server/store/cluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "base/errors.h"
#include "base/text.h"
#include "server/store/cluster_make.h"
#include "server/store/leftover.h"
#include "tests/store/fixture.h"

static char error[CLUSTER_ERROR_LEN];

static const char *
at(const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", fixture.dir, name);
	return path;
}

static void
assert_says(const char *words)
{
	if (!strstr(error, words))
		fail_msg("\"%s\" does not say \"%s\"", error, words);
}

/* Prepares again, as a warrend that was started again does. */
static int
prepare(void)
{
	cluster_free(take_ptr(fixture.cluster));
	return cluster_prepare(fixture.dir, NULL, &fixture.cluster, error);
}

static void
prepares(void)
{
	if (prepare() < 0)
		fail_msg("%s", error);
	assert_true(cluster_conninfo(fixture.cluster, fixture.conninfo, sizeof(fixture.conninfo)) > 0);
}

/* The program gets in, and the value that it asks for is as expected. */
static void
assert_value(const char *text, const char *expected)
{
	PGconn *conn = PQconnectdb(fixture.conninfo);
	PGresult *result;

	if (PQstatus(conn) != CONNECTION_OK)
		fail_msg("%s", PQerrorMessage(conn));
	result = PQexec(conn, text);
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		fail_msg("%s: %s", text, PQerrorMessage(conn));
	assert_string_equal(PQgetvalue(result, 0, 0), expected);
	PQclear(result);
	PQfinish(conn);
}

static void
starts_and_stops(void)
{
	prepares();
	fixture_start();
	assert_value("SELECT current_user", "warren");
	fixture_stop(CLUSTER_STOP_SIGNAL);
}

static int
up(void **state)
{
	fixture_unprivileged();
	fixture_directory();
	return 0;
}

static int
down(void **state)
{
	fixture_stop(CLUSTER_HURRY_SIGNAL);
	cluster_free(fixture.cluster);
	fixture_remove(fixture.dir);
	return 0;
}

static void
a_new_cluster_is_as_it_should_be(void **state)
{
	struct stat st;

	prepares();
	assert_int_equal(stat(at("postgres"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(stat(at("run"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(stat(at("postgres.password"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(cluster_ready(fixture.cluster), -EAGAIN);
	fixture_start();
	assert_value("SHOW server_encoding", "UTF8");
	assert_value("SHOW lc_collate", "C");
	assert_value("SHOW data_checksums", "on");
	assert_value("SHOW password_encryption", "scram-sha-256");
	assert_value("SHOW listen_addresses", "");
	assert_value("SHOW fsync", "on");
	assert_value("SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls FROM pg_roles WHERE "
		     "rolname = current_user",
		     "f");
	fixture_stop(CLUSTER_STOP_SIGNAL);
}

static void
what_is_executed_holds_no_secret_and_conninfo_does(void **state)
{
	char password[CLUSTER_PASSWORD_LEN], owner[CLUSTER_PASSWORD_LEN], small[16];

	prepares();
	assert_int_equal(password_file(at("postgres.password"), password), 0);
	password_owner(password, owner);
	assert_string_not_equal(owner, password);
	assert_non_null(strstr(fixture.conninfo, owner));
	assert_null(strstr(fixture.conninfo, password));
	for (const char *const *p = cluster_argv(fixture.cluster); *p; p++)
		assert_true(!strstr(*p, password) && !strstr(*p, owner));
	for (const char *const *p = cluster_env(fixture.cluster); *p; p++)
		assert_true(!strstr(*p, password) && !strstr(*p, owner));
	assert_int_equal(access(cluster_path(fixture.cluster), X_OK), 0);
	assert_int_equal(cluster_conninfo(fixture.cluster, small, sizeof(small)), -ENOSPC);
}

static void
without_the_password_nobody_comes_in(void **state)
{
	char conninfo[CLUSTER_CONNINFO_LEN];
	PGconn *conn;

	prepares();
	fixture_start();
	snprintf(conninfo, sizeof(conninfo), "host='%s/run' dbname=warren user=postgres password=wrong",
		 fixture.dir);
	conn = PQconnectdb(conninfo);
	assert_int_equal(PQstatus(conn), CONNECTION_BAD);
	PQfinish(conn);
	fixture_stop(CLUSTER_STOP_SIGNAL);
}

static void
what_was_written_is_there_after_a_restart(void **state)
{
	PGconn *conn;

	prepares();
	fixture_start();
	conn = PQconnectdb(fixture.conninfo);
	PQclear(PQexec(conn, "CREATE SCHEMA own; CREATE TABLE own.kept AS SELECT 'yes' AS v"));
	PQfinish(conn);
	fixture_stop(CLUSTER_STOP_SIGNAL);
	prepares();
	fixture_start();
	assert_value("SELECT v FROM own.kept", "yes");
	fixture_stop(CLUSTER_STOP_SIGNAL);
}

/* Nobody reaps it: its number is taken, and Postgres by itself would call it alive. */
static void
a_killed_postmaster_that_was_not_reaped_is_no_obstacle(void **state)
{
	siginfo_t info;
	pid_t dead;

	prepares();
	fixture_start();
	dead = fixture.postgres;
	fixture.postgres = 0;
	kill(dead, SIGKILL);
	assert_int_equal(waitid(P_PID, (id_t)dead, &info, WEXITED | WNOWAIT), 0);
	assert_int_equal(access(at("postgres/postmaster.pid"), F_OK), 0);
	starts_and_stops();
	waitpid(dead, NULL, 0);
}

static void
a_postgres_that_was_left_running_is_ended(void **state)
{
	siginfo_t info;
	pid_t old;

	prepares();
	fixture_start();
	old = fixture.postgres;
	fixture.postgres = 0;
	prepares();
	assert_int_equal(waitid(P_PID, (id_t)old, &info, WEXITED | WNOHANG), 0);
	assert_int_equal(info.si_pid, old);
	assert_int_equal(info.si_code, CLD_EXITED); /* in order */
	assert_int_equal(info.si_status, 0);
	starts_and_stops();
}

static void
one_that_does_not_stop_is_ended_by_force(void **state)
{
	siginfo_t info;
	pid_t old;
	PGconn *conn;

	/* Stopped, it takes no signal but the last; that it takes the others' patience is why this is slow.
	 */
	prepares();
	fixture_start();
	conn = PQconnectdb(fixture.conninfo); /* and has a backend that must not outlive it */
	old = fixture.postgres;
	fixture.postgres = 0;
	kill(old, SIGSTOP);
	assert_int_equal(leftover_stop(at("postgres"), 300), 0);
	assert_int_equal(waitid(P_PID, (id_t)old, &info, WEXITED), 0);
	assert_int_equal(info.si_code, CLD_KILLED);
	PQfinish(conn);
	starts_and_stops();
}

static void
a_lock_of_somebody_elses_number_is_no_obstacle(void **state)
{
	char text[512];

	/* What a container finds that was killed: our own number, in a file of another life. */
	prepares();
	snprintf(text, sizeof(text), "%d\n%s\n1\n5432\n%s\n\n  1  1\n", getpid(), at("postgres"),
		 fixture.dir);
	assert_int_equal(file_write(at("postgres"), "postmaster.pid", text), 0);
	assert_int_equal(file_write(at("run"), ".s.PGSQL.5432.lock", text), 0);
	starts_and_stops();
	snprintf(text, sizeof(text), "%d\n", getppid());
	assert_int_equal(file_write(at("postgres"), "postmaster.pid", text), 0);
	starts_and_stops();
	assert_int_equal(file_write(at("postgres"), "postmaster.pid", ""), 0);
	starts_and_stops();
}

static void
a_process_that_only_stands_there_is_left_alone(void **state)
{
	int status;
	pid_t pid;

	prepares();
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (chdir(at("postgres")) == 0)
			execl("/bin/sleep", "sleep", "600", (char *)NULL);
		_exit(1);
	}
	starts_and_stops();
	assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void
an_interrupted_first_start_is_made_again(void **state)
{
	char away[256];

	cluster_free(take_ptr(fixture.cluster));
	snprintf(away, sizeof(away), "%s", at("postgres.away"));
	assert_int_equal(rename(at("postgres"), away), 0);
	assert_int_equal(mkdir(at("postgres.new"), 0700), 0);
	assert_int_equal(mkdir(at("postgres.new/base"), 0700), 0);
	assert_int_equal(file_write(at("postgres.new"), "PG_VERSION", "15\n"), 0);
	starts_and_stops();
	assert_int_equal(access(at("postgres.new"), F_OK), -1);
	fixture_remove(at("postgres"));
	assert_int_equal(rename(away, at("postgres")), 0);
	starts_and_stops();
}

static void
a_killed_initdb_leaves_nothing_that_stays_in_the_way(void **state)
{
	char away[256];
	const struct timespec pause = {.tv_nsec = 150 * 1000 * 1000};
	pid_t pid;

	cluster_free(take_ptr(fixture.cluster));
	snprintf(away, sizeof(away), "%s", at("postgres.away"));
	assert_int_equal(rename(at("postgres"), away), 0);
	pid = fork();
	if (pid == 0)
		_exit(cluster_prepare(fixture.dir, NULL, &fixture.cluster, error) == 0 ? 0 : 1);
	while (access(at("postgres.new"), F_OK) < 0 && access(at("postgres"), F_OK) < 0)
		assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
	nanosleep(&pause, NULL); /* somewhere in the middle */
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	starts_and_stops();
	fixture_remove(at("postgres"));
	assert_int_equal(rename(away, at("postgres")), 0);
}

static void
a_lost_password_is_replaced(void **state)
{
	cluster_free(take_ptr(fixture.cluster));
	assert_int_equal(unlink(at("postgres.password")), 0);
	starts_and_stops();
	assert_int_equal(file_write(fixture.dir, "postgres.password", "short\n"), 0);
	starts_and_stops();
	starts_and_stops();
}

static void
another_major_version_is_explained(void **state)
{
	prepares();
	assert_int_equal(file_write(at("postgres"), "PG_VERSION", "14\n"), 0);
	assert_int_equal(prepare(), -ERR_DATABASE);
	assert_says("made by PostgreSQL 14, which is not installed (installed: ");
	assert_says("apt-get install postgresql-14");
	assert_int_equal(file_write(at("postgres"), "PG_VERSION", "x\n"), 0);
	assert_int_equal(prepare(), -ERR_DATABASE);
	assert_says("PG_VERSION cannot be read");
	assert_int_equal(file_write(at("postgres"), "PG_VERSION", "15\n"), 0);
	starts_and_stops();
}

static void
permissions_that_are_wrong_are_explained_or_put_right(void **state)
{
	struct stat st;
	struct cluster *cluster = NULL;

	assert_int_equal(chmod(at("postgres"), 0755), 0);
	starts_and_stops();
	assert_int_equal(stat(at("postgres"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);

	assert_int_equal(chmod(at("postgres"), 0500), 0);
	assert_int_equal(prepare(), -EACCES);
	assert_says("/postgres has mode 500, so that its owner may not use it: chmod 700 it");
	assert_int_equal(chmod(at("postgres"), 0700), 0);
	assert_int_equal(chmod(fixture.dir, 0500), 0);
	assert_int_equal(prepare(), -EACCES);
	assert_says("has mode 500");
	assert_int_equal(chmod(fixture.dir, 0700), 0);
	starts_and_stops();

	assert_int_equal(cluster_prepare("/usr", NULL, &cluster, error), -EACCES);
	assert_says("/usr belongs to uid 0, but this runs as uid");
	assert_int_equal(cluster_prepare("/nonexistent", NULL, &cluster, error), -ENOENT);
	assert_says("/nonexistent is not there");
	assert_int_equal(cluster_prepare("relative", NULL, &cluster, error), -EINVAL);
	assert_says("absolute path");
	assert_null(cluster);
}

static void
what_is_in_the_way_is_named(void **state)
{
	char away[256];

	cluster_free(take_ptr(fixture.cluster));
	snprintf(away, sizeof(away), "%s", at("postgres.away"));
	assert_int_equal(rename(at("postgres"), away), 0);
	assert_int_equal(file_write(fixture.dir, "postgres", "x"), 0);
	assert_int_equal(prepare(), -ENOTDIR);
	assert_says("is no directory");
	assert_int_equal(unlink(at("postgres")), 0);
	assert_int_equal(mkdir(at("postgres"), 0700), 0);
	assert_int_equal(prepare(), -ERR_DATABASE);
	assert_says("is no database cluster");
	assert_int_equal(rmdir(at("postgres")), 0);
	assert_int_equal(rename(away, at("postgres")), 0);
}

static void
a_path_too_long_for_a_socket_uses_the_runtime_directory(void **state)
{
	char whole[512], runtime[256], conninfo[CLUSTER_CONNINFO_LEN];
	struct cluster *cluster = NULL;

	/* With a quote in it, which must neither end a value of the configuration nor one of conninfo. */
	snprintf(runtime, sizeof(runtime), "%s/run'time\\", fixture.dir);
	snprintf(whole, sizeof(whole), "%s/%090d", fixture.dir, 0);
	assert_int_equal(mkdir(runtime, 0700), 0);
	assert_int_equal(mkdir(whole, 0700), 0);
	assert_int_equal(cluster_prepare(whole, NULL, &cluster, error), -ENAMETOOLONG);
	assert_says("too long for a socket");
	if (cluster_prepare(whole, runtime, &cluster, error) < 0)
		fail_msg("%s", error);
	cluster_free(fixture.cluster);
	fixture.cluster = cluster;
	text_copy(conninfo, sizeof(conninfo), fixture.conninfo);
	assert_true(cluster_conninfo(fixture.cluster, fixture.conninfo, sizeof(fixture.conninfo)) > 0);
	fixture_start();
	assert_value("SELECT current_user", "warren");
	fixture_stop(CLUSTER_STOP_SIGNAL);
}

static void
root_is_refused(void **state)
{
	struct cluster *cluster = NULL;
	char map[32];
	int status;
	pid_t pid;

	/* Root of a user namespace is root to Postgres too. */
	snprintf(map, sizeof(map), "0 %u 1\n", geteuid());
	pid = fork();
	if (pid == 0) {
		_cleanup_(closep) int fd = -1;

		if (unshare(CLONE_NEWUSER) < 0)
			_exit(77);
		fd = open("/proc/self/uid_map", O_WRONLY | O_CLOEXEC);
		if (fd < 0 || write(fd, map, strlen(map)) < 0)
			_exit(77);
		_exit(cluster_prepare(fixture.dir, NULL, &cluster, error) == -EPERM &&
				      strstr(error, "does not run as root")
			      ? 0
			      : 1);
	}
	waitpid(pid, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_cluster_is_as_it_should_be),
		cmocka_unit_test(what_is_executed_holds_no_secret_and_conninfo_does),
		cmocka_unit_test(without_the_password_nobody_comes_in),
		cmocka_unit_test(what_was_written_is_there_after_a_restart),
		cmocka_unit_test(a_killed_postmaster_that_was_not_reaped_is_no_obstacle),
		cmocka_unit_test(a_postgres_that_was_left_running_is_ended),
		cmocka_unit_test(one_that_does_not_stop_is_ended_by_force),
		cmocka_unit_test(a_lock_of_somebody_elses_number_is_no_obstacle),
		cmocka_unit_test(a_process_that_only_stands_there_is_left_alone),
		cmocka_unit_test(an_interrupted_first_start_is_made_again),
		cmocka_unit_test(a_killed_initdb_leaves_nothing_that_stays_in_the_way),
		cmocka_unit_test(a_lost_password_is_replaced),
		cmocka_unit_test(another_major_version_is_explained),
		cmocka_unit_test(permissions_that_are_wrong_are_explained_or_put_right),
		cmocka_unit_test(what_is_in_the_way_is_named),
		cmocka_unit_test(a_path_too_long_for_a_socket_uses_the_runtime_directory),
		cmocka_unit_test(root_is_refused),
	};

	return cmocka_run_group_tests_name("cluster", tests, up, down);
}
