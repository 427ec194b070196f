#include "server/store/connection.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/errors.h"
#include "server/store/migrate.h"

void
connection_closep(PGconn **conn)
{
	if (*conn)
		PQfinish(*conn);
	*conn = NULL;
}

bool
result_ok(const PGresult *result)
{
	const ExecStatusType status = PQresultStatus(result);

	return status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK;
}

const char *
result_state(const PGresult *result)
{
	const char *state = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;

	return state ? state : "";
}

/* Lines become one, a newline at the end nothing. */
static void
one_line(char *text)
{
	size_t len = strlen(text);

	while (len && (text[len - 1] == '\n' || text[len - 1] == ' '))
		text[--len] = '\0';
	for (; *text; text++)
		if ((unsigned char)*text < 0x20)
			*text = ' ';
}

void
connection_words(PGconn *conn, const PGresult *result, char error[STORE_ERROR_LEN])
{
	const char *primary = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;

	if (primary)
		snprintf(error, STORE_ERROR_LEN, "%s (SQLSTATE %s)", primary, result_state(result));
	else
		snprintf(error, STORE_ERROR_LEN, "%s",
			 conn && *PQerrorMessage(conn) ? PQerrorMessage(conn) : "out of memory");
	one_line(error);
}

/*
 * Defaults come before the text of the user, what must hold behind it.  A peer that vanished is
 * noticed within about ten seconds.
 */
static PGconn *
connect_with(const char *conninfo)
{
	static const char *const names[] = {"application_name",
					    "connect_timeout",
					    "keepalives_idle",
					    "keepalives_interval",
					    "keepalives_count",
					    "tcp_user_timeout",
					    "dbname",
					    "client_encoding",
					    NULL};
	const char *const values[] = {"warren", "5", "10", "3", "3", "10000", conninfo, "UTF8", NULL};

	return PQconnectdbParams(names, values, 1);
}

/* libpq's own words on a text that it cannot read may quote the password in it. */
static int
conninfo_check(const char *conninfo, char error[STORE_ERROR_LEN])
{
	char *words = NULL;
	PQconninfoOption *options = PQconninfoParse(conninfo, &words);

	PQfreemem(words);
	if (!options) {
		snprintf(error, STORE_ERROR_LEN,
			 "the database URL cannot be read; it is like "
			 "postgresql://USER:PASSWORD@HOST:5432/DATABASE");
		return -ERR_DATABASE;
	}
	PQconninfoFree(options);
	return 0;
}

static void
no_notice(void *arg, const PGresult *result)
{
}

int
connection_open(const char *conninfo, PGconn **ret, char error[STORE_ERROR_LEN])
{
	_cleanup_(connection_closep) PGconn *conn = NULL;
	char words[STORE_ERROR_LEN];
	int r;

	r = conninfo_check(conninfo, error);
	if (r < 0)
		return r;
	conn = connect_with(conninfo);
	if (!conn || PQstatus(conn) != CONNECTION_OK) {
		connection_words(conn, NULL, words);
		snprintf(error, STORE_ERROR_LEN, "the database cannot be reached: %.900s", words);
		return -ERR_DATABASE;
	}
	PQsetNoticeReceiver(conn, no_notice, NULL);
	if (PQserverVersion(conn) < 140000) {
		snprintf(error, STORE_ERROR_LEN, "the database is PostgreSQL %d; Warren needs 14 or newer",
			 PQserverVersion(conn) / 10000);
		return -ERR_DATABASE;
	}
	r = connection_setup(conn, QUERY_SESSION, NULL, NULL, error);
	if (r < 0)
		return r;
	*ret = take_ptr(conn);
	return 0;
}

int
connection_text(PGconn *conn, const char *text, char error[STORE_ERROR_LEN])
{
	_cleanup_(result_clearp) PGresult *result = PQexec(conn, text);

	if (result_ok(result))
		return 0;
	connection_words(conn, result, error);
	return -ERR_DATABASE;
}

int
connection_setup(PGconn *conn, enum query query, const struct params *params, PGresult **ret,
		 char error[STORE_ERROR_LEN])
{
	static const struct params none;
	const struct query_line *line = query_line(query);
	const struct params *p = params ? params : &none;
	_cleanup_(result_clearp) PGresult *result =
		PQexecParams(conn, line->text, p->n, NULL, p->v, p->len, p->format, 0);

	if (!result_ok(result)) {
		connection_words(conn, result, error);
		return strcmp(result_state(result), "42501") == 0 ? -EACCES : -ERR_DATABASE;
	}
	if (ret)
		*ret = take_ptr(result);
	return 0;
}

