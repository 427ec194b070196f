#include "server/cli/secretfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct secretfile {
	const char *path;
	char *written; /* @path, or with force a new one beside it */
	int fd;
	bool force, kept;
};

static int
open_beside(struct secretfile *file)
{
	struct stat st;

	if (stat(file->path, &st) == 0 && !S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? -EISDIR : -EEXIST;
	if (asprintf(&file->written, "%s.XXXXXX", file->path) < 0) {
		file->written = NULL;
		return -ENOMEM;
	}
	file->fd = mkostemp(file->written, O_CLOEXEC); /* 0600 */
	return file->fd < 0 ? -errno : 0;
}

static int
open_new(struct secretfile *file)
{
	file->written = strdup(file->path);
	if (!file->written)
		return -ENOMEM;
	file->fd = open(file->path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return file->fd < 0 ? -errno : 0;
}

int
secretfile_open(struct secretfile **ret, const char *path, bool force)
{
	_cleanup_(secretfile_freep) struct secretfile *file = calloc(1, sizeof(*file));
	int r;

	if (!file)
		return -ENOMEM;
	file->path = path;
	file->force = force;
	file->fd = -1;
	r = force ? open_beside(file) : open_new(file);
	if (r < 0)
		return r;
	*ret = take_ptr(file);
	return 0;
}

static int
write_all(int fd, const char *text, size_t len)
{
	while (len > 0) {
		const ssize_t n = write(fd, text, len);

		if (n < 0 && errno != EINTR)
			return -errno;
		text += MAX(n, 0);
		len -= (size_t)MAX(n, 0);
	}
	return 0;
}

int
secretfile_keep(struct secretfile *file, const char *text, size_t len)
{
	int r = write_all(file->fd, text, len);

	if (r < 0)
		return r;
	if (fchmod(file->fd, 0600) < 0 || fsync(file->fd) < 0)
		return -errno;
	if (file->force && rename(file->written, file->path) < 0)
		return -errno;
	file->kept = true;
	return 0;
}

void
secretfile_free(struct secretfile *file)
{
	if (!file)
		return;
	if (file->fd >= 0 && !file->kept)
		unlink(file->written);
	closep(&file->fd);
	free(file->written);
	free(file);
}
