/*
 * Primitives against published vectors: the foreign implementation first, since the other tests lean on it,
 * then ours.  vectors.h was computed by vectors.py.
 */
#include "server/wg/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sodium.h>
#include <string.h>

#include "base/bytes.h"
#include "server/wg/aead.h"
#include "tests/unit/wg/oracle.h"
#include "tests/unit/wg/vectors.h"

static void
assert_hex(const uint8_t *got, const char *expected)
{
	char text[2048];

	hex_encode(text, got, strlen(expected) / 2);
	assert_string_equal(text, expected);
}

/* RFC 7693, appendix B, and the first of the reference's keyed vectors. */
static void
blake2s_is_that_of_rfc_7693(void **state)
{
	static const char abc[] = "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982";
	static const char empty[] = "69217a3079908094e11121d042354a7c1f55b6482ca1a51e1b250dfd1ed0eef9";
	uint8_t out[32];

	oracle_hash(out, "a", 1, "bc", 2);
	assert_hex(out, abc);
	hash(out, "abc", 3, NULL, 0);
	assert_hex(out, abc);
	hash(out, NULL, 0, "abc", 3);
	assert_hex(out, abc);
	hash(out, "", 0, "", 0);
	assert_hex(out, empty);
}

/* The reference's blake2s-kat: key 00..1f, input 00..len-1. */
static void
keyed_blake2s_is_that_of_the_reference(void **state)
{
	uint8_t key[32], input[255], out[32];

	for (unsigned i = 0; i < sizeof(input); i++)
		input[i] = (uint8_t)i;
	memcpy(key, input, 32);
	hash_mac(out, 32, key, 32, "", 0, "", 0);
	assert_hex(out, "48a8997da407876b3d79c0d92325ad3b89cbb754d86ab71aee047ad345fd2c49");
	hash_mac(out, 32, key, 32, input, 1, "", 0);
	assert_hex(out, "40d15fee7c328830166ac3f918650f807e7e01e177258cdc0a39b11f598066f1");
	hash_mac(out, 32, key, 32, input, 100, input + 100, 155);
	assert_hex(out, "3fb735061abc519dfe979e54c1ee5bfad0a9d858b3315bad34bde999efd724dd");
}

/* MACs of 16 bytes, as mac1 and cookies are, by two libraries. */
static void
short_macs_agree_with_another_library(void **state)
{
	uint8_t key[32], input[300], ours[16], theirs[16];

	for (unsigned i = 0; i < sizeof(input); i++)
		input[i] = (uint8_t)(i * 11);
	memset(key, 0x42, sizeof(key));
	for (size_t len = 0; len <= sizeof(input); len++)
		for (unsigned key_len = 16; key_len <= 32; key_len += 16) {
			oracle_mac(theirs, key, key_len, input, len);
			hash_mac(ours, 16, key, key_len, input, len / 3, input + len / 3, len - len / 3);
			assert_memory_equal(ours, theirs, 16);
		}
}

static void
keys_are_derived_as_computed_by_hand(void **state)
{
	uint8_t out[96], in_place[32];

	oracle_kdf(out, 3, vector_static_i, "warren", 6);
	assert_memory_equal(out, vector_kdf3, 96);
	memset(out, 0, sizeof(out));
	hash_kdf(out, out + 32, out + 64, vector_static_i, "warren", 6);
	assert_memory_equal(out, vector_kdf3, 96);
	memset(out, 0, sizeof(out));
	hash_kdf(out, out + 32, NULL, vector_static_i, "warren", 6);
	assert_memory_equal(out, vector_kdf2, 64);
	hash_kdf(out, NULL, NULL, vector_static_i, "warren", 6);
	assert_memory_equal(out, vector_kdf1, 32);
	memcpy(in_place, vector_static_i, 32);
	hash_kdf(in_place, NULL, NULL, in_place, "warren", 6);
	assert_memory_equal(in_place, vector_kdf1, 32);
}

