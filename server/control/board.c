#include "server/control/board.h"

#include <stdlib.h>

int
board_init(struct board *board)
{
	pthread_condattr_t attr;
	int r;

	*board = (struct board){.tunnel_since = NSEC_NEVER, .peers_since = NSEC_NEVER};
	r = pthread_mutex_init(&board->lock, NULL);
	if (r)
		return -r;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	r = pthread_cond_init(&board->changed, &attr);
	pthread_condattr_destroy(&attr);
	if (r)
		pthread_mutex_destroy(&board->lock);
	return -r;
}

void
board_done(struct board *board)
{
	wanted_done(&board->wanted);
	tunnel_state_done(&board->present);
	free(board->show);
	board->show = NULL;
	pthread_cond_destroy(&board->changed);
	pthread_mutex_destroy(&board->lock);
}

void
board_lock(struct board *board)
{
	pthread_mutex_lock(&board->lock);
}

void
board_unlock(struct board *board)
{
	pthread_mutex_unlock(&board->lock);
}

void
board_changed(struct board *board)
{
	pthread_cond_broadcast(&board->changed);
}

bool
board_wait(struct board *board, nsec_t deadline)
{
	const struct timespec ts = {deadline / SECONDS(1), deadline % SECONDS(1)};

	return pthread_cond_timedwait(&board->changed, &board->lock, &ts) == 0;
}

nsec_t
board_clock(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (nsec_t)ts.tv_sec * SECONDS(1) + ts.tv_nsec;
}
