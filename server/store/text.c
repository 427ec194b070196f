#include "server/store/text.h"

#include <stdint.h>
#include <string.h>

/* Length of the character at @p and its number; 0: it is none.  Never reads beyond a NUL. */
static unsigned
character(const unsigned char *p, uint32_t *ret)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	const unsigned len = p[0] < 0x80       ? 1
			     : p[0] >> 5 == 6  ? 2
			     : p[0] >> 4 == 14 ? 3
			     : p[0] >> 3 == 30 ? 4
					       : 0;
	uint32_t v = len == 1 ? p[0] : p[0] & (0x7fU >> len);

	if (len == 0)
		return 0;
	for (unsigned i = 1; i < len; i++) {
		if (p[i] >> 6 != 2)
			return 0;
		v = v << 6 | (p[i] & 0x3fU);
	}
	if (v < least[len] || v > 0x10ffff || (v >= 0xd800 && v < 0xe000))
		return 0;
	*ret = v;
	return len;
}

static bool
check(const char *text, size_t max, bool controls)
{
	const unsigned char *p = (const unsigned char *)text;
	uint32_t v;
	unsigned len;

	if (strnlen(text, max + 1) > max)
		return false;
	for (; *p; p += len) {
		len = character(p, &v);
		if (len == 0 || (!controls && (v < 0x20 || (v >= 0x7f && v < 0xa0))))
			return false;
	}
	return true;
}

bool
text_valid(const char *text, size_t max)
{
	return check(text, max, true);
}

bool
text_is_name(const char *text, size_t max)
{
	return *text && check(text, max, false);
}

bool
text_is_label(const char *text)
{
	const size_t len = strlen(text);

	return len >= 1 && len <= 63 && text[0] != '-' && text[len - 1] != '-' &&
	       strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == len;
}
