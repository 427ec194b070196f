/*
 * Bytes on the wire: unaligned loads and stores of stated order, hexadecimal, constant time.
 */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/cleanup.h"

#define BYTES_LOAD(name, type, swap)                     \
	static inline type name(const void *p)           \
	{                                                \
		type v;                                  \
		memcpy(&v, p, sizeof(v));                \
		return (type)swap(v);                    \
	}
#define BYTES_STORE(name, type, swap)                    \
	static inline void name(void *p, type v)         \
	{                                                \
		v = (type)swap(v);                       \
		memcpy(p, &v, sizeof(v));                \
	}

BYTES_LOAD(le16_load, uint16_t, le16toh)
BYTES_LOAD(le32_load, uint32_t, le32toh)
BYTES_LOAD(le64_load, uint64_t, le64toh)
BYTES_LOAD(be16_load, uint16_t, be16toh)
BYTES_LOAD(be32_load, uint32_t, be32toh)
BYTES_LOAD(be64_load, uint64_t, be64toh)
BYTES_STORE(le16_store, uint16_t, htole16)
BYTES_STORE(le32_store, uint32_t, htole32)
BYTES_STORE(le64_store, uint64_t, htole64)
BYTES_STORE(be16_store, uint16_t, htobe16)
BYTES_STORE(be32_store, uint32_t, htobe32)
BYTES_STORE(be64_store, uint64_t, htobe64)

/* @len bytes as lower-case digits into @out, which holds 2 × @len + 1 characters. */
void hex_encode(char *out, const uint8_t *in, size_t len);

/* Exactly 2 × @len digits of either case.  -EINVAL: another length or another character. */
int hex_decode(uint8_t *out, size_t len, const char *in) _must_check_;

/* Equality in time that depends on @len alone. */
bool bytes_equal(const void *a, const void *b, size_t len);

/* Zeroes that the compiler may not leave out. */
void bytes_wipe(void *p, size_t len);

#endif
