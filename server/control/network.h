/*
 * The way to net: its plan as JSON (server/net/plan.h says the form), its state as a value
 * (server/net/state.h).  The plan and the reading are pure; the channel is the loop's.
 */
#ifndef SERVER_CONTROL_NETWORK_H
#define SERVER_CONTROL_NETWORK_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "server/control/wanted.h"
#include "server/proc/config.h"
#include "server/proc/loop.h"

#define NETWORK_MTU               1420
#define NETWORK_PROBLEMS_MAX      16
#define NETWORK_ROUTES_MAX        128 /* networks behind peers: NET_ROUTES_MAX of server/net/plan.h */
#define NETWORK_DOMAINS_MAX       16  /* NET_DOMAINS_MAX there */
#define NETWORK_WISH_PROBLEMS_MAX 3
#define NETWORK_AGAIN             SECONDS(10) /* a plan that did not hold in full is sent again */

struct network_problem {
	char code[48], words[512], remedy[512];
};

/* What net is asked for, and what of the peers' wishes is not asked for, in words. */
struct network_wish {
	char *plan; /* owned; NULL: no memory, or no pools yet */
	size_t n_problems;
	struct network_problem problems[NETWORK_WISH_PROBLEMS_MAX];
};

/*
 * What net is to make of the pools, the peers' routes and the configuration.  Routes to what no net would
 * take, or beyond NETWORK_ROUTES_MAX, are left out with a problem: one peer's must not keep the others' from
 * holding.  Routes of expired peers stay: the tunnel drops what is theirs.
 */
void network_plan(struct network_wish *ret, const struct wanted *wanted, const struct config *config);

struct network_state {
	bool known, applied, uplink_up;
	bool peers_may_meet; /* as the rules have it */
	char ifname[IFNAMSIZ];
	char world_sees[8]; /* "peer", "host" or empty */
	char world_sees_words[128];
	size_t n_problems;
	struct network_problem problems[NETWORK_PROBLEMS_MAX];
};

/* -ERR_MESSAGE: it is not of that form; @ret is then as it was. */
int network_state_parse(struct network_state *ret, const char *text, size_t len) _must_check_;

struct network_events {
	void *arg;
	void (*state)(void *arg, const struct network_state *state, nsec_t now);
	void (*up)(void *arg, nsec_t now);
	void (*down)(void *arg, nsec_t now);
};

struct network;

int network_new(struct network **ret, struct loop *loop, const struct network_events *events) _must_check_;
void network_free(struct network *network);
void network_freep(struct network **network);

/* Takes @fd; the one before is dead.  The plan is told anew. */
void network_channel(struct network *network, int fd, nsec_t now);

/*
 * Takes the plan of @wish (may be NULL: nothing is known yet); sends it if it is another one, or if its
 * problems are others.  They are added to the states that come.
 */
void network_want(struct network *network, struct network_wish *wish, nsec_t now);

#endif
