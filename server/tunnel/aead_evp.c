/*
 * libcrypto's EVP.  Setting a key costs more than sealing a short packet, so a session keeps a context for
 * each direction with the key in it, and a packet only sets the nonce.  Jobs without a
 * session use a context of the back end's own.
 */
#include "server/tunnel/backends.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <string.h>

#include "base/bytes.h"

#define NONCE_LEN 12

struct evp {
	EVP_CIPHER *cipher;
	EVP_CIPHER_CTX *plain; /* for jobs without a session */
};

/* Null key: the one in it stays. */
static bool
begin(EVP_CIPHER_CTX *ctx, const uint8_t *key, const struct aead_job *job, bool seal)
{
	uint8_t nonce[NONCE_LEN] = {0};

	le64_store(nonce + 4, job->counter);
	return EVP_CipherInit_ex(ctx, NULL, NULL, key, nonce, seal) == 1;
}

static EVP_CIPHER_CTX *
job_context(const struct evp *self, const struct aead_job *job, bool seal)
{
	EVP_CIPHER_CTX *ctx = job->session ? job->session : self->plain;

	return begin(ctx, job->session ? NULL : job->key, job, seal) ? ctx : NULL;
}

static void
evp_seal(void *context, struct aead_job *jobs, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		EVP_CIPHER_CTX *ctx = job_context(context, &jobs[i], true);
		int len;

		if (!ctx || EVP_CipherUpdate(ctx, jobs[i].dst, &len, jobs[i].src, (int)jobs[i].len) != 1 ||
		    EVP_CipherFinal_ex(ctx, jobs[i].dst + len, &len) != 1 ||
		    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG_LEN,
					jobs[i].dst + jobs[i].len) != 1)
			abort(); /* nothing that came from outside can cause it, and what would be sent is not
				    sealed */
	}
}

static void
evp_open(void *context, struct aead_job *jobs, unsigned n)
{
	uint8_t tag[AEAD_TAG_LEN];

	for (unsigned i = 0; i < n; i++) {
		const int cipher_len = (int)(jobs[i].len - AEAD_TAG_LEN);
		EVP_CIPHER_CTX *ctx = job_context(context, &jobs[i], false);
		int len;

		memcpy(tag, jobs[i].src + cipher_len, AEAD_TAG_LEN);
		jobs[i].ok = ctx && EVP_CipherUpdate(ctx, jobs[i].dst, &len, jobs[i].src, cipher_len) == 1 &&
			     EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, AEAD_TAG_LEN, tag) == 1 &&
			     EVP_CipherFinal_ex(ctx, jobs[i].dst + cipher_len, &len) == 1;
	}
}

static EVP_CIPHER_CTX *
context_new(const struct evp *self, const uint8_t *key)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();

	if (ctx && EVP_CipherInit_ex(ctx, self->cipher, NULL, key, NULL, 1) == 1)
		return ctx;
	EVP_CIPHER_CTX_free(ctx);
	return NULL;
}

static void *
evp_session_new(void *context, const uint8_t key[AEAD_KEY_LEN])
{
	return context_new(context, key);
}

/* It wipes what it holds. */
static void
evp_session_free(void *context, void *session)
{
	EVP_CIPHER_CTX_free(session);
}

static void
evp_free(void *context)
{
	struct evp *self = context;

	EVP_CIPHER_CTX_free(self->plain);
	EVP_CIPHER_free(self->cipher);
	free(self);
}

int
aead_evp_init(struct aead *aead)
{
	struct evp *self = calloc(1, sizeof(*self));

	if (!self)
		return -ENOMEM;
	self->cipher = EVP_CIPHER_fetch(NULL, "ChaCha20-Poly1305", NULL);
	if (self->cipher)
		self->plain = context_new(self, NULL);
	if (!self->plain) {
		evp_free(self);
		return -ENOSYS;
	}
	*aead = (struct aead){
		.name = "evp",
		.ctx = self,
		.session_new = evp_session_new,
		.session_free = evp_session_free,
		.seal = evp_seal,
		.open = evp_open,
		.free = evp_free,
	};
	return 0;
}
