/*
 * Descriptors that outlive the children that use them, by name.  A name may stand for several
 * (the queues of a device, the sockets of a port), which keep their order.
 */
#ifndef SERVER_PROC_KEPT_H
#define SERVER_PROC_KEPT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"
#include "server/proc/message.h"

#define KEPT_MAX 16384

struct kept {
	size_t n, cap;
	struct kept_fd {
		char name[MESSAGE_NAME_MAX + 1];
		int fd;
	} * v; /* owned */
};

/* Takes @fd, also on failure, when it is closed.  -ENOSPC, -ENOMEM, -EINVAL: the name is too long. */
int kept_add(struct kept *kept, const char *name, int fd) _must_check_;
size_t kept_count(const struct kept *kept, const char *name);
bool kept_has(const struct kept *kept, const char *name);
void kept_drop(struct kept *kept, const char *name);

/* Whether @name is one of @patterns: names with blanks between, or prefixes that end in '*'. */
bool kept_matches(const char *name, const char *patterns);
void kept_done(struct kept *kept);

#endif
