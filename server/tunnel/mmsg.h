/*
 * Many datagrams a system call, or one where a filter of system calls does not know sendmmsg(): a rung of the
 * ladder, for the workers and the control thread alike.
 */
#ifndef SERVER_TUNNEL_MMSG_H
#define SERVER_TUNNEL_MMSG_H

#include <sys/socket.h>

#include "base/cleanup.h"
#include "server/tunnel/ladder.h"

/* The system's calls, or those of a test. */
struct mmsg_calls {
	int (*sendmmsg)(int fd, struct mmsghdr *msgs, unsigned n, int flags);
	ssize_t (*sendmsg)(int fd, const struct msghdr *msg, int flags);
};
extern const struct mmsg_calls mmsg_system;

/* Returns how many were taken, at least one, or a negated errno: of the first. */
int mmsg_send(struct ladder *ladder, const struct mmsg_calls *calls, int fd, struct mmsghdr *msgs,
	      unsigned n) _must_check_;

#endif
