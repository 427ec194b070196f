/* A frame of the TUN device with whatever vnet header: every segment stays within what it says. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "server/tunnel/split.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct split split;
	uint64_t total = 0;

	if (size < 1 || split_frame(&split, data + 1, size - 1, data[0] & 1) < 0)
		return 0;
	if (split.n == 0 || split.n > SPLIT_PACKET_MAX)
		abort();
	for (unsigned i = 0; i < split.n; i++) {
		const uint32_t len = split_len(&split, i);
		uint8_t *packet = malloc(len); /* exactly: what goes beyond is seen */

		if (!packet || len > SPLIT_PACKET_MAX)
			abort();
		split_segment(&split, i, packet);
		free(packet);
		total += len - split.head;
	}
	if (split.n > 1 && total != split.len - split.head)
		abort();
	return 0;
}
