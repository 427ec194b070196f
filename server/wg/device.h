/*
 * The control thread's half of WireGuard: identity, domains, peers, handshakes, cookies, timers and
 * configuration.  Events and `now` go in, datagrams and orders come out, wg_deadline() says when to
 * step again.  A new device has no key and no domain.
 */
#ifndef SERVER_WG_DEVICE_H
#define SERVER_WG_DEVICE_H

#include <stdbool.h>

#include "base/key.h"
#include "server/wg/allowedips.h"
#include "server/wg/constants.h"
#include "server/wg/drops.h"
#include "server/wg/index.h"
#include "server/wg/order.h"
#include "server/wg/values.h"

struct wg_device;
struct wg_domain; /* lent until it is removed */
struct wg_peer;   /* lent until it is removed, or its domain is */

struct wg_device_config {
	struct wg_random random;
	unsigned workers;   /* 1..WG_WORKERS_MAX */
	uint32_t peers_max; /* 0: WG_PEERS_MAX */
};

/* A handshake message to send; all of it is lent for the call. */
struct wg_datagram {
	const uint8_t *data;
	size_t len;
	struct wg_route route;
	uint8_t tos;
	struct wg_peer_id peer; /* serial 0: a cookie reply, to whoever asked */
};

#define WG_CHANGED_HANDSHAKE BIT(0) /* a handshake completed */
#define WG_CHANGED_ENDPOINT BIT(1)

/*
 * Where effects go, during the call that causes them.
 * @order must not fail: what the ring does not take is kept, in order, until it does.  It holds keys
 * (KEYPAIR_INSTALL): wipe copies that are not handed to path_order().
 * @changed may be NULL; it may look at the peer but change nothing.
 */
struct wg_effects {
	void *ctx;
	void (*send)(void *ctx, const struct wg_datagram *datagram);
	void (*order)(void *ctx, unsigned worker, struct wg_order *order);
	void (*changed)(void *ctx, struct wg_peer *peer, unsigned what);
};

#define WG_EVENTS(X)                                                     \
	X(TICK, "time has passed")                                       \
	X(DATAGRAM, "a handshake message came (WG_KIND_HANDSHAKE)")      \
	X(REPORT, "a path reports")                                      \
	X(UP, "a domain's interface came up")                            \
	X(DOWN, "a domain's interface went down: keys and packets are dropped")

enum wg_event_type {
#define X(name, words) WG_EVENT_##name,
	WG_EVENTS(X)
#undef X
};

struct wg_event {
	enum wg_event_type type;
	union {
		struct {
			const uint8_t *data;
			size_t len;
			struct wg_arrival arrival;
			bool loaded; /* wg_load_judge() */
		} datagram;
		struct wg_report report;
		struct wg_domain *domain; /* UP, DOWN */
	};
};

int wg_device_new(const struct wg_device_config *config, struct wg_device **ret) _must_check_;

/* Gives no orders: free the paths too. */
void wg_device_free(struct wg_device *device);
void wg_device_freep(struct wg_device **device);

/* One event in, every effect out.  A tick serves at most WG_TICK_PEERS peers. */
void wg_step(struct wg_device *device, const struct wg_event *event, struct wg_now now,
	     const struct wg_effects *out);

/* When to step with a tick if nothing comes in; in the past if a tick left some over. */
nsec_t wg_deadline(const struct wg_device *device);

/* For paths: the index key. */
struct wg_index wg_index(const struct wg_device *device);

/*
 * Quiescence, of all domains at once.  Publish wg_epoch() to the readers; when each of them has held
 * nothing since it saw e, and obeyed all orders given before e was read, wg_reclaim(e) frees what they
 * could have seen before.
 */
uint64_t wg_epoch(struct wg_device *device);
void wg_reclaim(struct wg_device *device, uint64_t epoch);
const struct wg_counters *wg_device_counters(const struct wg_device *device);

/*
 * Configuration.  Setting what is set already changes nothing and resets nothing.
 */

/* Zeroes clear it.  A peer with our own public key is removed.  Sessions go on receiving. */
void wg_private_key_set(struct wg_device *device, const struct private_key *key, struct wg_now now,
			const struct wg_effects *out);
/* Zeroes if there is none. */
void wg_private_key_get(const struct wg_device *device, struct private_key *ret);
void wg_public_key_get(const struct wg_device *device, struct public_key *ret);

/*
 * Domains: tenants with allowed IPs and peers of their own behind one port and one identity.  A new
 * one is down and has no peers.  -ENOSPC: WG_DOMAINS_MAX; -ENOMEM.
 */
