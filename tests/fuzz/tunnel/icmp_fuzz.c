/* Whatever comes from the inside: an error is well formed, bounded, and is not answered by another. */
#include <stdint.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "server/tunnel/icmp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t out[ICMP_ROOM], again[ICMP_ROOM];
	struct icmp_limit limit = {{0}};
	struct split split;
	enum icmp_error error;
	uint32_t len;

	if (size < 2 || split_frame(&split, data + 1, size - 1, data[0] & 1) < 0)
		return 0;
	error = (enum icmp_error)(data[0] / 2 % ICMP_ERROR_COUNT);
	len = icmp_answer(&limit, &split, error, 1280, SECONDS(1), out);
	if (icmp_too_long(&split, 1280) && split_len(&split, 0) <= 1280)
		abort();
	if (len == 0)
		return 0;
	if (len > (split.v6 ? ICMP_IP6_MAX : ICMP_IP4_MAX))
		abort();
	if (split_frame(&split, out, len, false) < 0 || split.v6 != (out[0] >> 4 == 6))
		abort();
	if (len != (split.v6 ? 40U + be16_load(out + 4) : be16_load(out + 2)))
		abort();
	if (icmp_answer(&limit, &split, error, 1280, SECONDS(1), again) > 0)
		abort();
	return 0;
}
