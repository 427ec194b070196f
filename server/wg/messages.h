/*
 * The four messages on the wire.  All fields are little-endian bytes; offsets, not structs, so that
 * alignment is nobody's concern.
 *
 *   initiation   type 1 | sender 4 | ephemeral 32 | static 32+16 | timestamp 12+16 | mac1 16 | mac2 16
 *   response     type 2 | sender 4 | receiver 4 | ephemeral 32 | nothing 0+16 | mac1 16 | mac2 16
 *   cookie reply type 3 | receiver 4 | nonce 24 | cookie 16+16
 *   data         type 4 | receiver 4 | counter 8 | packet n+16
 */
#ifndef SERVER_WG_MESSAGES_H
#define SERVER_WG_MESSAGES_H

#include "base/bytes.h"
#include "server/wg/drops.h"

#define WG_MSG_INITIATION 1U
#define WG_MSG_RESPONSE 2U
#define WG_MSG_COOKIE 3U
#define WG_MSG_DATA 4U

#define WG_INITIATION_LEN 148
#define WG_RESPONSE_LEN 92
#define WG_COOKIE_REPLY_LEN 64
#define WG_HANDSHAKE_MAX WG_INITIATION_LEN

#define WG_TAG_LEN 16
#define WG_MAC_LEN 16
#define WG_DATA_HEADER 16
#define WG_DATA_MIN (WG_DATA_HEADER + WG_TAG_LEN)
#define WG_DATA_OVERHEAD WG_DATA_MIN

enum wg_kind {
	WG_KIND_JUNK,
	WG_KIND_HANDSHAKE, /* initiation, response or cookie reply of exactly the right length: to wg_step() */
	WG_KIND_DATA,      /* at least 32 bytes: to path_open() */
};

/* What a datagram is, by type, reserved bytes and length.  @why is written for junk only. */
static inline enum wg_kind
wg_classify(const uint8_t *data, size_t len, enum wg_drop *why)
{
	static const uint8_t fixed[4] = {
		[WG_MSG_INITIATION] = WG_INITIATION_LEN,
		[WG_MSG_RESPONSE] = WG_RESPONSE_LEN,
		[WG_MSG_COOKIE] = WG_COOKIE_REPLY_LEN,
	};
	const uint32_t type = len >= 4 ? le32_load(data) : 0;

	if (type == WG_MSG_DATA && len >= WG_DATA_MIN)
		return WG_KIND_DATA;
	if (type >= WG_MSG_INITIATION && type <= WG_MSG_COOKIE && len == fixed[type])
		return WG_KIND_HANDSHAKE;
	*why = type >= WG_MSG_INITIATION && type <= WG_MSG_DATA ? WG_DROP_LENGTH : WG_DROP_TYPE;
	return WG_KIND_JUNK;
}

#endif
