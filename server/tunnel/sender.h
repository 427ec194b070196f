/*
 * Sealed messages on their way to the sockets.  Messages of one peer and one outer TOS that follow each other
 * with one length (the last may be shorter) leave as one batch: UDP_SEGMENT cuts them in the kernel.  Batches
 * leave in the order in which they were begun.
 *
 * The ladder: one sendmmsg() of batches; one of single messages, if the way out (EIO) or that peer's path
 * (EMSGSIZE) takes no batches, or if a peer never answers them; a sendmsg() each.  Every message leaves once,
 * or is counted as a drop.
 *
 * A message is sealed once.  What the socket does not take now waits here as it is, and everything
 * later behind it; what waited longer than SENDER_PATIENCE is dropped, so that nothing leaves long after
 * its peer's access ended.
 */
#ifndef SERVER_TUNNEL_SENDER_H
#define SERVER_TUNNEL_SENDER_H

#include <stdbool.h>

#include "server/tunnel/mmsg.h"
#include "server/tunnel/udp.h"
#include "server/wg/values.h"

#define SENDER_ARENA    (512U * 1024)
#define SENDER_FLUSH_AT (160U * 1024) /* bytes that wait: worth a call, and still in the cache */
#define SENDER_MESSAGES 2048
#define SENDER_BATCHES  256
#define SENDER_ROOMS    64 /* given and not yet added */
#define SENDER_PATIENCE MILLISECONDS(500)

/* Of one batch.  Above these lengths the frame is cut in software; older kernels take 64 segments. */
#define SENDER_SEGMENTS 64
#define SENDER_BATCH4   65493U
#define SENDER_BATCH6   65473U
/* How long a peer gets single datagrams whose batches were refused or never answered, and how many peers. */
#define SENDER_ALONE_TIME SECONDS(600)
#define SENDER_ALONE_MAX  256U

struct sender;

struct sender_config {
	const struct udp *udp; /* lent; may change between calls, not during them */
	struct stats *stats;   /* with the ladder, which is obeyed and stepped on */
	void (*source_clear)(void *ctx, struct wg_peer_id peer); /* the cached source of that peer is dead */
	/* a batch is about to go: false if that peer never answers them; NULL: it may */
	bool (*may_batch)(void *ctx, struct wg_peer_id peer, nsec_t now);
	void *ctx;
	struct mmsg_calls calls; /* NULL: the system's */
};

int sender_new(const struct sender_config *config, struct sender **ret) _must_check_;
void sender_free(struct sender *sender);
void sender_freep(struct sender **sender);

/*
 * Room for a message of up to @len bytes, until the next flush; at most SENDER_ROOMS of them before the first
 * is added.  NULL: full, flush.
 */
uint8_t *sender_room(struct sender *sender, uint32_t len);

/* The message at @data, in a room, is complete.  Rooms may be left unused. */
void sender_add(struct sender *sender, struct wg_peer_id peer, const struct wg_route *route, uint8_t tos,
		uint8_t *data, uint32_t len, nsec_t now);

/* Whether a flush is due. */
bool sender_due(const struct sender *sender);
bool sender_empty(const struct sender *sender);

/* Sends what waits.  -EAGAIN: the socket of sender_waits_for() is full; flush again when it can be written.
 */
int sender_flush(struct sender *sender, nsec_t now) _must_check_;
enum udp_family sender_waits_for(const struct sender *sender);

/* Forgets what waits. */
void sender_drop(struct sender *sender);

#endif
