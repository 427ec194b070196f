#include "server/wg/aead.h"

#include <sodium.h>
#include <string.h>

#include "base/bytes.h"
#include "base/errors.h"

#define TEST_LEN_MAX 1600
#define TEST_BATCH   5

/* RFC 8439, 2.4.2: the AEAD encrypts with the cipher's blocks from 1 on, as that section does. */
static const uint8_t rfc_key[AEAD_KEY_LEN] = {
	0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f,
	0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f,
};
static const uint8_t rfc_counter[8] = {0x00, 0x00, 0x00, 0x4a};
static const char rfc_plain[] =
	"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for "
	"the future, sunscreen would be it.";
static const uint8_t rfc_cipher[sizeof(rfc_plain) - 1] = {
	0x6e, 0x2e, 0x35, 0x9a, 0x25, 0x68, 0xf9, 0x80, 0x41, 0xba, 0x07, 0x28, 0xdd, 0x0d, 0x69, 0x81, 0xe9,
	0x7e, 0x7a, 0xec, 0x1d, 0x43, 0x60, 0xc2, 0x0a, 0x27, 0xaf, 0xcc, 0xfd, 0x9f, 0xae, 0x0b, 0xf9, 0x1b,
	0x65, 0xc5, 0x52, 0x47, 0x33, 0xab, 0x8f, 0x59, 0x3d, 0xab, 0xcd, 0x62, 0xb3, 0x57, 0x16, 0x39, 0xd6,
	0x24, 0xe6, 0x51, 0x52, 0xab, 0x8f, 0x53, 0x0c, 0x35, 0x9f, 0x08, 0x61, 0xd8, 0x07, 0xca, 0x0d, 0xbf,
	0x50, 0x0d, 0x6a, 0x61, 0x56, 0xa3, 0x8e, 0x08, 0x8a, 0x22, 0xb6, 0x5e, 0x52, 0xbc, 0x51, 0x4d, 0x16,
	0xcc, 0xf8, 0x06, 0x81, 0x8c, 0xe9, 0x1a, 0xb7, 0x79, 0x37, 0x36, 0x5a, 0xf9, 0x0b, 0xbf, 0x74, 0xa3,
	0x5b, 0xe6, 0xb4, 0x0b, 0x8e, 0xed, 0xf2, 0x78, 0x5e, 0x42, 0x87, 0x4d,
};

/* Linux, chacha20poly1305-selftest.c, the second vector: a keepalive, in WireGuard's form of nonce. */
static const uint8_t empty_key[AEAD_KEY_LEN] = {
	0x4c, 0xf5, 0x96, 0x83, 0x38, 0xe6, 0xae, 0x7f, 0x2d, 0x29, 0x25, 0x76, 0xd5, 0x75, 0x27, 0x86,
	0x91, 0x9a, 0x27, 0x7a, 0xfb, 0x46, 0xc5, 0xef, 0x94, 0x81, 0x79, 0x57, 0x14, 0x59, 0x40, 0x68,
};
static const uint8_t empty_counter[8] = {0xca, 0xbf, 0x33, 0x71, 0x32, 0x45, 0x77, 0x8e};
static const uint8_t empty_tag[AEAD_TAG_LEN] = {
	0xea, 0xe0, 0x1e, 0x9e, 0x2c, 0x91, 0xaa, 0xe1, 0xdb, 0x5d, 0x99, 0x3f, 0x8a, 0xf7, 0x69, 0x92,
};

void
aead_done(struct aead *aead)
{
	if (aead->free)
		aead->free(aead->ctx);
	*aead = (struct aead){0};
}

static void
seal_one(const struct aead *aead, const uint8_t *key, uint64_t counter, const uint8_t *src, uint32_t len,
	 uint8_t *dst)
{
	struct aead_job job = {.key = key, .counter = counter, .src = src, .dst = dst, .len = len};

	if (aead->session_new)
		job.session = aead->session_new(aead->ctx, key);
	aead->seal(aead->ctx, &job, 1);
	if (aead->session_free)
		aead->session_free(aead->ctx, job.session);
}

static int
test_vectors(const struct aead *aead)
{
	uint8_t out[sizeof(rfc_cipher) + AEAD_TAG_LEN];

	seal_one(aead, rfc_key, le64_load(rfc_counter), (const uint8_t *)rfc_plain, sizeof(rfc_cipher), out);
	if (memcmp(out, rfc_cipher, sizeof(rfc_cipher)) != 0)
		return -ERR_SELF_TEST;
	seal_one(aead, empty_key, le64_load(empty_counter), out, 0, out);
	return memcmp(out, empty_tag, sizeof(empty_tag)) == 0 ? 0 : -ERR_SELF_TEST;
}