int wg_domain_add(struct wg_device *device, struct wg_domain **ret) _must_check_;
/* With its peers. */
void wg_domain_remove(struct wg_device *device, struct wg_domain *domain, const struct wg_effects *out);
/* < WG_DOMAINS_MAX; used again when the domain is gone. */
unsigned wg_domain_number(const struct wg_domain *domain);
/* For readers; outlives the domain until all of them are quiescent. */
const struct allowedips *wg_domain_allowed(const struct wg_domain *domain);
uint32_t wg_domain_peer_count(const struct wg_domain *domain);

/*
 * -EEXIST: in this domain or in another, wg_peer_find() and wg_peer_view() tell; -EKEYREJECTED: it is
 * our own key; -ENOSPC: peers_max; -ENOMEM.  A new peer is active, has no end, no endpoint, no limits and
 * no allowed IPs.
 */
int wg_peer_add(struct wg_device *device, struct wg_domain *domain, const struct public_key *key,
		const struct wg_effects *out, struct wg_peer **ret) _must_check_;
void wg_peer_remove(struct wg_device *device, struct wg_peer *peer, const struct wg_effects *out);

/* In any domain.  NULL: there is none. */
struct wg_peer *wg_peer_find(const struct wg_device *device, const struct public_key *key);
struct wg_peer *wg_peer_by_id(const struct wg_device *device, struct wg_peer_id id);
/* Peers of a domain, oldest first: NULL starts and ends.  To remove while walking, take the next one first. */
struct wg_peer *wg_peer_next(const struct wg_domain *domain, const struct wg_peer *prev);
/* Of all domains. */
uint32_t wg_peer_count(const struct wg_device *device);

/* Zeroes clear it.  For the next handshake; sessions stay. */
void wg_peer_psk_set(struct wg_device *device, struct wg_peer *peer, const struct preshared_key *psk);
void wg_peer_endpoint_set(struct wg_device *device, struct wg_peer *peer, const struct endpoint *endpoint,
			  struct wg_now now, const struct wg_effects *out);
/* Seconds; 0: off.  From 0 to another value: one is sent at once. */
void wg_peer_keepalive_set(struct wg_device *device, struct wg_peer *peer, uint16_t seconds,
			   struct wg_now now, const struct wg_effects *out);
/* State and end (seconds since the epoch, 0: none) of the peer's access. */
void wg_peer_access_set(struct wg_device *device, struct wg_peer *peer, enum wg_access access, time_t end,
			struct wg_now now, const struct wg_effects *out);

/* Bytes a second of messages from and to the peer, each way for itself; 0: no limit. */
void wg_peer_rate_set(struct wg_device *device, struct wg_peer *peer, uint64_t rx, uint64_t tx,
		      const struct wg_effects *out);
/* The longest inner packet that its path takes; 0: the interface's. */
void wg_peer_mtu_set(struct wg_device *device, struct wg_peer *peer, uint16_t mtu,
		     const struct wg_effects *out);

/* -EINVAL, -ENOSPC, -ENOMEM; -ENOENT: not the peer's. */
int wg_peer_allow(struct wg_device *device, struct wg_peer *peer, const struct cidr *cidr) _must_check_;
int wg_peer_disallow(struct wg_device *device, struct wg_peer *peer, const struct cidr *cidr);
void wg_peer_disallow_all(struct wg_device *device, struct wg_peer *peer);
const struct allowedips_list *wg_peer_allowed(const struct wg_peer *peer);

/* Start a handshake now, if the peer has an endpoint and none was sent within 5 s. */
void wg_peer_initiate(struct wg_device *device, struct wg_peer *peer, struct wg_now now,
		      const struct wg_effects *out);

/* A handshake message could not be sent from the cached source: it is forgotten; the caller sends once more. */
void wg_peer_source_clear(struct wg_device *device, struct wg_peer_id id, const struct wg_effects *out);
/* Routes changed: no cached source is to be trusted. */
void wg_sources_clear(struct wg_device *device, const struct wg_effects *out);

/* A copy of what can be shown of a peer. */
struct wg_peer_view {
	struct wg_peer_id id;
	struct wg_domain *domain;
	struct public_key key;
	struct preshared_key psk;
	struct endpoint endpoint; /* family 0: unknown */
	nsec_t last_handshake;    /* wall clock; 0: never */
	uint64_t rx_bytes, tx_bytes;
	uint16_t keepalive;
	enum wg_access access;
	time_t end;
	struct wg_limits limits;
};
void wg_peer_view(const struct wg_peer *peer, struct wg_peer_view *ret);

#endif
