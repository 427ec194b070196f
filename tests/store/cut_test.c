/* The database goes away at any moment: nothing is lost that was confirmed, and nothing is done twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/errors.h"
#include "tests/store/fixture.h"

static struct home a, b;

/* What happens to the next statement of that name, once. */
enum harm { HARM_NONE, HARM_BEFORE, HARM_ANSWER_LOST, HARM_DEADLOCK };
static enum harm harm;
static const char *harmed;

PGresult *__real_PQexecPrepared(PGconn *conn, const char *name, int n, const char *const *v, const int *len,
				const int *format, int result_format);
PGresult *__wrap_PQexecPrepared(PGconn *conn, const char *name, int n, const char *const *v, const int *len,
				const int *format, int result_format);

PGresult *
__wrap_PQexecPrepared(PGconn *conn, const char *name, int n, const char *const *v, const int *len,
		      const int *format, int result_format)
{
	enum harm now = HARM_NONE;

	if (harmed && strcmp(name, harmed) == 0) {
		now = harm;
		harmed = NULL;
	}
	if (now == HARM_BEFORE)
		sql("SELECT pg_terminate_backend(%d, 5000)", PQbackendPID(conn));
	if (now == HARM_ANSWER_LOST) {
		PQclear(__real_PQexecPrepared(conn, name, n, v, len, format, result_format));
		shutdown(PQsocket(conn), SHUT_RDWR);
	}
	if (now == HARM_DEADLOCK)
		return PQexec(conn, "DO $$ BEGIN RAISE deadlock_detected; END $$");
	return __real_PQexecPrepared(conn, name, n, v, len, format, result_format);
}

static int
up(void **state)
{
	fixture_up(state);
	home_new(&a, 20);
	home_new(&b, 20);
	return 0;
}

static void
harm_next(const char *name, enum harm what)
{
	harm = what;
	harmed = name;
}

static void
assert_once(const char *name)
{
	assert_string_equal(sql("SELECT count(*) FROM peer WHERE name = '%s'", name), "1");
	assert_string_equal(
		sql("SELECT count(*) FROM audit WHERE action = 'peer.add' AND object LIKE '%% %s'", name),
		"1");
	assert_string_equal(
		sql("SELECT count(*) FROM lease AS l JOIN peer AS p ON p.id = l.peer_id WHERE p.name = '%s'",
		    name),
		"2");
}

static void
a_cut_before_any_statement_is_repeated(void **state)
{
	static const char *const names[] = {"BEGIN",        "BE_TENANT",      "USER_GET",
					    "PEER_INSERT",  "POOL_OF_FAMILY", "FREE_TAKE_NEW",
					    "LEASE_INSERT", "PEER_GET",       "AUDIT_HEAD_LOCK",
					    "AUDIT_INSERT", "AUDIT_HEAD_SET", "COMMIT"};
	struct peer peer;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char name[32];

		snprintf(name, sizeof(name), "cut-%s", names[i]);
		harm_next(names[i], HARM_BEFORE);
		assert_int_equal(add(i % 2 ? &a : &b, name, &peer), 0);
		assert_null(harmed);
		assert_once(name);
	}
}

static void
a_commit_whose_answer_is_lost_is_looked_up_and_not_done_again(void **state)
{
	struct peer peer;

	for (unsigned i = 0; i < 5; i++) {
		char name[32];

		snprintf(name, sizeof(name), "lost-%u", i);
		harm_next("COMMIT", HARM_ANSWER_LOST);
		assert_int_equal(add(&a, name, &peer), 0); /* done again it would be a conflict */
		assert_null(harmed);
		assert_once(name);
	}
}

static void
what_the_database_asks_to_repeat_is_repeated(void **state)
{
	struct peer peer;

	harm_next("PEER_INSERT", HARM_DEADLOCK);
	assert_int_equal(add(&a, "deadlocked", &peer), 0);
	assert_null(harmed);
	assert_once("deadlocked");
	harm_next("COMMIT", HARM_DEADLOCK);
	assert_int_equal(add(&a, "unserialized", &peer), 0);
	assert_once("unserialized");
}

static void
a_transaction_by_hand_is_not_repeated(void **state)
{
	const struct peer_new fresh = {.user = a.user.id, .name = "by-hand", .key = key_new()};
	struct peer peer;
	struct tx *tx = begin(&a);

	harm_next("LEASE_INSERT", HARM_BEFORE);
	assert_int_equal(peer_insert(tx, &fresh, &peer), -ERR_DATABASE);
	assert_int_equal(tx_commit(tx), -ERR_DATABASE);
	tx_free(tx);
	assert_string_equal(sql("SELECT count(*) FROM peer WHERE name = 'by-hand'"), "0");
	tx = begin(&a); /* and the next one has a connection that stands */
	assert_int_equal(peer_insert(tx, &fresh, &peer), 0);
	commit(&tx);
}

static void
idle_connections_that_were_cut_are_not_handed_out(void **state)
{
	struct tx *open[STORE_CONNECTIONS];

	for (size_t i = 0; i < ARRAY_LEN(open); i++)
		open[i] = begin(&a);
	for (size_t i = 0; i < ARRAY_LEN(open); i++)
		tx_free(open[i]);
	sql("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'warren'");
	for (size_t i = 0; i < ARRAY_LEN(open); i++)
		open[i] = begin(&b);
	for (size_t i = 0; i < ARRAY_LEN(open); i++)
		tx_free(open[i]);
	assert_int_equal(store_ping(fixture.store), 0);
}

