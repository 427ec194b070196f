/* The store, while the n-th allocation or statement fails, for every n of one scenario. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/errors.h"
#include "server/store/audit.h"
#include "server/store/gateway.h"
#include "server/store/lease.h"
#include "tests/store/fixture.h"

#ifdef WARREN_SANITIZED
int __lsan_do_recoverable_leak_check(void);
#endif

/* What fails when its turn has come. */
enum fault { FAULT_NONE, FAULT_MEMORY, FAULT_ANSWER, FAULT_BACKEND };

static enum fault fault;
static unsigned turn, calls;
static bool struck;

static bool
strikes(enum fault kind)
{
	if (fault != kind || ++calls != turn)
		return false;
	struck = true;
	return true;
}

void *__real_malloc(size_t len);
void *__wrap_malloc(size_t len);
void *__real_calloc(size_t n, size_t len);
void *__wrap_calloc(size_t n, size_t len);
void *__real_realloc(void *p, size_t len);
void *__wrap_realloc(void *p, size_t len);
char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);
FILE *__real_open_memstream(char **text, size_t *len);
FILE *__wrap_open_memstream(char **text, size_t *len);
char *__real_json_dumps(const void *json, size_t flags);
char *__wrap_json_dumps(const void *json, size_t flags);
void *__real_json_string(const char *text);
void *__wrap_json_string(const char *text);
void *__real_json_array(void);
void *__wrap_json_array(void);
void *__real_json_object(void);
void *__wrap_json_object(void);

void *
__wrap_malloc(size_t len)
{
	return strikes(FAULT_MEMORY) ? NULL : __real_malloc(len);
}

void *
__wrap_calloc(size_t n, size_t len)
{
	return strikes(FAULT_MEMORY) ? NULL : __real_calloc(n, len);
}

void *
__wrap_realloc(void *p, size_t len)
{
	return strikes(FAULT_MEMORY) ? NULL : __real_realloc(p, len);
}

char *
__wrap_strdup(const char *text)
{
	return strikes(FAULT_MEMORY) ? NULL : __real_strdup(text);
}

FILE *
__wrap_open_memstream(char **text, size_t *len)
{
	return strikes(FAULT_MEMORY) ? NULL : __real_open_memstream(text, len);
}

char *
__wrap_json_dumps(const void *json, size_t flags)
{
	return strikes(FAULT_MEMORY) ? NULL : __real_json_dumps(json, flags);
}

void *
__wrap_json_string(const char *text)
{
	return strikes(FAULT_MEMORY) ? NULL : __real_json_string(text);
}

void *
__wrap_json_array(void)
{
	return strikes(FAULT_MEMORY) ? NULL : __real_json_array();
}

void *
__wrap_json_object(void)
{
	return strikes(FAULT_MEMORY) ? NULL : __real_json_object();
}

PGresult *__real_PQexecPrepared(PGconn *conn, const char *name, int n, const char *const *v, const int *len,
				const int *format, int result_format);
PGresult *__wrap_PQexecPrepared(PGconn *conn, const char *name, int n, const char *const *v, const int *len,
				const int *format, int result_format);
PGresult *__real_PQexecParams(PGconn *conn, const char *text, int n, const Oid *types, const char *const *v,
			      const int *len, const int *format, int result_format);
PGresult *__wrap_PQexecParams(PGconn *conn, const char *text, int n, const Oid *types, const char *const *v,
			      const int *len, const int *format, int result_format);

/* A result that libpq had no memory for is NULL. */
static bool
statement_strikes(PGconn *conn)
{
	if (strikes(FAULT_BACKEND))
		sql("SELECT pg_terminate_backend(%d, 5000)", PQbackendPID(conn));
	return strikes(FAULT_ANSWER);
}

PGresult *
__wrap_PQexecPrepared(PGconn *conn, const char *name, int n, const char *const *v, const int *len,
		      const int *format, int result_format)
{
	return statement_strikes(conn) ? NULL
				       : __real_PQexecPrepared(conn, name, n, v, len, format, result_format);
}

