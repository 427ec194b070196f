/*
 * Which socket of a group gets a datagram: the kernel asks a classic BPF program, which needs no
 * privilege and sees the datagram from its first byte.
 */
#ifndef SERVER_TUNNEL_STEER_H
#define SERVER_TUNNEL_STEER_H

#include "base/cleanup.h"

/*
 * Attaches the program to the group that @fd, bound, is in: @sockets of them, in the order of their workers.
 * @worker_bits: of an index (struct wg_index).  Negated errno: the kernel's hash of addresses and ports
 * decides, as it does for what has no index.
 */
int steer_attach(int fd, unsigned sockets, unsigned worker_bits) _must_check_;

#endif
