/*
 * Why a packet went no further: a closed set, a counter each, words for people.  The numbers are
 * not stable, the names in lower case are (labels of metrics).
 */
#ifndef SERVER_WG_DROPS_H
#define SERVER_WG_DROPS_H

#include <stdatomic.h>
#include <stdint.h>

#define WG_DROPS(X)                                                                            \
	/* any datagram */                                                                     \
	X(TYPE, type, "not a WireGuard message")                                               \
	X(LENGTH, length, "wrong length for its type")                                         \
	/* data coming in */                                                                   \
	X(NO_SESSION, no_session, "no session has this receiver index")                        \
	X(OTHER_WORKER, other_worker, "belongs to another worker")                             \
	X(KEY_EXPIRED, key_expired, "session older than 180 s, or used up")                    \
	X(AUTHENTICATION, authentication, "does not authenticate")                             \
	X(REPLAY, replay, "seen before, or older than the window")                             \
	X(INNER_VERSION, inner_version, "neither IPv4 nor IPv6 inside")                        \
	X(INNER_LENGTH, inner_length, "inner length does not fit the message")                 \
	X(SOURCE, source, "inner source address is not the peer's")                            \
	/* data, both directions */                                                            \
	X(RATE, rate, "more than the peer's rate")                                             \
	X(HANDOFF, handoff, "ring to the owning worker is full")                               \
	X(SHED, shed, "gave way to other peers on a saturated worker")                         \
	/* access of the peer, both directions and handshakes */                               \
	X(CUT, cut, "peer is cut off")                                                         \
	X(ENDED, ended, "the peer's access has ended")                                         \
	X(QUARANTINE, quarantine, "peer is quarantined, packet is not, or the other way round") \
	/* data going out */                                                                   \
	X(NO_PEER, no_peer, "no such peer")                                                    \
	X(NO_ENDPOINT, no_endpoint, "the peer's endpoint is not known yet")                    \
	X(TOO_LONG, too_long, "too long to wait for a handshake")                              \
	X(TOO_BIG, too_big, "longer than the peer's MTU, answered by ICMP")                    \
	X(STAGED_OVERFLOW, staged_overflow, "too many packets wait for a handshake")           \
	X(STAGED_PURGED, staged_purged, "waited for a handshake that did not come")            \
	/* at the system's door */                                                             \
	X(SEND_REFUSED, send_refused, "not sent: no way there, or a firewall")                 \
	X(SEND_FULL, send_full, "not sent: the system had no room for it")                     \
	X(SEND_LATE, send_late, "waited too long for a full socket")                           \
	X(TUN_REFUSED, tun_refused, "the TUN device did not take it")                          \
	/* handshakes */                                                                       \
	X(HANDSHAKE_QUEUE, handshake_queue, "handshake queue is full")                         \
	X(DOWN, down, "the device is down or has no private key")                              \
	X(MAC1, mac1, "first MAC is wrong: meant for another key")                             \
	X(COOKIE_WANTED, cookie_wanted, "under load: answered by a cookie")                    \
	X(RATE_LIMITED, rate_limited, "under load: too many from this source")                 \
	X(HANDSHAKE, handshake, "handshake does not authenticate")                             \
	X(UNKNOWN_PEER, unknown_peer, "handshake of an unknown public key")                    \
	X(TIMESTAMP, timestamp, "initiation seen before, or older than the last")              \
	X(FLOOD, flood, "initiations less than 20 ms apart")                                   \
	X(NO_HANDSHAKE, no_handshake, "answers no handshake of ours")                          \
	X(COOKIE_REPLY, cookie_reply, "cookie reply does not authenticate, or was not awaited")

enum wg_drop {
	WG_DROP_NONE,
#define X(name, low, words) WG_DROP_##name,
	WG_DROPS(X)
#undef X
	WG_DROP_COUNT
};

/* The label, "no_session"; "none" for WG_DROP_NONE.  Static. */
const char *wg_drop_name(enum wg_drop drop);
const char *wg_drop_words(enum wg_drop drop);

/* One writer, any readers; summed up by whoever shows them. */
struct wg_counters {
	_Atomic uint64_t drops[WG_DROP_COUNT];
};

static inline void
wg_count(struct wg_counters *counters, enum wg_drop drop, uint64_t n)
{
	_Atomic uint64_t *c = &counters->drops[drop];

	atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n, memory_order_relaxed);
}

static inline uint64_t
wg_counted(const struct wg_counters *counters, enum wg_drop drop)
{
	return atomic_load_explicit(&counters->drops[drop], memory_order_relaxed);
}

#endif
