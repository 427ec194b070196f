/* Tenants are kept apart by the database, whatever a statement forgets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>
#include <string.h>

#include "base/errors.h"
#include "base/text.h"
#include "server/store/connection.h"
#include "server/store/gateway.h"
#include "server/store/lease.h"
#include "tests/store/fixture.h"

static struct home a, b;
static struct peer peer_a, peer_b;

static int
up(void **state)
{
	fixture_up(state);
	home_new(&a, 24);
	home_new(&b, 24);
	assert_int_equal(add(&a, "laptop", &peer_a), 0);
	assert_int_equal(add(&b, "laptop", &peer_b), 0);
	return 0;
}

/* A connection as the program has it. */
static PGconn *
owner(void)
{
	PGconn *conn = PQconnectdb(fixture.conninfo);

	assert_int_equal(PQstatus(conn), CONNECTION_OK);
	PQclear(PQexec(conn, "SET search_path = warren"));
	return conn;
}

static void
does(PGconn *conn, const char *text)
{
	PGresult *result = PQexec(conn, text);

	if (!result_ok(result))
		fail_msg("%s: %s", text, PQerrorMessage(conn));
	PQclear(result);
}

static void
is_refused(PGconn *conn, const char *text, const char *state)
{
	PGresult *result;

	does(conn, "SAVEPOINT s");
	result = PQexec(conn, text);
	if (strcmp(result_state(result), state) != 0)
		fail_msg("%s: SQLSTATE \"%s\" instead of %s", text, result_state(result), state);
	PQclear(result);
	does(conn, "ROLLBACK TO s");
}

static int
number(PGconn *conn, const char *text)
{
	PGresult *result = PQexec(conn, text);
	int n;

	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		fail_msg("%s: %s", text, PQerrorMessage(conn));
	n = (int)strtol(PQgetvalue(result, 0, 0), NULL, 10);
	PQclear(result);
	return n;
}

static void
be(PGconn *conn, const char *role, int64_t tenant)
{
	char text[128];

	does(conn, "BEGIN");
	snprintf(text, sizeof(text), "SELECT set_config('role', '%s', true)", role);
	does(conn, text);
	snprintf(text, sizeof(text), "SELECT set_config('warren.tenant', '%.0" PRId64 "', true)", tenant);
	does(conn, text);
}

/* Calls @check with each table that has rows of tenants, and its column of the tenant. */
static unsigned
each_table(void (*check)(PGconn *conn, const char *table, const char *column), PGconn *conn)
{
	PGresult *result = PQexec(
		fixture.superuser,
		"SELECT c.relname, a.attname FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid"
		" AND a.attname = CASE c.relname WHEN 'tenant' THEN 'id' ELSE 'tenant_id' END"
		" WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'warren'::regnamespace");
	const int n = PQntuples(result);

	for (int i = 0; i < n; i++)
		check(conn, PQgetvalue(result, i, 0), PQgetvalue(result, i, 1));
	PQclear(result);
	return (unsigned)n;
}

static void
every_statement_fits_the_schema_and_names_the_tenant(void **state)
{
	PGconn *conn = owner();
	char error[STORE_ERROR_LEN] = "";
	unsigned n = 0;

	if (connection_prepare(conn, error) < 0)
		fail_msg("%s", error);
	for (enum query query = QUERY_NONE + 1; query < QUERY_END; query++) {
		const struct query_line *line = query_line(query);
		PGresult *result;

		if (line->kind == QUERY_SETUP)
			continue;
		result = PQdescribePrepared(conn, line->name);
		if (!result_ok(result) || PQnparams(result) != line->n_params)
			fail_msg("%s has %d parameters and says %d", line->name, PQnparams(result),
				 line->n_params);
		/* int8 by its number in pg_type.dat: what the store sends as the tenant is one everywhere. */
		if (line->kind == QUERY_TENANT && (!strstr(line->text, "$1") || PQparamtype(result, 0) != 20))
			fail_msg("%s does not have the tenant as $1", line->name);
		PQclear(result);
		n++;
	}
	assert_true(n > 50);
	PQfinish(conn);
}

static void
sees_own_rows_only(PGconn *conn, const char *table, const char *column)
{
	char text[256];

	snprintf(text, sizeof(text), "SELECT count(*) FROM %s", table);
	if (number(conn, text) < 1)
		fail_msg("%s: not even the own rows", table);
	snprintf(text, sizeof(text), "SELECT count(*) FROM %s WHERE %s <> %" PRId64, table, column,
		 a.tenant.id.v);
	if (number(conn, text) != 0)
		fail_msg("%s: another tenant's rows", table);
}

