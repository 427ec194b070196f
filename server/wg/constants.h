/*
 * WireGuard's values, as the kernel has them, and the limits that we add.  A value that a test may
 * want to expect stands here.
 */
#ifndef SERVER_WG_CONSTANTS_H
#define SERVER_WG_CONSTANTS_H

#include "base/clock.h"

/* Ages and timers of a session. */
#define WG_REKEY_AFTER_TIME SECONDS(120) /* the initiator renews on a send */
#define WG_REJECT_AFTER_TIME SECONDS(180)
#define WG_REKEY_TIMEOUT SECONDS(5)
#define WG_REKEY_JITTER MILLISECONDS(333)
#define WG_KEEPALIVE_TIMEOUT SECONDS(10)
#define WG_NEW_HANDSHAKE_TIMEOUT (WG_KEEPALIVE_TIMEOUT + WG_REKEY_TIMEOUT)
#define WG_LAST_MINUTE (WG_REJECT_AFTER_TIME - WG_KEEPALIVE_TIMEOUT - WG_REKEY_TIMEOUT)
#define WG_ZERO_KEYS_TIME (3 * WG_REJECT_AFTER_TIME)
#define WG_MAX_TIMER_HANDSHAKES 18 /* give up when more attempts than this went unanswered */

/* Messages of one key; the smaller of the kernel's and the Go implementation's limit. */
#define WG_REKEY_AFTER_MESSAGES (1ULL << 60)
#define WG_REJECT_AFTER_MESSAGES (UINT64_MAX - 8192)

/* Handshakes that we accept. */
#define WG_INITIATION_INTERVAL MILLISECONDS(20) /* of one peer */
#define WG_TIMESTAMP_MASK (~((1ULL << 24) - 1)) /* what of the nanoseconds we show in a TAI64N */
#define WG_COOKIE_SECRET_TIME SECONDS(120)
#define WG_COOKIE_LATENCY SECONDS(5) /* a cookie is used that much shorter than it is valid */

/* Load is judged by the backlog of handshake datagrams, and lasts a little: load.h. */
#define WG_HANDSHAKE_QUEUE 4096
#define WG_HANDSHAKE_LOADED (WG_HANDSHAKE_QUEUE / 8)
#define WG_LOAD_STICKY SECONDS(1)

/* Under load: initiations and responses of one IPv4 address or IPv6 /64. */
#define WG_RATE_PER_SECOND 20
#define WG_RATE_BURST 5
#define WG_RATE_SETS 8192 /* × WG_RATE_WAYS sources at once; further ones are refused */
#define WG_RATE_WAYS 8
#define WG_RATE_IDLE SECONDS(1)

/* Memory that others can make us keep. */
#define WG_PEERS_MAX (1U << 20)
#define WG_WORKERS_MAX 64
#define WG_DOMAINS_MAX 4096
#define WG_ALLOWED_MAX (1U << 22) /* allowed IPs of a device */
#define WG_STAGED_PER_PEER 128
#define WG_STAGED_MAX 4096 /* packets of all peers of a path */
#define WG_REPLAY_MAX (1U << 18) /* sessions of a path with a whole replay window, 1 KiB each */
#define WG_REPLAY_SPARE 1024     /* windows made before they are needed */

/* A peer's own limit lets through at once what it allows in that time, and a superframe in any case. */
#define WG_LIMIT_BURST_TIME MILLISECONDS(100)
#define WG_LIMIT_BURST_MIN (64U * 1024 + 64 * 48) /* 64 KiB in 64 packets, with what a message adds */

#define WG_REPORT_INTERVAL (SECONDS(1) / 16) /* at most one report of a peer in that time */
#define WG_TICK_PEERS 256                    /* peers served by one tick; wg_deadline() has the rest */

#define WG_PADDING 16
#define WG_TOS_HANDSHAKE 0x88 /* the whole byte, AF41: initiations and responses */

#endif
