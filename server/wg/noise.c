#include "server/wg/noise.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <string.h>

static const char construction[] = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
static const char identifier[] = "WireGuard v1 zx2c4 Jason@zx2c4.com";

/* Where the fields are; messages.h has the whole. */
#define SENDER               4
#define INITIATION_EPHEMERAL 8
#define INITIATION_STATIC    40
#define INITIATION_TIMESTAMP 88
#define RESPONSE_RECEIVER    8
#define RESPONSE_EPHEMERAL   12
#define RESPONSE_NOTHING     44

/* The key lives no longer than the reading or writing of one message. */
struct working {
	struct noise_symmetric s;
	uint8_t key[HASH_LEN];
};

static void
working_wipe(struct working *w)
{
	bytes_wipe(w, sizeof(*w));
}

static void
mix_hash(struct working *w, const void *data, size_t len)
{
	hash(w->s.hash, w->s.hash, sizeof(w->s.hash), data, len);
}

static void
mix_key(struct working *w, const uint8_t input[KEY_LEN])
{
	hash_kdf(w->s.chaining_key, w->key, NULL, w->s.chaining_key, input, KEY_LEN);
}

static void
mix_psk(struct working *w, const struct preshared_key *psk)
{
	uint8_t tau[HASH_LEN];

	hash_kdf(w->s.chaining_key, tau, w->key, w->s.chaining_key, psk->b, KEY_LEN);
	mix_hash(w, tau, sizeof(tau));
	bytes_wipe(tau, sizeof(tau));
}

/* With a preshared key in the pattern, e is mixed into the key, too. */
static void
mix_ephemeral(struct working *w, const uint8_t e[KEY_LEN])
{
	mix_hash(w, e, KEY_LEN);
	hash_kdf(w->s.chaining_key, NULL, NULL, w->s.chaining_key, e, KEY_LEN);
}

/*
 * libsodium refuses the result zero, which keys of low order give.  @keyed: something is encrypted before
 * the next mixing; else the key that would come of it is not worked out.
 */
static int
mix_dh(struct working *w, const struct private_key *secret, const uint8_t remote[KEY_LEN], bool keyed)
{
	uint8_t shared[KEY_LEN];
	int r = 0;

	if (crypto_scalarmult(shared, secret->b, remote) == 0)
		hash_kdf(w->s.chaining_key, keyed ? w->key : NULL, NULL, w->s.chaining_key, shared, KEY_LEN);
	else
		r = -EKEYREJECTED;
	bytes_wipe(shared, sizeof(shared));
	return r;
}

/* Each key encrypts once, so the nonce is 0. */
static const uint8_t nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES];

static void
encrypt_and_hash(struct working *w, uint8_t *out, const void *plain, size_t len)
{
	crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, plain, len, w->s.hash, sizeof(w->s.hash), NULL,
						  nonce, w->key);
	mix_hash(w, out, len + WG_TAG_LEN);
}

static int
decrypt_and_hash(struct working *w, void *out, const uint8_t *in, size_t len)
{
	if (crypto_aead_chacha20poly1305_ietf_decrypt(out, NULL, NULL, in, len + WG_TAG_LEN, w->s.hash,
						      sizeof(w->s.hash), nonce, w->key) != 0)
		return -EBADMSG;
	mix_hash(w, in, len + WG_TAG_LEN);
	return 0;
}

/* <- s: the responder's static key is known before. */
static void
begin(struct working *w, const struct public_key *responder)
{
	hash(w->s.chaining_key, construction, sizeof(construction) - 1, NULL, 0);
	hash(w->s.hash, w->s.chaining_key, sizeof(w->s.chaining_key), identifier, sizeof(identifier) - 1);
	mix_hash(w, responder->b, KEY_LEN);
}

int
noise_static_static(const struct noise_identity *identity, const struct public_key *remote,
		    uint8_t ret[KEY_LEN])
{
	return crypto_scalarmult(ret, identity->secret.b, remote->b) == 0 ? 0 : -EKEYREJECTED;
}

int
noise_initiation_write(struct noise_handshake *handshake, const struct noise_identity *identity,
		       const struct public_key *remote, const uint8_t static_static[KEY_LEN],
		       const struct private_key *ephemeral, const uint8_t timestamp[NOISE_TIMESTAMP_LEN],
		       uint32_t local_index, uint8_t message[WG_INITIATION_LEN])
{
	_cleanup_(working_wipe) struct working w = {0};
	int r;

	le32_store(message, WG_MSG_INITIATION);
	le32_store(message + SENDER, local_index);
	begin(&w, remote);

	/* e */
	crypto_scalarmult_base(message + INITIATION_EPHEMERAL, ephemeral->b);
	mix_ephemeral(&w, message + INITIATION_EPHEMERAL);

	/* es */
	r = mix_dh(&w, ephemeral, remote->b, true);
	if (r < 0)
		return r;

	/* s */
	encrypt_and_hash(&w, message + INITIATION_STATIC, identity->key.b, KEY_LEN);

	/* ss */
	mix_key(&w, static_static);

	/* {t} */
	encrypt_and_hash(&w, message + INITIATION_TIMESTAMP, timestamp, NOISE_TIMESTAMP_LEN);

	noise_wipe(handshake);
	handshake->state = NOISE_INITIATION_SENT;
	handshake->local_index = local_index;
	handshake->ephemeral = *ephemeral;
	handshake->symmetric = w.s;
	return 0;
}

