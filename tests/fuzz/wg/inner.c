/* The inner packet's parser against a second one; and its marks, after which the checksum is as right as
 * before. */
#include "server/wg/inner.h"

#include <stdio.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "tests/fuzz/wg/input.h"
#include "tests/fuzz/wg/model.h"

static uint16_t
sum_of(const uint8_t *header)
{
	uint32_t sum = 0;

	for (unsigned i = 0; i < 20; i += 2)
		sum += be16_load(header + i);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* Sums of one's complement: 0 and ffff are the same number. */
static bool
sum_equal(uint16_t a, uint16_t b)
{
	return a == b || (a % 0xffff == 0 && b % 0xffff == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct inner inner;
	size_t len = 0;
	uint8_t *packet;
	enum wg_drop drop;

	if (size < 2 || size > 65536)
		return 0;
	packet = malloc(size - 1);
	if (!packet)
		return 0;
	memcpy(packet, data + 1, size - 1);
	drop = inner_check(packet, (uint32_t)(size - 1), &inner);
	check(drop == model_inner(packet, size - 1, &len));
	if (drop == WG_DROP_NONE) {
		const bool ip4 = packet[0] >> 4 == 4;
		const unsigned ecn = ip4 ? packet[1] & 3 : packet[1] >> 4 & 3;
		const uint16_t before = ip4 ? sum_of(packet) : 0;
		unsigned after;

		check(inner.len == len);
		check(inner.family == (ip4 ? AF_INET : AF_INET6));
		check(inner.source == packet + (ip4 ? 12 : 8));
		check(inner_encapsulate(packet, (uint32_t)(size - 1)) == (ecn == 3 ? 2 : ecn));
		inner_decapsulate(packet, data[0]);
		after = ip4 ? packet[1] & 3 : packet[1] >> 4 & 3;
		check(after == ((data[0] & 3) == 3 && ecn ? 3 : (data[0] & 3) == 1 && ecn == 2 ? 1 : ecn));
		if (ip4)
			check(sum_equal(sum_of(packet), before));
		/* Nothing else was touched. */
		for (size_t i = 0; i < size - 1; i++)
			check(packet[i] == data[1 + i] || i == 1 || (ip4 && (i == 10 || i == 11)));
		check((packet[1] & (ip4 ? 0xfc : 0xcf)) == (data[2] & (ip4 ? 0xfc : 0xcf)));
	}
	free(packet);
	return 0;
}
