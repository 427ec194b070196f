#include "tests/store/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "base/text.h"
#include "server/store/migrate.h"

#define UNPRIVILEGED 65534

struct fixture fixture;

const struct actor nobody_in_particular = {"system", "", ""};

/* initdb refuses root.  Dumpable again, or the leak checker cannot look at us. */
void
fixture_unprivileged(void)
{
	if (geteuid() != 0)
		return;
	assert_int_equal(chdir("/"), 0); /* ours may be closed to whom we become */
	assert_int_equal(setgroups(0, NULL), 0);
	assert_int_equal(setresgid(UNPRIVILEGED, UNPRIVILEGED, UNPRIVILEGED), 0);
	assert_int_equal(setresuid(UNPRIVILEGED, UNPRIVILEGED, UNPRIVILEGED), 0);
	assert_int_equal(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), 0);
}

void
fixture_directory(void)
{
	text_copy(fixture.dir, sizeof(fixture.dir), "/tmp/warren-store-XXXXXX");
	assert_non_null(mkdtemp(fixture.dir));
}

/* Until postgres takes connections; it must not end before that. */
static void
wait_ready(void)
{
	const struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};

	while (cluster_ready(fixture.cluster) == -EAGAIN) {
		assert_int_equal(waitpid(fixture.postgres, NULL, WNOHANG), 0);
		nanosleep(&pause, NULL);
	}
}

void
fixture_start(void)
{
	const pid_t parent = getpid();

	fixture.postgres = fork();
	assert_true(fixture.postgres >= 0);
	if (fixture.postgres == 0) {
		prctl(PR_SET_PDEATHSIG, SIGQUIT);
		if (getppid() != parent)
			_exit(1);
		setsid();
		execve(cluster_path(fixture.cluster), (char *const *)(uintptr_t)cluster_argv(fixture.cluster),
		       (char *const *)(uintptr_t)cluster_env(fixture.cluster));
		_exit(127);
	}
	wait_ready();
}

void
fixture_stop(int signal)
{
	if (fixture.postgres <= 0)
		return;
	kill(fixture.postgres, signal);
	waitpid(fixture.postgres, NULL, 0);
	fixture.postgres = 0;
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	return remove(path);
}

