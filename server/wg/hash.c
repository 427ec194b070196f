#include "server/wg/hash.h"

#include <blake2.h>
#include <string.h>

#include "base/bytes.h"

#define HASH_BLOCK 64

/* libb2 fails only for lengths that it does not know; ours are constants. */
void
hash(uint8_t out[HASH_LEN], const void *a, size_t a_len, const void *b, size_t b_len)
{
	hash_mac(out, HASH_LEN, NULL, 0, a, a_len, b, b_len);
}

void
hash_mac(uint8_t *out, size_t out_len, const void *key, size_t key_len, const void *a, size_t a_len,
	 const void *b, size_t b_len)
{
	blake2s_state state;

	if (key_len > 0)
		blake2s_init_key(&state, out_len, key, key_len);
	else
		blake2s_init(&state, out_len);
	if (a_len > 0)
		blake2s_update(&state, a, a_len);
	if (b_len > 0)
		blake2s_update(&state, b, b_len);
	blake2s_final(&state, out, out_len);
	bytes_wipe(&state, sizeof(state));
}

/* RFC 2104 with a key of one hash and HASH = BLAKE2s. */
static void
hmac(uint8_t out[HASH_LEN], const uint8_t key[HASH_LEN], const void *a, size_t a_len, const void *b,
     size_t b_len)
{
	uint8_t pad[HASH_BLOCK], inner[HASH_LEN];
	blake2s_state state;

	memset(pad, 0x36, sizeof(pad));
	for (size_t i = 0; i < HASH_LEN; i++)
		pad[i] ^= key[i];
	blake2s_init(&state, HASH_LEN);
	blake2s_update(&state, pad, sizeof(pad));
	if (a_len > 0)
		blake2s_update(&state, a, a_len);
	if (b_len > 0)
		blake2s_update(&state, b, b_len);
	blake2s_final(&state, inner, sizeof(inner));

	for (size_t i = 0; i < HASH_BLOCK; i++)
		pad[i] ^= 0x36 ^ 0x5c;
	hash(out, pad, sizeof(pad), inner, sizeof(inner));

	bytes_wipe(&state, sizeof(state));
	bytes_wipe(pad, sizeof(pad));
	bytes_wipe(inner, sizeof(inner));
}

/* RFC 5869: extract with @key as salt, then expand with nothing but the counter. */
void
hash_kdf(uint8_t *first, uint8_t *second, uint8_t *third, const uint8_t key[HASH_LEN], const void *input,
	 size_t input_len)
{
	uint8_t *const outs[] = {first, second, third};
	uint8_t secret[HASH_LEN], block[HASH_LEN];

	hmac(secret, key, input, input_len, NULL, 0);
	for (uint8_t i = 0; i < 3 && outs[i]; i++) {
		const uint8_t counter = (uint8_t)(i + 1);

		hmac(block, secret, block, i == 0 ? 0 : sizeof(block), &counter, 1);
		memcpy(outs[i], block, sizeof(block));
	}
	bytes_wipe(secret, sizeof(secret));
	bytes_wipe(block, sizeof(block));
}