/* What libsodium says, from its primitives: one key for two packets must never come of a wrong nonce. */
static void
oracle_seal(const uint8_t *key, uint64_t counter, const uint8_t *src, uint32_t len, uint8_t *dst)
{
	static const uint8_t zeroes[crypto_onetimeauth_poly1305_BYTES];
	uint8_t nonce[crypto_stream_chacha20_ietf_NONCEBYTES] = {0}, once[64] = {0}, lens[16];
	crypto_onetimeauth_poly1305_state state;

	le64_store(nonce + 4, counter);
	crypto_stream_chacha20_ietf(once, sizeof(once), nonce, key);
	crypto_stream_chacha20_ietf_xor_ic(dst, src, len, nonce, 1, key);
	crypto_onetimeauth_poly1305_init(&state, once);
	crypto_onetimeauth_poly1305_update(&state, dst, len);
	crypto_onetimeauth_poly1305_update(&state, zeroes, (16 - len % 16) % 16);
	le64_store(lens, 0);
	le64_store(lens + 8, len);
	crypto_onetimeauth_poly1305_update(&state, lens, sizeof(lens));
	crypto_onetimeauth_poly1305_final(&state, dst + len);
}

/* A batch of one length, each packet at another alignment, some in place, one of them spoiled. */
struct bench {
	uint8_t key[AEAD_KEY_LEN];
	uint8_t plain[TEST_LEN_MAX];
	uint8_t want[TEST_BATCH][TEST_LEN_MAX + AEAD_TAG_LEN];
	uint8_t src[TEST_BATCH][TEST_LEN_MAX + 64];
	uint8_t dst[TEST_BATCH][TEST_LEN_MAX + 64];
	struct aead_job jobs[TEST_BATCH];
};

static void
batch_prepare(struct bench *bench, void *session, uint64_t counter, bool sealed, uint32_t len)
{
	const uint32_t in_len = sealed ? len + AEAD_TAG_LEN : len;

	for (unsigned i = 0; i < TEST_BATCH; i++) {
		const unsigned shift = (i * 7 + len) % 32;
		uint8_t *src = bench->src[i] + shift;

		memcpy(src, sealed ? bench->want[i] : bench->plain, in_len);
		bench->jobs[i] = (struct aead_job){
			.key = bench->key,
			.session = session,
			.counter = counter + i,
			.src = src,
			.dst = i % 2 ? src : bench->dst[i] + (shift * 5 + 3) % 32,
			.len = in_len,
		};
	}
}

static int
test_len(const struct aead *aead, struct bench *bench, void *session, uint64_t counter, uint32_t len)
{
	const unsigned spoiled = len % TEST_BATCH;

	for (unsigned i = 0; i < TEST_BATCH; i++)
		oracle_seal(bench->key, counter + i, bench->plain, len, bench->want[i]);

	batch_prepare(bench, session, counter, false, len);
	aead->seal(aead->ctx, bench->jobs, TEST_BATCH);
	for (unsigned i = 0; i < TEST_BATCH; i++)
		if (memcmp(bench->jobs[i].dst, bench->want[i], len + AEAD_TAG_LEN) != 0)
			return -ERR_SELF_TEST;

	batch_prepare(bench, session, counter, true, len);
	/* A different bit each time, of the packet or of its tag. */
	bench->src[spoiled][(spoiled * 7 + len) % 32 + counter % (len + AEAD_TAG_LEN)] ^=
		(uint8_t)BIT(len % 8);
	aead->open(aead->ctx, bench->jobs, TEST_BATCH);
	for (unsigned i = 0; i < TEST_BATCH; i++) {
		if ((bench->jobs[i].ok != 0) != (i != spoiled))
			return -ERR_SELF_TEST;
		if (i != spoiled && memcmp(bench->jobs[i].dst, bench->plain, len) != 0)
			return -ERR_SELF_TEST;
	}
	return 0;
}

/* Every length around the first blocks, then some of each residue. */
static int
test_lens(const struct aead *aead, struct bench *bench, void *session)
{
	int r = 0;

	for (uint32_t len = 0; len <= TEST_LEN_MAX && r == 0; len += len < 288 ? 1 : 31)
		r = test_len(aead, bench, session, (uint64_t)len << 40 | (UINT64_C(0xfffffffe) + len), len);
	return r;
}

/* With the key alone, as when there was no memory for a context, and with one. */
static int
test_sessions(const struct aead *aead, struct bench *bench)
{
	void *session;
	int r;

	randombytes_buf_deterministic(bench->key, sizeof(bench->key), rfc_key);
	randombytes_buf_deterministic(bench->plain, sizeof(bench->plain), empty_key);
	r = test_lens(aead, bench, NULL);
	if (r < 0 || !aead->session_new)
		return r;
	session = aead->session_new(aead->ctx, bench->key);
	r = test_lens(aead, bench, session);
	aead->session_free(aead->ctx, session);
	return r;
}

int
aead_self_test(const struct aead *aead)
{
	_cleanup_(freep) struct bench *bench = NULL;
	int r;

	if (sodium_init() < 0)
		return -ERR_SELF_TEST;
	r = test_vectors(aead);
	if (r < 0)
		return r;
	bench = calloc(1, sizeof(*bench));
	if (!bench)
		return -ERR_SELF_TEST;
	return test_sessions(aead, bench);
}
