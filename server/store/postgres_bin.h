/*
 * Where Postgres' programs are, for the files of this folder.
 */
#ifndef SERVER_STORE_POSTGRES_BIN_H
#define SERVER_STORE_POSTGRES_BIN_H

#include <stddef.h>

#include "base/cleanup.h"

#define POSTGRES_LEAST    14
#define POSTGRES_PATH_LEN 512
#define POSTGRES_DIRS     "/usr/lib/postgresql/*/bin"

struct postgres_bin {
	int major;
	char dir[POSTGRES_PATH_LEN]; /* has initdb and postgres */
};

/*
 * The one of version @major, or, if that is 0, the newest from POSTGRES_LEAST on.  Looked for are the
 * directories that glob @dirs names after their version, @built (from the build; may be NULL) and those of
 * @path (as $PATH; may be NULL).  -ENOENT: none.
 */
int postgres_find(int major, const char *dirs, const char *built, const char *path,
		  struct postgres_bin *ret) _must_check_;

/* The major versions that are there, newest first, as "15, 14" into @out; "none". */
void postgres_versions(const char *dirs, const char *built, const char *path, char *out, size_t len);

/* Of "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)".  -EINVAL. */
int postgres_version_parse(const char *text) _must_check_;

#endif
