/*
 * The hash of the handshake: BLAKE2s, its MAC with a key, and HKDF by HMAC-BLAKE2s.
 */
#ifndef SERVER_WG_HASH_H
#define SERVER_WG_HASH_H

#include <stddef.h>
#include <stdint.h>

#define HASH_LEN 32

/* HASH(a || b); either may be empty. */
void hash(uint8_t out[HASH_LEN], const void *a, size_t a_len, const void *b, size_t b_len);

/* MAC(key, a || b) of @out_len bytes; @key_len at most 32. */
void hash_mac(uint8_t *out, size_t out_len, const void *key, size_t key_len, const void *a, size_t a_len,
	      const void *b, size_t b_len);

/*
 * KDF_n(key, input): 32 bytes each into @first, @second and @third; those after the first may be NULL
 * from the end.  An output may be @key itself.
 */
void hash_kdf(uint8_t *first, uint8_t *second, uint8_t *third, const uint8_t key[HASH_LEN], const void *input,
	      size_t input_len);

#endif
