/*
 * How the gateway stands as figures, in the text format that Prometheus reads (version 0.0.4).  Names begin
 * with `warren_`, what only grows ends in `_total`.  No name, key or address of a peer is in it.  Pure.
 */
#ifndef SERVER_CONTROL_METRICS_H
#define SERVER_CONTROL_METRICS_H

#include <stddef.h>
#include <time.h>

#include "base/cleanup.h"
#include "server/control/board.h"

#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

/*
 * The board's lock is held.  What the tunnel has not said yet is left out, not 0.  To be freed; NULL: no
 * memory.
 */
char *metrics_make(const struct board *board, time_t started_at, time_t now, size_t *ret_len);

#endif
