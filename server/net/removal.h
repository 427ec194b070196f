/*
 * Devices that nobody wants any more.  The kernel takes many milliseconds for each queue that is closed and
 * for each device that goes, and whoever closes the last descriptor waits for that; so they are deleted by a
 * process of its own, all as one group, which costs hardly more than one (1,000 devices of two queues: 0.9 s
 * instead of 18).  A descriptor of a device that is deleted is closed at once.
 */
#ifndef SERVER_NET_REMOVAL_H
#define SERVER_NET_REMOVAL_H

#include <net/if.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/cleanup.h"

struct removal {
	size_t n, cap;
	char (*names)[IFNAMSIZ]; /* owned */
};

/* -ENOMEM. */
int removal_add(struct removal *removal, const char *ifname) _must_check_;
void removal_done(struct removal *removal);

/*
 * Deletes them in this network namespace and waits for it: CAP_NET_ADMIN there.  What is not there is no
 * error. Any other link in REMOVAL_GROUP goes with them; there is none.
 */
#define REMOVAL_GROUP 0x77617272U
int removal_run(const struct removal *removal) _must_check_;

/*
 * The same in a child, which inherits the rights: its pid; @ret_fd becomes readable when it has ended, with
 * status 0 if it could.
 */
pid_t removal_start(const struct removal *removal, int *ret_fd) _must_check_;

#endif
