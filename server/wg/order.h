/*
 * What the two halves tell each other: plain values for single-producer rings.  The caller moves
 * them, in order, and loses none.
 */
#ifndef SERVER_WG_ORDER_H
#define SERVER_WG_ORDER_H

#include "base/key.h"
#include "server/wg/aead.h"
#include "server/wg/values.h"

struct allowedips;

#define WG_ORDERS(X)                                                                             \
	X(PEER_ADD, "a peer is yours now")                                                       \
	X(PEER_REMOVE, "forget a peer, its keys and what waits for it")                          \
	X(KEYPAIR_INSTALL, "a new session")                                                      \
	X(KEYPAIRS_CLEAR, "wipe all sessions of a peer")                                         \
	X(SENDING_STOP, "our key changed: sessions receive, but send no more")                   \
	X(KEEPALIVE, "send what waits, else an empty packet")                                    \
	X(PURGE, "drop what waits for a handshake")                                              \
	X(ROUTE, "endpoint set or moved")                                                        \
	X(SOURCE_CLEAR, "forget from which of our addresses we sent") /* serial 0: to all */     \
	X(ACCESS, "state and end of access")                                                     \
	X(LIMITS, "rates and MTU of a peer")                                                     \
	X(IDENTITY, "our public key: what is for another is not handed on") /* to all; no peer */

enum wg_order_type {
#define X(name, words) WG_ORDER_##name,
	WG_ORDERS(X)
#undef X
};

struct wg_order {
	enum wg_order_type type;
	struct wg_peer_id peer;
	union {
		struct {
			const struct allowedips *allowed; /* of its domain; outlives the peer in the path */
			uint16_t domain;
		} add;
		struct {
			uint8_t sending[AEAD_KEY_LEN];   /* path_order() wipes both */
			uint8_t receiving[AEAD_KEY_LEN];
			uint32_t local_index, remote_index;
			nsec_t birth;
			bool initiator;
		} install;
		struct {
			struct wg_route route;
			nsec_t learned; /* an older one does not replace a newer one */
		} route;
		struct {
			enum wg_access access;
			struct wg_end end;
		} access;
		struct wg_limits limits;
		struct public_key identity; /* zeroes: none */
	};
};

/* Flags of a report.  "Unanswered" speaks of what happened after the last packet the other way. */
#define WG_REPORT_FLAGS(X)                                                                        \
	X(SENT, "any authenticated packet sent")                                                  \
	X(RECEIVED, "any authenticated packet received")                                          \
	X(DATA_SENT, "data sent, and nothing received since (unanswered)")                        \
	X(DATA_RECEIVED, "data received, and nothing sent since (unanswered)")                    \
	X(MORE_RECEIVED, "a second data packet came before we sent anything")                     \
	X(HANDSHAKE_WANTED, "no key to send with, or it is time for the next")                    \
	X(CONFIRMED, "first packet on a session that we answered: it is current now")             \
	X(ROUTE, "the peer's endpoint moved")

enum wg_report_bit {
#define X(name, words) WG_REPORT_BIT_##name,
	WG_REPORT_FLAGS(X)
#undef X
};
enum wg_report_flag {
#define X(name, words) WG_REPORT_##name = 1 << WG_REPORT_BIT_##name,
	WG_REPORT_FLAGS(X)
#undef X
};

struct wg_report {
	struct wg_peer_id peer;
	uint32_t flags;
	uint32_t confirmed;       /* CONFIRMED: its local index */
	nsec_t sent, received;    /* the last ones; 0: none since the last report */
	nsec_t data_sent;         /* DATA_SENT: the first unanswered one */
	nsec_t data_received;     /* DATA_RECEIVED: the first unanswered one */
	uint64_t tx_bytes, rx_bytes; /* of this peer through this path so far */
	struct wg_route route;    /* ROUTE */
	nsec_t learned;
};

#endif
