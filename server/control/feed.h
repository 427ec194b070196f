/*
 * The one thread that speaks with the database of itself: makes it ready (and keeps trying), reads the
 * gateway's feed when hinted, woken, or after POLL_EVERY, and writes down what was seen of peers.
 * Everything that it reads is posted to the loop; nothing here waits for the loop.
 */
#ifndef SERVER_CONTROL_FEED_H
#define SERVER_CONTROL_FEED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "server/control/board.h"
#include "server/proc/config.h"
#include "server/proc/loop.h"
#include "server/store/gateway.h"

#define FEED_TENANT "default"
#define POLL_EVERY  MILLISECONDS(1500)
#define RETRY_FIRST MILLISECONDS(200) /* while the database is not there; doubles */
#define RETRY_MOST  SECONDS(3)
#define NOTES_EVERY SECONDS(3)
#define NOTES_MAX   256
#define WHOLE_EVERY SECONDS(300) /* all is read anew, whatever the revisions say */

struct feed_events { /* called in the loop */
	void *arg;
	/* @feed is lent; @ticket: all changes up to that one are in it. */
	void (*read)(void *arg, const struct gateway_feed *feed, bool whole, uint64_t ticket, nsec_t now);
	void (*ended)(void *arg, nsec_t now); /* after feed_stop(): all is written that could be */
};

struct feed;

/* Starts the thread.  @config, @loop and @board are lent. */
int feed_new(struct feed **ret, const struct config *config, struct loop *loop, struct board *board,
	     const struct feed_events *events) _must_check_;

/* Read now; from any thread. */
void feed_wake(struct feed *feed);

/* What was read could not be kept: read all. */
void feed_again(struct feed *feed);

void feed_stop(struct feed *feed);

/* When it has ended; one that has not is left to the end of the process. */
void feed_free(struct feed *feed);
void feed_freep(struct feed **feed);

#endif
