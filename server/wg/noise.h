/*
 * Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s, as WireGuard has it:
 *
 *     <- s
 *     ...
 *     -> e, es, s, ss, {t}
 *     <- e, ee, se, psk, {}
 *
 * Messages are written and read up to their MACs, which are the cookie's business.  Random bytes and
 * the time are the caller's.  What fails leaves the handshake as it was.
 */
#ifndef SERVER_WG_NOISE_H
#define SERVER_WG_NOISE_H

#include <stdbool.h>

#include "base/key.h"
#include "server/wg/aead.h"
#include "server/wg/hash.h"
#include "server/wg/messages.h"

#define NOISE_TIMESTAMP_LEN 12

struct noise_identity {
	bool present;
	struct private_key secret;
	struct public_key key;
};

struct noise_symmetric {
	uint8_t chaining_key[HASH_LEN];
	uint8_t hash[HASH_LEN];
};

enum noise_state {
	NOISE_IDLE,
	NOISE_INITIATION_SENT,
	NOISE_INITIATION_CONSUMED,
	NOISE_DONE, /* noise_keys() is to be called */
};

/* One a peer: what comes later overwrites what was begun before. */
struct noise_handshake {
	enum noise_state state;
	uint32_t local_index, remote_index;
	struct noise_symmetric symmetric;
	struct private_key ephemeral;       /* ours; initiator */
	struct public_key remote_ephemeral; /* responder */
};

/* An initiation that is being read. */
struct noise_initiation {
	struct noise_symmetric symmetric;
	struct public_key remote_ephemeral;
	struct public_key remote; /* who says that it is: proven by the timestamp only */
	uint32_t remote_index;
};

/* DH(static, static), for all handshakes of a peer.  -EKEYREJECTED: a key of low order. */
int noise_static_static(const struct noise_identity *identity, const struct public_key *remote,
			uint8_t ret[KEY_LEN]) _must_check_;

/* @ephemeral: 32 random bytes.  -EKEYREJECTED. */
int noise_initiation_write(struct noise_handshake *handshake, const struct noise_identity *identity,
			   const struct public_key *remote, const uint8_t static_static[KEY_LEN],
			   const struct private_key *ephemeral, const uint8_t timestamp[NOISE_TIMESTAMP_LEN],
			   uint32_t local_index, uint8_t message[WG_INITIATION_LEN]) _must_check_;

/* First half: who is it?  -EBADMSG, -EKEYREJECTED.  @ret is to be wiped in any case. */
int noise_initiation_open(struct noise_initiation *ret, const struct noise_identity *identity,
			  const uint8_t message[WG_INITIATION_LEN]) _must_check_;

/* Second half: prove it.  @timestamp is written on success. */
int noise_initiation_prove(struct noise_initiation *initiation, const uint8_t static_static[KEY_LEN],
			   const uint8_t message[WG_INITIATION_LEN],
			   uint8_t timestamp[NOISE_TIMESTAMP_LEN]) _must_check_;

/* The initiation is good and fresh: it replaces whatever was under way. */
void noise_initiation_take(struct noise_handshake *handshake, const struct noise_initiation *initiation);

int noise_response_write(struct noise_handshake *handshake, const struct public_key *remote,
			 const struct preshared_key *psk, const struct private_key *ephemeral,
			 uint32_t local_index, uint8_t message[WG_RESPONSE_LEN]) _must_check_;
int noise_response_read(struct noise_handshake *handshake, const struct noise_identity *identity,
			const struct preshared_key *psk, const uint8_t message[WG_RESPONSE_LEN]) _must_check_;

/* The keys of a handshake that is done, which is wiped. */
void noise_keys(struct noise_handshake *handshake, bool initiator, uint8_t sending[AEAD_KEY_LEN],
		uint8_t receiving[AEAD_KEY_LEN]);

void noise_wipe(struct noise_handshake *handshake);

#endif