static void
sees_nothing(PGconn *conn, const char *table, const char *column)
{
	char text[256];

	snprintf(text, sizeof(text), "SELECT count(*) FROM %s", table);
	if (number(conn, text) != 0)
		fail_msg("%s: rows without a tenant", table);
}

static void
a_statement_without_a_condition_sees_the_own_tenant_only(void **state)
{
	PGconn *conn = owner();

	be(conn, "warren_runtime", a.tenant.id.v);
	assert_int_equal(each_table(sees_own_rows_only, conn), 8);
	PQfinish(conn);
}

static void
without_a_tenant_there_is_nothing(void **state)
{
	PGconn *conn = owner();

	each_table(sees_nothing, conn); /* not even for the owner of the tables */
	does(conn, "SET ROLE warren_runtime");
	each_table(sees_nothing, conn); /* never set */
	does(conn, "RESET ROLE");
	be(conn, "warren_runtime", a.tenant.id.v);
	does(conn, "COMMIT");
	assert_int_equal(number(conn, "SELECT (current_user = 'warren')::int"), 1);
	assert_int_equal(number(conn, "SELECT (current_setting('warren.tenant') = '')::int"), 1);
	does(conn, "SET ROLE warren_runtime");
	each_table(sees_nothing, conn); /* empty text, after a transaction that had one */
	does(conn, "RESET ROLE");
	be(conn, "warren_runtime", 0);
	each_table(sees_nothing, conn);
	PQfinish(conn);
}

static void
rows_of_another_tenant_cannot_be_written(void **state)
{
	PGconn *conn = owner();
	char text[512];

	be(conn, "warren_runtime", a.tenant.id.v);
	snprintf(text, sizeof(text), "INSERT INTO tenant_user (tenant_id, name) VALUES (%" PRId64 ", 'x')",
		 b.tenant.id.v);
	is_refused(conn, text, "42501");
	snprintf(text, sizeof(text),
		 "INSERT INTO pool (tenant_id, network) VALUES (%" PRId64 ", '172.16.0.0/24')",
		 b.tenant.id.v);
	is_refused(conn, text, "42501");
	is_refused(conn, "INSERT INTO tenant (id, name) VALUES (77777, 'x')", "42501");
	/* A row of one's own that points at another's. */
	snprintf(text, sizeof(text),
		 "INSERT INTO peer (tenant_id, user_id, name, public_key) VALUES (%" PRId64 ", %" PRId64
		 ", 'x', decode(repeat('07', 32), 'hex'))",
		 a.tenant.id.v, b.user.id.v);
	is_refused(conn, text, "23503");
	snprintf(text, sizeof(text),
		 "INSERT INTO lease (tenant_id, pool_id, peer_id, pool_offset, address, during) SELECT "
		 "%" PRId64 ", id, %" PRId64 ", 99, '10.9.9.9', tstzrange(now(), NULL) FROM pool LIMIT 1",
		 a.tenant.id.v, peer_b.id.v);
	is_refused(conn, text, "23503");
	does(conn, "UPDATE peer SET disabled_at = now()");
	does(conn, "COMMIT");
	assert_string_equal(
		sql("SELECT count(*) FROM peer WHERE disabled_at IS NOT NULL AND tenant_id = %" PRId64,
		    b.tenant.id.v),
		"0");
	does(conn, "BEGIN");
	does(conn, "UPDATE peer SET disabled_at = NULL"); /* the owner: no row, and no error */
	does(conn, "COMMIT");
	assert_string_equal(sql("SELECT count(*) FROM peer WHERE disabled_at IS NOT NULL"), "1");
	sql("UPDATE peer SET disabled_at = NULL");
	PQfinish(conn);
}

