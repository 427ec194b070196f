#include "tests/unit/wg/oracle.h"

#include <assert.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <sodium.h>
#include <string.h>

#include "base/bytes.h"

#define must(x)                                                                                              \
	do {                                                                                                 \
		if (!(x))                                                                                    \
			abort();                                                                             \
	} while (0)

/* Fetched once: a fetch costs more than a hash. */
static EVP_MD *blake2s;
static EVP_MAC *blake2smac;

static void __attribute__((constructor)) oracle_load(void)
{
	blake2s = EVP_MD_fetch(NULL, "BLAKE2S-256", NULL);
	blake2smac = EVP_MAC_fetch(NULL, "BLAKE2SMAC", NULL);
	must(blake2s && blake2smac && sodium_init() >= 0);
}

static void __attribute__((destructor)) oracle_unload(void)
{
	EVP_MD_free(blake2s);
	EVP_MAC_free(blake2smac);
}

void
oracle_hash(uint8_t out[32], const void *a, size_t a_len, const void *b, size_t b_len)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	must(ctx && EVP_DigestInit_ex(ctx, blake2s, NULL) == 1);
	must(EVP_DigestUpdate(ctx, a, a_len) == 1 && EVP_DigestUpdate(ctx, b, b_len) == 1);
	must(EVP_DigestFinal_ex(ctx, out, NULL) == 1);
	EVP_MD_CTX_free(ctx);
}

void
oracle_mac(uint8_t out[16], const uint8_t *key, size_t key_len, const void *data, size_t len)
{
	EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(blake2smac);
	size_t size = 16, written;
	OSSL_PARAM params[] = {OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &size), OSSL_PARAM_END};

	must(ctx && EVP_MAC_init(ctx, key, key_len, params) == 1 && EVP_MAC_update(ctx, data, len) == 1);
	must(EVP_MAC_final(ctx, out, &written, 16) == 1 && written == 16);
	EVP_MAC_CTX_free(ctx);
}

/* RFC 2104, with BLAKE2s' block of 64 bytes. */
void
oracle_hmac(uint8_t out[32], const uint8_t key[32], const void *data, size_t len)
{
	uint8_t pad[64], inner[32];

	memset(pad, 0x36, sizeof(pad));
	for (unsigned i = 0; i < 32; i++)
		pad[i] ^= key[i];
	oracle_hash(inner, pad, sizeof(pad), data, len);
	for (unsigned i = 0; i < sizeof(pad); i++)
		pad[i] ^= 0x36 ^ 0x5c;
	oracle_hash(out, pad, sizeof(pad), inner, sizeof(inner));
}

void
oracle_kdf(uint8_t *out, unsigned n, const uint8_t key[32], const void *data, size_t len)
{
	uint8_t secret[32], last[33];

	oracle_hmac(secret, key, data, len);
	for (unsigned i = 1; i <= n; i++) {
		last[i == 1 ? 0 : 32] = (uint8_t)i;
		oracle_hmac(last, secret, last, i == 1 ? 1 : 33);
		memcpy(out + 32 * (i - 1), last, 32);
	}
}

void
oracle_dh(uint8_t out[32], const uint8_t secret[32], const uint8_t public[32])
{
	EVP_PKEY *ours = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, secret, 32);
	EVP_PKEY *theirs = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, public, 32);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(ours, NULL);
	size_t len = 32;

	must(ours && theirs && ctx && EVP_PKEY_derive_init(ctx) == 1 &&
	     EVP_PKEY_derive_set_peer(ctx, theirs) == 1);
	if (EVP_PKEY_derive(ctx, out, &len) != 1)
		memset(out, 0, 32); /* a point of small order */
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(ours);
	EVP_PKEY_free(theirs);
}

void
oracle_public(uint8_t out[32], const uint8_t secret[32])
{
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, secret, 32);
	size_t len = 32;

	must(key && EVP_PKEY_get_raw_public_key(key, out, &len) == 1);
	EVP_PKEY_free(key);
}

void
oracle_aead_seal(uint8_t *out, const uint8_t key[32], uint64_t counter, const void *plain, size_t len,
		 const void *aad, size_t aad_len)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	uint8_t nonce[12] = {0};
	int n;

	le64_store(nonce + 4, counter);
	must(ctx && EVP_EncryptInit_ex(ctx, EVP_chacha20_poly1305(), NULL, key, nonce) == 1);
	must(!aad_len || EVP_EncryptUpdate(ctx, NULL, &n, aad, (int)aad_len) == 1);
	must(!len || EVP_EncryptUpdate(ctx, out, &n, plain, (int)len) == 1);
	must(EVP_EncryptFinal_ex(ctx, out + len, &n) == 1);
	must(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 16, out + len) == 1);
	EVP_CIPHER_CTX_free(ctx);
}