void
fixture_remove(const char *path)
{
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void
fixture_superuser_conninfo(char out[CLUSTER_CONNINFO_LEN], const char *database)
{
	char path[128], password[128] = "";
	FILE *file;

	snprintf(path, sizeof(path), "%s/postgres.password", fixture.dir);
	file = fopen(path, "re");
	assert_non_null(file);
	assert_non_null(fgets(password, sizeof(password), file));
	fclose(file);
	password[strcspn(password, "\n")] = '\0';
	snprintf(out, CLUSTER_CONNINFO_LEN, "host='%s/run' dbname=%s user=postgres password=%s", fixture.dir,
		 database, password);
}

/* Of a repeated key libpq takes the last. */
void
fixture_owner_conninfo(char out[CLUSTER_CONNINFO_LEN], const char *database)
{
	assert_true(snprintf(out, CLUSTER_CONNINFO_LEN, "%s dbname=%s", fixture.conninfo, database) <
		    CLUSTER_CONNINFO_LEN);
}

static void
superuser_connect(void)
{
	char conninfo[CLUSTER_CONNINFO_LEN];

	fixture_superuser_conninfo(conninfo, "warren");
	fixture.superuser = PQconnectdb(conninfo);
	if (PQstatus(fixture.superuser) != CONNECTION_OK)
		fail_msg("superuser: %s", PQerrorMessage(fixture.superuser));
	sql("SET search_path = warren");
	sql("SET client_min_messages = warning");
}

int
fixture_up(void **state)
{
	char error[STORE_ERROR_LEN] = "";

	fixture_unprivileged();
	fixture_directory();
	if (cluster_prepare(fixture.dir, NULL, &fixture.cluster, error) < 0)
		fail_msg("%s", error);
	assert_true(cluster_conninfo(fixture.cluster, fixture.conninfo, sizeof(fixture.conninfo)) > 0);
	fixture_start();
	superuser_connect();
	if (store_migrate(fixture.conninfo, error) < 0)
		fail_msg("%s", error);
	if (store_open(fixture.conninfo, &fixture.store, error) < 0)
		fail_msg("%s", error);
	return 0;
}

int
fixture_down(void **state)
{
	store_free(fixture.store);
	sql(NULL);
	PQfinish(fixture.superuser);
	fixture_stop(CLUSTER_STOP_SIGNAL);
	cluster_free(fixture.cluster);
	fixture_remove(fixture.dir);
	return 0;
}

/* NULL: only forgets the last result. */
const char *
sql(const char *format, ...)
{
	static PGresult *result;
	char text[4096];
	va_list args;

	PQclear(result);
	result = NULL;
	if (!format)
		return "";
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	result = PQexec(fixture.superuser, text);
	if (PQresultStatus(result) == PGRES_COMMAND_OK)
		return "";
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		fail_msg("%s: %s", text, PQerrorMessage(fixture.superuser));
	return PQntuples(result) ? PQgetvalue(result, 0, 0) : "";
}

void
home_new(struct home *home, uint8_t len)
{
	static uint8_t number;
	char name[32], text[32], error[STORE_ERROR_LEN];
	struct tx *tx;
	int r;

	number++;
	snprintf(name, sizeof(name), "tenant-%u", number);
	snprintf(text, sizeof(text), "10.%u.0.0/%u", number, len);
	assert_int_equal(cidr_parse(&home->pool, text), 0);
	r = tenant_ensure(fixture.store, name, &home->pool, &nobody_in_particular, &home->tenant);
	store_words(fixture.store, error);
	if (r != 1)
		fail_msg("tenant_ensure: %d %s", r, error);
	tx = begin(home);
	assert_int_equal(user_ensure(tx, "uid:1000", &home->user), 0);
	commit(&tx);
}

struct public_key
key_new(void)
{
	struct private_key secret;
	struct public_key key;

	private_key_generate(&secret);
	public_key_derive(&key, &secret);
	return key;
}

struct tx *
begin(const struct home *home)
{
	struct tx *tx;

	assert_int_equal(tx_begin(fixture.store, home->tenant.id, &tx), 0);
	assert_int_equal(tx_actor(tx, &nobody_in_particular), 0);
	return tx;
}

void
commit(struct tx **tx)
{
	assert_int_equal(tx_commit(*tx), 0);
	tx_free(take_ptr(*tx));
}

struct change {
	const struct peer_new *fresh;
	struct peer_id gone;
	struct peer *ret;
	int64_t seconds;
};

static int
add_work(struct tx *tx, void *arg)
{
	const struct change *change = arg;
	const int r = tx_actor(tx, &nobody_in_particular);

	return r < 0 ? r : peer_insert(tx, change->fresh, change->ret);
}

int
add_key(const struct home *home, const char *name, const struct public_key *key, struct peer *ret)
{
	const struct peer_new fresh = {.user = home->user.id, .name = name, .key = *key};
	struct change change = {.fresh = &fresh, .ret = ret};

	return store_run(fixture.store, home->tenant.id, add_work, &change);
}

int
add(const struct home *home, const char *name, struct peer *ret)
{
	const struct public_key key = key_new();

	return add_key(home, name, &key, ret);
}

static int
drop_work(struct tx *tx, void *arg)
{
	const struct change *change = arg;
	const int r = tx_actor(tx, &nobody_in_particular);

	return r < 0 ? r : peer_remove(tx, change->gone);
}

int
drop(const struct home *home, struct peer_id id)
{
	struct change change = {.gone = id};

	return store_run(fixture.store, home->tenant.id, drop_work, &change);
}

static int
rest_work(struct tx *tx, void *arg)
{
	const struct change *change = arg;
	const int r = tx_actor(tx, &nobody_in_particular);

	return r < 0 ? r : tenant_set_rest(tx, change->seconds);
}

int
rest(const struct home *home, int64_t seconds)
{
	struct change change = {.seconds = seconds};

	return store_run(fixture.store, home->tenant.id, rest_work, &change);
}
