/*
 * Wanted minus present is the next thing to tell the tunnel.  Pure: carried out and asked again, it comes to
 * nothing.  What differs is queued by kind, once after each look at the tunnel and then as peers change, so
 * that a step costs what it tells and not what there is.
 *
 * Revokes go first: peers to be removed (also from a domain that is not theirs any more), then domains, then
 * those whose access becomes narrower in any way (cut, an earlier end, an allowed IP less), then everything
 * that gives, then initiations.  A step holds one kind only, so nothing is given before all is taken.
 */
#ifndef SERVER_CONTROL_PLAN_H
#define SERVER_CONTROL_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "base/cleanup.h"
#include "server/control/uapi.h"
#include "server/control/wanted.h"

#define PLAN_PEERS_MAX 128 /* of one step */

/* In this order. */
enum change {
	CHANGE_NONE,
	CHANGE_REMOVE,
	CHANGE_REMOVE_DOMAIN,
	CHANGE_NARROW,
	CHANGE_GRANT,
	CHANGE_INITIATE,
	CHANGE_COUNT
};

/*
 * What differs, by kind.  Taken from a queue it is judged again, so that one that was queued too often, or
 * has changed since, does no harm.  Zeroed: all is to be compared.
 */
struct plan {
	bool compared;         /* else all is compared first */
	bool domains_compared; /* none is there that is not wanted */
	struct {
		struct key_list keys;
		size_t taken;
	} queues[CHANGE_COUNT];
};

/* The tunnel was looked at, or a step did not reach it: all is compared again. */
void plan_stale(struct plan *plan);
void plan_done(struct plan *plan);

/* What a step says of one peer. */
struct told {
	struct public_key key;
	struct domain_name domain; /* where */
	struct peer_id id;         /* 0: a peer that nobody wants */
	struct access access;      /* owned; not of CHANGE_REMOVE */
	bool initiate;
};

struct plan_step {
	enum change change; /* CHANGE_NONE: all is as wanted */
	size_t n;
	struct told told[PLAN_PEERS_MAX];
	char *text; /* the whole request, owned */
	size_t len;
};

struct plan_limits {
	size_t peers;       /* 1 … PLAN_PEERS_MAX */
	size_t initiations; /* how many may be asked for now */
	time_t now;
};

/* -ENOMEM.  @ret is to be given to plan_step_done() in any case. */
int plan_next(struct plan *plan, struct wanted *wanted, const struct tunnel_state *present,
	      const struct plan_limits *limits, struct plan_step *ret) _must_check_;
void plan_step_done(struct plan_step *step);

/* The tunnel has taken @step: @present and @wanted now say so.  -ENOMEM: read @present anew. */
int plan_step_applied(struct plan_step *step, struct wanted *wanted,
		      struct tunnel_state *present) _must_check_;

/*
 * A tunnel was read for the first time: the peers that it does not have and that were there lately are
 * to be initiated to.  Their number.
 */
size_t plan_mark_recent(struct wanted *wanted, const struct tunnel_state *present, time_t now);

#endif
