/*
 * The AEAD back ends, fastest first, and the choice between them.
 */
#ifndef SERVER_TUNNEL_BACKENDS_H
#define SERVER_TUNNEL_BACKENDS_H

#include "server/tunnel/ladder.h"
#include "server/wg/aead.h"

/* Intel's multi-buffer library.  -ENOSYS: not built in, or not for this CPU.  -ENOMEM. */
int aead_ipsecmb_init(struct aead *aead) _must_check_;

/* libcrypto, with a context kept for each direction of a session.  -ENOSYS: it lacks the cipher.  -ENOMEM. */
int aead_evp_init(struct aead *aead) _must_check_;

/* "ipsec-mb", "evp" or "sodium" by its name.  -EINVAL: no such name; and as above. */
int aead_init_by_name(struct aead *aead, const char *name) _must_check_;

/* A back end as a choice: its name, and how it is begun (0, or it is not there). */
struct aead_backend {
	const char *name;
	int (*init)(struct aead *aead);
};

/*
 * The first one that this CPU runs and that passes aead_self_test(); the one called @wish, if that is not
 * NULL, or none.  The ladder is told whether it is the fastest, and if not, why.  -ERR_SELF_TEST: nothing is
 * to be trusted here.
 */
int aead_choose(struct aead *aead, const char *wish, struct ladder *ladder) _must_check_;

/* The same among @n others, the fastest first. */
int aead_choose_among(const struct aead_backend *backends, size_t n, struct aead *aead, const char *wish,
		      struct ladder *ladder) _must_check_;

#endif
