/*
 * The data directory: 0700, one warrend at a time.
 */
#ifndef SERVER_PROC_DATADIR_H
#define SERVER_PROC_DATADIR_H

#include "base/cleanup.h"
#include "server/proc/trouble.h"

/*
 * Makes @path and what is missing above it, and takes its lock: @ret holds it until it is closed,
 * or until the process dies in whatever way.  -EBUSY: another warrend uses it; @t says which.
 */
int datadir_open(const char *path, int *ret, struct trouble *t) _must_check_;

/* Directory @path, 0700, and what is missing above it.  Negated errno. */
int directory_make(const char *path) _must_check_;

#endif
