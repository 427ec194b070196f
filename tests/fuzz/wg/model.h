/*
 * What may be inside a data message, judged a second time from the RFCs' drawings.
 */
#ifndef TESTS_FUZZ_WG_MODEL_H
#define TESTS_FUZZ_WG_MODEL_H

#include "server/wg/drops.h"

/* @inner: the length without padding, for WG_DROP_NONE. */
static inline enum wg_drop
model_inner(const uint8_t *packet, size_t len, size_t *inner)
{
	const unsigned version = packet[0] >> 4;
	size_t said;

	if (version != 4 && version != 6)
		return WG_DROP_INNER_VERSION;
	if (len < (version == 4 ? 20U : 40U))
		return WG_DROP_INNER_LENGTH;
	said = version == 4 ? (size_t)packet[2] * 256 + packet[3] : 40 + (size_t)packet[4] * 256 + packet[5];
	if (said > len || said < 20)
		return WG_DROP_INNER_LENGTH;
	*inner = said;
	return WG_DROP_NONE;
}

#endif
