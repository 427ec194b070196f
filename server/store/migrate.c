#include "server/store/migrate.h"

#include <errno.h>
#include <sodium.h>
#include <stdbool.h>
#include <string.h>

#include "base/bytes.h"
#include "base/errors.h"
#include "server/store/connection.h"
#include "server/store/migrations.h"

#define STATEMENT_MAX 16384 /* bytes of one statement of a migration */

int
store_version(void)
{
	return (int)n_migrations;
}

void
migration_hash(const struct migration *migration, uint8_t ret[MIGRATION_HASH_LEN])
{
	crypto_hash_sha256(ret, (const uint8_t *)migration->sql, strlen(migration->sql));
}

/* For another reason than that the role may not do it. */
static int
failed(const char *words, char error[STORE_ERROR_LEN])
{
	snprintf(error, STORE_ERROR_LEN, "%s", words);
	return -ERR_DATABASE;
}

/* A session that may become @be, made so by @grant if need be. */
static int
role_member(PGconn *conn, const char *name, enum query be, enum query grant, char error[STORE_ERROR_LEN])
{
	char words[STORE_ERROR_LEN];
	int r;

	r = connection_setup(conn, be, NULL, NULL, words);
	if (r == -EACCES) {
		r = connection_setup(conn, grant, NULL, NULL, words);
		if (r == 0)
			r = connection_setup(conn, be, NULL, NULL, words);
	}
	if (r == 0)
		return connection_setup(conn, QUERY_MIGRATE_BE_OWNER, NULL, NULL, error);
	if (r != -EACCES)
		return failed(words, error);
	snprintf(error, STORE_ERROR_LEN,
		 "the role of the database URL may not become %s (%.300s); run as a superuser: GRANT %s TO "
		 "\"%.100s\"",
		 name, words, name, PQuser(conn));
	return -ERR_DATABASE_ROLE;
}

static int
roles_make(PGconn *conn, char error[STORE_ERROR_LEN])
{
	_cleanup_(result_clearp) PGresult *missing = NULL;
	char words[STORE_ERROR_LEN];
	bool may_not;
	int r;

	r = connection_setup(conn, QUERY_MIGRATE_ROLE_MISSING, NULL, &missing, error);
	if (r < 0)
		return r;
	for (int i = 0; i < PQntuples(missing); i++) {
		const char *name = PQgetvalue(missing, i, 0);
		_cleanup_(result_clearp) PGresult *still = NULL;

		r = connection_setup(conn,
				     strcmp(name, "warren_runtime") == 0 ? QUERY_MIGRATE_ROLE_RUNTIME
									 : QUERY_MIGRATE_ROLE_GATEWAY,
				     NULL, NULL, words);
		if (r == 0)
			continue;
		may_not = r == -EACCES;
		/* Roles are the whole server's: another database's migration may have been faster. */
		r = connection_setup(conn, QUERY_MIGRATE_ROLE_MISSING, NULL, &still, error);
		if (r < 0)
			return r;
		if (PQntuples(still) == 0)
			break;
		if (!may_not)
			return failed(words, error);
		snprintf(error, STORE_ERROR_LEN,
			 "role %s is missing and cannot be made (%.300s); run as a superuser: CREATE ROLE "
			 "warren_runtime; "
			 "CREATE ROLE warren_gateway; GRANT warren_runtime, warren_gateway TO \"%.100s\"",
			 name, words, PQuser(conn));
		return -ERR_DATABASE_ROLE;
	}
	r = role_member(conn, "warren_runtime", QUERY_MIGRATE_BE_RUNTIME, QUERY_MIGRATE_GRANT_RUNTIME, error);
	if (r < 0)
		return r;
	return role_member(conn, "warren_gateway", QUERY_MIGRATE_BE_GATEWAY, QUERY_MIGRATE_GRANT_GATEWAY,
			   error);
}

static int
newer_refuse(struct row *row, char error[STORE_ERROR_LEN])
{
	const int64_t number = row_int(row);

	if (number <= store_version())
		return row->r;
	snprintf(error, STORE_ERROR_LEN,
		 "the database has migration %lld (%.100s), but this program knows %d: start the newer "
		 "Warren that made it",
		 (long long)number, row_lent(row), store_version());
	return -ERR_DATABASE_NEWER;
}

static int
row_compare(struct row *row, char error[STORE_ERROR_LEN])
{
	const int64_t number = row_int(row);
	uint8_t theirs[MIGRATION_HASH_LEN], ours[MIGRATION_HASH_LEN];
	size_t len;

	(void)row_lent(row);
	len = row_bytes(row, theirs, sizeof(theirs));
	if (number != row->i + 1) {
		snprintf(error, STORE_ERROR_LEN, "migration %d was never applied, but later ones were",
			 row->i + 1);
		return -ERR_MIGRATION_CHANGED;
	}
	migration_hash(&migrations[row->i], ours);
	if (len != sizeof(ours) || memcmp(ours, theirs, sizeof(ours)) != 0) {
		snprintf(error, STORE_ERROR_LEN,
			 "migration %d (%s) was applied with another text than this program's: this is not "
			 "the program that made "
			 "the database",
			 migrations[row->i].number, migrations[row->i].name);
		return -ERR_MIGRATION_CHANGED;
	}
	return row->r;
}

