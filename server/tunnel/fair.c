/*
 * A peer with frames has a queue: found by its key (chained hash), in the round of those to be served (a
 * list; the first one's turn it is), and in a heap by cost, whose root is the longest.  A queue that is empty
 * is given back at once, with what it had left to spend: nobody saves up.
 *
 * A turn: the first of the round is given a quantum when its turn begins, and stays first while its next
 * frame costs no more than it has left; then it goes to the end of the round with the rest.  So of two peers
 * that both always wait, none gets ahead by more than a quantum and a frame.
 */
#include "server/tunnel/fair.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define NONE UINT32_MAX

/* A frame that waits; at the place of its buffer. */
struct frame {
	uint32_t older, newer; /* of the same queue */
	uint32_t cost;
};

struct queue {
	uint64_t key;
	uint64_t cost; /* of all that wait */
	uint32_t oldest, newest;
	uint32_t left;       /* to spend in this turn */
	bool begun;          /* its turn has begun: it has had its quantum */
	uint32_t same_hash;  /* or the next unused one */
	uint32_t next, prev; /* in the round */
	uint32_t heap_at;
};

struct fair {
	uint32_t max, buffers, count, n_queues;
	uint32_t mask;        /* of hash */
	uint32_t first, last; /* the round */
	uint32_t unused;
	struct frame *frames;
	struct queue *queues;
	uint32_t *hash, *heap;
};

int
fair_new(uint32_t max, uint32_t buffers, struct fair **ret)
{
	_cleanup_(fair_freep) struct fair *fair = calloc(1, sizeof(*fair));
	uint32_t size = 1;

	assert(max > 0 && max <= buffers && buffers < BIT(24));
	if (!fair)
		return -ENOMEM;
	while (size < 2 * max)
		size *= 2;
	*fair = (struct fair){.max = max, .buffers = buffers, .mask = size - 1, .first = NONE, .last = NONE};
	fair->frames = calloc(buffers, sizeof(*fair->frames));
	fair->queues = calloc(max, sizeof(*fair->queues));
	fair->hash = malloc(size * sizeof(*fair->hash));
	fair->heap = calloc(max, sizeof(*fair->heap));
	if (!fair->frames || !fair->queues || !fair->hash || !fair->heap)
		return -ENOMEM;
	memset(fair->hash, 0xff, size * sizeof(*fair->hash));
	for (uint32_t i = 0; i < max; i++)
		fair->queues[i].same_hash = i + 1 < max ? i + 1 : NONE;
	*ret = take_ptr(fair);
	return 0;
}

void
fair_free(struct fair *fair)
{
	if (!fair)
		return;
	free(fair->frames);
	free(fair->queues);
	free(fair->hash);
	free(fair->heap);
	free(fair);
}

void
fair_freep(struct fair **fair)
{
	fair_free(*fair);
}

uint32_t
fair_count(const struct fair *fair)
{
	return fair->count;
}

uint32_t
fair_peers(const struct fair *fair)
{
	return fair->n_queues;
}

/* Queues by key. */

static uint32_t *
hash_place(const struct fair *fair, uint64_t key)
{
	key = (key ^ key >> 32) * 0x9e3779b97f4a7c15ULL;
	return &fair->hash[(key >> 32) & fair->mask];
}

static uint32_t
queue_find(const struct fair *fair, uint64_t key)
{
	uint32_t at = *hash_place(fair, key);

	while (at != NONE && fair->queues[at].key != key)
		at = fair->queues[at].same_hash;
	return at;
}

/* The heap. */

static uint64_t
heap_cost(const struct fair *fair, uint32_t at)
{
	return fair->queues[fair->heap[at]].cost;
}

static void
heap_put(struct fair *fair, uint32_t at, uint32_t queue)
{
	fair->heap[at] = queue;
	fair->queues[queue].heap_at = at;
}

/* @queue, at @at, has grown. */
static void
heap_up(struct fair *fair, uint32_t at, uint32_t queue)
{
	const uint64_t cost = fair->queues[queue].cost;

	for (; at > 0 && heap_cost(fair, (at - 1) / 2) < cost; at = (at - 1) / 2)
		heap_put(fair, at, fair->heap[(at - 1) / 2]);
	heap_put(fair, at, queue);
}

/* @queue, at @at, has shrunk. */
static void
heap_down(struct fair *fair, uint32_t at, uint32_t queue)
{
	const uint64_t cost = fair->queues[queue].cost;

	for (;;) {
		uint32_t child = 2 * at + 1;

		if (child + 1 < fair->n_queues && heap_cost(fair, child + 1) > heap_cost(fair, child))
			child++;
		if (child >= fair->n_queues || heap_cost(fair, child) <= cost)
			break;
		heap_put(fair, at, fair->heap[child]);
		at = child;
	}
	heap_put(fair, at, queue);
}

