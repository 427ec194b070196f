/*
 * A TUN device's queue: opened by name, or handed over as a descriptor.  With a vnet header its frames
 * are superframes.
 */
#ifndef SERVER_TUNNEL_TUN_H
#define SERVER_TUNNEL_TUN_H

#include <net/if.h>
#include <stdbool.h>
#include <sys/uio.h>

#include "server/proc/trouble.h"
#include "server/tunnel/stats.h"

/* The longest frame: a vnet header and the longest packet, and a little so that more is noticed. */
#define TUN_FRAME_MAX (10 + 65535 + 16)
#define TUN_MTU       1420 /* what a new device gets: any outer path of 1500 bytes carries it */
#define TUN_QUEUE     1000 /* frames, as Ethernet has; TUN's own 500 are 5 ms of short packets */

struct tun {
	int fd; /* non-blocking */
	unsigned ifindex;
	char name[IFNAMSIZ];
	bool vnet;
	bool many; /* the device may have several queues */
};

#define TUN_NONE                                                                                             \
	{                                                                                                    \
		.fd = -1                                                                                     \
	}

/*
 * Makes the device @name or attaches to it, with up to @max queues of it.  Returns how many: a device that
 * was made for one has one.  @t says what to do about a failure: -ERR_NO_TUN, -EBUSY, -EPERM, -EINVAL.
 */
int tun_open(struct tun *tuns, unsigned max, const char *name, struct trouble *t) _must_check_;

/* Takes over @fd, an attached queue, on success.  -EINVAL: it is none, or has packet information headers. */
int tun_adopt(struct tun *ret, int fd, struct trouble *t) _must_check_;

/* Further queues of the device of tuns[0], which is open, as far as they can be had.  Returns how many it
 * has. */
unsigned tun_more(struct tun *tuns, unsigned max);

/* The kernel puts no more frames into this queue, which nobody would read. */
void tun_leave_aside(const struct tun *tun);

void tun_close(struct tun *tun);

/* Asks for all offloads that the kernel has; the ladder of @stats gets what came of it. */
void tun_probe(const struct tun *tun, struct stats *stats);

/* The interface as it is now.  -ENODEV. */
int tun_state(const struct tun *tun, bool *up, unsigned *mtu) _must_check_;
int tun_mtu_set(const struct tun *tun, unsigned mtu) _must_check_;
int tun_queue_set(const struct tun *tun, unsigned len) _must_check_;

/* One frame, or 0: none there.  Negated errno; -EBADFD: the device is gone. */
ssize_t tun_read(const struct tun *tun, void *frame, size_t len);

/* One frame; @iov[0] is the vnet header, left out for a device without.  0, or a negated errno. */
int tun_write(const struct tun *tun, const struct iovec *iov, unsigned n);

#endif
