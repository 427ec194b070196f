#include "server/store/postgres_bin.h"

#include <errno.h>
#include <glob.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "server/store/program.h"

#define FOUND_MAX 32

struct found {
	size_t n;
	struct postgres_bin v[FOUND_MAX];
};

int
postgres_version_parse(const char *text)
{
	static const char before[] = "postgres (PostgreSQL) ";
	char *end;
	long major;

	if (strncmp(text, before, sizeof(before) - 1) != 0)
		return -EINVAL;
	major = strtol(text + sizeof(before) - 1, &end, 10);
	return major > 0 && major < 1000 && end > text + sizeof(before) - 1 ? (int)major : -EINVAL;
}

static bool
is_program(const char *dir, const char *name)
{
	char path[POSTGRES_PATH_LEN + 16];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return access(path, X_OK) == 0;
}

static int
version_of(const char *dir)
{
	char path[POSTGRES_PATH_LEN + 16], words[PROGRAM_WORDS];
	const char *const argv[] = {path, "--version", NULL}; /* not found in PATH it complains first */

	snprintf(path, sizeof(path), "%s/postgres", dir);
	return program_run(path, argv, NULL, words) == 0 ? postgres_version_parse(words) : -EINVAL;
}

static void
consider(struct found *found, const char *dir)
{
	int major;

	if (found->n == FOUND_MAX || dir[0] != '/' || strlen(dir) >= POSTGRES_PATH_LEN ||
	    !is_program(dir, "postgres") || !is_program(dir, "initdb"))
		return;
	for (size_t i = 0; i < found->n; i++)
		if (strcmp(found->v[i].dir, dir) == 0)
			return;
	major = version_of(dir);
	if (major < 0)
		return;
	found->v[found->n].major = major;
	snprintf(found->v[found->n].dir, POSTGRES_PATH_LEN, "%s", dir);
	found->n++;
}

static void
consider_path(struct found *found, const char *path)
{
	char dir[POSTGRES_PATH_LEN];

	while (*path) {
		const size_t len = strcspn(path, ":");

		if (len < sizeof(dir)) {
			memcpy(dir, path, len);
			dir[len] = '\0';
			consider(found, dir);
		}
		path += len + (path[len] == ':');
	}
}

static int
newest_first(const void *a, const void *b)
{
	return ((const struct postgres_bin *)b)->major - ((const struct postgres_bin *)a)->major;
}

static void
search(const char *dirs, const char *built, const char *path, struct found *found)
{
	glob_t paths = {0};

	if (glob(dirs, 0, NULL, &paths) == 0)
		for (size_t i = 0; i < paths.gl_pathc; i++)
			consider(found, paths.gl_pathv[i]);
	globfree(&paths);
	if (built)
		consider(found, built);
	if (path)
		consider_path(found, path);
	qsort(found->v, found->n, sizeof(*found->v), newest_first);
}

int
postgres_find(int major, const char *dirs, const char *built, const char *path, struct postgres_bin *ret)
{
	struct found found = {0};

	search(dirs, built, path, &found);
	for (size_t i = 0; i < found.n; i++) {
		if (major ? found.v[i].major != major : found.v[i].major < POSTGRES_LEAST)
			continue;
		*ret = found.v[i];
		return 0;
	}
	return -ENOENT;
}

void
postgres_versions(const char *dirs, const char *built, const char *path, char *out, size_t len)
{
	struct found found = {0};
	size_t at = 0;

	search(dirs, built, path, &found);
	snprintf(out, len, "none");
	for (size_t i = 0; i < found.n && at < len; i++)
		if (i == 0 || found.v[i].major != found.v[i - 1].major)
			at += (size_t)snprintf(out + at, len - at, "%s%d", at ? ", " : "", found.v[i].major);
}
