#include "base/key.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

int
key_from_base64(uint8_t out[KEY_LEN], const char *text)
{
	char again[KEY_BASE64_LEN];
	const char *end;
	size_t got;

	if (strlen(text) != KEY_BASE64_LEN - 1)
		return -EINVAL;
	if (sodium_base642bin(out, KEY_LEN, text, strlen(text), NULL, &got, &end,
			      sodium_base64_VARIANT_ORIGINAL) != 0 || got != KEY_LEN || *end != '\0')
		return -EINVAL;
	/* The last character carries four unused bits: one key, one spelling. */
	key_to_base64(again, out);
	return strcmp(again, text) == 0 ? 0 : -EINVAL;
}

void
key_to_base64(char out[KEY_BASE64_LEN], const uint8_t key[KEY_LEN])
{
	sodium_bin2base64(out, KEY_BASE64_LEN, key, KEY_LEN, sodium_base64_VARIANT_ORIGINAL);
}

bool
key_is_zero(const uint8_t key[KEY_LEN])
{
	return sodium_is_zero(key, KEY_LEN) == 1;
}

void
private_key_generate(struct private_key *ret)
{
	randombytes_buf(ret->b, KEY_LEN);
	ret->b[0] &= 248;
	ret->b[31] = (uint8_t)((ret->b[31] & 127) | 64);
}

void
preshared_key_generate(struct preshared_key *ret)
{
	randombytes_buf(ret->b, KEY_LEN);
}

void
public_key_derive(struct public_key *ret, const struct private_key *key)
{
	crypto_scalarmult_base(ret->b, key->b);
}