/* RFC 7748, 5.2 and 6.1. */
static void
x25519_is_that_of_rfc_7748(void **state)
{
	uint8_t k[32], u[32], out[32];

	assert_int_equal(
		hex_decode(k, 32, "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4"), 0);
	assert_int_equal(
		hex_decode(u, 32, "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c"), 0);
	oracle_dh(out, k, u);
	assert_hex(out, "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");
	assert_int_equal(crypto_scalarmult(out, k, u), 0);
	assert_hex(out, "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");

	assert_int_equal(
		hex_decode(k, 32, "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"), 0);
	assert_int_equal(
		hex_decode(u, 32, "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"), 0);
	oracle_dh(out, k, u);
	assert_hex(out, "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
	oracle_public(out, k);
	assert_hex(out, "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
}

/* draft-irtf-cfrg-xchacha, A.3.1. */
static void
xchacha20_poly1305_is_that_of_the_draft(void **state)
{
	static const char plain[] =
		"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for "
		"the future, sunscreen would be it.";
	uint8_t key[32], nonce[24], aad[12], out[sizeof(plain) - 1 + 16];

	assert_int_equal(hex_decode(aad, sizeof(aad), "50515253c0c1c2c3c4c5c6c7"), 0);
	for (unsigned i = 0; i < 32; i++)
		key[i] = (uint8_t)(0x80 + i);
	for (unsigned i = 0; i < 24; i++)
		nonce[i] = (uint8_t)(0x40 + i);
	crypto_aead_xchacha20poly1305_ietf_encrypt(out, NULL, (const uint8_t *)plain, sizeof(plain) - 1, aad,
						   sizeof(aad), NULL, nonce, key);
	assert_hex(out, "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb");
	assert_hex(out + sizeof(plain) - 1, "c0875924c1c7987947deafd8780acf49");
}

/* RFC 8439, A.5: its nonce has four zero bytes in front, so it fits our form. */
static void
chacha20_poly1305_is_that_of_rfc_8439(void **state)
{
	static const char sealed[] = "64a0861575861af460f062c79be643bd5e805cfd345cf389f108670ac76c8cb24c6cfc1"
				     "8755d43eea09ee94e382d26b0bdb7b73c"
				     "321b0100d4f03b7f355894cf332f830e710b97ce98c8a84abd0b948114ad176e008d33b"
				     "d60f982b1ff37c8559797a06ef4f0ef61"
				     "c186324e2b3506383606907b6a7c02b0f9f6157b53c867e4b9166c767b804d46a59b521"
				     "6cde7a4e99040c5a40433225ee282a1b0"
				     "a06c523eaf4534d7f83fa1155b0047718cbc546a0d072b04b3564eea1b422273f548271"
				     "a0bb2316053fa76991955ebd63159434e"
				     "cebb4e466dae5a1073a6727627097a1049e617d91d361094fa68f0ff77987130305beab"
				     "a2eda04df997b714d6c6f2c29a6ad5cb4"
				     "022b02709beead9d67890cbb22392336fea1851f38";
	uint8_t key[32], aad[12], bytes[sizeof(sealed) / 2], plain[sizeof(bytes) - 16], again[sizeof(bytes)];

	assert_int_equal(
		hex_decode(key, 32, "1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0"), 0);
	assert_int_equal(hex_decode(bytes, sizeof(bytes), sealed), 0);
	assert_int_equal(hex_decode(aad, 12, "f33388860000000000004e91"), 0);
	assert_true(oracle_aead_open(plain, key, 0x0807060504030201, bytes, sizeof(bytes), aad, sizeof(aad)));
	assert_memory_equal(plain, "Internet-Drafts are draft documents valid for a maximum of six months",
			    69);
	oracle_aead_seal(again, key, 0x0807060504030201, plain, sizeof(plain), aad, sizeof(aad));
	assert_memory_equal(again, bytes, sizeof(bytes));
}

static void
the_portable_cipher_agrees_with_another_library(void **state)
{
	static uint8_t plain[1500], sealed[1516], expected[1516], key[32];
	struct aead aead;

	aead_sodium_init(&aead);
	assert_int_equal(aead_self_test(&aead), 0);
	for (unsigned i = 0; i < sizeof(plain); i++)
		plain[i] = (uint8_t)(i * i);
	memset(key, 0x17, sizeof(key));
	for (uint32_t len = 0; len <= sizeof(plain); len += len < 130 ? 1 : 97) {
		struct aead_job job = {
			.key = key, .counter = len * 0x100000001ULL, .src = plain, .dst = sealed, .len = len};

		aead.seal(aead.ctx, &job, 1);
		oracle_aead_seal(expected, key, job.counter, plain, len, NULL, 0);
		assert_memory_equal(sealed, expected, len + 16);

		job = (struct aead_job){.key = key,
					.counter = len * 0x100000001ULL,
					.src = sealed,
					.dst = sealed,
					.len = len + 16};
		aead.open(aead.ctx, &job, 1);
		assert_true(job.ok);
		assert_memory_equal(sealed, plain, len);

		expected[len / 2] ^= 1;
		job = (struct aead_job){.key = key,
					.counter = len * 0x100000001ULL,
					.src = expected,
					.dst = sealed,
					.len = len + 16};
		aead.open(aead.ctx, &job, 1);
		assert_false(job.ok);
	}
	aead_done(&aead);
	aead_done(&aead);
}

/* A back end that is wrong in one respect, by what it does after libsodium's. */
static enum { WRONG_TAG, WRONG_CIPHER, TAKES_ALL, TAKES_NONE, WRONG_COUNTER } wrong;
static struct aead right;

static void
wrong_seal(void *ctx, struct aead_job *jobs, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct aead_job job = jobs[i];

		if (wrong == WRONG_COUNTER)
			job.counter &= UINT32_MAX;
		right.seal(right.ctx, &job, 1);
		if (wrong == WRONG_TAG)
			job.dst[job.len + 15] ^= 0x80;
		if (wrong == WRONG_CIPHER && job.len)
			job.dst[job.len - 1] ^= 1;
	}
}

static void
wrong_open(void *ctx, struct aead_job *jobs, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct aead_job job = jobs[i];

		if (wrong == WRONG_COUNTER)
			job.counter &= UINT32_MAX;
		right.open(right.ctx, &job, 1);
		jobs[i].ok = wrong == TAKES_ALL ? 1 : wrong == TAKES_NONE ? 0 : job.ok;
	}
}

