/*
 * A foreign WireGuard, as small as the paper allows: one static key, one peer, one handshake at a
 * time.  It shares no line and, but for XChaCha20, no library call with the device under test.  It
 * believes what the test tells it and checks all that it receives.
 */
#ifndef TESTS_UNIT_WG_ORACLE_H
#define TESTS_UNIT_WG_ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ORACLE_INITIATION 148
#define ORACLE_RESPONSE   92
#define ORACLE_COOKIE     64

/* BLAKE2s as the paper uses it. */
void oracle_hash(uint8_t out[32], const void *a, size_t a_len, const void *b, size_t b_len);
void oracle_mac(uint8_t out[16], const uint8_t *key, size_t key_len, const void *data, size_t len);
void oracle_hmac(uint8_t out[32], const uint8_t key[32], const void *data, size_t len);
/* KDF_n: @n × 32 bytes. */
void oracle_kdf(uint8_t *out, unsigned n, const uint8_t key[32], const void *data, size_t len);
void oracle_dh(uint8_t out[32], const uint8_t secret[32], const uint8_t public[32]);
void oracle_public(uint8_t out[32], const uint8_t secret[32]);
void oracle_aead_seal(uint8_t *out, const uint8_t key[32], uint64_t counter, const void *plain, size_t len,
		      const void *aad, size_t aad_len);
bool oracle_aead_open(uint8_t *out, const uint8_t key[32], uint64_t counter, const void *sealed, size_t len,
		      const void *aad, size_t aad_len);
void oracle_timestamp(uint8_t out[12], int64_t wall_nsec);

struct oracle {
	uint8_t secret[32], public[32], remote[32], psk[32];
	uint8_t ephemeral[32], remote_ephemeral[32], ck[32], h[32];
	uint32_t index, remote_index;
	uint8_t timestamp[12]; /* of the last initiation taken */
	uint8_t sending[32], receiving[32];
	uint64_t counter; /* of the next data message */
	uint8_t mac1[16]; /* the last one sent */
	uint8_t cookie[16];
	bool has_cookie;
	bool initiator;
	bool small_order; /* attack: sends the point 0 as ephemeral, so that every shared secret is 0 */
	uint64_t seed;    /* of ephemerals */
};

/* Two foreign endpoints with the same @name have the same secret. */
void oracle_init(struct oracle *o, const char *name, const uint8_t remote[32]);

/* Messages out.  mac2 is filled if there is a cookie.  Both overwrite the handshake's state. */
void oracle_initiation(struct oracle *o, uint8_t out[ORACLE_INITIATION], const uint8_t timestamp[12]);
void oracle_response(struct oracle *o, uint8_t out[ORACLE_RESPONSE]);
/* (Re)computes mac1 and mac2 of a handshake message that was altered. */
void oracle_seal_macs(struct oracle *o, uint8_t *message, size_t len);
/* Answers @message, whose mac1 it takes from there. */
void oracle_cookie_reply(const struct oracle *o, uint8_t out[ORACLE_COOKIE], const uint8_t *message,
			 size_t len, const uint8_t cookie[16]);
/* Writes @len + 32 bytes. */
void oracle_data(struct oracle *o, uint8_t *out, uint64_t counter, const void *packet, size_t len);

/* Messages in: whether they are in order, to the last bit.  A response makes keys, so does ours. */
bool oracle_take_initiation(struct oracle *o, const uint8_t *message, size_t len);
bool oracle_take_response(struct oracle *o, const uint8_t *message, size_t len);
bool oracle_take_cookie(struct oracle *o, const uint8_t *message, size_t len);
/* Writes @len - 32 bytes of plaintext with its padding. */
bool oracle_take_data(const struct oracle *o, uint8_t *out, const uint8_t *message, size_t len);

#endif
