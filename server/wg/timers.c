#include "server/wg/timers.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define CHILDREN 4U

int
timer_heap_reserve(struct timer_heap *heap, uint32_t peers)
{
	const uint32_t room = MAX(peers, MAX(64U, heap->room * 2));
	struct timers **bigger;

	if (peers <= heap->room)
		return 0;
	bigger = reallocarray(heap->heap, room, sizeof(struct timers *));
	if (!bigger)
		return -ENOMEM;
	heap->heap = bigger;
	heap->room = room;
	return 0;
}

void
timer_heap_done(struct timer_heap *heap)
{
	free(heap->heap);
	*heap = (struct timer_heap){0};
}

static void
put(struct timer_heap *heap, uint32_t place, struct timers *timers)
{
	heap->heap[place] = timers;
	timers->place = place + 1;
}

static void
sift_up(struct timer_heap *heap, uint32_t place, struct timers *timers)
{
	while (place > 0) {
		const uint32_t parent = (place - 1) / CHILDREN;

		if (heap->heap[parent]->due <= timers->due)
			break;
		put(heap, place, heap->heap[parent]);
		place = parent;
	}
	put(heap, place, timers);
}

static void
sift_down(struct timer_heap *heap, uint32_t place, struct timers *timers)
{
	for (;;) {
		const uint32_t first = place * CHILDREN + 1, end = MIN(first + CHILDREN, heap->count);
		uint32_t least = first;

		for (uint32_t i = first + 1; i < end; i++)
			if (heap->heap[i]->due < heap->heap[least]->due)
				least = i;
		if (first >= heap->count || heap->heap[least]->due >= timers->due)
			break;
		put(heap, place, heap->heap[least]);
		place = least;
	}
	put(heap, place, timers);
}

static void
heap_remove(struct timer_heap *heap, struct timers *timers)
{
	const uint32_t place = timers->place - 1;
	struct timers *last = heap->heap[--heap->count];

	timers->place = 0;
	if (last == timers)
		return;
	if (place > 0 && heap->heap[(place - 1) / CHILDREN]->due > last->due)
		sift_up(heap, place, last);
	else
		sift_down(heap, place, last);
}

/* After a change of one of them. */
static void
replace(struct timer_heap *heap, struct timers *timers)
{
	const nsec_t before = timers->due;

	timers->due = NSEC_NEVER;
	for (size_t i = 0; i < TIMER_COUNT; i++)
		if (timers->at[i] != 0 && timers->at[i] < timers->due)
			timers->due = timers->at[i];
	if (timers->due == NSEC_NEVER) {
		if (timers->place != 0)
			heap_remove(heap, timers);
	} else if (timers->place == 0) {
		assert(heap->count < heap->room);
		sift_up(heap, heap->count++, timers);
	} else if (timers->due < before) {
		sift_up(heap, timers->place - 1, timers);
	} else if (timers->due > before) {
		sift_down(heap, timers->place - 1, timers);
	}
}

struct timers *
timer_heap_due(const struct timer_heap *heap, nsec_t now)
{
	return heap->count > 0 && heap->heap[0]->due <= now ? heap->heap[0] : NULL;
}

nsec_t
timer_heap_deadline(const struct timer_heap *heap)
{
	return heap->count > 0 ? heap->heap[0]->due : NSEC_NEVER;
}

void
timers_arm(struct timer_heap *heap, struct timers *timers, enum timer timer, nsec_t at)
{
	timers->at[timer] = at;
	replace(heap, timers);
}

void
timers_stop(struct timer_heap *heap, struct timers *timers, enum timer timer)
{
	if (timers->at[timer] == 0)
		return;
	timers->at[timer] = 0;
	replace(heap, timers);
}

void
timers_stop_all(struct timer_heap *heap, struct timers *timers)
{
	memset(timers->at, 0, sizeof(timers->at));
	replace(heap, timers);
}
