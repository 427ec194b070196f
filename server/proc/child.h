/*
 * A child's side of its life: warrend executes it with descriptor 3 connected to itself.
 *
 *	HELLO →   ← CONFIG, SOCKET…, IDENTITY, CHANNEL…, GO        child_start()
 *	READY →                                                    child_ready()
 *	          ← CHANNEL, SOCKET, STOP at any time              child_next()
 *
 * A child in a loop watches child->parent for EPOLLIN and calls child_next() until -EAGAIN.
 */
#ifndef SERVER_PROC_CHILD_H
#define SERVER_PROC_CHILD_H

#include <stddef.h>

#include "base/cleanup.h"
#include "base/key.h"
#include "server/proc/config.h"
#include "server/proc/message.h"

#define CHILD_PARENT_FD  3
#define CHILD_HANDED_MAX 16384

/* A descriptor handed over under a name: "udp4", "tun:wg0"; as a channel: "tunnel", "control". */
struct handed {
	char name[MESSAGE_NAME_MAX + 1];
	int fd;
};

struct child {
	int parent; /* non-blocking after child_start() */
	struct config config;
	struct private_key *identity; /* of secret_alloc(); the tunnel's alone, else NULL */
	size_t n_sockets, n_channels;
	struct handed *sockets; /* owned; a name comes once a queue, in order */
	struct handed *channels;
};

/*
 * Says HELLO as @role ("net", "tunnel", "control") and takes what is handed over until GO.  To be
 * called after process_harden() and before any thread.  Sets the parent-death signal again.
 * -ERR_CLOSED: warrend is gone.  What was received is in @ret; child_done() in any case.
 */
int child_start(struct child *ret, const char *role) _must_check_;
int child_ready(struct child *child) _must_check_;

/* Hands a TUN device's queues up to be kept; @fds stay the caller's. */
int child_send_tun(struct child *child, const char *ifname, const int *fds, size_t n_fds) _must_check_;

/* One that was handed up is deleted. */
int child_send_tun_gone(struct child *child, const char *ifname) _must_check_;

/* Takes the first descriptor of that name that is still there; -ENOENT: none.  It is the caller's. */
int child_take_socket(struct child *child, const char *name) _must_check_;
int child_take_channel(struct child *child, const char *name) _must_check_;

/* Wipes and frees the identity when it has been used. */
void child_forget_identity(struct child *child);

/*
 * What came after GO.  CHANNEL and SOCKET: @name and @fd, which is the caller's (a channel under that name
 * that it had before is dead: close it); STOP: end in order.  -EAGAIN: nothing more now.  -ERR_CLOSED and
 * -ERR_MESSAGE: exit.
 */
struct child_event {
	enum message_type type; /* MESSAGE_CHANNEL, MESSAGE_SOCKET, MESSAGE_STOP */
	struct handed handed;
};
int child_next(struct child *child, struct child_event *ret) _must_check_;

/* Closes what was not taken, wipes the rest; not the parent's descriptor. */
void child_done(struct child *child);

#endif
