/*
 * The AEAD back ends, fastest first, and the choice between them.
 */
#ifndef SERVER_TUNNEL_BACKENDS_H
#define SERVER_TUNNEL_BACKENDS_H

#include "server/wg/aead.h"

/* Intel's multi-buffer library.  -ENOSYS: not built in, or not for this CPU.  -ENOMEM. */
int aead_ipsecmb_init(struct aead *aead) _must_check_;

/* libcrypto, with a context kept for each direction of a session.  -ENOSYS: it lacks the cipher.  -ENOMEM. */
int aead_evp_init(struct aead *aead) _must_check_;

/* "ipsec-mb", "evp" or "sodium" by its name.  -EINVAL: no such name; and as above. */
int aead_init_by_name(struct aead *aead, const char *name) _must_check_;

/*
 * The first one that this CPU runs and that passes aead_self_test(); the one called @wish, if that is not
 * NULL, or none.  -ERR_SELF_TEST: nothing is to be trusted here.
 */
int aead_choose(struct aead *aead, const char *wish) _must_check_;

#endif
