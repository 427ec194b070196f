/* Migrations: applied once, taken up where they were killed, refused where they do not belong. */
#include "server/store/migrate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <string.h>

#include "base/errors.h"
#include "server/store/migrations.h"
#include "tests/store/fixture.h"

static unsigned statements, cut_before; /* 0: never */

PGresult *__real_PQexec(PGconn *conn, const char *text);
PGresult *__wrap_PQexec(PGconn *conn, const char *text);
PGresult *__real_PQexecParams(PGconn *conn, const char *text, int n, const Oid *types, const char *const *v,
			      const int *len, const int *format, int result_format);
PGresult *__wrap_PQexecParams(PGconn *conn, const char *text, int n, const Oid *types, const char *const *v,
			      const int *len, const int *format, int result_format);

/* Ends the server's half of @conn when its turn has come. */
static void
count(PGconn *conn)
{
	if (conn == fixture.superuser || ++statements != cut_before)
		return;
	sql("SELECT pg_terminate_backend(%d, 5000)", PQbackendPID(conn));
}

PGresult *
__wrap_PQexec(PGconn *conn, const char *text)
{
	count(conn);
	return __real_PQexec(conn, text);
}

PGresult *
__wrap_PQexecParams(PGconn *conn, const char *text, int n, const Oid *types, const char *const *v,
		    const int *len, const int *format, int result_format)
{
	count(conn);
	return __real_PQexecParams(conn, text, n, types, v, len, format, result_format);
}

static char error[STORE_ERROR_LEN];

/* A database of its own, with conninfo of the program in it. */
static void
database(const char *name, char conninfo[CLUSTER_CONNINFO_LEN])
{
	sql("DROP DATABASE IF EXISTS %s WITH (FORCE)", name);
	sql("CREATE DATABASE %s OWNER warren", name);
	fixture_owner_conninfo(conninfo, name);
}

static PGconn *
superuser_of(const char *name)
{
	char conninfo[CLUSTER_CONNINFO_LEN];
	PGconn *conn;

	fixture_superuser_conninfo(conninfo, name);
	conn = PQconnectdb(conninfo);
	assert_int_equal(PQstatus(conn), CONNECTION_OK);
	return conn;
}

static void
does(const char *name, const char *text)
{
	PGconn *conn = superuser_of(name);
	PGresult *result = __real_PQexec(conn, text);

	if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK)
		fail_msg("%s: %s", text, PQerrorMessage(conn));
	PQclear(result);
	PQfinish(conn);
}

static void
assert_says(const char *words)
{
	if (!strstr(error, words))
		fail_msg("\"%s\" does not say \"%s\"", error, words);
}

static void
assert_serves(const char *conninfo)
{
	struct store *store = NULL;

	if (store_open(conninfo, &store, error) < 0)
		fail_msg("%s", error);
	store_free(store);
}

static void
migrating_again_changes_nothing(void **state)
{
	char conninfo[CLUSTER_CONNINFO_LEN];

	database("idempotent", conninfo);
	assert_int_equal(store_migrate(conninfo, error), store_version());
	assert_int_equal(store_migrate(conninfo, error), 0);
	assert_int_equal(store_migrate(conninfo, error), 0);
	assert_serves(conninfo);
}

static void
killed_before_any_statement_it_goes_on_from_there(void **state)
{
	char conninfo[CLUSTER_CONNINFO_LEN];
	unsigned all;

	database("whole", conninfo);
	statements = 0;
	assert_int_equal(store_migrate(conninfo, error), store_version());
	all = statements;
	assert_true(all > 60);
	database("killed", conninfo);
	for (cut_before = 1; cut_before <= all; cut_before++) {
		int r;

		statements = 0;
		r = store_migrate(conninfo, error);
		if (r >= 0)
			break; /* what was applied already makes it shorter: this was the rest */
		assert_int_equal(r, -ERR_DATABASE);
		assert_true(strlen(error) > 0);
	}
	assert_true(cut_before > 15);
	cut_before = 0;
	assert_in_range(store_migrate(conninfo, error), 0, store_version());
	assert_int_equal(store_migrate(conninfo, error), 0);
	assert_serves(conninfo);
}