bool
oracle_aead_open(uint8_t *out, const uint8_t key[32], uint64_t counter, const void *sealed, size_t len,
		 const void *aad, size_t aad_len)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	uint8_t nonce[12] = {0}, tag[16], nothing[1];
	bool ok;
	int n;

	must(len >= 16);
	len -= 16;
	memcpy(tag, (const uint8_t *)sealed + len, 16);
	le64_store(nonce + 4, counter);
	must(ctx && EVP_DecryptInit_ex(ctx, EVP_chacha20_poly1305(), NULL, key, nonce) == 1);
	must(!aad_len || EVP_DecryptUpdate(ctx, NULL, &n, aad, (int)aad_len) == 1);
	must(!len || EVP_DecryptUpdate(ctx, out, &n, sealed, (int)len) == 1);
	must(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, 16, tag) == 1);
	ok = EVP_DecryptFinal_ex(ctx, len ? out + len : nothing, &n) == 1;
	EVP_CIPHER_CTX_free(ctx);
	return ok;
}

void
oracle_timestamp(uint8_t out[12], int64_t wall_nsec)
{
	be64_store(out, (1ULL << 62) + 10 + (uint64_t)wall_nsec / 1000000000);
	be32_store(out + 8, (uint32_t)((uint64_t)wall_nsec % 1000000000) & ~((1U << 24) - 1));
}

void
oracle_init(struct oracle *o, const char *name, const uint8_t remote[32])
{
	memset(o, 0, sizeof(*o));
	oracle_hash(o->secret, "static ", 7, name, strlen(name));
	oracle_public(o->public, o->secret);
	memcpy(o->remote, remote, 32);
	o->index = 0x10203040;
}

static void
mix_hash(struct oracle *o, const void *data, size_t len)
{
	oracle_hash(o->h, o->h, 32, data, len);
}

/* ck and, if wanted, a key. */
static void
mix_key(struct oracle *o, uint8_t *key, const uint8_t in[32])
{
	uint8_t out[64];

	oracle_kdf(out, key ? 2 : 1, o->ck, in, 32);
	memcpy(o->ck, out, 32);
	if (key)
		memcpy(key, out + 32, 32);
}

static void
mix_dh(struct oracle *o, uint8_t *key, const uint8_t secret[32], const uint8_t public[32])
{
	uint8_t shared[32] = {0};

	if (!o->small_order || secret != o->ephemeral)
		oracle_dh(shared, secret, public);
	mix_key(o, key, shared);
}

static void
seal_hash(struct oracle *o, uint8_t *out, const uint8_t key[32], const void *plain, size_t len)
{
	oracle_aead_seal(out, key, 0, plain, len, o->h, 32);
	mix_hash(o, out, len + 16);
}

static bool
open_hash(struct oracle *o, uint8_t *out, const uint8_t key[32], const uint8_t *sealed, size_t len)
{
	if (!oracle_aead_open(out, key, 0, sealed, len, o->h, 32))
		return false;
	mix_hash(o, sealed, len);
	return true;
}

static void
noise_begin(struct oracle *o, const uint8_t responder[32])
{
	static const char construction[] = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
	static const char identifier[] = "WireGuard v1 zx2c4 Jason@zx2c4.com";

	oracle_hash(o->ck, construction, sizeof(construction) - 1, "", 0);
	oracle_hash(o->h, o->ck, 32, identifier, sizeof(identifier) - 1);
	mix_hash(o, responder, 32);
}

static void
ephemeral_new(struct oracle *o, uint8_t out[32])
{
	o->seed++;
	oracle_hash(o->ephemeral, o->secret, 32, &o->seed, sizeof(o->seed));
	if (o->small_order)
		memset(out, 0, 32);
	else
		oracle_public(out, o->ephemeral);
}

void
oracle_seal_macs(struct oracle *o, uint8_t *message, size_t len)
{
	uint8_t key[32];

	oracle_hash(key, "mac1----", 8, o->remote, 32);
	oracle_mac(message + len - 32, key, 32, message, len - 32);
	memcpy(o->mac1, message + len - 32, 16);
	memset(message + len - 16, 0, 16);
	if (o->has_cookie)
		oracle_mac(message + len - 16, o->cookie, 16, message, len - 16);
}

static bool
mac1_right(const struct oracle *o, const uint8_t *message, size_t len)
{
	uint8_t key[32], mac[16];

	oracle_hash(key, "mac1----", 8, o->public, 32);
	oracle_mac(mac, key, 32, message, len - 32);
	return memcmp(mac, message + len - 32, 16) == 0;
}

void
oracle_initiation(struct oracle *o, uint8_t out[ORACLE_INITIATION], const uint8_t timestamp[12])
{
	uint8_t key[32];

	o->index += 0x01010101;
	le32_store(out, 1);
	le32_store(out + 4, o->index);
	noise_begin(o, o->remote);
	/* e */
	ephemeral_new(o, out + 8);
	mix_hash(o, out + 8, 32);
	mix_key(o, NULL, out + 8);
	/* es, s */
	mix_dh(o, key, o->ephemeral, o->remote);
	seal_hash(o, out + 40, key, o->public, 32);
	/* ss, {t} */
	mix_dh(o, key, o->secret, o->remote);
	seal_hash(o, out + 88, key, timestamp, 12);
	oracle_seal_macs(o, out, ORACLE_INITIATION);
}