PGresult *
__wrap_PQexecParams(PGconn *conn, const char *text, int n, const Oid *types, const char *const *v,
		    const int *len, const int *format, int result_format)
{
	return statement_strikes(conn)
		       ? NULL
		       : __real_PQexecParams(conn, text, n, types, v, len, format, result_format);
}

static struct home b; /* whom nothing of this concerns */
static char name[32]; /* of the tenant and of its peer, new for every try */
static struct cidr pool;

static int
up(void **state)
{
	fixture_up(state);
	sql("ALTER ROLE warren SET synchronous_commit = off"); /* speed; nothing here is about the disk */
	home_new(&b, 24);
	return 0;
}

/* A peer's whole life in one transaction, with all that is asked about it. */
static int
life(struct tx *tx, void *arg)
{
	struct public_key *key = arg;
	const struct cidr route = {.ip = {.family = AF_INET, .addr = {192, 168, 7, 0}}, .len = 24};
	struct peer_new fresh = {.name = name, .key = *key, .n_routes = 1, .routes = &route};
	struct peer peer = {0};
	struct peers peers = {0};
	struct audit_rows rows = {0};
	struct leases leases = {0};
	struct pools pools = {0};
	struct user user = {0};
	int64_t n, bad;
	int r;

	r = tx_actor(tx, &nobody_in_particular);
	if (r == 0)
		r = user_ensure(tx, "uid:1000", &user);
	fresh.user = user.id;
	if (r == 0)
		r = peer_insert(tx, &fresh, &peer);
	if (r == 0)
		r = peer_set_expiry(tx, peer.id, 1900000000, &peer);
	if (r == 0)
		r = peer_list(tx, name, 5, &peers);
	if (r == 0)
		r = pool_list(tx, &pools);
	if (r == 0)
		r = audit_list(tx, INT64_MAX, 2, &rows);
	if (r == 0)
		r = lease_history(tx, &peer.address4, 5, &leases);
	if (r == 0)
		r = audit_verify(tx, &n, &bad);
	if (r == 0)
		r = peer_remove(tx, peer.id);
	peers_done(&peers);
	pools_done(&pools);
	audit_rows_done(&rows);
	leases_done(&leases);
	return r;
}

static int
gateway(struct tx *tx, void *arg)
{
	struct gateway_note note = {.peer = {1}, .handshake_at = 5};
	struct gateway_feed feed = {0};
	struct tenants tenants = {0};
	int r;

	r = gateway_read(tx, 0, &feed);
	if (r == 0)
		r = tenant_list(tx, &tenants);
	if (r == 0)
		r = gateway_notes(tx, &note, 1);
	gateway_feed_done(&feed);
	tenants_done(&tenants);
	return r;
}

/* All of it, by a store of its own. */
static int
scenario(const struct public_key *key)
{
	_cleanup_(store_freep) struct store *store = NULL;
	struct public_key mine = *key;
	char error[STORE_ERROR_LEN];
	struct tenant tenant;
	int r;

	r = store_open(fixture.conninfo, &store, error);
	if (r < 0)
		return r;
	r = tenant_ensure(store, name, &pool, &nobody_in_particular, &tenant);
	if (r >= 0)
		r = store_run(store, tenant.id, life, &mine);
	if (r == 0)
		r = store_run_gateway(store, gateway, NULL);
	if (r < 0)
		return r;
	r = store_ping(store);
	return r == -ERR_DATABASE ? store_ping(store) : r; /* it says how it is now, and does not repeat */
}

static int
scenario_with(enum fault kind, unsigned n)
{
	const struct public_key key = key_new();
	const unsigned number = kind * 2048 + n;
	int r;

	snprintf(name, sizeof(name), "f%u-%u", kind, n);
	pool = (struct cidr){.ip = {.family = AF_INET,
				    .addr = {172, (uint8_t)(16 + (number >> 12)), (uint8_t)(number >> 4),
					     (uint8_t)(number << 4)}},
			     .len = 28};
	calls = 0;
	turn = n;
	struck = false;
	fault = kind;
	r = scenario(&key);
	fault = FAULT_NONE;
	return r;
}

