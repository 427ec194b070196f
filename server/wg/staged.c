#include "server/wg/staged.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "server/wg/constants.h"

struct staged_slot {
	uint32_t older, newer; /* of all; free slots use newer */
	uint32_t behind;       /* the next of the same queue */
	uint32_t len, mtu;
	struct staged_queue *queue;
};

int
staged_init(struct staged *staged, uint32_t slots, uint32_t packet_max)
{
	*staged = (struct staged){.packet_max = packet_max};
	staged->slot_len = (WG_DATA_HEADER + packet_max + PATH_TAIL + 63U) & ~63U;
	staged->slots = calloc(slots, sizeof(*staged->slots));
	/* Pages become resident when a packet first waits in them. */
	staged->memory = calloc(slots, staged->slot_len);
	if (!staged->slots || !staged->memory) {
		staged_done(staged);
		return -ENOMEM;
	}
	for (uint32_t i = slots; i > 0; i--) {
		staged->slots[i - 1].newer = staged->free;
		staged->free = i;
	}
	return 0;
}

void
staged_done(struct staged *staged)
{
	for (uint32_t i = staged->oldest; i != 0 && staged->slots; i = staged->slots[i - 1].newer)
		bytes_wipe(staged->memory + (size_t)(i - 1) * staged->slot_len, staged->slot_len);
	free(staged->slots);
	free(staged->memory);
	*staged = (struct staged){0};
}

static uint8_t *
slot_memory(const struct staged *staged, uint32_t at)
{
	return staged->memory + (size_t)(at - 1) * staged->slot_len;
}

void
staged_pop(struct staged *staged, struct staged_queue *queue, unsigned n)
{
	assert(n <= queue->count);
	for (; n > 0; n--) {
		const uint32_t at = queue->first;
		struct staged_slot *slot = &staged->slots[at - 1];

		bytes_wipe(slot_memory(staged, at) + WG_DATA_HEADER, slot->len);
		queue->first = slot->behind;
		queue->count--;
		if (queue->count == 0)
			queue->last = 0;

		*(slot->older ? &staged->slots[slot->older - 1].newer : &staged->oldest) = slot->newer;
		*(slot->newer ? &staged->slots[slot->newer - 1].older : &staged->newest) = slot->older;
		*slot = (struct staged_slot){.newer = staged->free};
		staged->free = at;
	}
}

/* The oldest of all is the first of its queue, because both are in order of arrival. */
static unsigned
make_room(struct staged *staged, struct staged_queue *queue)
{
	if (queue->count == WG_STAGED_PER_PEER)
		staged_pop(staged, queue, 1);
	else if (staged->free == 0)
		staged_pop(staged, staged->slots[staged->oldest - 1].queue, 1);
	else
		return 0;
	return 1;
}

unsigned
staged_push(struct staged *staged, struct staged_queue *queue, const uint8_t *packet, uint32_t len,
	    uint32_t mtu)
{
	const unsigned gone = make_room(staged, queue);
	const uint32_t at = staged->free;
	struct staged_slot *slot = &staged->slots[at - 1];

	assert(len <= staged->packet_max);
	staged->free = slot->newer;
	*slot = (struct staged_slot){.older = staged->newest, .len = len, .mtu = mtu, .queue = queue};
	memcpy(slot_memory(staged, at) + WG_DATA_HEADER, packet, len);

	*(staged->newest ? &staged->slots[staged->newest - 1].newer : &staged->oldest) = at;
	staged->newest = at;
	*(queue->last ? &staged->slots[queue->last - 1].behind : &queue->first) = at;
	queue->last = at;
	queue->count++;
	return gone;
}

unsigned
staged_peek(const struct staged *staged, const struct staged_queue *queue, struct path_out *out, unsigned max,
	    uint32_t *mtu)
{
	unsigned n = 0;

	*mtu = queue->first != 0 ? staged->slots[queue->first - 1].mtu : 0;
	for (uint32_t at = queue->first; at != 0 && n < max && staged->slots[at - 1].mtu == *mtu;
	     at = staged->slots[at - 1].behind)
		out[n++] =
			(struct path_out){.data = slot_memory(staged, at), .len = staged->slots[at - 1].len};
	return n;
}
