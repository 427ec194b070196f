/*
 * The gateway's private key: DIRECTORY/identity.key, 0600, as `wg genkey` prints keys.
 */
#ifndef SERVER_PROC_IDENTITY_H
#define SERVER_PROC_IDENTITY_H

#include "base/key.h"
#include "server/proc/trouble.h"

#define IDENTITY_NAME "identity.key"

/*
 * Reads it, or makes one when there is none; complete and on the disk before it has its name.  A
 * file that holds something else, or that others may read, is refused and left as it is.
 */
int identity_load(const char *directory, struct private_key *ret, struct trouble *t) _must_check_;

#endif
