/*
 * A library to be preloaded: one call to the allocator fails.  The file that FAMINE names holds two int64:
 * how many calls of threads that are no workers go before the one that fails (0: none fails), as the test
 * sets it, and how many have failed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

extern void *__libc_malloc(size_t len);
extern void *__libc_calloc(size_t n, size_t len);
extern void *__libc_realloc(void *p, size_t len);
extern void *__libc_memalign(size_t align, size_t len);

enum { LEFT, FAILED, FIELDS };

static _Atomic int64_t *fields;

__attribute__((constructor)) static void
fields_map(void)
{
	const char *path = getenv("FAMINE");
	const int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *map = MAP_FAILED;

	if (fd >= 0) {
		map = mmap(NULL, FIELDS * sizeof(*fields), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		close(fd);
	}
	if (map != MAP_FAILED)
		fields = map;
}

static bool
fails(void)
{
	char name[16] = "";

	if (!fields || fields[LEFT] == 0)
		return false;
	prctl(PR_GET_NAME, name);
	if (strncmp(name, "worker", 6) == 0 || --fields[LEFT] > 0)
		return false;
	fields[FAILED]++;
	errno = ENOMEM;
	return true;
}

void *
malloc(size_t len)
{
	return fails() ? NULL : __libc_malloc(len);
}

void *
calloc(size_t n, size_t len)
{
	return fails() ? NULL : __libc_calloc(n, len);
}

void *
realloc(void *p, size_t len)
{
	return fails() ? NULL : __libc_realloc(p, len);
}

void *
aligned_alloc(size_t align, size_t len)
{
	return fails() ? NULL : __libc_memalign(align, len);
}

int
posix_memalign(void **ret, size_t align, size_t len)
{
	if (fails())
		return ENOMEM;
	*ret = __libc_memalign(align, len);
	return *ret ? 0 : ENOMEM;
}
