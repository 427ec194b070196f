/*
 * WireGuard's 32-byte keys, a type each, so that the compiler keeps them apart.
 */
#ifndef BASE_KEY_H
#define BASE_KEY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"

#define KEY_LEN 32
#define KEY_BASE64_LEN 45 /* with the final NUL */
#define KEY_HEX_LEN 65

struct public_key {
	uint8_t b[KEY_LEN];
};
struct private_key {
	uint8_t b[KEY_LEN];
};
struct preshared_key {
	uint8_t b[KEY_LEN];
};

/* Base64 with padding, as wg(8) prints keys.  -EINVAL: not the encoding of exactly 32 bytes. */
int key_from_base64(uint8_t out[KEY_LEN], const char *text) _must_check_;
void key_to_base64(char out[KEY_BASE64_LEN], const uint8_t key[KEY_LEN]);

/* Whether all bytes are zero: WireGuard's "no key". */
bool key_is_zero(const uint8_t key[KEY_LEN]);

/* A new clamped Curve25519 secret from the kernel's randomness. */
void private_key_generate(struct private_key *ret);
void preshared_key_generate(struct preshared_key *ret);
void public_key_derive(struct public_key *ret, const struct private_key *key);

#endif
