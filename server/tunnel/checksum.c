/*
 * Each 64-bit word is split into two 32-bit halves that are added up apart in 64-bit lanes: no carry
 * can be lost below 2^32 words, and any vector width does the same.
 */
#include "server/tunnel/checksum.h"

typedef uint64_t lanes4 __attribute__((vector_size(32)));

/* Fewer than 8 bytes, by known lengths: a memcpy() of an unknown one is a call. */
static uint64_t
end_add(const uint8_t *p, size_t len)
{
	uint64_t sum = 0;
	uint32_t four;
	uint16_t two;

	if (len & 4) {
		memcpy(&four, p, 4);
		sum += four;
		p += 4;
	}
	if (len & 2) {
		memcpy(&two, p, 2);
		sum += two;
		p += 2;
	}
	return len & 1 ? sum + *p : sum;
}

static uint64_t
tail_add(const uint8_t *p, size_t len)
{
	uint64_t sum = 0, v;

	for (; len >= 8; p += 8, len -= 8) {
		memcpy(&v, p, 8);
		sum += (v & 0xffffffff) + (v >> 32);
	}
	return sum + end_add(p, len);
}

static uint64_t
tail_copy(uint8_t *to, const uint8_t *p, size_t len)
{
	uint64_t sum = 0, v;

	for (; len >= 8; p += 8, to += 8, len -= 8) {
		memcpy(&v, p, 8);
		memcpy(to, &v, 8);
		sum += (v & 0xffffffff) + (v >> 32);
	}
	sum += end_add(p, len);
	for (; len > 0; len--)
		*to++ = *p++;
	return sum;
}

static uint64_t
portable_add(const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t a = 0, b = 0, c = 0, d = 0, v, w;

	for (; len >= 16; p += 16, len -= 16) {
		memcpy(&v, p, 8);
		memcpy(&w, p + 8, 8);
		a += v & 0xffffffff;
		b += v >> 32;
		c += w & 0xffffffff;
		d += w >> 32;
	}
	return a + b + c + d + tail_add(p, len);
}

static uint64_t
portable_copy(void *dst, const void *src, size_t len)
{
	memcpy(dst, src, len);
	return portable_add(dst, len);
}

#ifdef __x86_64__
__attribute__((target("avx2"))) static uint64_t
avx2_add(const void *data, size_t len)
{
	const uint8_t *p = data;
	lanes4 low = {0}, high = {0}, low2 = {0}, high2 = {0}, v, w;

	for (; len >= 64; p += 64, len -= 64) {
		memcpy(&v, p, 32);
		memcpy(&w, p + 32, 32);
		low += v & 0xffffffff;
		high += v >> 32;
		low2 += w & 0xffffffff;
		high2 += w >> 32;
	}
	if (len >= 32) {
		memcpy(&v, p, 32);
		low += v & 0xffffffff;
		high += v >> 32;
		p += 32;
		len -= 32;
	}
	low += high + low2 + high2;
	return low[0] + low[1] + low[2] + low[3] + tail_add(p, len);
}

__attribute__((target("avx2"))) static uint64_t
avx2_copy(void *dst, const void *src, size_t len)
{
	const uint8_t *p = src;
	uint8_t *to = dst;
	lanes4 low = {0}, high = {0}, low2 = {0}, high2 = {0}, v, w;

	for (; len >= 64; p += 64, to += 64, len -= 64) {
		memcpy(&v, p, 32);
		memcpy(&w, p + 32, 32);
		memcpy(to, &v, 32);
		memcpy(to + 32, &w, 32);
		low += v & 0xffffffff;
		high += v >> 32;
		low2 += w & 0xffffffff;
		high2 += w >> 32;
	}
	low += high + low2 + high2;
	return low[0] + low[1] + low[2] + low[3] + tail_copy(to, p, len);
}
#endif

static uint64_t (*best_add)(const void *p, size_t len) = portable_add;
static uint64_t (*best_copy)(void *dst, const void *src, size_t len) = portable_copy;

void
checksum_init(void)
{
#ifdef __x86_64__
	__builtin_cpu_init();
	if (__builtin_cpu_supports("avx2")) {
		best_add = avx2_add;
		best_copy = avx2_copy;
	}
#endif
}

void
checksum_portable(void)
{
	best_add = portable_add;
	best_copy = portable_copy;
}

uint64_t
checksum_add(const void *p, size_t len)
{
	return best_add(p, len);
}

uint64_t
checksum_copy(void *dst, const void *src, size_t len)
{
	return best_copy(dst, src, len);
}