static int
verify_work(struct tx *tx, void *arg)
{
	int64_t *rows = arg, bad;

	return audit_verify(tx, rows, &bad);
}

/* Tenant and life each once and wholly, or not at all; and the log is sound. */
static void
assert_whole(bool done)
{
	const struct tenant_id tenant = {
		strtol(sql("SELECT id FROM tenant WHERE name = '%s'", name), NULL, 10)};
	int64_t rows = 0;

	if (tenant.v)
		assert_int_equal(store_run(fixture.store, tenant, verify_work, &rows), 0);
	if (done)
		assert_int_equal(rows, 3 + 4); /* tenant and pools; user, and the peer's three */
	else
		assert_int_equal(rows, tenant.v ? 3 : 0);
	assert_string_equal(sql("SELECT count(*) FROM pool WHERE tenant_id = %" PRId64, tenant.v),
			    tenant.v ? "2" : "0");
	assert_string_equal(sql("SELECT count(*) FROM peer WHERE name = '%s'", name), done ? "1" : "0");
	assert_string_equal(sql("SELECT count(*) FROM lease WHERE tenant_id = %" PRId64, tenant.v),
			    done ? "2" : "0");
	assert_string_equal(sql("SELECT count(*) FROM lease WHERE upper_inf(during)"), "0");
	assert_string_equal(sql("SELECT seq FROM audit_head WHERE tenant_id = %" PRId64, b.tenant.id.v), "4");
}

static void
assert_nothing_leaks(void)
{
#ifdef WARREN_SANITIZED
	sql(NULL);
	assert_int_equal(__lsan_do_recoverable_leak_check(), 0);
#endif
}

static unsigned
each_fault(enum fault kind, void (*check)(int r))
{
	unsigned n = 1;

	for (;; n++) {
		const int r = scenario_with(kind, n);

		if (!struck) {
			assert_int_equal(r, 0);
			assert_whole(true);
			break;
		}
		check(r);
	}
	assert_nothing_leaks();
	return n - 1;
}

static bool
happened(void)
{
	return strcmp(sql("SELECT count(*) FROM peer WHERE name = '%s'", name), "1") == 0;
}

/* The transaction of the fault did not happen; the one before it may have. */
static void
is_without_memory(int r)
{
	if (r != -ENOMEM)
		fail_msg("allocation %u: %s", turn, error_words(r));
	assert_whole(happened());
}

static void
without_memory_for_the_nth_allocation_nothing_is_half_done(void **state)
{
	assert_in_range(each_fault(FAULT_MEMORY, is_without_memory), 40, 1000);
}

static void
is_unavailable_or_done(int r)
{
	if (r != -ERR_DATABASE && r != 0)
		fail_msg("statement %u: %s", turn, error_words(r));
	assert_whole(happened());
}

static void
without_the_nth_answer_nothing_is_half_done(void **state)
{
	assert_in_range(each_fault(FAULT_ANSWER, is_unavailable_or_done), 40, 1000);
}

/* While the store is opened it is an error; afterwards it is repeated. */
static void
is_repeated(int r)
{
	if (r != 0 && (r != -ERR_DATABASE || happened()))
		fail_msg("statement %u: %s", turn, error_words(r));
	if (r != 0)
		assert_in_range(turn, 1, 10);
	assert_whole(r == 0);
}

static void
cut_before_the_nth_statement_it_is_done_all_the_same(void **state)
{
	assert_in_range(each_fault(FAULT_BACKEND, is_repeated), 40, 1000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_memory_for_the_nth_allocation_nothing_is_half_done),
		cmocka_unit_test(without_the_nth_answer_nothing_is_half_done),
		cmocka_unit_test(cut_before_the_nth_statement_it_is_done_all_the_same),
	};

	return cmocka_run_group_tests_name("store", tests, up, fixture_down);
}
