#include "server/wg/aead.h"

#include <sodium.h>
#include <string.h>

#include "base/bytes.h"

_Static_assert(AEAD_KEY_LEN == crypto_aead_chacha20poly1305_ietf_KEYBYTES, "one cipher");
_Static_assert(AEAD_TAG_LEN == crypto_aead_chacha20poly1305_ietf_ABYTES, "one tag");

static void
nonce_set(uint8_t nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES], uint64_t counter)
{
	memset(nonce, 0, 4);
	le64_store(nonce + 4, counter);
}

static void
sodium_seal(void *ctx, struct aead_job *jobs, unsigned n)
{
	uint8_t nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES];

	for (unsigned i = 0; i < n; i++) {
		nonce_set(nonce, jobs[i].counter);
		crypto_aead_chacha20poly1305_ietf_encrypt(jobs[i].dst, NULL, jobs[i].src, jobs[i].len, NULL,
							  0, NULL, nonce, jobs[i].key);
	}
}

static void
sodium_open(void *ctx, struct aead_job *jobs, unsigned n)
{
	uint8_t nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES];

	for (unsigned i = 0; i < n; i++) {
		nonce_set(nonce, jobs[i].counter);
		jobs[i].ok = crypto_aead_chacha20poly1305_ietf_decrypt(jobs[i].dst, NULL, NULL, jobs[i].src,
								       jobs[i].len, NULL, 0, nonce,
								       jobs[i].key) == 0;
	}
}

void
aead_sodium_init(struct aead *aead)
{
	/* Chooses the fast implementations; the plain ones work if it cannot. */
	(void)!sodium_init();
	*aead = (struct aead){.name = "libsodium", .seal = sodium_seal, .open = sodium_open};
}
