#include "base/secrets.h"

#include <errno.h>
#include <sodium.h>
#include <sys/prctl.h>
#include <sys/resource.h>

int
process_harden(void)
{
	const struct rlimit none = {0, 0};

	if (sodium_init() < 0)
		return -EIO;
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	return 0;
}

void *
secret_alloc(size_t len)
{
	void *p = sodium_malloc(len);

	if (p)
		sodium_memzero(p, len);
	return p;
}

void
secret_free(void *p)
{
	sodium_free(p);
}