int
noise_initiation_open(struct noise_initiation *ret, const struct noise_identity *identity,
		      const uint8_t message[WG_INITIATION_LEN])
{
	_cleanup_(working_wipe) struct working w = {0};
	int r;

	begin(&w, &identity->key);
	ret->remote_index = le32_load(message + SENDER);

	/* e */
	memcpy(ret->remote_ephemeral.b, message + INITIATION_EPHEMERAL, KEY_LEN);
	mix_ephemeral(&w, ret->remote_ephemeral.b);

	/* es */
	r = mix_dh(&w, &identity->secret, ret->remote_ephemeral.b, true);
	if (r < 0)
		return r;

	/* s */
	r = decrypt_and_hash(&w, ret->remote.b, message + INITIATION_STATIC, KEY_LEN);
	if (r < 0)
		return r;

	ret->symmetric = w.s;
	return 0;
}

int
noise_initiation_prove(struct noise_initiation *initiation, const uint8_t static_static[KEY_LEN],
		       const uint8_t message[WG_INITIATION_LEN], uint8_t timestamp[NOISE_TIMESTAMP_LEN])
{
	_cleanup_(working_wipe) struct working w = {.s = initiation->symmetric};
	int r;

	/* ss */
	mix_key(&w, static_static);

	/* {t} */
	r = decrypt_and_hash(&w, timestamp, message + INITIATION_TIMESTAMP, NOISE_TIMESTAMP_LEN);
	if (r < 0)
		return r;

	initiation->symmetric = w.s;
	return 0;
}

void
noise_initiation_take(struct noise_handshake *handshake, const struct noise_initiation *initiation)
{
	noise_wipe(handshake);
	handshake->state = NOISE_INITIATION_CONSUMED;
	handshake->remote_index = initiation->remote_index;
	handshake->remote_ephemeral = initiation->remote_ephemeral;
	handshake->symmetric = initiation->symmetric;
}

int
noise_response_write(struct noise_handshake *handshake, const struct public_key *remote,
		     const struct preshared_key *psk, const struct private_key *ephemeral,
		     uint32_t local_index, uint8_t message[WG_RESPONSE_LEN])
{
	_cleanup_(working_wipe) struct working w = {.s = handshake->symmetric};
	int r;

	assert(handshake->state == NOISE_INITIATION_CONSUMED);
	le32_store(message, WG_MSG_RESPONSE);
	le32_store(message + SENDER, local_index);
	le32_store(message + RESPONSE_RECEIVER, handshake->remote_index);

	/* e */
	crypto_scalarmult_base(message + RESPONSE_EPHEMERAL, ephemeral->b);
	mix_ephemeral(&w, message + RESPONSE_EPHEMERAL);

	/* ee */
	r = mix_dh(&w, ephemeral, handshake->remote_ephemeral.b, false);
	if (r < 0)
		return r;

	/* se */
	r = mix_dh(&w, ephemeral, remote->b, false);
	if (r < 0)
		return r;

	/* psk */
	mix_psk(&w, psk);

	/* {} */
	encrypt_and_hash(&w, message + RESPONSE_NOTHING, NULL, 0);

	handshake->state = NOISE_DONE;
	handshake->local_index = local_index;
	handshake->symmetric = w.s;
	return 0;
}

int
noise_response_read(struct noise_handshake *handshake, const struct noise_identity *identity,
		    const struct preshared_key *psk, const uint8_t message[WG_RESPONSE_LEN])
{
	_cleanup_(working_wipe) struct working w = {.s = handshake->symmetric};
	const uint8_t *e = message + RESPONSE_EPHEMERAL;
	int r;

	assert(handshake->state == NOISE_INITIATION_SENT);

	/* e */
	mix_ephemeral(&w, e);

	/* ee */
	r = mix_dh(&w, &handshake->ephemeral, e, false);
	if (r < 0)
		return r;

	/* se */
	r = mix_dh(&w, &identity->secret, e, false);
	if (r < 0)
		return r;

	/* psk */
	mix_psk(&w, psk);

	/* {} */
	r = decrypt_and_hash(&w, NULL, message + RESPONSE_NOTHING, 0);
	if (r < 0)
		return r;

	handshake->state = NOISE_DONE;
	handshake->remote_index = le32_load(message + SENDER);
	handshake->symmetric = w.s;
	return 0;
}

void
noise_keys(struct noise_handshake *handshake, bool initiator, uint8_t sending[AEAD_KEY_LEN],
	   uint8_t receiving[AEAD_KEY_LEN])
{
	assert(handshake->state == NOISE_DONE);
	hash_kdf(initiator ? sending : receiving, initiator ? receiving : sending, NULL,
		 handshake->symmetric.chaining_key, NULL, 0);
	noise_wipe(handshake);
}

void
noise_wipe(struct noise_handshake *handshake)
{
	bytes_wipe(handshake, sizeof(*handshake));
}
