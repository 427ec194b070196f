/*
 * What the loop, the feed's thread and the handlers' threads share: one lock, one condition that is
 * broadcast at every change.  Each part is written by the one named beside it, read by all, under the lock.
 */
#ifndef SERVER_CONTROL_BOARD_H
#define SERVER_CONTROL_BOARD_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "server/control/network.h"
#include "server/control/uapi.h"
#include "server/control/wanted.h"
#include "server/store/store.h"

#define BOARD_WORDS_LEN 512

struct board {
	pthread_mutex_t lock;
	pthread_cond_t changed; /* timed waits are by CLOCK_MONOTONIC */

	/* the feed's thread */
	struct store *store; /* NULL until the first time that it could be opened; then for good */
	struct tenant_id tenant;
	int database; /* 0: it answers; else why not */
	char database_words[BOARD_WORDS_LEN];

	/* the loop */
	struct wanted wanted; /* notes are taken by the feed's thread */
	bool tunnel_up;       /* has answered on this channel, and not been silent since */
	bool present_valid;   /* @present is of this channel */
	struct tunnel_state present;
	char *show; /* for `wg show`; owned */
	size_t show_len;
	bool has_gateway_key; /* ever answered */
	struct public_key gateway_key;
	char tunnel_words[BOARD_WORDS_LEN]; /* why it is down */
	int tunnel_error;                   /* it refused what it was told: its errno */
	pid_t tunnel_pid;
	uint64_t handshakes, rx_bytes, tx_bytes; /* of all tunnels since control was started */
	nsec_t tunnel_since, peers_since;        /* NSEC_NEVER: not up; there are none */
	bool net_up;
	struct network_state net;

	/* Tickets: asked by anybody, served by the loop. */
	uint64_t change_asked, change_applied; /* a change was committed; the tunnel has it */
	uint64_t look_asked, look_served;      /* a fresh look at the tunnel */
	bool stopping;
};

int board_init(struct board *board) _must_check_;
void board_done(struct board *board);

void board_lock(struct board *board);
void board_unlock(struct board *board);

/* Tells all who wait; the lock is held. */
void board_changed(struct board *board);

/* Waits for a change, the lock held, until @deadline (CLOCK_MONOTONIC).  False: it has passed. */
bool board_wait(struct board *board, nsec_t deadline);
nsec_t board_clock(void);

#endif
