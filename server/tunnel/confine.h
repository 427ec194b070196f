/*
 * Giving up what a running tunnel does not need: from then on it opens no file and executes nothing.
 */
#ifndef SERVER_TUNNEL_CONFINE_H
#define SERVER_TUNNEL_CONFINE_H

#include "base/cleanup.h"

/* After the last thread was started and the last file opened; for all threads.  Negated errno. */
int confine(void) _must_check_;

#endif
