/* Inner packets of any form: whatever is merged and cut again is as many bytes of payload as before. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "server/tunnel/checksum.h"
#include "server/tunnel/merge.h"
#include "server/tunnel/split.h"

static uint64_t packets_out, bytes_out;
static unsigned refuse; /* the superframe after so many */

static int
device_write(void *ctx, const struct iovec *iov, unsigned n)
{
	static uint8_t frame[VNET_LEN + SPLIT_PACKET_MAX + 1];
	struct split split;
	size_t len = 0;

	for (unsigned i = 0; i < n; i++) {
		if (len + iov[i].iov_len > sizeof(frame))
			abort();
		memcpy(frame + len, iov[i].iov_base, iov[i].iov_len);
		len += iov[i].iov_len;
	}
	if (frame[1] == VIRTIO_NET_HDR_GSO_NONE) { /* gso_type */
		packets_out++;
		bytes_out += len - VNET_LEN;
		return 0;
	}
	if (refuse-- == 0)
		return -EINVAL;
	if (split_frame(&split, frame, len, true) < 0)
		abort();
	for (unsigned i = 0; i < split.n; i++)
		bytes_out += split_len(&split, i);
	packets_out += split.n;
	return 0;
}

/* Right checksums, so that merging is reached: the last byte of the record says whether. */
static void
checksums_set(uint8_t *p, size_t len)
{
	const bool v6 = len >= 40 && p[0] >> 4 == 6;
	const size_t l4 = v6 ? 40 : 20;
	const uint8_t proto = len > l4 ? p[v6 ? 6 : 9] : 0;
	const size_t at = l4 + (proto == IPPROTO_UDP ? 6 : 16);

	if ((proto != IPPROTO_UDP && proto != IPPROTO_TCP) || len < at + 2)
		return;
	if (!v6)
		checksum_ipv4(p, 20);
	memset(p + at, 0, 2);
	checksum_store(p + at,
		       checksum_add(p + l4, len - l4) + checksum_pseudo(p, v6, (uint32_t)(len - l4), proto),
		       proto == IPPROTO_UDP);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Records: a length of two bytes, and a packet. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t copies[MERGE_PACKETS][2048];
	uint64_t packets_in = 0, bytes_in = 0;
	struct ladder ladder = {0};
	struct stats stats = {.ladder = &ladder};
	struct merge *merge;
	size_t at = 1;

	if (size < 1 || merge_new(&stats, &merge) < 0)
		return 0;
	packets_out = bytes_out = 0;
	refuse = data[0] >> 2;
	ladder_probed(&ladder, RUNG_TUN_TSO_WRITE, data[0] & 1, 0);
	ladder_probed(&ladder, RUNG_TUN_USO_WRITE, data[0] & 2, 0);
	merge_allow(merge, true);
	while (at + 2 < size && packets_in < MERGE_PACKETS) {
		size_t len = (size_t)(data[at] | (data[at + 1] & 7) << 8);
		uint8_t *copy = copies[packets_in];
		const bool right = data[at + 1] & 8;

		at += 2;
		len = len > size - at ? size - at : len;
		if (len == 0)
			continue;
		memcpy(copy, data + at, len);
		if (right)
			checksums_set(copy, len);
		at += len;
		if (!merge_add(merge, copy, (uint32_t)len)) {
			merge_flush(merge, device_write, NULL, 1);
			if (!merge_add(merge, copy, (uint32_t)len))
				abort();
		}
		packets_in++;
		bytes_in += len;
	}
	merge_flush(merge, device_write, NULL, 1);
	merge_free(merge);
	if (packets_in != packets_out || bytes_in != bytes_out)
		abort();
	return 0;
}
