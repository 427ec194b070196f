#include "server/store/cluster.h"

#include <errno.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/bytes.h"
#include "base/errors.h"
#include "server/store/cluster_make.h"
#include "server/store/leftover.h"
#include "server/store/program.h"

#ifndef POSTGRES_BINDIR
#define POSTGRES_BINDIR NULL
#endif

#define PATH_LEN    512
#define SOCKET_NAME ".s.PGSQL.5432"
#define WAY_OUT     "or set WARREN_DATABASE_URL to a database of your own"

struct cluster {
	char data_dir[PATH_LEN], dir[PATH_LEN + 16], password_path[PATH_LEN + 32], socket_dir[PATH_LEN + 16];
	char path[POSTGRES_PATH_LEN + 16];
	const char *argv[4];
	char owner_password[CLUSTER_PASSWORD_LEN];
};

static int _printf_(3, 4) refuse(char error[CLUSTER_ERROR_LEN], int r, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, CLUSTER_ERROR_LEN, format, args);
	va_end(args);
	return r;
}

/* Our own directory, closed to others.  1: it is there; 0: it is not. */
static int
directory_check(const char *path, char error[CLUSTER_ERROR_LEN])
{
	struct stat st;

	if (lstat(path, &st) < 0) {
		if (errno == ENOENT)
			return 0;
		return refuse(error, -errno, "%.600s cannot be looked at: %s", path, strerror(errno));
	}
	if (!S_ISDIR(st.st_mode))
		return refuse(error, -ENOTDIR, "%.600s is in the way: it is no directory; move it away",
			      path);
	if (st.st_uid != geteuid())
		return refuse(error, -EACCES,
			      "%.600s belongs to uid %u, but this runs as uid %u, and Postgres wants to own "
			      "it: chown -R %u it, or "
			      "start as its owner",
			      path, st.st_uid, geteuid(), geteuid());
	if ((st.st_mode & 077) && chmod(path, 0700) < 0)
		return refuse(error, -errno, "%.600s is open to others and cannot be closed: %s", path,
			      strerror(errno));
	if (access(path, R_OK | W_OK | X_OK) < 0)
		return refuse(error, -errno,
			      "%.600s has mode %03o, so that its owner may not use it: chmod 700 it", path,
			      st.st_mode & 0777U);
	return 1;
}

static int
data_dir_check(const char *path, char error[CLUSTER_ERROR_LEN])
{
	int r;

	r = directory_check(path, error);
	if (r == 0)
		return refuse(error, -ENOENT, "the data directory %.600s is not there", path);
	return r < 0 ? r : 0;
}

/* The major version that made the cluster. */
static int
version_read(const char *dir, char error[CLUSTER_ERROR_LEN])
{
	char path[PATH_LEN + 32], text[16] = "";
	_cleanup_(fclosep) FILE *file = NULL;
	int major;

	snprintf(path, sizeof(path), "%s/PG_VERSION", dir);
	file = fopen(path, "re");
	major = file && fgets(text, sizeof(text), file) ? (int)strtol(text, NULL, 10) : 0;
	if (major <= 0)
		return refuse(error, -ERR_DATABASE,
			      "%.600s is no database cluster: its PG_VERSION cannot be read; move it "
			      "away, " WAY_OUT,
			      dir);
	return major;
}

static int
bin_find(const char *dir, int major, struct postgres_bin *bin, char error[CLUSTER_ERROR_LEN])
{
	const char *path = getenv("PATH");
	char versions[128];

	if (postgres_find(major, POSTGRES_DIRS, POSTGRES_BINDIR, path, bin) == 0)
		return 0;
	postgres_versions(POSTGRES_DIRS, POSTGRES_BINDIR, path, versions, sizeof(versions));
	if (major)
		return refuse(error, -ERR_DATABASE,
			      "the database in %.400s was made by PostgreSQL %d, which is not installed "
			      "(installed: %s): "
			      "apt-get install postgresql-%d, or move it away to begin anew, " WAY_OUT,
			      dir, major, versions, major);
	return refuse(error, -ENOENT,
		      "PostgreSQL %d or newer is not installed (found: %s): apt-get install "
		      "postgresql-15, " WAY_OUT,
		      POSTGRES_LEAST, versions);
}

