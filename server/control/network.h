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

#define NETWORK_DOMAIN       "default"
#define NETWORK_IFNAME       "wg0"
#define NETWORK_MTU          1420
#define NETWORK_PROBLEMS_MAX 16
#define NETWORK_AGAIN        SECONDS(10) /* a plan that did not hold in full is sent again */

/* What net is to make of the pools and the configuration; to be freed.  NULL: no memory, or no pools yet. */
char *network_plan(const struct wanted *wanted, const struct config *config);

struct network_problem {
	char code[48], words[512], remedy[512];
};

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

/* Takes @plan (may be NULL: nothing is known yet); sends it if it is another one. */
void network_want(struct network *network, char *plan, nsec_t now);

#endif