static void
what_is_written_once_stays_for_the_program(void **state)
{
	static const char *const refused[] = {
		"UPDATE audit SET actor = 'x'",
		"DELETE FROM audit",
		"TRUNCATE audit",
		"DELETE FROM audit_head",
		"DELETE FROM lease",
		"UPDATE lease SET peer_id = peer_id",
		"DELETE FROM peer",
		"UPDATE peer SET tenant_id = 1",
		"UPDATE peer SET name = 'x'",
		"DELETE FROM tenant",
		"UPDATE pool SET network = '10.0.0.0/8'",
		"DELETE FROM migration",
		"SELECT * FROM migration",
		"ALTER TABLE peer NO FORCE ROW LEVEL SECURITY",
		"DROP POLICY tenant_own ON peer",
		"CREATE TABLE x ()",
		"UPDATE server SET ula = ula",
	};
	PGconn *conn = owner();

	be(conn, "warren_runtime", a.tenant.id.v);
	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		is_refused(conn, refused[i], "42501");
	PQfinish(conn);
	/* The fence holds for the owner's slips, too. */
	conn = owner();
	does(conn, "BEGIN");
	is_refused(conn, "UPDATE audit SET actor = 'x'", "P0001");
	is_refused(conn, "DELETE FROM audit", "P0001");
	is_refused(conn, "TRUNCATE audit", "P0001");
	PQfinish(conn);
}

static void
the_gateway_sees_no_names_and_writes_what_it_observed_only(void **state)
{
	static const char *const refused[] = {
		"SELECT name FROM peer",
		"SELECT name FROM tenant_user",
		"SELECT * FROM audit",
		"SELECT * FROM audit_head",
		"SELECT * FROM free_address",
		"UPDATE peer SET public_key = public_key",
		"UPDATE peer SET expires_at = NULL",
		"UPDATE peer SET disabled_at = NULL",
		"UPDATE tenant SET peers_may_meet = true",
		"DELETE FROM peer",
		"INSERT INTO tenant (id, name) VALUES (7777, 'x')",
		"UPDATE lease SET during = during",
	};
	PGconn *conn = owner();

	be(conn, "warren_gateway", 0);
	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		is_refused(conn, refused[i], "42501");
	assert_int_equal(number(conn, "SELECT count(*) FROM peer"), 2);
	PQfinish(conn);
}

static void
no_operation_reaches_another_tenants_peer(void **state)
{
	const struct public_key key = key_new();
	const struct sealed psk = {.len = 3, .b = "abc"};
	const struct peer_new theirs = {.user = b.user.id, .name = "x", .key = key};
	struct audit_rows rows;
	struct peer peer;
	struct peers peers;
	struct user user;
	struct tx *tx = begin(&a);

	assert_int_equal(peer_get(tx, peer_b.id, &peer), -ERR_NOT_FOUND);
	assert_int_equal(peer_find_key(tx, &peer_b.key, &peer), -ERR_NOT_FOUND);
	assert_int_equal(peer_find_name(tx, "laptop", &peer), 0);
	assert_int_equal(peer.id.v, peer_a.id.v);
	assert_int_equal(peer_set_disabled(tx, peer_b.id, true, &peer), -ERR_NOT_FOUND);
	assert_int_equal(peer_set_expiry(tx, peer_b.id, 1, &peer), -ERR_NOT_FOUND);
	assert_int_equal(peer_rekey(tx, peer_b.id, &key, &peer), -ERR_NOT_FOUND);
	assert_int_equal(peer_set_psk(tx, peer_b.id, &psk, &peer), -ERR_NOT_FOUND);
	assert_int_equal(peer_remove(tx, peer_b.id), -ERR_NOT_FOUND);
	assert_int_equal(peer_insert(tx, &theirs, &peer), -ERR_NOT_FOUND);
	assert_int_equal(user_get(tx, b.user.id, &user), -ERR_NOT_FOUND);
	assert_int_equal(peer_list(tx, "", 10, &peers), 0);
	assert_int_equal(peers.n, 1);
	peers_done(&peers);
	assert_int_equal(audit_list(tx, INT64_MAX, 1000, &rows), 0);
	for (size_t i = 0; i < rows.n; i++)
		assert_null(strstr(rows.v[i].after, "tenant-2"));
	assert_int_equal(rows.v[rows.n - 1].seq, 1);
	audit_rows_done(&rows);
	commit(&tx);
	tx = begin(&b);
	assert_int_equal(peer_get(tx, peer_b.id, &peer), 0);
	assert_memory_equal(&peer, &peer_b, sizeof(peer));
	tx_free(tx);
}

static void
opens(const char *conninfo, int expected, const char *words)
{
	_cleanup_(store_freep) struct store *store = NULL;
	char error[STORE_ERROR_LEN] = "";

	assert_int_equal(store_open(conninfo, &store, error), expected);
	if (!strstr(error, words))
		fail_msg("\"%s\" does not say \"%s\"", error, words);
	assert_null(strstr(error, strstr(fixture.conninfo, "password=")));
}

