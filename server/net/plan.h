/*
 * What control wants of the inner namespace: the body of NET_PLAN as JSON, and as a value.  All of
 * it each time; net applies the difference to what is there.  Unknown keys, missing keys and values
 * out of bounds refuse the whole plan, and the former one stays.
 *
 *	{
 *	  "domains": [{                          1 to NET_DOMAINS_MAX
 *	    "name": "default",                   the tenant: 1 to 63 of [a-z0-9_-], for words only
 *	    "ifname": "wg0",                     its TUN: 1 to 15 of [a-z0-9], a letter first
 *	    "mtu": 1420,                         576 to 65455; at least 1280 with IPv6
 *	    "addresses": ["10.82.0.1/16",        1 to NET_ADDRESSES_MAX: the gateway's own address and the
 *	                  "fd00:1:2:3::1/64"],   prefix of the peers around it; /8 to /30, /32 to /126
 *	    "peers_may_meet": false,             whether peers reach each other
 *	    "routes": ["192.168.7.0/24"]         optional: networks behind its peers, without host bits; at
 *	                                         most NET_ROUTES_MAX in all domains together
 *	  }],
 *	  "uplink": {
 *	    "kind": "pasta" | "interface",
 *	    "ifname": "eth0",                    required for "interface"; with "pasta" optional: none
 *	                                         means whatever link pasta makes
 *	    "addresses": ["192.0.2.9/24"],       optional, "interface" only: per family given these are all
 *	                                         there are; none leaves what root configured
 *	    "gateways": ["192.0.2.1"]            optional, "interface" only: at most one a family
 *	  }
 *	}
 *
 * Prefixes of two domains may not overlap, no address or gateway of the uplink lies within one, names and
 * interfaces may not repeat.  A route overlaps no other route, no domain's prefix, no network or gateway of the
 * uplink, and holds no address that no host can have (loopback, link-local, multicast; so never all of a family);
 * its domain has addresses of its family.  An empty "domains" is refused: a gateway that forgets its tenants is a
 * mistake, not a wish.
 *
 * The answer is NET_STATE (server/net/state.h).
 */
#ifndef SERVER_NET_PLAN_H
#define SERVER_NET_PLAN_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/ip.h"

/*
 * The rules of all go to the kernel as one message, and without privilege over the host that holds about 128 KiB:
 * 24 domains of 8 addresses fit, 32 do not.  Beside 16 such domains 256 routes fit, 384 do not.
 */
#define NET_DOMAINS_MAX 16
#define NET_ADDRESSES_MAX 8
#define NET_ROUTES_MAX 128
#define NET_GATEWAYS_MAX 2 /* one a family */
#define NET_NAME_LEN 64
#define NET_ERROR_LEN 512

/* The first domain's device; net opens it before any plan comes. */
#define NET_FIRST_IFNAME "wg0"

/* Kind, its word in the plan, whether one address is lent to all (then, and only then, translated) */
#define NET_UPLINKS(X)                \
	X(PASTA, "pasta", true)       \
	X(INTERFACE, "interface", false)

enum net_uplink_kind {
#define X(name, word, lent) NET_UPLINK_##name,
	NET_UPLINKS(X)
#undef X
	NET_UPLINK_COUNT
};

const char *net_uplink_word(enum net_uplink_kind kind);
bool net_uplink_lends(enum net_uplink_kind kind);

/* Host bits of an address are the gateway's own. */
struct net_addresses {
	size_t n;
	struct cidr v[NET_ADDRESSES_MAX];
};

/* Networks behind peers. */
struct net_routes {
	size_t n;
	struct cidr v[NET_ROUTES_MAX];
};

struct net_domain {
	char name[NET_NAME_LEN];
	char ifname[IFNAMSIZ];
	uint32_t mtu;
	struct net_addresses addresses;
	bool peers_may_meet;
	struct net_routes routes;
};

struct net_uplink {
	enum net_uplink_kind kind;
	char ifname[IFNAMSIZ]; /* empty: to be found */
	struct net_addresses addresses;
	size_t n_gateways;
	struct ip gateways[NET_GATEWAYS_MAX];
};

struct net_plan {
	size_t n_domains;
	struct net_domain domains[NET_DOMAINS_MAX];
	struct net_uplink uplink;
};

/*
 * Reads a NET_PLAN.  @ret is written on success only.  -ERR_INVALID: @error says what is wrong, where
 * and what is allowed.
 */
int net_plan_parse(struct net_plan *ret, const char *text, size_t len, char error[NET_ERROR_LEN]) _must_check_;

/* Whether any of @addresses is of that family. */
bool net_addresses_have(const struct net_addresses *addresses, uint8_t family);

#endif
