/*
 * A peer's timers, and a heap of all peers by the one that is due first: 100,000 peers cost a few
 * comparisons a change, and nothing while nothing is due.
 */
#ifndef SERVER_WG_TIMERS_H
#define SERVER_WG_TIMERS_H

#include <stdbool.h>

#include "base/cleanup.h"
#include "base/clock.h"

enum timer {
	TIMER_RETRANSMIT,    /* our initiation was not answered */
	TIMER_KEEPALIVE,     /* data came, and nothing was sent since */
	TIMER_NEW_HANDSHAKE, /* data was sent, and nothing came since */
	TIMER_ZERO_KEYS,     /* no session was made for so long that none can be used any more */
	TIMER_PERSISTENT,    /* nothing passed either way */
	TIMER_COUNT
};

/* Zeroes: none is armed. */
struct timers {
	nsec_t at[TIMER_COUNT]; /* 0: not armed */
	nsec_t due;             /* the first of them */
	uint32_t place;         /* in the heap, + 1; 0: not there */
};

struct timer_heap {
	struct timers **heap;
	uint32_t count, room;
};

/* Room for the timers of @peers peers, so that arming cannot fail.  -ENOMEM. */
int timer_heap_reserve(struct timer_heap *heap, uint32_t peers) _must_check_;
void timer_heap_done(struct timer_heap *heap);

/* Whose first timer is due, or NULL; when that will be, or NSEC_NEVER. */
struct timers *timer_heap_due(const struct timer_heap *heap, nsec_t now);
nsec_t timer_heap_deadline(const struct timer_heap *heap);

void timers_arm(struct timer_heap *heap, struct timers *timers, enum timer timer, nsec_t at);
void timers_stop(struct timer_heap *heap, struct timers *timers, enum timer timer);
void timers_stop_all(struct timer_heap *heap, struct timers *timers);

static inline bool
timers_armed(const struct timers *timers, enum timer timer)
{
	return timers->at[timer] != 0;
}

#endif
