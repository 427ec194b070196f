/*
 * Postgres' own lock file names a process by number.  After a crash that number may belong to anybody (a
 * restarted container gives the same low numbers again), or to a postmaster that is dead and not yet reaped;
 * in both cases it would refuse to start.  And without the file it would not notice that backends of a killed
 * postmaster still write.  So we look for what really runs in the directory, end that, and only then
 * take the file away.
 */
#include "server/store/leftover.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#define PIDS_MAX 256
#define FORCE_MS 5000 /* a killed process is gone as soon as the kernel gets to it */

struct pids {
	size_t n;
	pid_t v[PIDS_MAX];
};

/* Whether @pid executes postgres in the directory @at.  A dead process has no directory. */
static bool
is_postgres(const char *pid, const struct stat *at)
{
	char path[64], exe[512];
	const char *name;
	struct stat st;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%.20s/cwd", pid);
	if (stat(path, &st) < 0 || st.st_dev != at->st_dev || st.st_ino != at->st_ino)
		return false;
	snprintf(path, sizeof(path), "/proc/%.20s/exe", pid);
	n = readlink(path, exe, sizeof(exe) - 1);
	if (n < 0)
		return false;
	exe[n] = '\0';
	name = strrchr(exe, '/');
	/* An upgrade of the package in between leaves "… (deleted)" behind the name. */
	return name && (strcmp(name, "/postgres") == 0 || strncmp(name, "/postgres ", 10) == 0);
}

static int
find(const struct stat *at, struct pids *pids)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;

	pids->n = 0;
	if (!proc)
		return -errno;
	while ((entry = readdir(proc)) && pids->n < PIDS_MAX) {
		const size_t digits = strspn(entry->d_name, "0123456789");

		if (digits && !entry->d_name[digits] && is_postgres(entry->d_name, at))
			pids->v[pids->n++] = (pid_t)strtol(entry->d_name, NULL, 10);
	}
	closedir(proc);
	return 0;
}

static long
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Until @pid ended, or @until came. */
static void
wait_for(pid_t pid, long until)
{
	_cleanup_(closep) int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	const long left = until - now_ms();

	if (fd >= 0 && left > 0)
		(void)!poll(&poll_fd, 1, (int)left);
}

/* The postmaster: the one that is no child of another. */
static pid_t
parent_of(pid_t pid)
{
	char path[64], text[512];
	_cleanup_(fclosep) FILE *file = NULL;
	const char *end;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "re");
	if (!file || !fgets(text, sizeof(text), file))
		return 0;
	end = strrchr(text, ')'); /* the name before it may hold anything */
	return end && strlen(end) > 4 ? (pid_t)strtol(end + 4, NULL, 10) : 0;
}

static bool
is_child(const struct pids *pids, pid_t pid)
{
	const pid_t parent = parent_of(pid);

	for (size_t i = 0; i < pids->n; i++)
		if (pids->v[i] == parent)
			return true;
	return false;
}

/* Orderly goes through the postmaster alone; backends get the other signals too. */
static int
stop_with(const struct stat *at, int signal, long limit)
{
	const long until = now_ms() + limit;
	struct pids pids;
	int r;

	r = find(at, &pids);
	if (r < 0 || pids.n == 0)
		return r;
	for (size_t i = 0; i < pids.n; i++)
		if (signal != SIGINT || !is_child(&pids, pids.v[i]))
			kill(pids.v[i], signal);
	do {
		for (size_t i = 0; i < pids.n; i++)
			wait_for(pids.v[i], until);
		r = find(at, &pids);
	} while (r == 0 && pids.n && now_ms() < until);
	return r;
}

static int
lock_remove(const char *cluster)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/postmaster.pid", cluster);
	return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

int
leftover_stop(const char *cluster, long patience_ms)
{
	const struct {
		int signal;
		long limit;
	} ways[] = {{SIGINT, patience_ms}, {SIGQUIT, patience_ms / 2}, {SIGKILL, FORCE_MS}};
	struct pids pids = {0};
	struct stat at;
	int r;

	if (stat(cluster, &at) < 0)
		return errno == ENOENT ? 0 : -errno;
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		r = stop_with(&at, ways[i].signal, ways[i].limit);
		if (r < 0)
			return r;
	}
	r = find(&at, &pids);
	if (r < 0)
		return r;
	return pids.n ? -EBUSY : lock_remove(cluster);
}
