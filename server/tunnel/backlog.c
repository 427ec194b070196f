#include "server/tunnel/backlog.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "server/tunnel/tun.h"

#define BUFFERS (BACKLOG_SHORT + BACKLOG_LONG + 1) /* the short ones first; one is the room */
/* Long buffers a power of two apart would all fall into the same sets of the cache. */
#define STRIDE 67136U
#define POOL   ((size_t)BACKLOG_SHORT * BACKLOG_SHORT_LEN + (size_t)(BACKLOG_LONG + 1) * STRIDE)

_Static_assert(STRIDE >= TUN_FRAME_MAX && STRIDE % 64 == 0, "a frame fits, and begins a cache line");

/* Numbers of buffers that are not in use; the last one used is the first to be used again. */
struct unused {
	uint32_t n;
	uint32_t at[BACKLOG_SHORT + BACKLOG_LONG];
};

struct backlog {
	struct fair *fair;
	uint8_t *pool;
	uint32_t room, n_popped;
	struct unused shorts, longs;
	uint32_t popped[BUFFERS];
	struct handoff_record records[BUFFERS];
};

static struct unused *
unused_of(struct backlog *backlog, uint32_t i)
{
	return i < BACKLOG_SHORT ? &backlog->shorts : &backlog->longs;
}

static void
give_back(struct backlog *backlog, uint32_t i)
{
	struct unused *unused = unused_of(backlog, i);

	unused->at[unused->n++] = i;
}

int
backlog_new(struct backlog **ret)
{
	struct backlog *backlog = aligned_alloc(64, sizeof(*backlog));
	void *pool;
	int r;

	if (!backlog)
		return -ENOMEM;
	pool = mmap(NULL, POOL, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	r = pool == MAP_FAILED ? -ENOMEM : fair_new(BACKLOG_SHORT + BACKLOG_LONG, BUFFERS, &backlog->fair);
	if (r < 0) {
		if (pool != MAP_FAILED)
			munmap(pool, POOL);
		free(backlog);
		return r;
	}
	backlog->pool = pool;
	backlog->n_popped = backlog->shorts.n = backlog->longs.n = 0;
	for (uint32_t i = BUFFERS - 1; i > 0; i--)
		give_back(backlog, i - 1);
	backlog->room = BUFFERS - 1;
	*ret = backlog;
	return 0;
}

void
backlog_free(struct backlog *backlog)
{
	if (!backlog)
		return;
	fair_free(backlog->fair);
	munmap(backlog->pool, POOL);
	free(backlog);
}

static uint8_t *
buffer(const struct backlog *backlog, uint32_t i)
{
	const size_t shorts = (size_t)BACKLOG_SHORT * BACKLOG_SHORT_LEN;

	return i < BACKLOG_SHORT ? backlog->pool + (size_t)i * BACKLOG_SHORT_LEN
				 : backlog->pool + shorts + (size_t)(i - BACKLOG_SHORT) * STRIDE;
}

uint8_t *
backlog_room(struct backlog *backlog)
{
	return buffer(backlog, backlog->room);
}

/* A buffer that will do, if need be of the peer that has most. */
static uint32_t
take(struct backlog *backlog, struct unused *unused, backlog_lost_fn *lost, void *ctx)
{
	struct fair_item item;

	while (unused->n == 0 && fair_drop(backlog->fair, &item)) {
		lost(ctx, &backlog->records[item.buffer]);
		give_back(backlog, item.buffer);
	}
	assert(unused->n > 0);
	return unused->at[--unused->n];
}

/*
 * A short frame is copied out of the room; a long one stays where it is, and another buffer is the room.
 * There are as many buffers as frames can wait, so the queue itself is never full.
 */
void
backlog_push(struct backlog *backlog, uint64_t key, const struct handoff_record *record, uint32_t cost,
	     backlog_lost_fn *lost, void *ctx)
{
	const bool is_short = record->len <= BACKLOG_SHORT_LEN;
	const uint32_t free_one = take(backlog, is_short ? &backlog->shorts : &backlog->longs, lost, ctx);
	struct fair_item item = {.key = key, .buffer = free_one, .cost = cost};
	struct fair_item gone;

	assert(backlog->n_popped == 0);
	if (is_short) {
		memcpy(buffer(backlog, free_one), buffer(backlog, backlog->room), record->len);
	} else {
		item.buffer = backlog->room;
		backlog->room = free_one;
	}
	backlog->records[item.buffer] = *record;
	if (fair_push(backlog->fair, &item, &gone))
		return;
	lost(ctx, &backlog->records[gone.buffer]);
	give_back(backlog, gone.buffer);
}

const struct handoff_record *
backlog_pop(struct backlog *backlog, uint8_t **data)
{
	struct fair_item item;

	if (!fair_pop(backlog->fair, &item))
		return NULL;
	backlog->popped[backlog->n_popped++] = item.buffer;
	*data = buffer(backlog, item.buffer);
	return &backlog->records[item.buffer];
}

void
backlog_recycle(struct backlog *backlog)
{
	while (backlog->n_popped > 0)
		give_back(backlog, backlog->popped[--backlog->n_popped]);
}

uint32_t
backlog_count(const struct backlog *backlog)
{
	return fair_count(backlog->fair);
}

void
backlog_rest(struct backlog *backlog)
{
	assert(backlog_count(backlog) == 0);
	(void)madvise(backlog->pool, POOL, MADV_DONTNEED);
}