/* How many are applied; each must be one of ours, unchanged. */
static int
applied(PGconn *conn, char error[STORE_ERROR_LEN])
{
	_cleanup_(result_clearp) PGresult *rows = NULL;
	int r, n;

	r = connection_setup(conn, QUERY_MIGRATE_APPLIED, NULL, &rows, error);
	if (r < 0)
		return r;
	n = PQntuples(rows);
	/* That it is newer comes first: such a program may have changed anything before. */
	r = n ? newer_refuse(&(struct row){.result = rows, .i = n - 1}, error) : 0;
	for (int i = 0; i < n && r == 0; i++)
		r = row_compare(&(struct row){.result = rows, .i = i}, error);
	if (r < 0)
		return r;
	return n;
}

static int
statements_run(PGconn *conn, const struct migration *migration, char error[STORE_ERROR_LEN])
{
	char text[STATEMENT_MAX], words[STORE_ERROR_LEN];
	const char *start, *next = migration->sql;
	size_t len;
	int n = 0;

	while ((len = sql_statement(next, &start, &next)) > 0) {
		n++;
		snprintf(words, sizeof(words), "it is longer than %d bytes", STATEMENT_MAX - 1);
		if (len < sizeof(text)) {
			memcpy(text, start, len);
			text[len] = '\0';
			if (connection_text(conn, text, words) == 0)
				continue;
		}
		snprintf(error, STORE_ERROR_LEN, "migration %04d_%s, statement %d (%.60s…): %.600s",
			 migration->number, migration->name, n, start, words);
		for (char *p = error; *p; p++)
			if (*p == '\n' || *p == '\t')
				*p = ' ';
		return -ERR_DATABASE;
	}
	return 0;
}

static int
record(PGconn *conn, const struct migration *migration, char error[STORE_ERROR_LEN])
{
	uint8_t hash[MIGRATION_HASH_LEN];
	struct params params = {0};

	migration_hash(migration, hash);
	params_int(&params, migration->number);
	params_text(&params, migration->name);
	params_bytes(&params, hash, sizeof(hash));
	return connection_setup(conn, QUERY_MIGRATE_RECORD, &params, NULL, error);
}

/* One migration is one transaction, and is looked for again under the lock. */
static int
apply(PGconn *conn, const struct migration *migration, char error[STORE_ERROR_LEN])
{
	static const enum query before[] = {QUERY_MIGRATE_BEGIN, QUERY_MIGRATE_LOCK, QUERY_MIGRATE_PATIENCE};
	int r;

	for (size_t i = 0; i < ARRAY_LEN(before); i++) {
		r = connection_setup(conn, before[i], NULL, NULL, error);
		if (r < 0)
			return r;
	}
	r = applied(conn, error);
	if (r < 0)
		return r;
	if (r >= migration->number)
		return connection_setup(conn, QUERY_MIGRATE_ROLLBACK, NULL, NULL, error);
	r = statements_run(conn, migration, error);
	if (r < 0)
		return r;
	r = record(conn, migration, error);
	if (r < 0)
		return r;
	r = connection_setup(conn, QUERY_MIGRATE_COMMIT, NULL, NULL, error);
	return r < 0 ? r : 1;
}

/* The owner's session, alone with the bookkeeping table. */
static int
prepare(PGconn *conn, char error[STORE_ERROR_LEN])
{
	static const enum query steps[] = {QUERY_MIGRATE_SESSION, QUERY_MIGRATE_ALONE};
	_cleanup_(result_clearp) PGresult *exists = NULL;
	struct row row = {0};
	int r;

	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		r = connection_setup(conn, steps[i], NULL, NULL, error);
		if (r < 0)
			return r;
	}
	r = connection_setup(conn, QUERY_SCHEMA_EXISTS, NULL, &exists, error);
	if (r < 0)
		return r;
	row.result = exists;
	if (row_bool(&row)) {
		/* Newer or foreign databases are left as they are, roles included. */
		r = applied(conn, error);
		if (r < 0)
			return r;
	}
	r = roles_make(conn, error);
	if (r < 0)
		return r;
	r = connection_setup(conn, QUERY_MIGRATE_SCHEMA, NULL, NULL, error);
	if (r < 0)
		return r;
	return connection_setup(conn, QUERY_MIGRATE_TABLE, NULL, NULL, error);
}

int
store_migrate(const char *conninfo, char error[STORE_ERROR_LEN])
{
	_cleanup_(connection_closep) PGconn *conn = NULL;
	int r, n = 0;

	error[0] = '\0';
	r = connection_open(conninfo, &conn, error);
	if (r < 0)
		return r;
	r = prepare(conn, error);
	for (size_t i = 0; i < n_migrations && r >= 0; i++) {
		r = apply(conn, &migrations[i], error);
		n += r;
	}
	if (r < 0)
		return r == -EACCES ? -ERR_DATABASE : r;
	return n;
}
