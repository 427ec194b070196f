/*
 * Superframes on their way from the worker that read them to the one that owns their peer: a ring of
 * bytes between one producer and one consumer, each a thread of its own.  A record is what was read, whole,
 * and lies in one piece.  Only pages that were used become real, and a ring that runs empty in its second
 * half begins at its first page again, so that what is handed on is still in the cache.
 */
#ifndef SERVER_TUNNEL_HANDOFF_H
#define SERVER_TUNNEL_HANDOFF_H

#include <stdbool.h>
#include <stddef.h>

#include "server/wg/values.h"

/*
 * The ceiling of one ring: there is one of each kind for each ordered pair of workers, and all together take
 * HANDOFF_TOTAL at most, but for a great many workers, whose rings have HANDOFF_MIN each.
 */
#define HANDOFF_MAX   (512U << 10)
#define HANDOFF_MIN   (128U << 10)
#define HANDOFF_TOTAL (256U << 20)

/* Each in a ring of its own, so that what comes in does not wait behind a full socket. */
enum handoff_kind { HANDOFF_DATAGRAMS, HANDOFF_FRAMES, HANDOFF_KINDS };

struct handoff_record {
	uint32_t len;
	bool skip; /* the rest of the ring, inside only */
	union {
		struct {
			uint32_t segment; /* bytes of each datagram but the last */
			struct wg_arrival arrival;
		} datagrams;
		struct {
			struct wg_peer_id peer; /* whom the allowed IPs named */
			uint32_t domain, serial;
			uint16_t segments;
			uint8_t link;
			bool vnet;
		} frame;
	};
	_Alignas(64) uint8_t data[]; /* may be written to */
};

struct handoff;

int handoff_new(unsigned workers, struct handoff **ret) _must_check_;
void handoff_free(struct handoff *handoff);

/* Producer: copies @record, without data, and @record->len bytes.  False: full. */
bool handoff_push(struct handoff *handoff, const struct handoff_record *record,
		  const void *data) _must_check_;

/*
 * Consumer: the next record, or NULL; all of them are lent until handoff_release(), which makes room.
 */
struct handoff_record *handoff_next(struct handoff *handoff);
void handoff_release(struct handoff *handoff);

/* Bytes that wait or are lent.  Either side. */
size_t handoff_waiting(const struct handoff *handoff);

#endif