static void
an_unrestricted_role_is_not_served_under(void **state)
{
	opens(fixture.conninfo, 0, "");
	sql("ALTER ROLE warren_runtime BYPASSRLS");
	opens(fixture.conninfo, -ERR_DATABASE_ROLE, "warren_runtime may bypass row-level security");
	sql("ALTER ROLE warren_runtime NOBYPASSRLS");
	sql("ALTER ROLE warren_gateway SUPERUSER");
	opens(fixture.conninfo, -ERR_DATABASE_ROLE, "warren_gateway is a superuser");
	sql("ALTER ROLE warren_gateway NOSUPERUSER");
	sql("REVOKE warren_runtime FROM warren");
	opens(fixture.conninfo, -ERR_DATABASE_ROLE, "GRANT warren_runtime");
	sql("GRANT warren TO warren_runtime");
	opens(fixture.conninfo, -ERR_DATABASE_ROLE, "warren_runtime may become warren");
	sql("REVOKE warren FROM warren_runtime");
	sql("GRANT warren_runtime TO warren");
	sql("ALTER TABLE lease NO FORCE ROW LEVEL SECURITY");
	opens(fixture.conninfo, -ERR_DATABASE_ROLE, "lease has no forced row-level security");
	sql("ALTER TABLE lease FORCE ROW LEVEL SECURITY");
	opens(fixture.conninfo, 0, "");
}

static int
sees_one(struct tx *tx, void *arg)
{
	struct peers peers;
	int r = peer_list(tx, "", 10, &peers);

	if (r < 0)
		return r;
	r = (int)peers.n;
	peers_done(&peers);
	return r;
}

static void
a_superusers_url_works_under_the_restricted_role_too(void **state)
{
	_cleanup_(store_freep) struct store *store = NULL;
	char conninfo[CLUSTER_CONNINFO_LEN], error[STORE_ERROR_LEN];

	fixture_superuser_conninfo(conninfo, "warren");
	assert_int_equal(store_open(conninfo, &store, error), 0);
	assert_int_equal(store_run(store, a.tenant.id, sees_one, NULL), 1);
	assert_int_equal(store_run(store, (struct tenant_id){99999}, sees_one, NULL), 0);
	assert_int_equal(store_run(store, (struct tenant_id){0}, sees_one, NULL), -ERR_NOT_FOUND);
}

static void
what_cannot_be_reached_is_said_without_the_password(void **state)
{
	opens("host=/nonexistent dbname=warren password=hunter2", -ERR_DATABASE, "cannot be reached");
	opens("postgresql://warren:hunter2@[::1", -ERR_DATABASE, "URL cannot be read");
	opens("dbname=warren hunter2", -ERR_DATABASE, "URL cannot be read");
	{
		char conninfo[CLUSTER_CONNINFO_LEN], error[STORE_ERROR_LEN];
		struct store *store = NULL;
		size_t at;

		fixture_owner_conninfo(conninfo, "warren");
		at = strlen(conninfo);
		text_copy(conninfo + at, sizeof(conninfo) - at, " password=hunter2");
		assert_int_equal(store_open(conninfo, &store, error), -ERR_DATABASE);
		assert_null(strstr(error, "hunter2"));
		assert_non_null(strstr(error, "password authentication failed"));
		fixture_superuser_conninfo(conninfo, "postgres");
		assert_int_equal(store_open(conninfo, &store, error), -ERR_DATABASE);
		assert_non_null(strstr(error, "not migrated"));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_statement_fits_the_schema_and_names_the_tenant),
		cmocka_unit_test(a_statement_without_a_condition_sees_the_own_tenant_only),
		cmocka_unit_test(without_a_tenant_there_is_nothing),
		cmocka_unit_test(rows_of_another_tenant_cannot_be_written),
		cmocka_unit_test(what_is_written_once_stays_for_the_program),
		cmocka_unit_test(the_gateway_sees_no_names_and_writes_what_it_observed_only),
		cmocka_unit_test(no_operation_reaches_another_tenants_peer),
		cmocka_unit_test(an_unrestricted_role_is_not_served_under),
		cmocka_unit_test(a_superusers_url_works_under_the_restricted_role_too),
		cmocka_unit_test(what_cannot_be_reached_is_said_without_the_password),
	};

	return cmocka_run_group_tests_name("isolation", tests, up, fixture_down);
}
