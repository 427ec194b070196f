/*
 * The control process without HTTP: what is wanted comes from the database, the tunnel and net are told
 * the difference, and what they say is kept for whoever asks.
 *
 * Threads.  The loop's own the channels and everything in `board` that is the loop's.  The feed's
 * speaks with the database.  Handlers, in threads of their caller's, run transactions, then call
 * control_changed() and wait on the board; they never touch a channel.
 */
#ifndef SERVER_CONTROL_CONTROL_H
#define SERVER_CONTROL_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "server/control/board.h"
#include "server/control/status.h"
#include "server/proc/config.h"
#include "server/proc/loop.h"

#define APPLY_LIMIT SECONDS(2) /* how long an answer waits for the tunnel to have a change */
#define LOOK_LIMIT  SECONDS(1) /* how long one waits for the tunnel's figures */
#define FLUSH_LIMIT SECONDS(3) /* how long the end waits for the database */

struct control;

struct control_setup {
	const struct config *config; /* lent */
	struct loop *loop;           /* lent */
	struct status_words words;
	/* The other end of a channel talks nonsense: only a new process with new channels helps. */
	void (*broken)(void *arg, const char *what);
	/* The database was read for the first time: requests will be served.  Once. */
	void (*serving)(void *arg, nsec_t now);
	/* After control_stop().  Not @written: the database took too long, the feed's thread goes on; leave
	 * by _exit(). */
	void (*stopped)(void *arg, bool written);
	void *arg;
};

/* Starts the feed's thread, so call it after all signals are blocked. */
int control_new(struct control **ret, const struct control_setup *setup) _must_check_;

/* When all handlers have returned. */
void control_free(struct control *control);
void control_freep(struct control **control);

/* The loop's thread: a channel "tunnel", "tunnel-watch" or "net"; takes @fd.  Others are closed. */
void control_channel(struct control *control, const char *name, int fd, nsec_t now);

/* The loop's thread: wakes all who wait, writes down what was seen, then calls stopped(). */
void control_stop(struct control *control, nsec_t now);

/* From any thread */

const struct config *control_config(const struct control *control);
struct board *control_board(struct control *control);

/* A change was committed: its ticket, for control_applied(). */
uint64_t control_changed(struct control *control);

/* Waits until the tunnel has it, APPLY_LIMIT at most. */
bool control_applied(struct control *control, uint64_t ticket);

/* Has the tunnel looked at anew and waits, LOOK_LIMIT at most; false: what is known may be older. */
bool control_look(struct control *control);

void control_status(struct control *control, struct status *ret);

struct control_health {
	bool database, tunnel;
	size_t rungs, missing; /* of the ladder; 0: not known */
};
void control_health(struct control *control, struct control_health *ret);

/* server/control/metrics.h, after a fresh look; to be freed; NULL: no memory. */
char *control_metrics(struct control *control, size_t *ret_len);

/* For `wg show`: to be freed; -ERR_TUNNEL_DOWN. */
int control_wg(struct control *control, char **ret, size_t *ret_len) _must_check_;

#endif
