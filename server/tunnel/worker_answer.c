/*
 * What is told to the inside when a packet of its cannot go out, by the device that it came from.
 */
#include <string.h>

#include "server/tunnel/vnet.h"
#include "server/tunnel/worker_state.h"

/* The device takes it, or it is lost as any error may be. */
static void
answer(struct worker *worker, const struct lane *lane, const struct split *split, enum icmp_error error,
       uint32_t mtu)
{
	struct virtio_net_hdr header = {0};
	const uint32_t len =
		icmp_answer(&worker->icmp_limit, split, error, mtu, worker->now.boot, worker->icmp);
	const struct iovec iov[] = {{&header, VNET_LEN}, {worker->icmp, len}};

	if (len > 0 && lane->tun.fd >= 0 && tun_write(&lane->tun, iov, 2) == 0)
		stats_call(&worker->stats, STATS_TUN_WRITE, 1, 1);
}

void
worker_answer_drop(struct worker *worker, const struct lane *lane, const struct split *split,
		   enum wg_drop why)
{
	enum icmp_error error;

	if (icmp_of_drop(why, &error))
		answer(worker, lane, split, error, 0);
}

bool
worker_answer_long(struct worker *worker, const struct lane *lane, const struct split *split, uint32_t mtu)
{
	if (!icmp_too_long(split, mtu))
		return false;
	wg_count(&worker->stats.drops, WG_DROP_TOO_BIG, split->n);
	answer(worker, lane, split, ICMP_TOO_LONG, mtu);
	return true;
}
