#include "base/bytes.h"

#include <errno.h>
#include <sodium.h>

void
hex_encode(char *out, const uint8_t *in, size_t len)
{
	sodium_bin2hex(out, 2 * len + 1, in, len);
}

int
hex_decode(uint8_t *out, size_t len, const char *in)
{
	const char *end;
	size_t got;

	if (strlen(in) != 2 * len)
		return -EINVAL;
	if (sodium_hex2bin(out, len, in, 2 * len, NULL, &got, &end) != 0)
		return -EINVAL;
	return got == len && *end == '\0' ? 0 : -EINVAL;
}

bool
bytes_equal(const void *a, const void *b, size_t len)
{
	return sodium_memcmp(a, b, len) == 0;
}

void
bytes_wipe(void *p, size_t len)
{
	sodium_memzero(p, len);
}
