/*
 * The sockets that the gateway serves on, opened outside before anything enters the inner namespace,
 * or inherited from a service manager (LISTEN_FDS).  All are close-on-exec and non-blocking.
 */
#ifndef SERVER_PROC_LISTEN_H
#define SERVER_PROC_LISTEN_H

#include <sys/types.h>

#include "base/cleanup.h"
#include "base/ip.h"
#include "server/proc/kept.h"
#include "server/proc/trouble.h"

/* @family: AF_INET, or AF_INET6 for that alone.  -EAFNOSUPPORT: this host has no such addresses. */
int listen_udp(sa_family_t family, uint16_t port, int *ret, struct trouble *t) _must_check_;

/*
 * One more socket for the port of @first, which is bound: the kernel shares out what comes among the sockets
 * of such a group, in the order of their binding.  @first need not have been meant for it (SO_REUSEPORT is
 * set late; the kernel asks for the same user alone), so that a port that is somebody else's is still found
 * in use.
 */
int listen_udp_more(int first, int *ret) _must_check_;

/* @option: what it is called in words. */
int listen_http(const char *option, const struct endpoint *endpoint, int *ret,
		struct trouble *t) _must_check_;

/*
 * A stream socket at @path, mode 0660, in a directory that is made (0700) if it is not there.  A
 * socket that is there already is replaced if nobody answers on it; -EADDRINUSE: somebody does.
 */
int listen_unix(const char *option, const char *path, int *ret, struct trouble *t) _must_check_;

/* Route, address and link changes of this network namespace. */
int listen_routes(int *ret, struct trouble *t) _must_check_;

/*
 * Descriptors @first and following of socket activation, if LISTEN_PID is this process: each is
 * checked and kept as udp4, udp6, http or admin.  0: there were none; else their number.  -EINVAL:
 * one is of no use to us; all are closed.
 */
int listen_inherited(char *const env[], int first, struct kept *ret, struct trouble *t) _must_check_;

#endif
