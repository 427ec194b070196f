/*
 * Wakes a thread by a descriptor, once until it listens, whoever rings and however often.
 */
#ifndef SERVER_TUNNEL_BELL_H
#define SERVER_TUNNEL_BELL_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/cleanup.h"

struct bell {
	int fd; /* readable when it was rung */
	_Alignas(64) atomic_bool rung;
};

#define BELL_NONE                                                                                            \
	{                                                                                                    \
		.fd = -1                                                                                     \
	}

static inline int _must_check_
bell_init(struct bell *bell)
{
	bell->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	atomic_init(&bell->rung, false);
	return bell->fd < 0 ? -errno : 0;
}

static inline void
bell_done(struct bell *bell)
{
	closep(&bell->fd);
}

/* After something was put where the listener looks. */
static inline void
bell_ring(struct bell *bell)
{
	const uint64_t one = 1;

	if (!atomic_exchange(&bell->rung, true) && write(bell->fd, &one, sizeof(one)) < 0)
		return; /* the counter is full: it is readable */
}

/* When the descriptor is readable, and before bell_listen(): else a ring in between would be lost. */
static inline void
bell_silence(struct bell *bell)
{
	uint64_t count;

	if (read(bell->fd, &count, sizeof(count)) < 0)
		return;
}

/* Before looking.  An exchange: what was put there before a ring that is swallowed here is seen now. */
static inline void
bell_listen(struct bell *bell)
{
	atomic_exchange(&bell->rung, false);
}

#endif
