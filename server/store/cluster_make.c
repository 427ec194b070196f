#include "server/store/cluster_make.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/errors.h"
#include "server/store/leftover.h"
#include "server/store/program.h"

#define PATH_LEN 1024
#define SQL_LEN  1024

/*
 * What a new cluster begins with, run before it is ever reachable.  The program is no superuser in its own
 * cluster either, and may not make roles.
 */
#define BOOTSTRAP                                                                                            \
	"CREATE ROLE warren_runtime NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE;\n\n"            \
	"CREATE ROLE warren_gateway NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE;\n\n"            \
	"CREATE ROLE " CLUSTER_OWNER                                                                         \
	" LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE PASSWORD '%s';\n\n"                          \
	"GRANT warren_runtime, warren_gateway TO " CLUSTER_OWNER ";\n\n"                                     \
	"CREATE DATABASE " CLUSTER_DATABASE " OWNER " CLUSTER_OWNER ";\n\n"                                  \
	"REVOKE ALL ON DATABASE " CLUSTER_DATABASE " FROM PUBLIC;\n\n"
#define REPASSWORD                                                                                           \
	"ALTER ROLE postgres PASSWORD '%s';\n\n"                                                             \
	"ALTER ROLE " CLUSTER_OWNER " PASSWORD '%s';\n\n"

/*
 * For a machine of one or two cores and little memory; nothing that a power cut could cost is switched off.
 * Statements and their values are not logged.
 */
static const char settings[] = "listen_addresses = ''\n"
			       "unix_socket_permissions = 0700\n"
			       "port = 5432\n"
			       "max_connections = 40\n"
			       "password_encryption = 'scram-sha-256'\n"
			       "shared_buffers = 32MB\n"
			       "work_mem = 2MB\n"
			       "maintenance_work_mem = 16MB\n"
			       "huge_pages = off\n"
			       "jit = off\n"
			       "max_worker_processes = 2\n"
			       "max_parallel_workers_per_gather = 0\n"
			       "max_parallel_maintenance_workers = 0\n"
			       "max_logical_replication_workers = 0\n"
			       "autovacuum_max_workers = 1\n"
			       "wal_level = minimal\n"
			       "max_wal_senders = 0\n"
			       "min_wal_size = 32MB\n"
			       "max_wal_size = 256MB\n"
			       "fsync = on\n"
			       "full_page_writes = on\n"
			       "synchronous_commit = on\n"
			       "log_destination = 'stderr'\n"
			       "logging_collector = off\n"
			       "log_line_prefix = 'postgres[%p]: '\n"
			       "log_timezone = 'UTC'\n"
			       "log_min_messages = warning\n"
			       "log_error_verbosity = terse\n"
			       "log_min_error_statement = panic\n"
			       "log_checkpoints = off\n"
			       "log_parameter_max_length = 0\n"
			       "timezone = 'UTC'\n"
			       "lc_messages = 'C'\n";

static int
sync_path(const char *path)
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int
write_whole(const char *path, const char *text)
{
	_cleanup_(closep) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	const size_t len = strlen(text);
	size_t at = 0;

	if (fd < 0 || fchmod(fd, 0600) < 0)
		return -errno;
	while (at < len) {
		const ssize_t n = write(fd, text + at, len - at);

		if (n < 0)
			return -errno;
		at += (size_t)n;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

int
file_write(const char *dir, const char *name, const char *text)
{
	char path[PATH_LEN], fresh[PATH_LEN];
	int r;

	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path) ||
	    snprintf(fresh, sizeof(fresh), "%s/%s.new", dir, name) >= (int)sizeof(fresh))
		return -ENAMETOOLONG;
	r = write_whole(fresh, text);
	if (r == 0 && rename(fresh, path) < 0)
		r = -errno;
	return r < 0 ? r : sync_path(dir);
}

/* 64 digits and nothing else but an end of line. */
static int
password_read(const char *path, char ret[CLUSTER_PASSWORD_LEN])
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	char text[CLUSTER_PASSWORD_LEN + 1];
	uint8_t bytes[32];
	ssize_t n;
	int r;

	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	r = hex_decode(bytes, sizeof(bytes), text);
	if (r == 0)
		memcpy(ret, text, CLUSTER_PASSWORD_LEN);
	bytes_wipe(text, sizeof(text));
	bytes_wipe(bytes, sizeof(bytes));
	return r;
}

int
password_file(const char *path, char ret[CLUSTER_PASSWORD_LEN])
{
	char text[CLUSTER_PASSWORD_LEN + 1], dir[PATH_LEN];
	uint8_t bytes[32];
	const char *name = strrchr(path, '/');
	int r;

	r = password_read(path, ret);
	if (r != -ENOENT && r != -EINVAL)
		return r;
	randombytes_buf(bytes, sizeof(bytes));
	hex_encode(ret, bytes, sizeof(bytes));
	bytes_wipe(bytes, sizeof(bytes));
	snprintf(dir, sizeof(dir), "%.*s", (int)(name - path), path);
	snprintf(text, sizeof(text), "%s\n", ret);
	r = file_write(dir, name + 1, text);
	bytes_wipe(text, sizeof(text));
	return r < 0 ? r : 1;
}

