#include "server/proc/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/errors.h"

#define IDENTITY_NEW "identity.key.new"

static int
identity_read(int fd, const char *directory, struct private_key *ret, struct trouble *t)
{
	char text[KEY_BASE64_LEN + 2] = "";
	struct stat st;
	ssize_t n;
	int r;

	if (fstat(fd, &st) < 0)
		return trouble(t, -errno, "%.300s/" IDENTITY_NAME ": %s", directory, strerror(errno));
	if (!S_ISREG(st.st_mode) || (st.st_mode & 077) || st.st_uid != geteuid())
		return trouble(
			t, -EACCES,
			"%.300s/" IDENTITY_NAME
			" (the gateway's private key) may be read by others; if it was not, chmod 0600 "
			"it; if it was, move it away: a new one is made, and every client needs its public "
			"key",
			directory);
	n = read(fd, text, sizeof(text) - 1);
	if (n > 0 && text[n - 1] == '\n')
		text[n - 1] = '\0';
	r = n < 0 ? -errno : key_from_base64(ret->b, text);
	bytes_wipe(text, sizeof(text));
	if (r == 0 && key_is_zero(ret->b))
		r = -EINVAL;
	if (r < 0)
		return trouble(
			t, r,
			"%.300s/" IDENTITY_NAME
			" does not hold a private key (44 characters of base64); restore it from "
			"a backup, or move it away: a new one is made, and every client needs its public key",
			directory);
	return 0;
}

static int
write_synced(int dir, const struct private_key *key)
{
	_cleanup_(closep) int fd =
		openat(dir, IDENTITY_NEW, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	char text[KEY_BASE64_LEN + 1];
	ssize_t n;

	if (fd < 0)
		return -errno;
	key_to_base64(text, key->b);
	text[KEY_BASE64_LEN - 1] = '\n';
	n = write(fd, text, KEY_BASE64_LEN);
	bytes_wipe(text, sizeof(text));
	if (n != KEY_BASE64_LEN)
		return n < 0 ? -errno : -ENOSPC;
	return fsync(fd) < 0 ? -errno : 0;
}

static int
identity_make(int dir, struct private_key *ret)
{
	int r;

	private_key_generate(ret);
	if (unlinkat(dir, IDENTITY_NEW, 0) < 0 && errno != ENOENT) /* of a start that was cut short */
		return -errno;
	r = write_synced(dir, ret);
	if (r == 0 && (renameat(dir, IDENTITY_NEW, dir, IDENTITY_NAME) < 0 || fsync(dir) < 0))
		r = -errno;
	if (r < 0)
		(void)unlinkat(dir, IDENTITY_NEW, 0);
	return r;
}

int
identity_load(const char *directory, struct private_key *ret, struct trouble *t)
{
	_cleanup_(closep) int dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_(closep) int fd = -1;
	int r;

	if (dir < 0)
		return trouble(t, -errno, "%.300s: %s", directory, strerror(errno));
	fd = openat(dir, IDENTITY_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd >= 0)
		return identity_read(fd, directory, ret, t);
	if (errno != ENOENT)
		return trouble(t, -errno, "%.300s/" IDENTITY_NAME " cannot be read: %s", directory,
			       strerror(errno));
	r = identity_make(dir, ret);
	return r < 0 ? trouble(t, r, "%.300s/" IDENTITY_NAME " cannot be made: %s", directory, error_words(r))
		     : 0;
}
