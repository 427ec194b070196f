/*
 * What the database wants of the data plane: a mirror of all tenants' peers, kept current from the gateway's
 * feed, and of what was seen of them since.  A tenant is a domain, with a device of that name.  Pure; whoever
 * holds it locks it.
 */
#ifndef SERVER_CONTROL_WANTED_H
#define SERVER_CONTROL_WANTED_H

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"
#include "base/ids.h"
#include "server/control/uapi.h"
#include "server/store/gateway.h"

#define WANTED_POOLS_MAX 8
#define RECENT_SECONDS   180 /* a session may live that long; "online" */

/* The first tenant's; what the tunnel means where no domain is named. */
#define WANTED_FIRST_DOMAIN "wg0"

struct wanted_domain {
	struct tenant_id tenant;
	char name[64];             /* the tenant's, for people */
	struct domain_name domain; /* of its number, so that it stays whoever comes and goes */
	bool peers_may_meet;
	size_t n_pools;
	struct cidr pools[WANTED_POOLS_MAX];
};

struct wanted_peer {
	struct peer_id id;
	struct tenant_id tenant;
	struct public_key key;
	struct access access;
	struct endpoint last_endpoint; /* ip.family 0: never seen */
	time_t last_handshake_at;      /* with this key; 0: never */
	bool noted;                    /* seen anew, not yet in the database */
	bool awaits_initiation;        /* a new tunnel is to shake hands with it */
	bool refused;                  /* the tunnel did, for itself alone */
};

/* Keys, in the order they came; one may be there twice. */
struct key_list {
	size_t n, cap;
	struct public_key *v; /* owned */
};

int key_list_add(struct key_list *list, const struct public_key *key) _must_check_;
void key_list_done(struct key_list *list);

struct wanted {
	bool known; /* the feed was read once */
	size_t n, cap;
	struct wanted_peer *v;       /* by id */
	struct wanted_peer **by_key; /* n of them */
	bool unsorted;               /* by_key has to be made anew */
	struct key_list touched;     /* of peers that were told anew, or are gone, since the plan looked */
	bool touched_all;
	size_t n_domains;
	struct wanted_domain *domains; /* the first tenant's, then by tenant */
};

/*
 * Takes in what @feed says; @tenant is the first one; @whole: peers that it does not name are gone.  What was
 * seen of a peer and is newer than the feed stays.  -ENOMEM: @wanted is not known any more, read it whole.
 */
int wanted_apply(struct wanted *wanted, const struct gateway_feed *feed, struct tenant_id tenant,
		 bool whole) _must_check_;
void wanted_done(struct wanted *wanted);

/* The domain of @tenant; NULL: there is none. */
const struct wanted_domain *wanted_domain(const struct wanted *wanted, struct tenant_id tenant);

struct wanted_peer *wanted_by_key(const struct wanted *wanted, const struct public_key *key);
struct wanted_peer *wanted_by_id(const struct wanted *wanted, struct peer_id id);

/* The peer was seen there, or shook hands then; true: that was news. */
bool wanted_note(struct wanted *wanted, const struct public_key *key, const struct endpoint *endpoint,
		 time_t handshake_at);

/* Takes at most @max of the news, which then count as written; wanted_unwritten() takes that back. */
size_t wanted_take_notes(struct wanted *wanted, struct gateway_note *notes, size_t max);
void wanted_unwritten(struct wanted *wanted, const struct gateway_note *notes, size_t n);

struct wanted_counts {
	size_t total, active, disabled, expired, online, without_end, refused;
	bool ever_shook_hands;
};
void wanted_count(const struct wanted *wanted, time_t now, struct wanted_counts *ret);

#endif