/* Each time from nothing, so that every migration is hit somewhere. */
static void
a_killed_migration_leaves_whole_migrations_only(void **state)
{
	char conninfo[CLUSTER_CONNINFO_LEN];
	unsigned all;

	database("half", conninfo);
	statements = 0;
	assert_int_equal(store_migrate(conninfo, error), store_version());
	all = statements;
	for (unsigned i = 2; i <= all; i += 13) {
		int first, second;

		does("half", "DROP SCHEMA warren CASCADE");
		statements = 0;
		cut_before = i;
		first = store_migrate(conninfo, error);
		cut_before = 0;
		assert_int_equal(first, -ERR_DATABASE);
		second = store_migrate(conninfo, error);
		if (second < 0)
			fail_msg("after statement %u: %s", i, error);
		assert_int_equal(store_migrate(conninfo, error), 0);
	}
	assert_serves(conninfo);
}

static void *
migrate(void *arg)
{
	char words[STORE_ERROR_LEN];

	*(int *)arg = store_migrate(*(const char **)(((char *)arg) + sizeof(int64_t)), words);
	return NULL;
}

static void
of_many_at_once_one_does_it(void **state)
{
	struct {
		int64_t r;
		const char *conninfo;
	} at[6];
	char conninfo[CLUSTER_CONNINFO_LEN];
	pthread_t threads[ARRAY_LEN(at)];
	int64_t applied = 0;

	database("raced", conninfo);
	for (size_t i = 0; i < ARRAY_LEN(at); i++) {
		at[i].r = 0;
		at[i].conninfo = conninfo;
		assert_int_equal(pthread_create(&threads[i], NULL, migrate, &at[i]), 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(at); i++) {
		pthread_join(threads[i], NULL);
		assert_true((int)at[i].r >= 0);
		applied += (int)at[i].r;
	}
	assert_int_equal(applied, store_version());
}

static void
a_newer_database_is_refused_and_left_alone(void **state)
{
	char conninfo[CLUSTER_CONNINFO_LEN];
	struct store *store = NULL;

	database("newer", conninfo);
	assert_int_equal(store_migrate(conninfo, error), store_version());
	does("newer", "INSERT INTO warren.migration (number, name, hash) VALUES (9999, 'future', '\\x00')");
	/* A newer version may have changed anything: that it is newer comes first. */
	does("newer", "UPDATE warren.migration SET hash = '\\x00'");
	assert_int_equal(store_migrate(conninfo, error), -ERR_DATABASE_NEWER);
	assert_says("9999 (future)");
	assert_int_equal(store_open(conninfo, &store, error), -ERR_DATABASE_NEWER);
	assert_null(store);
}

static void
a_changed_migration_is_refused(void **state)
{
	char conninfo[CLUSTER_CONNINFO_LEN];

	database("changed", conninfo);
	assert_int_equal(store_migrate(conninfo, error), store_version());
	does("changed", "UPDATE warren.migration SET hash = sha256('x') WHERE number = 2");
	assert_int_equal(store_migrate(conninfo, error), -ERR_MIGRATION_CHANGED);
	assert_says("migration 2 (address)");
	does("changed", "DELETE FROM warren.migration WHERE number = 2");
	assert_int_equal(store_migrate(conninfo, error), -ERR_MIGRATION_CHANGED);
	assert_says("migration 2 was never applied");
}

static void
an_older_database_is_not_served_before_it_is_migrated(void **state)
{
	char conninfo[CLUSTER_CONNINFO_LEN];
	struct store *store = NULL;

	database("older", conninfo);
	assert_int_equal(store_open(conninfo, &store, error), -ERR_DATABASE);
	assert_says("not migrated");
	assert_int_equal(store_migrate(conninfo, error), store_version());
	does("older", "DELETE FROM warren.migration WHERE number = 4");
	assert_int_equal(store_open(conninfo, &store, error), -ERR_DATABASE);
	assert_says("not migrated");
}

static void
what_fails_is_named_with_its_statement(void **state)
{
	char conninfo[CLUSTER_CONNINFO_LEN];

	database("fails", conninfo);
	does("fails", "CREATE SCHEMA warren AUTHORIZATION warren; CREATE TABLE warren.pool ()");
	assert_int_equal(store_migrate(conninfo, error), -ERR_DATABASE);
	assert_says("migration 0002_address, statement 1 (CREATE TABLE pool");
	assert_says("42P07");
	does("fails", "DROP TABLE warren.pool");
	assert_int_equal(store_migrate(conninfo, error), store_version() - 1);
	assert_serves(conninfo);
}

static void
missing_roles_are_asked_for_in_words_that_can_be_run(void **state)
{
	char conninfo[CLUSTER_CONNINFO_LEN], again[CLUSTER_CONNINFO_LEN];

	sql("CREATE ROLE guest LOGIN PASSWORD 'guest'");
	sql("CREATE DATABASE guests OWNER guest");
	snprintf(conninfo, sizeof(conninfo), "host='%s/run' dbname=guests user=guest password=guest",
		 fixture.dir);
	assert_int_equal(store_migrate(conninfo, error), -ERR_DATABASE_ROLE);
	assert_says("GRANT warren_runtime TO \"guest\"");
	sql("GRANT warren_runtime TO \"guest\"");
	assert_int_equal(store_migrate(conninfo, error), -ERR_DATABASE_ROLE);
	assert_says("GRANT warren_gateway TO \"guest\"");
	sql("GRANT warren_gateway TO \"guest\"");
	assert_int_equal(store_migrate(conninfo, error), store_version());
	assert_serves(conninfo);

	/* Renamed, they are missing; roles are not the database's, so nothing else speaks of their names. */
	sql("ALTER ROLE warren_gateway RENAME TO was_gateway");
	fixture_owner_conninfo(again, "idempotent");
	assert_int_equal(store_migrate(again, error), -ERR_DATABASE_ROLE);
	assert_says("CREATE ROLE warren_gateway");
	sql("ALTER ROLE was_gateway RENAME TO warren_gateway");
}

static void
an_owner_who_may_make_roles_makes_them(void **state)
{
	char conninfo[CLUSTER_CONNINFO_LEN];

	sql("ALTER ROLE warren_gateway RENAME TO old_gateway");
	sql("ALTER ROLE warren_runtime RENAME TO old_runtime");
	sql("CREATE ROLE maker LOGIN CREATEROLE PASSWORD 'maker'");
	sql("CREATE DATABASE made OWNER maker");
	snprintf(conninfo, sizeof(conninfo), "host='%s/run' dbname=made user=maker password=maker",
		 fixture.dir);
	if (store_migrate(conninfo, error) != store_version())
		fail_msg("%s", error);
	assert_serves(conninfo);
	sql("DROP DATABASE made WITH (FORCE)");
	sql("DROP ROLE warren_gateway, warren_runtime");
	sql("ALTER ROLE old_gateway RENAME TO warren_gateway");
	sql("ALTER ROLE old_runtime RENAME TO warren_runtime");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(migrating_again_changes_nothing),
		cmocka_unit_test(killed_before_any_statement_it_goes_on_from_there),
		cmocka_unit_test(a_killed_migration_leaves_whole_migrations_only),
		cmocka_unit_test(of_many_at_once_one_does_it),
		cmocka_unit_test(a_newer_database_is_refused_and_left_alone),
		cmocka_unit_test(a_changed_migration_is_refused),
		cmocka_unit_test(an_older_database_is_not_served_before_it_is_migrated),
		cmocka_unit_test(what_fails_is_named_with_its_statement),
		cmocka_unit_test(missing_roles_are_asked_for_in_words_that_can_be_run),
		cmocka_unit_test(an_owner_who_may_make_roles_makes_them),
	};

	return cmocka_run_group_tests_name("migrations", tests, fixture_up, fixture_down);
}
