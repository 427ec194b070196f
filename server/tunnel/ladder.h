/*
 * Where the tunnel stands on the ladder: one for the process, which all workers share.  A rung is
 * probed when its device or socket comes, stepped down when the kernel refuses at run time what it had
 * promised, and tried again after a while where that can help.  What is refused is a property of the
 * kernel or of a card, so a step of one worker is taken by all, counted once and logged once.
 *
 * Every function may be called by any thread.
 */
#ifndef SERVER_TUNNEL_LADDER_H
#define SERVER_TUNNEL_LADDER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "server/tunnel/rungs.h"

/* A rung that went down is tried once more after that time. */
#define LADDER_RETRY_TIME SECONDS(600)

#define RUNG_STATES(X)                                                                                       \
	X(UNKNOWN, "unknown", "not looked at yet")                                                           \
	X(OFF, "off", "probed, and not there")                                                               \
	X(ON, "on", "in use")                                                                                \
	X(DOWN, "down", "it was there, and failed since")

enum rung_state {
#define X(name, low, words) RUNG_##name,
	RUNG_STATES(X)
#undef X
};

struct ladder_rung {
	_Atomic uint8_t state, logged; /* logged: a bit a state */
	_Atomic bool worked;           /* ladder_worked() */
	_Atomic uint32_t downs, ups, figure;
	_Atomic nsec_t retry_at; /* DOWN: when; NSEC_NEVER: not */
};

struct ladder {
	struct ladder_rung rungs[RUNG_COUNT];
};

static inline uint32_t
ladder_figure(const struct ladder *ladder, enum rung rung)
{
	return atomic_load_explicit(&ladder->rungs[rung].figure, memory_order_relaxed);
}

static inline enum rung_state
ladder_get(const struct ladder *ladder, enum rung rung)
{
	if (rung == RUNG_PEER_PATH || rung == RUNG_PEER_ANSWERS) /* these count peers */
		return ladder_figure(ladder, rung) ? RUNG_DOWN : RUNG_ON;
	return (enum rung_state)atomic_load_explicit(&ladder->rungs[rung].state, memory_order_relaxed);
}

static inline bool
ladder_on(const struct ladder *ladder, enum rung rung)
{
	return ladder_get(ladder, rung) == RUNG_ON;
}

static inline bool
ladder_has_worked(const struct ladder *ladder, enum rung rung)
{
	return atomic_load_explicit(&ladder->rungs[rung].worked, memory_order_relaxed);
}

/* Whether a rung that is down should be tried now: followed by ladder_up() or ladder_down(). */
bool ladder_due(const struct ladder *ladder, enum rung rung, nsec_t now);

/* On, or due for a trial. */
static inline bool
ladder_may(const struct ladder *ladder, enum rung rung, nsec_t now)
{
	return ladder_on(ladder, rung) || ladder_due(ladder, rung, now);
}

/*
 * What a probe found.  @figure: how much or how many, where the rung has such a thing.  One that went
 * down stays so: what was found out at run time counts for more.
 */
void ladder_probed(struct ladder *ladder, enum rung rung, bool there, uint32_t figure);

/*
 * The kernel refused it with @error (positive; 0: it did not say).  A rung that is down already is only tried
 * again later.  @now: of the boot clock.  ladder_lost(): for good.
 */
void ladder_down(struct ladder *ladder, enum rung rung, int error, nsec_t now);
void ladder_lost(struct ladder *ladder, enum rung rung, int error);

/* It works again. */
void ladder_up(struct ladder *ladder, enum rung rung);

/* Notes that it did its work once, so that what comes later is not taken for its absence. */
static inline void
ladder_worked(struct ladder *ladder, enum rung rung)
{
	if (!ladder_has_worked(ladder, rung))
		atomic_store_explicit(&ladder->rungs[rung].worked, true, memory_order_relaxed);
}

/* PEER_PATH, PEER_ANSWERS: so many more peers, or fewer, are without.  Their figure is how many are. */
void ladder_peers(struct ladder *ladder, enum rung rung, int more);

/* "on", ...; static. */
const char *rung_state_name(enum rung_state state);

#endif
