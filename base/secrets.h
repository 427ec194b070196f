/*
 * Keeping secrets in: out of core files, out of reach of other processes of the same uid.
 */
#ifndef BASE_SECRETS_H
#define BASE_SECRETS_H

#include <stddef.h>

#include "base/cleanup.h"

/*
 * To be called first in main(), before any key is read: not dumpable (so that no process of the
 * same uid can open our memory), no core files, no new privileges.  0, or a negated errno.
 */
int process_harden(void) _must_check_;

/* @len bytes, zeroed, guarded, locked if the limit allows it, left out of core files.  NULL: no memory. */
void *secret_alloc(size_t len);
void secret_free(void *p);

#endif