static int
version_check(PGconn *conn, char error[STORE_ERROR_LEN])
{
	_cleanup_(result_clearp) PGresult *exists = NULL, *version = NULL;
	struct row row = {0};
	int64_t number;
	int r;

	r = connection_setup(conn, QUERY_SCHEMA_EXISTS, NULL, &exists, error);
	if (r < 0)
		return r;
	row.result = exists;
	if (!row_bool(&row)) {
		snprintf(error, STORE_ERROR_LEN, "the database is not migrated: it has no schema \"warren\"");
		return -ERR_DATABASE;
	}
	r = connection_setup(conn, QUERY_SCHEMA_VERSION, NULL, &version, error);
	if (r < 0)
		return r;
	row = (struct row){.result = version};
	number = row_int(&row);
	if (number == store_version())
		return row.r;
	snprintf(error, STORE_ERROR_LEN,
		 number > store_version() ? "the database is of schema version %lld, but this program knows "
					    "%d: start the newer Warren that made it"
					  : "the database is of schema version %lld, but this program needs "
					    "%d: it is not migrated",
		 (long long)number, store_version());
	return number > store_version() ? -ERR_DATABASE_NEWER : -ERR_DATABASE;
}

static int
role_check(PGconn *conn, char error[STORE_ERROR_LEN])
{
	_cleanup_(result_clearp) PGresult *reasons = NULL;
	int r;

	r = connection_setup(conn, QUERY_ROLE_CHECK, NULL, &reasons, error);
	if (r < 0)
		return r;
	if (PQntuples(reasons) > 0) {
		snprintf(error, STORE_ERROR_LEN, "tenants would not be kept apart in the database: %.500s",
			 PQgetvalue(reasons, 0, 0));
		return -ERR_DATABASE_ROLE;
	}
	for (int i = 0; i < 2; i++) {
		char words[STORE_ERROR_LEN];

		r = connection_setup(conn, i ? QUERY_MIGRATE_BE_GATEWAY : QUERY_MIGRATE_BE_RUNTIME, NULL,
				     NULL, words);
		if (r == 0)
			r = connection_setup(conn, QUERY_MIGRATE_BE_OWNER, NULL, NULL, words);
		if (r == 0)
			continue;
		snprintf(error, STORE_ERROR_LEN,
			 "role %s may not be taken on (GRANT %s TO the role of the database URL): %.500s",
			 i ? "warren_gateway" : "warren_runtime", i ? "warren_gateway" : "warren_runtime",
			 words);
		return r;
	}
	return 0;
}

int
connection_check(PGconn *conn, char error[STORE_ERROR_LEN])
{
	int r;

	r = version_check(conn, error);
	if (r == 0)
		r = role_check(conn, error);
	return r == -EACCES ? -ERR_DATABASE_ROLE : r;
}

/* Results up to the end of the pipeline; the first that is not well is said. */
static int
pipeline_drain(PGconn *conn, char error[STORE_ERROR_LEN])
{
	int r = 0;

	for (bool end = false; !end;) {
		_cleanup_(result_clearp) PGresult *result = PQgetResult(conn);

		if (!result) {
			if (PQstatus(conn) != CONNECTION_OK) {
				connection_words(conn, NULL, error);
				return -ERR_DATABASE;
			}
			continue; /* between two statements */
		}
		if (PQresultStatus(result) == PGRES_PIPELINE_SYNC)
			end = true;
		else if (!result_ok(result) && r == 0) {
			connection_words(conn, result, error);
			r = -ERR_DATABASE;
		}
	}
	return r;
}

int
connection_prepare(PGconn *conn, char error[STORE_ERROR_LEN])
{
	int r;

	if (!PQenterPipelineMode(conn))
		return -ERR_DATABASE;
	for (enum query query = QUERY_NONE + 1; query < QUERY_END; query++) {
		const struct query_line *line = query_line(query);

		if (line->kind == QUERY_SETUP)
			continue;
		if (!PQsendPrepare(conn, line->name, line->text, line->n_params, NULL)) {
			connection_words(conn, NULL, error);
			return -ERR_DATABASE;
		}
	}
	if (!PQpipelineSync(conn)) {
		connection_words(conn, NULL, error);
		return -ERR_DATABASE;
	}
	r = pipeline_drain(conn, error);
	if (r == 0 && !PQexitPipelineMode(conn)) {
		connection_words(conn, NULL, error);
		r = -ERR_DATABASE;
	}
	return r;
}

bool
connection_stands(PGconn *conn)
{
	struct pollfd fd = {.fd = PQsocket(conn), .events = POLLIN | POLLRDHUP};

	if (PQstatus(conn) != CONNECTION_OK || PQtransactionStatus(conn) != PQTRANS_IDLE)
		return false;
	if (poll(&fd, 1, 0) <= 0)
		return true;
	return !(fd.revents & (POLLHUP | POLLRDHUP | POLLERR)) && PQconsumeInput(conn) &&
	       PQstatus(conn) == CONNECTION_OK;
}
