/*
 * The loop: descriptors (epoll, level-triggered), timers of CLOCK_BOOTTIME, signals, and calls
 * posted from anywhere.  It reads the clock once a turn and hands `now` down.  One thread runs it
 * and owns everything in it; only loop_post() and loop_stop() may be called from other threads.
 */
#ifndef SERVER_PROC_LOOP_H
#define SERVER_PROC_LOOP_H

#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>

#include "base/cleanup.h"
#include "base/clock.h"

struct loop;
struct loop_io;
struct loop_timer;

int loop_new(struct loop **ret) _must_check_;

/* Frees what is still in it as well, posted calls unrun; closes no descriptor of the caller's. */
void loop_free(struct loop *loop);
void loop_freep(struct loop **loop);

/* Turns until loop_stop(); returns the value given there, or a negated errno of the loop's own. */
int loop_run(struct loop *loop) _must_check_;
void loop_stop(struct loop *loop, int result);

/* One turn: waits for something due (not beyond @limit, boot time; NSEC_NEVER), serves it. */
int loop_turn(struct loop *loop, nsec_t limit) _must_check_;

/* The time of this turn; before the first one, of loop_new(). */
nsec_t loop_now(const struct loop *loop);

/* @events are EPOLLIN, EPOLLOUT and so on; EPOLLERR and EPOLLHUP come unasked. */
typedef void loop_io_fn(void *arg, int fd, uint32_t events, nsec_t now);
int loop_io_add(struct loop *loop, int fd, uint32_t events, loop_io_fn *fn, void *arg,
		struct loop_io **ret) _must_check_;
int loop_io_events(struct loop_io *io, uint32_t events) _must_check_;

/*
 * Out of the loop, before its descriptor is closed (which stays the caller's).  Also from inside any
 * callback; it is not called again.  NULL is fine.
 */
void loop_io_free(struct loop_io *io);

/* One shot, set again at will, from inside its own callback too.  Made unset. */
typedef void loop_timer_fn(void *arg, nsec_t now);
int loop_timer_new(struct loop *loop, loop_timer_fn *fn, void *arg, struct loop_timer **ret) _must_check_;

/* @deadline: boot time, absolute; what has passed fires in the next turn; NSEC_NEVER unsets. */
void loop_timer_set(struct loop_timer *timer, nsec_t deadline);
void loop_timer_free(struct loop_timer *timer);

/*
 * The signals of @set are blocked in the calling thread and delivered as calls from the loop.  Once
 * a loop, and before other threads start, so that they inherit the mask.
 */
typedef void loop_signal_fn(void *arg, const struct signalfd_siginfo *info, nsec_t now);
int loop_signals(struct loop *loop, const sigset_t *set, loop_signal_fn *fn, void *arg) _must_check_;

/*
 * Calls @fn in the loop's thread, in the next turn, in the order posted: a deferred call, or one
 * from another thread.  -ENOMEM.
 */
typedef void loop_post_fn(void *arg, nsec_t now);
int loop_post(struct loop *loop, loop_post_fn *fn, void *arg) _must_check_;

#endif
