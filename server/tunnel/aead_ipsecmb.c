/*
 * libipsec-mb by its job interface: each ChaCha20-Poly1305 job is done when it is submitted, jobs come back
 * in order.  The library writes the tag that it computed; when opening we compare it ourselves, in
 * constant time.  It decrypts before it knows, so what does not authenticate is poison.
 */
#include "server/tunnel/backends.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/bytes.h"

#ifdef HAVE_IPSECMB
#include <intel-ipsec-mb.h>

#define NONCE_LEN 12

struct ipsecmb {
	IMB_MGR *manager;
};

/*
 * All that this algorithm reads is set for each job; clearing all of a job would take as long as 40 bytes of
 * cipher.
 */
static void
job_run(IMB_MGR *manager, const struct aead_job *job, IMB_CIPHER_DIRECTION direction, uint32_t len,
	uint8_t *tag)
{
	uint8_t nonce[NONCE_LEN] = {0};
	IMB_JOB *mb = IMB_GET_NEXT_JOB(manager);

	le64_store(nonce + 4, job->counter);
	mb->cipher_mode = IMB_CIPHER_CHACHA20_POLY1305;
	mb->hash_alg = IMB_AUTH_CHACHA20_POLY1305;
	mb->cipher_direction = direction;
	mb->chain_order = direction == IMB_DIR_ENCRYPT ? IMB_ORDER_CIPHER_HASH : IMB_ORDER_HASH_CIPHER;
	mb->enc_keys = mb->dec_keys = job->key;
	mb->key_len_in_bytes = AEAD_KEY_LEN;
	mb->iv = nonce;
	mb->iv_len_in_bytes = NONCE_LEN;
	mb->src = job->src;
	mb->dst = job->dst;
	mb->cipher_start_src_offset_in_bytes = mb->hash_start_src_offset_in_bytes = 0;
	mb->u.CHACHA20_POLY1305.aad = NULL;
	mb->u.CHACHA20_POLY1305.aad_len_in_bytes = 0;
	mb->msg_len_to_cipher_in_bytes = mb->msg_len_to_hash_in_bytes = len;
	mb->auth_tag_output = tag;
	mb->auth_tag_output_len_in_bytes = AEAD_TAG_LEN;
	mb = IMB_SUBMIT_JOB_NOCHECK(manager);
	if (!mb) /* the nonce is ours until it is done */
		mb = IMB_FLUSH_JOB(manager);
	if (!mb || mb->status != IMB_STATUS_COMPLETED)
		abort(); /* nothing that came from outside can cause it, and what would be sent is not sealed
			  */
}

/* No branch on what the bytes are. */
static bool
tags_equal(const uint8_t a[AEAD_TAG_LEN], const uint8_t b[AEAD_TAG_LEN])
{
	return ((le64_load(a) ^ le64_load(b)) | (le64_load(a + 8) ^ le64_load(b + 8))) == 0;
}

static void
ipsecmb_seal(void *ctx, struct aead_job *jobs, unsigned n)
{
	struct ipsecmb *self = ctx;

	for (unsigned i = 0; i < n; i++)
		job_run(self->manager, &jobs[i], IMB_DIR_ENCRYPT, jobs[i].len, jobs[i].dst + jobs[i].len);
}

static void
ipsecmb_open(void *ctx, struct aead_job *jobs, unsigned n)
{
	struct ipsecmb *self = ctx;
	uint8_t tag[AEAD_TAG_LEN], sent[AEAD_TAG_LEN];

	for (unsigned i = 0; i < n; i++) {
		const uint32_t len = jobs[i].len - AEAD_TAG_LEN;

		memcpy(sent, jobs[i].src + len, AEAD_TAG_LEN);
		job_run(self->manager, &jobs[i], IMB_DIR_DECRYPT, len, tag);
		jobs[i].ok = tags_equal(tag, sent);
	}
}

static void
ipsecmb_free(void *ctx)
{
	struct ipsecmb *self = ctx;

	if (self->manager)
		free_mb_mgr(self->manager);
	free(self);
}

/* Below AVX2 libcrypto has the better code. */
static bool
cpu_suits(void)
{
#ifdef __x86_64__
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx2");
#else
	return false;
#endif
}

int
aead_ipsecmb_init(struct aead *aead)
{
	struct ipsecmb *self;

	if (!cpu_suits())
		return -ENOSYS;
	self = calloc(1, sizeof(*self));
	if (!self)
		return -ENOMEM;
	self->manager = alloc_mb_mgr(0);
	if (self->manager)
		init_mb_mgr_auto(self->manager, NULL);
	if (!self->manager || imb_get_errno(self->manager) != 0) {
		ipsecmb_free(self);
		return -ENOSYS;
	}
	memset(self->manager->jobs, 0, sizeof(self->manager->jobs));
	*aead = (struct aead){
		.name = "ipsec-mb",
		.ctx = self,
		.seal = ipsecmb_seal,
		.open = ipsecmb_open,
		.free = ipsecmb_free,
	};
	return 0;
}

#else

int
aead_ipsecmb_init(struct aead *aead)
{
	return -ENOSYS;
}

#endif