static bool impatient;
static time_t waited_for;

int __real_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *lock, const struct timespec *until);
int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *lock, const struct timespec *until);

/* Time that passes at once. */
int
__wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *lock, const struct timespec *until)
{
	struct timespec now;

	if (!impatient)
		return __real_pthread_cond_timedwait(cond, lock, until);
	clock_gettime(CLOCK_MONOTONIC, &now);
	waited_for = until->tv_sec - now.tv_sec;
	return ETIMEDOUT;
}

static void
when_all_connections_are_lent_the_wait_has_an_end(void **state)
{
	struct tx *open[STORE_CONNECTIONS], *more;
	struct peer peer;

	for (size_t i = 0; i < ARRAY_LEN(open); i++)
		open[i] = begin(&a);
	impatient = true;
	assert_int_equal(tx_begin(fixture.store, b.tenant.id, &more), -ERR_DATABASE);
	assert_in_range(waited_for, STORE_WAIT_SECONDS - 1, STORE_WAIT_SECONDS + 1);
	assert_int_equal(add(&b, "waiting", &peer), -ERR_DATABASE);
	impatient = false;
	for (size_t i = 0; i < ARRAY_LEN(open); i++)
		tx_free(open[i]);
	assert_int_equal(add(&b, "waiting", &peer), 0);
}

struct worker {
	unsigned number, done;
	int failed;
};

static atomic_uint running;

static void *
work(void *arg)
{
	struct worker *worker = arg;

	for (unsigned i = 0; i < 25; i++) {
		struct peer peer;
		char name[32];
		int r;

		snprintf(name, sizeof(name), "k%u-%u", worker->number, i);
		r = add(worker->number % 2 ? &a : &b, name, &peer);
		worker->done += r == 0;
		if (r != 0)
			worker->failed = r;
	}
	atomic_fetch_sub(&running, 1);
	return NULL;
}

static void
backends_killed_at_random_lose_nothing_and_double_nothing(void **state)
{
	const struct timespec pause = {.tv_nsec = 60 * 1000 * 1000};
	struct worker workers[6];
	pthread_t threads[ARRAY_LEN(workers)];
	unsigned kills = 0;

	atomic_store(&running, ARRAY_LEN(workers));
	for (unsigned i = 0; i < ARRAY_LEN(workers); i++) {
		workers[i] = (struct worker){.number = i};
		assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
	}
	while (atomic_load(&running)) {
		kills += (unsigned)strtoul(
			sql("SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity "
			    "WHERE usename = 'warren' AND state <> 'idle' ORDER BY random() LIMIT 1) AS k"),
			NULL, 10);
		nanosleep(&pause, NULL);
	}
	for (unsigned i = 0; i < ARRAY_LEN(workers); i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(workers[i].failed, 0);
		assert_int_equal(workers[i].done, 25);
	}
	assert_true(kills > 0);
	assert_string_equal(sql("SELECT count(*) FROM peer WHERE name LIKE 'k%%'"), "150");
	assert_string_equal(
		sql("SELECT count(*) FROM audit WHERE action = 'peer.add' AND object LIKE '%% k%%'"), "150");
	assert_string_equal(sql("SELECT count(*) FROM lease AS l JOIN peer AS p ON p.id = l.peer_id WHERE "
				"p.name LIKE 'k%%'"),
			    "300");
}

static void
a_crash_of_the_server_is_outlived(void **state)
{
	struct peer peer;
	char conninfo[CLUSTER_CONNINFO_LEN], error[CLUSTER_ERROR_LEN];
	struct cluster *cluster;

	assert_int_equal(add(&a, "before-crash", &peer), 0);
	fixture_stop(SIGKILL);
	assert_int_equal(store_ping(fixture.store), -ERR_DATABASE);
	assert_int_equal(add(&a, "during-crash", &peer), -ERR_DATABASE);
	assert_int_equal(cluster_prepare(fixture.dir, NULL, &cluster, error), 0);
	cluster_free(fixture.cluster);
	fixture.cluster = cluster;
	fixture_start();
	PQfinish(fixture.superuser);
	fixture_superuser_conninfo(conninfo, "warren");
	fixture.superuser = PQconnectdb(conninfo);
	sql("SET search_path = warren");
	assert_int_equal(store_ping(fixture.store), 0);
	assert_once("before-crash");
	assert_int_equal(add(&a, "during-crash", &peer), 0);
	assert_once("during-crash");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_cut_before_any_statement_is_repeated),
		cmocka_unit_test(a_commit_whose_answer_is_lost_is_looked_up_and_not_done_again),
		cmocka_unit_test(what_the_database_asks_to_repeat_is_repeated),
		cmocka_unit_test(a_transaction_by_hand_is_not_repeated),
		cmocka_unit_test(idle_connections_that_were_cut_are_not_handed_out),
		cmocka_unit_test(when_all_connections_are_lent_the_wait_has_an_end),
		cmocka_unit_test(backends_killed_at_random_lose_nothing_and_double_nothing),
		cmocka_unit_test(a_crash_of_the_server_is_outlived),
	};

	return cmocka_run_group_tests_name("cuts", tests, up, fixture_down);
}
