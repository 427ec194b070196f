/*
 * Telling the service manager how it stands (sd_notify(3)): one datagram to $NOTIFY_SOCKET.
 */
#ifndef SERVER_PROC_NOTIFY_H
#define SERVER_PROC_NOTIFY_H

#include "base/cleanup.h"

/* @path: the value of NOTIFY_SOCKET; NULL or empty: nobody wants to know, 0. */
int notify_manager(const char *path, const char *state) _must_check_;

#endif
