/*
 * A fuzzer's bytes as a stream of choices.  At its end everything is zero.
 */
#ifndef TESTS_FUZZ_WG_INPUT_H
#define TESTS_FUZZ_WG_INPUT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/cleanup.h"

struct input {
	const uint8_t *p;
	size_t left;
};

static inline uint8_t
input_byte(struct input *in)
{
	if (!in->left)
		return 0;
	in->left--;
	return *in->p++;
}

static inline uint32_t
input_word(struct input *in)
{
	uint32_t v = input_byte(in);

	v |= (uint32_t)input_byte(in) << 8;
	v |= (uint32_t)input_byte(in) << 16;
	return v | (uint32_t)input_byte(in) << 24;
}

static inline void
input_bytes(struct input *in, uint8_t *out, size_t len)
{
	const size_t n = MIN(len, in->left);

	memset(out, 0, len);
	if (n)
		memcpy(out, in->p, n);
	in->p += n;
	in->left -= n;
}

/* Changes bytes of @data: a count, then offset and difference each.  Returns whether any differs. */
static inline int
input_mutate(struct input *in, uint8_t *data, size_t len)
{
	uint8_t before[256];
	const size_t kept = MIN(len, sizeof(before));

	memcpy(before, data, kept);
	for (unsigned n = input_byte(in) % 4; n > 0; n--) {
		const size_t at = input_byte(in) % len;

		data[at] ^= input_byte(in);
	}
	return memcmp(before, data, kept) != 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Said in words, then an end that the fuzzer sees. */
#define check(x)                                                                                             \
	do {                                                                                                 \
		if (!(x)) {                                                                                  \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #x);                      \
			abort();                                                                             \
		}                                                                                            \
	} while (0)

#endif
