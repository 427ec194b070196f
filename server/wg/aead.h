/*
 * ChaCha20-Poly1305 over batches: what a back end is.  The nonce is 4 zero bytes and the counter in
 * little-endian, there are no associated data.  One `struct aead` a worker, not to be shared.
 */
#ifndef SERVER_WG_AEAD_H
#define SERVER_WG_AEAD_H

#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

#define AEAD_KEY_LEN 32
#define AEAD_TAG_LEN 16

struct aead_job {
	const uint8_t *key; /* AEAD_KEY_LEN bytes */
	void *session;      /* what session_new() made of that key, else NULL */
	uint64_t counter;
	const uint8_t *src;
	uint8_t *dst;  /* == src, or not overlapping */
	uint32_t len;  /* of src.  seal writes len + 16 bytes, open len - 16; open is given len >= 16 */
	int ok;        /* open: whether it authenticates.  If not, dst holds poison */
};

struct aead {
	const char *name;
	void *ctx; /* the back end's own */

	/*
	 * Optional, both or neither: a prepared context for one direction of one session.  NULL is a
	 * fine answer (jobs then carry the key alone).  session_free() wipes it and takes NULL.
	 */
	void *(*session_new)(void *ctx, const uint8_t key[AEAD_KEY_LEN]);
	void (*session_free)(void *ctx, void *session);

	void (*seal)(void *ctx, struct aead_job *jobs, unsigned n);
	void (*open)(void *ctx, struct aead_job *jobs, unsigned n);
	void (*free)(void *ctx); /* may be NULL */
};

/* The portable floor, and the oracle of tests. */
void aead_sodium_init(struct aead *aead);

/* Releases what the back end holds and clears @aead; zeroes are fine. */
void aead_done(struct aead *aead);

/*
 * Compares @aead with published vectors and, for many lengths and misalignments, with libsodium.
 * -ERR_SELF_TEST: not to be used.
 */
int aead_self_test(const struct aead *aead) _must_check_;

#endif
