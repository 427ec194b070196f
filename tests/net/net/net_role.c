/*
 * The net role by itself, for a test that plays warrend and control on descriptor 3.  With the paths of a
 * user and a network namespace: enters these as warrend's children do, and executes itself anew there.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>

#include "base/secrets.h"
#include "server/proc/isolation.h"
#include "server/proc/roles.h"

#ifdef WARREN_SANITIZED
/* The environment is empty, and a process that cannot be looked into cannot look for its leaks. */
const char *__asan_default_options(void);

const char *
__asan_default_options(void)
{
	return "detect_leaks=0:abort_on_error=1";
}
#endif

static int
inside(const char *user, const char *net)
{
	char *const argv[] = {"net-role", NULL}, *const env[] = {NULL};
	const struct namespaces ns = {.user = open(user, O_RDONLY | O_CLOEXEC),
				      .net = open(net, O_RDONLY | O_CLOEXEC)};
	int r = ns.user < 0 || ns.net < 0 ? -errno : namespaces_enter(&ns, 1ULL << CAP_NET_ADMIN);

	if (r == 0) {
		execve("/proc/self/exe", argv, env);
		r = -errno;
	}
	fprintf(stderr, "net-role: %s\n", strerror(-r));
	return 1;
}

int
main(int argc, char *argv[])
{
	if (argc == 3)
		return inside(argv[1], argv[2]);
	return process_harden() < 0 ? 1 : net_main();
}