static bool
socket_fits(const char *dir)
{
	return strlen(dir) + 1 + strlen(SOCKET_NAME) < sizeof(((struct sockaddr_un *)0)->sun_path);
}

static int
socket_dir_choose(struct cluster *cluster, const char *runtime_dir, char error[CLUSTER_ERROR_LEN])
{
	int r;

	snprintf(cluster->socket_dir, sizeof(cluster->socket_dir), "%s/run", cluster->data_dir);
	if (!socket_fits(cluster->socket_dir) && runtime_dir && strlen(runtime_dir) < PATH_LEN)
		snprintf(cluster->socket_dir, sizeof(cluster->socket_dir), "%s/postgres", runtime_dir);
	if (!socket_fits(cluster->socket_dir))
		return refuse(error, -ENAMETOOLONG,
			      "the path %.600s is too long for a socket: name a shorter WARREN_DATA_DIR (at "
			      "most %zu bytes)",
			      cluster->socket_dir,
			      sizeof(((struct sockaddr_un *)0)->sun_path) - sizeof("/run/" SOCKET_NAME));
	if (mkdir(cluster->socket_dir, 0700) < 0 && errno != EEXIST)
		return refuse(error, -errno, "%.600s cannot be made: %s", cluster->socket_dir,
			      strerror(errno));
	r = directory_check(cluster->socket_dir, error);
	return r < 0 ? r : 0;
}

/* What a killed postgres left in the socket's directory would stop the next one just as its lock file does.
 */
static void
socket_remove(const struct cluster *cluster)
{
	static const char *const names[] = {SOCKET_NAME, SOCKET_NAME ".lock"};
	char path[PATH_LEN + 64];

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", cluster->socket_dir, names[i]);
		unlink(path);
	}
}

static int
stop_leftover(const struct cluster *cluster, char error[CLUSTER_ERROR_LEN])
{
	const int r = leftover_stop(cluster->dir, LEFTOVER_PATIENCE_MS);

	if (r < 0)
		return refuse(error, r,
			      "an earlier postgres in %.600s could not be ended: %s; end it by hand",
			      cluster->dir, error_words(r));
	socket_remove(cluster);
	return 0;
}

/* The cluster is there and nobody runs it when this is through. */
static int
make_or_take(struct cluster *cluster, struct postgres_bin *bin, char error[CLUSTER_ERROR_LEN])
{
	char superuser[CLUSTER_PASSWORD_LEN];
	int r, there, fresh;

	there = directory_check(cluster->dir, error);
	if (there < 0)
		return there;
	r = there ? version_read(cluster->dir, error) : 0;
	if (r < 0)
		return r;
	r = bin_find(cluster->dir, r, bin, error);
	if (r < 0)
		return r;
	r = stop_leftover(cluster, error);
	if (r < 0)
		return r;
	fresh = password_file(cluster->password_path, superuser);
	if (fresh < 0)
		return refuse(error, fresh, "%.600s cannot be read or written: %s", cluster->password_path,
			      error_words(fresh));
	password_owner(superuser, cluster->owner_password);
	if (!there)
		r = cluster_make(bin, cluster->dir, cluster->password_path, cluster->owner_password, error);
	else if (fresh) /* its file was lost, and with it the only way in */
		r = cluster_repassword(bin, cluster->dir, superuser, cluster->owner_password, error);
	bytes_wipe(superuser, sizeof(superuser));
	return r;
}