/* Queues that come and go. */

static void
round_append(struct fair *fair, uint32_t at)
{
	fair->queues[at].next = NONE;
	fair->queues[at].prev = fair->last;
	*(fair->last == NONE ? &fair->first : &fair->queues[fair->last].next) = at;
	fair->last = at;
}

static void
round_remove(struct fair *fair, uint32_t at)
{
	const struct queue *queue = &fair->queues[at];

	*(queue->prev == NONE ? &fair->first : &fair->queues[queue->prev].next) = queue->next;
	*(queue->next == NONE ? &fair->last : &fair->queues[queue->next].prev) = queue->prev;
}

static uint32_t
queue_add(struct fair *fair, uint64_t key)
{
	uint32_t *place = hash_place(fair, key), at = fair->unused;
	struct queue *queue = &fair->queues[at];

	fair->unused = queue->same_hash;
	*queue = (struct queue){.key = key, .oldest = NONE, .newest = NONE, .same_hash = *place};
	*place = at;
	round_append(fair, at);
	heap_put(fair, fair->n_queues++, at);
	return at;
}

static void
queue_remove(struct fair *fair, uint32_t at)
{
	struct queue *queue = &fair->queues[at];
	uint32_t *place = hash_place(fair, queue->key), moved = fair->heap[--fair->n_queues];

	while (*place != at)
		place = &fair->queues[*place].same_hash;
	*place = queue->same_hash;
	round_remove(fair, at);
	if (moved != at) {
		heap_up(fair, queue->heap_at, moved);
		heap_down(fair, fair->queues[moved].heap_at, moved);
	}
	queue->same_hash = fair->unused;
	fair->unused = at;
}

/* Frames. */

static void
frame_append(struct fair *fair, uint32_t at, const struct fair_item *item)
{
	struct queue *queue = &fair->queues[at];

	fair->frames[item->buffer] =
		(struct frame){.older = queue->newest, .newer = NONE, .cost = item->cost};
	*(queue->newest == NONE ? &queue->oldest : &fair->frames[queue->newest].newer) = item->buffer;
	queue->newest = item->buffer;
	queue->cost += item->cost;
	fair->count++;
	heap_up(fair, queue->heap_at, at);
}

static void
frame_remove(struct fair *fair, uint32_t at, uint32_t buffer, struct fair_item *ret)
{
	struct queue *queue = &fair->queues[at];
	const struct frame *frame = &fair->frames[buffer];

	*(frame->older == NONE ? &queue->oldest : &fair->frames[frame->older].newer) = frame->newer;
	*(frame->newer == NONE ? &queue->newest : &fair->frames[frame->newer].older) = frame->older;
	*ret = (struct fair_item){.key = queue->key, .buffer = buffer, .cost = frame->cost};
	queue->cost -= frame->cost;
	fair->count--;
	heap_down(fair, queue->heap_at, at);
	if (queue->oldest == NONE)
		queue_remove(fair, at);
}

/* The same as to queue it and then to take from the longest: whose queue would be it, loses @item itself. */
bool
fair_push(struct fair *fair, const struct fair_item *item, struct fair_item *lost)
{
	uint32_t at = queue_find(fair, item->key);
	const uint64_t cost = item->cost + (at == NONE ? 0 : fair->queues[at].cost);
	const bool full = fair->count == fair->max;

	assert(item->buffer < fair->buffers && item->cost > 0 && item->cost <= FAIR_QUANTUM);
	if (full && cost >= heap_cost(fair, 0)) {
		*lost = *item;
		return false;
	}
	if (full)
		frame_remove(fair, fair->heap[0], fair->queues[fair->heap[0]].newest, lost);
	if (at == NONE)
		at = queue_add(fair, item->key);
	frame_append(fair, at, item);
	return !full;
}

bool
fair_drop(struct fair *fair, struct fair_item *lost)
{
	if (fair->count == 0)
		return false;
	frame_remove(fair, fair->heap[0], fair->queues[fair->heap[0]].newest, lost);
	return true;
}

bool
fair_pop(struct fair *fair, struct fair_item *ret)
{
	while (fair->first != NONE) {
		const uint32_t at = fair->first;
		struct queue *queue = &fair->queues[at];
		const uint32_t cost = fair->frames[queue->oldest].cost;

		if (!queue->begun) {
			queue->begun = true;
			queue->left += FAIR_QUANTUM;
		}
		if (cost <= queue->left) {
			queue->left -= cost;
			frame_remove(fair, at, queue->oldest, ret);
			return true;
		}
		queue->begun = false;
		round_remove(fair, at);
		round_append(fair, at);
	}
	return false;
}