bool
oracle_take_initiation(struct oracle *o, const uint8_t *message, size_t len)
{
	uint8_t key[32], static_key[32];

	if (len != ORACLE_INITIATION || le32_load(message) != 1 || !mac1_right(o, message, len))
		return false;
	noise_begin(o, o->public);
	memcpy(o->remote_ephemeral, message + 8, 32);
	mix_hash(o, message + 8, 32);
	mix_key(o, NULL, message + 8);
	mix_dh(o, key, o->secret, o->remote_ephemeral);
	if (!open_hash(o, static_key, key, message + 40, 48) || memcmp(static_key, o->remote, 32) != 0)
		return false;
	mix_dh(o, key, o->secret, o->remote);
	if (!open_hash(o, o->timestamp, key, message + 88, 28))
		return false;
	o->remote_index = le32_load(message + 4);
	return true;
}

static void
transport_keys(struct oracle *o, bool initiator)
{
	uint8_t keys[64];

	oracle_kdf(keys, 2, o->ck, "", 0);
	memcpy(o->sending, keys + (initiator ? 0 : 32), 32);
	memcpy(o->receiving, keys + (initiator ? 32 : 0), 32);
	o->counter = 0;
	o->initiator = initiator;
}

/* psk: the last key of the handshake. */
static void
mix_psk(struct oracle *o, uint8_t key[32])
{
	uint8_t out[96];

	oracle_kdf(out, 3, o->ck, o->psk, 32);
	memcpy(o->ck, out, 32);
	mix_hash(o, out + 32, 32);
	memcpy(key, out + 64, 32);
}

void
oracle_response(struct oracle *o, uint8_t out[ORACLE_RESPONSE])
{
	uint8_t key[32];

	o->index += 0x01010101;
	le32_store(out, 2);
	le32_store(out + 4, o->index);
	le32_store(out + 8, o->remote_index);
	ephemeral_new(o, out + 12);
	mix_hash(o, out + 12, 32);
	mix_key(o, NULL, out + 12);
	mix_dh(o, NULL, o->ephemeral, o->remote_ephemeral);
	mix_dh(o, NULL, o->ephemeral, o->remote);
	mix_psk(o, key);
	seal_hash(o, out + 44, key, "", 0);
	oracle_seal_macs(o, out, ORACLE_RESPONSE);
	transport_keys(o, false);
}

bool
oracle_take_response(struct oracle *o, const uint8_t *message, size_t len)
{
	uint8_t key[32], nothing[1];

	if (len != ORACLE_RESPONSE || le32_load(message) != 2 || le32_load(message + 8) != o->index ||
	    !mac1_right(o, message, len))
		return false;
	mix_hash(o, message + 12, 32);
	mix_key(o, NULL, message + 12);
	mix_dh(o, NULL, o->ephemeral, message + 12);
	mix_dh(o, NULL, o->secret, message + 12);
	mix_psk(o, key);
	if (!open_hash(o, nothing, key, message + 44, 16))
		return false;
	o->remote_index = le32_load(message + 4);
	transport_keys(o, true);
	return true;
}

void
oracle_cookie_reply(const struct oracle *o, uint8_t out[ORACLE_COOKIE], const uint8_t *message, size_t len,
		    const uint8_t cookie[16])
{
	uint8_t key[32];

	oracle_hash(key, "cookie--", 8, o->public, 32);
	le32_store(out, 3);
	memcpy(out + 4, message + 4, 4);
	memset(out + 8, 0x77, 24);
	crypto_aead_xchacha20poly1305_ietf_encrypt(out + 32, NULL, cookie, 16, message + len - 32, 16, NULL,
						   out + 8, key);
}

bool
oracle_take_cookie(struct oracle *o, const uint8_t *message, size_t len)
{
	uint8_t key[32];

	if (len != ORACLE_COOKIE || le32_load(message) != 3 || le32_load(message + 4) != o->index)
		return false;
	oracle_hash(key, "cookie--", 8, o->remote, 32);
	if (crypto_aead_xchacha20poly1305_ietf_decrypt(o->cookie, NULL, NULL, message + 32, 32, o->mac1, 16,
						       message + 8, key) != 0)
		return false;
	o->has_cookie = true;
	return true;
}

void
oracle_data(struct oracle *o, uint8_t *out, uint64_t counter, const void *packet, size_t len)
{
	le32_store(out, 4);
	le32_store(out + 4, o->remote_index);
	le64_store(out + 8, counter);
	oracle_aead_seal(out + 16, o->sending, counter, packet, len, NULL, 0);
}

bool
oracle_take_data(const struct oracle *o, uint8_t *out, const uint8_t *message, size_t len)
{
	if (len < 32 || le32_load(message) != 4 || le32_load(message + 4) != o->index)
		return false;
	return oracle_aead_open(out, o->receiving, le64_load(message + 8), message + 16, len - 16, NULL, 0);
}