void
password_owner(const char superuser[CLUSTER_PASSWORD_LEN], char ret[CLUSTER_PASSWORD_LEN])
{
	static const uint8_t what[] = "warren-owner";
	uint8_t bytes[32];

	crypto_generichash(bytes, sizeof(bytes), what, sizeof(what) - 1, (const uint8_t *)superuser,
			   CLUSTER_PASSWORD_LEN - 1);
	hex_encode(ret, bytes, sizeof(bytes));
	bytes_wipe(bytes, sizeof(bytes));
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	return remove(path) < 0 && errno != ENOENT ? -1 : 0;
}

static int
remove_tree(const char *path)
{
	if (access(path, F_OK) < 0 && errno == ENOENT)
		return 0;
	return nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) < 0 ? -errno : 0;
}

/* @sql in a cluster that nobody runs; stops at the first error. */
static int
single_run(const struct postgres_bin *bin, const char *dir, const char *sql, char error[CLUSTER_ERROR_LEN])
{
	char path[POSTGRES_PATH_LEN + 16], words[PROGRAM_WORDS];
	const char *const argv[] = {path, /* by which it finds its own files */
				    "--single",  "-j",
				    "-D",        dir,
				    "-c",        "exit_on_error=on",
				    "-c",        "log_min_messages=fatal",
				    "-c",        "log_min_error_statement=panic",
				    "template1", NULL};
	int r;

	snprintf(path, sizeof(path), "%s/postgres", bin->dir);
	r = program_run(path, argv, sql, words);
	if (r < 0)
		snprintf(error, CLUSTER_ERROR_LEN,
			 "the database cluster in %.300s could not be set up (%s): %.600s", dir,
			 error_words(r), words);
	return r;
}

int
cluster_repassword(const struct postgres_bin *bin, const char *dir, const char *superuser, const char *owner,
		   char error[CLUSTER_ERROR_LEN])
{
	char sql[SQL_LEN];
	int r;

	snprintf(sql, sizeof(sql), REPASSWORD, superuser, owner);
	r = single_run(bin, dir, sql, error);
	bytes_wipe(sql, sizeof(sql));
	return r;
}

static int
initdb_run(const struct postgres_bin *bin, const char *dir, const char *password_path,
	   char error[CLUSTER_ERROR_LEN])
{
	char path[POSTGRES_PATH_LEN + 16], pwfile[PATH_LEN + 16], words[PROGRAM_WORDS];
	const char *const argv[] = {path, /* by which it finds its own files, and postgres */
				    "-D",
				    dir,
				    "--username=postgres",
				    pwfile,
				    "--auth=scram-sha-256",
				    "--encoding=UTF8",
				    "--locale=C",
				    "--data-checksums",
				    "--no-instructions",
				    NULL};
	int r;

	snprintf(path, sizeof(path), "%s/initdb", bin->dir);
	snprintf(pwfile, sizeof(pwfile), "--pwfile=%s", password_path);
	r = program_run(path, argv, NULL, words);
	if (r < 0)
		snprintf(error, CLUSTER_ERROR_LEN,
			 "initdb could not make the database cluster in %.300s (%s): %.600s", dir,
			 error_words(r), words);
	return r;
}

int
cluster_make(const struct postgres_bin *bin, const char *dir, const char *password_path,
	     const char *owner_password, char error[CLUSTER_ERROR_LEN])
{
	char fresh[PATH_LEN], sql[SQL_LEN];
	int r;

	snprintf(fresh, sizeof(fresh), "%s.new", dir);
	r = leftover_stop(fresh, LEFTOVER_PATIENCE_MS);
	if (r == 0)
		r = remove_tree(fresh);
	if (r < 0) {
		snprintf(error, CLUSTER_ERROR_LEN,
			 "%.600s, left behind by an interrupted start, cannot be removed: %s", fresh,
			 error_words(r));
		return r;
	}
	r = initdb_run(bin, fresh, password_path, error);
	if (r < 0)
		return r;
	snprintf(sql, sizeof(sql), BOOTSTRAP, owner_password);
	r = single_run(bin, fresh, sql, error);
	bytes_wipe(sql, sizeof(sql));
	if (r < 0)
		return r;
	if (rename(fresh, dir) < 0)
		r = -errno;
	if (r < 0)
		snprintf(error, CLUSTER_ERROR_LEN, "%.400s cannot be renamed to %.400s: %s", fresh, dir,
			 error_words(r));
	return r;
}

/* A path in a list of paths in a quoted value: "…" within '…', each doubled inside. */
static void
path_quote(char *out, size_t len, const char *path)
{
	size_t at = 0;

	for (; *path && at + 3 < len; path++) {
		if (*path == '\'' || *path == '"' || *path == '\\')
			out[at++] = *path;
		out[at++] = *path;
	}
	out[at] = '\0';
}

int
cluster_configure(const char *dir, const char *socket_dir)
{
	char text[4096], quoted[512];
	int r;

	path_quote(quoted, sizeof(quoted), socket_dir);
	snprintf(text, sizeof(text),
		 "# Written anew at every start of warrend.\nunix_socket_directories = '\"%s\"'\n%s", quoted,
		 settings);
	r = file_write(dir, "postgresql.conf", text);
	if (r < 0)
		return r;
	return file_write(dir, "pg_hba.conf",
			  "# Written anew at every start of warrend.\nlocal all all scram-sha-256\n");
}
