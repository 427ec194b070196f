/*
 * The inner namespaces: a user namespace in which the one uid and gid are themselves, and a network
 * namespace that belongs to it.  Made by a process of its own, the holder, because warrend stays
 * outside and is not dumpable (so its /proc files are root's); warrend then keeps the descriptors,
 * and the namespaces live as long as these and the processes inside.
 */
#ifndef SERVER_PROC_ISOLATION_H
#define SERVER_PROC_ISOLATION_H

#include <stdint.h>

#include "base/cleanup.h"
#include "server/proc/trouble.h"

struct namespaces {
	int user, net;
};

#define NAMESPACES_NONE                                                                                      \
	{                                                                                                    \
		.user = -1, .net = -1                                                                        \
	}

/*
 * Executes this program's own image as "holder" with an empty environment.  -ERR_NO_USERNS and
 * others: @t says what forbids it and what to do.
 */
int namespaces_make(struct namespaces *ret, struct trouble *t) _must_check_;
void namespaces_done(struct namespaces *ns);

/* The program's role "holder": descriptor 3 leads to namespaces_make().  Returns the exit status. */
int holder_main(void);

/* The words for a refusal with @err (positive errno) to make user namespaces. */
int namespaces_explain(int err, struct trouble *t);

/* The name under which each is handed to a child, as SOCKET. */
#define NAMESPACE_USER "ns:user"
#define NAMESPACE_NET  "ns:net"

/*
 * For a process that is about to execute another program: enters @ns and keeps the capabilities of
 * @caps (bits by number) there, ambient so that what it executes has them; all others are out of reach
 * for good.  Negated errno.
 */
int namespaces_enter(const struct namespaces *ns, uint64_t caps) _must_check_;

/* Whether @path (/dev/net/tun) can be opened.  -ERR_NO_TUN: @t says why and what to do. */
int tun_check(const char *path, struct trouble *t) _must_check_;

#endif
