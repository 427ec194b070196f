/*
 * Frames of one direction of a worker that has more to do than it can: a bounded pool of buffers, many short
 * and a few long ones, and a fair queue (server/tunnel/fair.h) of what is in them.  Only pages that were used
 * are real.
 */
#ifndef SERVER_TUNNEL_BACKLOG_H
#define SERVER_TUNNEL_BACKLOG_H

#include "server/tunnel/fair.h"
#include "server/tunnel/handoff.h"

#define BACKLOG_SHORT     1024 /* frames of up to ... */
#define BACKLOG_SHORT_LEN 2048U
#define BACKLOG_LONG      32 /* and of up to 64 KiB: the ceiling is 4 MiB together */

struct backlog;

int backlog_new(struct backlog **ret) _must_check_;
void backlog_free(struct backlog *backlog);

/* Where the next frame is read or copied to: TUN_FRAME_MAX bytes. */
uint8_t *backlog_room(struct backlog *backlog);

/*
 * The frame in the room waits behind what its peer (@key) has there.  @record, without data, says what it is;
 * @cost: fair_cost().  @lost is called for each that has to go for it, which may be it itself.
 */
typedef void backlog_lost_fn(void *ctx, const struct handoff_record *record);
void backlog_push(struct backlog *backlog, uint64_t key, const struct handoff_record *record, uint32_t cost,
		  backlog_lost_fn *lost, void *ctx);

/* The next to be served, or NULL; it and *@data are lent until backlog_recycle(). */
const struct handoff_record *backlog_pop(struct backlog *backlog, uint8_t **data);
void backlog_recycle(struct backlog *backlog);

uint32_t backlog_count(const struct backlog *backlog);

/* Nothing waits, and nothing will soon: the pages are given back. */
void backlog_rest(struct backlog *backlog);

#endif