static int
prepare(struct cluster *cluster, const char *runtime_dir, char error[CLUSTER_ERROR_LEN])
{
	struct postgres_bin bin;
	int r;

	snprintf(cluster->dir, sizeof(cluster->dir), "%s/postgres", cluster->data_dir);
	snprintf(cluster->password_path, sizeof(cluster->password_path), "%s/postgres.password",
		 cluster->data_dir);
	r = data_dir_check(cluster->data_dir, error);
	if (r < 0)
		return r;
	r = socket_dir_choose(cluster, runtime_dir, error);
	if (r < 0)
		return r;
	r = make_or_take(cluster, &bin, error);
	if (r < 0)
		return r;
	r = cluster_configure(cluster->dir, cluster->socket_dir);
	if (r < 0)
		return refuse(error, r, "the configuration in %.600s cannot be written: %s", cluster->dir,
			      error_words(r));
	snprintf(cluster->path, sizeof(cluster->path), "%s/postgres", bin.dir);
	cluster->argv[0] = cluster->path; /* by which it finds its own files: PATH does not lead there */
	cluster->argv[1] = "-D";
	cluster->argv[2] = cluster->dir;
	return 0;
}

int
cluster_prepare(const char *data_dir, const char *runtime_dir, struct cluster **ret,
		char error[CLUSTER_ERROR_LEN])
{
	_cleanup_(cluster_freep) struct cluster *cluster = NULL;
	int r;

	error[0] = '\0';
	if (sodium_init() < 0)
		return refuse(error, -EIO, "libsodium cannot be used");
	if (geteuid() == 0)
		return refuse(error, -EPERM,
			      "Postgres does not run as root: start warrend as an ordinary user, " WAY_OUT);
	if (data_dir[0] != '/' || strpbrk(data_dir, "\n\r") || strlen(data_dir) >= PATH_LEN)
		return refuse(error, -EINVAL,
			      "the data directory must be an absolute path of less than %d bytes on one line",
			      PATH_LEN);
	cluster = calloc(1, sizeof(*cluster));
	if (!cluster)
		return refuse(error, -ENOMEM, "there is no memory");
	snprintf(cluster->data_dir, sizeof(cluster->data_dir), "%s", data_dir);
	r = prepare(cluster, runtime_dir, error);
	if (r < 0)
		return r;
	*ret = take_ptr(cluster);
	return 0;
}

void
cluster_free(struct cluster *cluster)
{
	if (!cluster)
		return;
	bytes_wipe(cluster, sizeof(*cluster));
	free(cluster);
}

void
cluster_freep(struct cluster **cluster)
{
	cluster_free(*cluster);
}

const char *
cluster_path(const struct cluster *cluster)
{
	return cluster->path;
}

const char *const *
cluster_argv(const struct cluster *cluster)
{
	return cluster->argv;
}

const char *const *
cluster_env(const struct cluster *cluster)
{
	return program_env;
}

int
cluster_ready(const struct cluster *cluster)
{
	static const char *const names[] = {"host", "port", "dbname", "user", "connect_timeout", NULL};
	const char *const values[] = {cluster->socket_dir, "5432", CLUSTER_DATABASE,
				      CLUSTER_OWNER,       "2",    NULL};

	return PQpingParams(names, values, 0) == PQPING_OK ? 0 : -EAGAIN;
}

int
cluster_conninfo(const struct cluster *cluster, char *out, size_t len)
{
	char host[2 * PATH_LEN + 64];
	size_t at = 0;
	int n;

	for (const char *p = cluster->socket_dir; *p; p++) {
		if (*p == '\'' || *p == '\\')
			host[at++] = '\\';
		host[at++] = *p;
	}
	host[at] = '\0';
	n = snprintf(out, len,
		     "host='%s' port=5432 dbname=" CLUSTER_DATABASE " user=" CLUSTER_OWNER " password=%s",
		     host, cluster->owner_password);
	return n < 0 || (size_t)n >= len ? -ENOSPC : n;
}
