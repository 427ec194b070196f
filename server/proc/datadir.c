#include "server/proc/datadir.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/errors.h"
#include "server/proc/config.h"

#define LOCK_NAME "warrend.lock"

int
directory_make(const char *path)
{
	char part[CONFIG_PATH_LEN];
	const size_t len = strlen(path);

	if (len >= sizeof(part))
		return -ENAMETOOLONG;
	for (size_t i = 1; i <= len; i++) {
		if (path[i] != '/' && path[i])
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		if (mkdir(part, 0700) < 0 && errno != EEXIST) {
			const int r = -errno;

			if (access(part, F_OK) < 0) /* on a read-only system what is there gives EROFS too */
				return r;
		}
	}
	return 0;
}

static int
directory_check(int fd, const char *path, struct trouble *t)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return trouble(t, -errno, "WARREN_DATA_DIR: %.300s: %s", path, strerror(errno));
	if (st.st_uid != geteuid())
		return trouble(t, -EACCES,
			       "WARREN_DATA_DIR: %.300s belongs to uid %u, but warrend runs as uid %u; chown "
			       "it, or name another "
			       "directory",
			       path, st.st_uid, geteuid());
	if ((st.st_mode & 077) && fchmod(fd, 0700) < 0)
		return trouble(t, -errno,
			       "WARREN_DATA_DIR: %.300s is open to others and cannot be closed: %s", path,
			       strerror(errno));
	if (faccessat(fd, ".", R_OK | W_OK | X_OK, AT_EACCESS) < 0)
		return trouble(t, -errno,
			       "WARREN_DATA_DIR: %.300s cannot be written: %s; chmod u+rwx it, or name "
			       "another directory",
			       path, strerror(errno));
	return 0;
}

static int
lock_take(int dir, const char *path, int *ret, struct trouble *t)
{
	_cleanup_(closep) int fd = openat(dir, LOCK_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	char text[32];
	ssize_t n;

	if (fd < 0)
		return trouble(t, -errno,
			       "WARREN_DATA_DIR: %.300s: the lock " LOCK_NAME " cannot be made: %s", path,
			       strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return trouble(t, -errno, "WARREN_DATA_DIR: %.300s: it cannot be locked: %s", path,
				       strerror(errno));
		n = pread(fd, text, sizeof(text) - 1, 0);
		text[n > 0 ? n : 0] = '\0';
		text[strcspn(text, "\n")] = '\0';
		return trouble(t, -EBUSY,
			       "WARREN_DATA_DIR: %.300s is in use by another warrend (pid %s); stop that "
			       "one, or name another "
			       "directory",
			       path, *text ? text : "unknown");
	}
	snprintf(text, sizeof(text), "%d\n", (int)getpid());
	if (ftruncate(fd, 0) < 0 || pwrite(fd, text, strlen(text), 0) < 0)
		return trouble(t, -errno, "WARREN_DATA_DIR: %.300s: nothing can be written there: %s", path,
			       strerror(errno));
	*ret = take_fd(&fd);
	return 0;
}

int
datadir_open(const char *path, int *ret, struct trouble *t)
{
	_cleanup_(closep) int dir = -1;
	int r;

	r = directory_make(path);
	if (r < 0)
		return trouble(t, r,
			       "WARREN_DATA_DIR: %.300s cannot be made: %s; make it as root for this user "
			       "(install -d -o USER "
			       "-m 0700 DIRECTORY), or name one that this user may write",
			       path, error_words(r));
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return trouble(t, -errno,
			       "WARREN_DATA_DIR: %.300s: %s; name a directory that this user may write", path,
			       strerror(errno));
	r = directory_check(dir, path, t);
	return r < 0 ? r : lock_take(dir, path, ret, t);
}
