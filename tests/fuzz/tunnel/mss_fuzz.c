/* Any packet: the IP header stays as it is, and a second time there is nothing left to change. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "server/tunnel/mss.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *packet;
	uint32_t mtu;
	bool changed;

	if (size < 3)
		return 0;
	mtu = (uint32_t)data[0] << 8 | data[1];
	size -= 2;
	packet = malloc(size); /* exactly: what goes beyond is seen */
	if (!packet)
		abort();
	memcpy(packet, data + 2, size);
	changed = mss_clamp(packet, (uint32_t)size, mtu);
	if (!changed && memcmp(packet, data + 2, size) != 0)
		abort();
	if (changed && memcmp(packet, data + 2, size) == 0)
		abort();
	if (memcmp(packet, data + 2, size < 20 ? size : 20) != 0) /* the IP header stays */
		abort();
	if (mss_clamp(packet, (uint32_t)size, mtu))
		abort();
	free(packet);
	return 0;
}
