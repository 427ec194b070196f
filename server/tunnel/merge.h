/*
 * Packets that a peer sent, authenticated, become superframes again: adjacent segments of one flow
 * are written to the TUN device by one call.  Only what the kernel's own receive offload would merge
 * is merged, so that cutting the superframe again gives the same packets (but for the identification of
 * IPv4 packets that may not be fragmented, which means nothing).
 *
 * Order: what is written leaves in the order in which it was begun, and a packet joins only the newest
 * frame of its flow; whatever cannot join closes that frame first.
 */
#ifndef SERVER_TUNNEL_MERGE_H
#define SERVER_TUNNEL_MERGE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/cleanup.h"
#include "server/tunnel/stats.h"
#include "server/tunnel/vnet.h"

#define MERGE_FRAMES  256 /* begun and not yet written */
#define MERGE_PACKETS 512 /* in them */
#define MERGE_TCP_MAX 256 /* segments of a frame */
#define MERGE_UDP_MAX 64  /* older kernels take no more */

struct merge;

/* @stats, which is lent, counts, and has the ladder: TUN_TSO_WRITE and TUN_USO_WRITE are obeyed and stepped.
 */
int merge_new(struct stats *stats, struct merge **ret) _must_check_;
void merge_free(struct merge *merge);
void merge_freep(struct merge **merge);

/* Whether the device takes superframes at all.  A new one merges nothing. */
void merge_allow(struct merge *merge, bool superframes);

/*
 * Takes a packet, which is lent (and unchanged) until it is flushed.  False: full, flush first.
 */
bool merge_add(struct merge *merge, const uint8_t *packet, uint32_t len) _must_check_;

/*
 * Writes one frame: @iov[0] is the vnet header, what follows is the packet.  0, or a negated errno: nothing
 * of it was taken.
 */
typedef int merge_write_fn(void *ctx, const struct iovec *iov, unsigned n);

/*
 * Writes all, in order.  A superframe that is refused with -EINVAL is written packet by packet, and its kind
 * is not merged from then on; after a while one is tried again.  What is refused for other reasons is
 * dropped and counted.
 */
void merge_flush(struct merge *merge, merge_write_fn *write, void *ctx, nsec_t now);

#endif
