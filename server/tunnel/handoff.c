#include "server/tunnel/handoff.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bytes.h"

#define ALIGN 64U

/* Positions only grow; where they lie in the ring are their low bits.  No cache line is written by both. */
struct handoff { /* NOLINT(clang-analyzer-optin.performance.Padding) */
	uint8_t *bytes;
	size_t size;                      /* a power of two */
	_Alignas(64) _Atomic size_t head; /* the consumer's */
	size_t seen;                      /* the consumer's: lent from head to here */
	_Alignas(64) _Atomic size_t tail; /* the producer's */
};

static size_t
size_for(unsigned workers)
{
	const size_t rings = (size_t)workers * workers * HANDOFF_KINDS;
	size_t size = HANDOFF_MAX;

	while (size > HANDOFF_MIN && size * rings > HANDOFF_TOTAL)
		size /= 2;
	return size;
}

int
handoff_new(unsigned workers, struct handoff **ret)
{
	struct handoff *handoff = aligned_alloc(64, sizeof(*handoff));
	void *bytes;

	if (!handoff)
		return -ENOMEM;
	memset(handoff, 0, sizeof(*handoff));
	handoff->size = size_for(workers);
	bytes = mmap(NULL, handoff->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		     -1, 0);
	if (bytes == MAP_FAILED) {
		free(handoff);
		return -ENOMEM;
	}
	handoff->bytes = bytes;
	*ret = handoff;
	return 0;
}

/* The kernel hands pages out again as zeroes: nothing is left of packets. */
void
handoff_free(struct handoff *handoff)
{
	if (handoff)
		munmap(handoff->bytes, handoff->size);
	free(handoff);
}

static struct handoff_record *
record_at(const struct handoff *handoff, size_t position)
{
	return (struct handoff_record *)(void *)(handoff->bytes + (position & (handoff->size - 1)));
}

static size_t
record_len(uint32_t len)
{
	return (sizeof(struct handoff_record) + len + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

/*
 * How far to skip before a record of @need bytes: to the beginning if it does not fit before the end, and if
 * nothing waits.  What is skipped is room taken until the consumer passes it, so not more than half of it.
 */
static size_t
skip_of(const struct handoff *handoff, size_t head, size_t tail, size_t need)
{
	const size_t at = tail & (handoff->size - 1), rest = handoff->size - at;

	if (need > rest)
		return rest;
	return tail == head && rest <= handoff->size / 2 ? rest : 0;
}

/* Every position is a multiple of ALIGN, so that there is room for the header of what is skipped. */
bool
handoff_push(struct handoff *handoff, const struct handoff_record *record, const void *data)
{
	const size_t head = atomic_load_explicit(&handoff->head, memory_order_acquire);
	size_t tail = atomic_load_explicit(&handoff->tail, memory_order_relaxed);
	const size_t need = record_len(record->len), skip = skip_of(handoff, head, tail, need);
	struct handoff_record *place = record_at(handoff, tail);

	if (tail + skip + need - head > handoff->size)
		return false;
	if (skip > 0) {
		place->skip = true;
		place->len = (uint32_t)skip;
		tail += skip;
		place = record_at(handoff, tail);
	}
	memcpy(place, record, sizeof(*record));
	memcpy(place->data, data, record->len);
	atomic_store_explicit(&handoff->tail, tail + need, memory_order_release);
	return true;
}

struct handoff_record *
handoff_next(struct handoff *handoff)
{
	const size_t tail = atomic_load_explicit(&handoff->tail, memory_order_acquire);

	while (handoff->seen != tail) {
		struct handoff_record *record = record_at(handoff, handoff->seen);

		if (!record->skip) {
			handoff->seen += record_len(record->len);
			return record;
		}
		handoff->seen += record->len;
	}
	return NULL;
}

void
handoff_release(struct handoff *handoff)
{
	atomic_store_explicit(&handoff->head, handoff->seen, memory_order_release);
}

size_t
handoff_waiting(const struct handoff *handoff)
{
	return atomic_load_explicit(&handoff->tail, memory_order_acquire) -
	       atomic_load_explicit(&handoff->head, memory_order_relaxed);
}
