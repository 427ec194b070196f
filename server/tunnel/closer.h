/*
 * Closes descriptors of devices aside: the last one of a queue waits for the kernel, milliseconds each, and
 * nothing here is to wait with it.
 */
#ifndef SERVER_TUNNEL_CLOSER_H
#define SERVER_TUNNEL_CLOSER_H

#include <stddef.h>

/* Takes over the @n descriptors; with no thread to be had they are closed here and now. */
void closer_take(const int *fds, size_t n);

#endif
