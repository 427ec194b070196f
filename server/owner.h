/*
 * Who warrend runs as: never root.
 */
#ifndef SERVER_OWNER_H
#define SERVER_OWNER_H

#include "base/cleanup.h"
#include "server/proc/trouble.h"

/*
 * Root becomes user @name for good, with that user's groups, and HOME, USER and LOGNAME are set to match;
 * others may name themselves only, or nobody (NULL).  -EPERM, -ENOENT: @t says why.
 */
int owner_become(const char *name, struct trouble *t) _must_check_;

#endif
