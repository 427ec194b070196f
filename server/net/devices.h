/*
 * The devices and switches of the inner namespace that are not netlink's: TUN devices and sysctls.
 */
#ifndef SERVER_NET_DEVICES_H
#define SERVER_NET_DEVICES_H

#include "base/cleanup.h"

/*
 * Opens a TUN device, made if there is none: packets without a head of their own but with that of superframes
 * (IFF_VNET_HDR), able to have several queues; this is one.  It lives as long as any of its descriptors.
 * Returns the descriptor, close-on-exec and non-blocking; -ERR_NO_TUN: /dev/net/tun cannot be used; or what
 * the kernel said.  Where the device is there already, the descriptor is one more queue of it.
 */
int tun_open(const char *ifname) _must_check_;

/* All of a device's @n queues, in the order of the workers; on failure none is left. */
int tun_open_queues(const char *ifname, int *queues, size_t n) _must_check_;

/*
 * The switch at @path below /proc/sys.  Setting one that is so already writes nothing: reading is often
 * allowed where writing is not.  1: it was changed, 0: it was so.  Negated errno.
 */
int sysctl_get(const char *path, int *ret) _must_check_;
int sysctl_set(const char *path, int value) _must_check_;

#endif