static void
the_self_test_finds_a_wrong_back_end(void **state)
{
	const struct aead bad = {.name = "wrong", .seal = wrong_seal, .open = wrong_open};

	aead_sodium_init(&right);
	for (wrong = WRONG_TAG; wrong <= WRONG_COUNTER; wrong++)
		if (aead_self_test(&bad) == 0)
			fail_msg("wrong back end %d passes", wrong);
	aead_done(&right);
}

static void
the_foreign_handshake_is_that_of_the_vectors(void **state)
{
	struct oracle i, r;
	uint8_t bytes[148], stamp[12];

	memset(&i, 0, sizeof(i));
	memcpy(i.secret, vector_static_i, 32);
	memcpy(i.public, vector_public_i, 32);
	memcpy(i.remote, vector_public_r, 32);
	memcpy(i.psk, vector_psk, 32);
	r = i;
	memcpy(r.secret, vector_static_r, 32);
	memcpy(r.public, vector_public_r, 32);
	memcpy(r.remote, vector_public_i, 32);
	oracle_public(bytes, vector_static_i);
	assert_memory_equal(bytes, vector_public_i, 32);
	oracle_timestamp(stamp, VECTOR_SEC * 1000000000LL + VECTOR_NSEC);
	assert_memory_equal(stamp, vector_timestamp, 12);

	assert_true(oracle_take_initiation(&r, vector_initiation, sizeof(vector_initiation)));
	assert_memory_equal(r.timestamp, vector_timestamp, 12);
	assert_int_equal(r.remote_index, VECTOR_INDEX_I);
	oracle_initiation(&i, bytes, vector_timestamp); /* another ephemeral: the two only have to meet */
	assert_true(oracle_take_initiation(&r, bytes, sizeof(bytes)));
	oracle_response(&r, bytes);
	assert_true(oracle_take_response(&i, bytes, 92));
	assert_memory_equal(i.sending, r.receiving, 32);
	assert_memory_equal(i.receiving, r.sending, 32);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blake2s_is_that_of_rfc_7693),
		cmocka_unit_test(keyed_blake2s_is_that_of_the_reference),
		cmocka_unit_test(short_macs_agree_with_another_library),
		cmocka_unit_test(keys_are_derived_as_computed_by_hand),
		cmocka_unit_test(x25519_is_that_of_rfc_7748),
		cmocka_unit_test(chacha20_poly1305_is_that_of_rfc_8439),
		cmocka_unit_test(xchacha20_poly1305_is_that_of_the_draft),
		cmocka_unit_test(the_portable_cipher_agrees_with_another_library),
		cmocka_unit_test(the_self_test_finds_a_wrong_back_end),
		cmocka_unit_test(the_foreign_handshake_is_that_of_the_vectors),
	};

	return cmocka_run_group_tests_name("crypto", tests, NULL, NULL);
}
