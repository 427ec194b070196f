#include "server/tunnel/ladder.h"

#include "base/bytes.h"
#include "base/errors.h"
#include "base/log.h"

const char *
rung_state_name(enum rung_state state)
{
	static const char *const names[] = {
#define X(name, low, words) [RUNG_##name] = low,
		RUNG_STATES(X)
#undef X
	};

	return names[state];
}

/* True for the first caller of each state. */
static bool
log_first(struct ladder_rung *rung, enum rung_state state)
{
	return !(atomic_fetch_or(&rung->logged, (uint8_t)BIT(state)) & BIT(state));
}

/* Once for each rung and direction: what flaps is told by its counters. */
static void
log_step(struct ladder *ladder, enum rung which, enum rung_state state, int error)
{
	const struct rung_words *words = rung_words(which);

	if (!log_first(&ladder->rungs[which], state))
		return;
	if (state == RUNG_ON)
		log_info("rung %s: it works again", words->name);
	else
		log_info("rung %s is %s%s%s: %s; remedy: %s", words->name, rung_state_name(state),
			 error ? ": " : "", error ? error_words(-error) : "", words->cost, words->remedy);
}

static bool
move(struct ladder_rung *rung, enum rung_state from, enum rung_state to)
{
	uint8_t expected = (uint8_t)from;

	return atomic_compare_exchange_strong(&rung->state, &expected, (uint8_t)to);
}

void
ladder_probed(struct ladder *ladder, enum rung which, bool there, uint32_t figure)
{
	struct ladder_rung *rung = &ladder->rungs[which];

	atomic_store(&rung->figure, figure);
	if (!there) {
		atomic_store(&rung->state, RUNG_OFF);
		log_step(ladder, which, RUNG_OFF, 0);
	} else if (!move(rung, RUNG_UNKNOWN, RUNG_ON)) {
		move(rung, RUNG_OFF, RUNG_ON);
	}
}

bool
ladder_due(const struct ladder *ladder, enum rung which, nsec_t now)
{
	const struct ladder_rung *rung = &ladder->rungs[which];

	return ladder_get(ladder, which) == RUNG_DOWN &&
	       now >= atomic_load_explicit(&rung->retry_at, memory_order_relaxed);
}

/* The time is set before the state says that there is one. */
static void
step_down(struct ladder *ladder, enum rung which, int error, nsec_t retry_at)
{
	struct ladder_rung *rung = &ladder->rungs[which];

	atomic_store(&rung->retry_at, retry_at);
	if (!move(rung, RUNG_ON, RUNG_DOWN))
		return;
	atomic_fetch_add(&rung->downs, 1);
	log_step(ladder, which, RUNG_DOWN, error);
}

void
ladder_down(struct ladder *ladder, enum rung which, int error, nsec_t now)
{
	step_down(ladder, which, error, now + LADDER_RETRY_TIME);
}

void
ladder_lost(struct ladder *ladder, enum rung which, int error)
{
	step_down(ladder, which, error, NSEC_NEVER);
}

void
ladder_up(struct ladder *ladder, enum rung which)
{
	struct ladder_rung *rung = &ladder->rungs[which];

	if (!move(rung, RUNG_DOWN, RUNG_ON))
		return;
	atomic_fetch_add(&rung->ups, 1);
	log_step(ladder, which, RUNG_ON, 0);
}

void
ladder_peers(struct ladder *ladder, enum rung which, int more)
{
	struct ladder_rung *rung = &ladder->rungs[which];

	atomic_fetch_add(&rung->figure, (uint32_t)more);
	atomic_fetch_add(more > 0 ? &rung->downs : &rung->ups, (uint32_t)(more > 0 ? more : -more));
	if (more > 0)
		log_step(ladder, which, RUNG_DOWN, 0);
}
