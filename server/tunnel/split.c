#include "server/tunnel/split.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "server/tunnel/checksum.h"
#include "server/tunnel/vnet.h"

#define TCP_FIN 0x01
#define TCP_PSH 0x08
#define TCP_CWR 0x80

/* Where the network header must end at least; 0: not IP. */
static uint32_t
network_len(const uint8_t *ip, uint32_t len)
{
	if (len >= 20 && ip[0] >> 4 == 4) {
		const uint32_t ihl = (ip[0] & 15U) * 4;

		return ihl >= 20 && ihl <= len ? ihl : 0;
	}
	return len >= 40 && ip[0] >> 4 == 6 ? 40 : 0;
}

static int
split_single(struct split *split, const struct virtio_net_hdr *hdr)
{
	split->n = 1;
	if (!(hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		return 0;
	split->csum_start = hdr->csum_start;
	split->csum_at = (uint32_t)hdr->csum_start + hdr->csum_offset;
	return split->csum_start >= 20 && split->csum_at + 2 <= split->len ? 0 : -EINVAL;
}

/*
 * hdr_len is a hint only, so the length of the headers is read from them.  csum_start is where TCP or
 * UDP begins, extension headers of IPv6 included.
 */
static int
split_super(struct split *split, const struct virtio_net_hdr *hdr, uint32_t network)
{
	uint32_t payload;

	split->l4 = hdr->csum_start;
	split->size = hdr->gso_size;
	if (!(hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) || split->size == 0 || split->l4 < network ||
	    (!split->v6 && split->l4 != network))
		return -EINVAL;
	switch (hdr->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
	case VIRTIO_NET_HDR_GSO_TCPV6:
		if (split->v6 != ((hdr->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) == VIRTIO_NET_HDR_GSO_TCPV6) ||
		    split->l4 + 20 > split->len)
			return -EINVAL;
		split->head = split->l4 + (split->ip[split->l4 + 12] >> 4) * 4U;
		if (split->head < split->l4 + 20)
			return -EINVAL;
		break;
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		split->udp = true;
		split->head = split->l4 + 8;
		break;
	default:
		return -EINVAL;
	}
	if (split->head >= split->len)
		return -EINVAL;
	payload = split->len - split->head;
	split->n = (payload + split->size - 1) / split->size;
	return 0;
}

int
split_frame(struct split *ret, const uint8_t *frame, size_t len, bool vnet)
{
	struct virtio_net_hdr hdr = {0};
	struct split split = {0};
	uint32_t network;
	int r;

	if (vnet) {
		if (len < VNET_LEN)
			return -EINVAL;
		memcpy(&hdr, frame, VNET_LEN);
		frame += VNET_LEN;
		len -= VNET_LEN;
	}
	if (len > SPLIT_PACKET_MAX)
		return -EINVAL;
	split.ip = frame;
	split.len = (uint32_t)len;
	network = network_len(frame, split.len);
	if (network == 0)
		return -EINVAL;
	split.v6 = frame[0] >> 4 == 6;
	if (hdr.gso_type == VIRTIO_NET_HDR_GSO_NONE)
		r = split_single(&split, &hdr);
	else
		r = split_super(&split, &hdr, network);
	if (r == 0)
		*ret = split;
	return r;
}

/* The field holds the sum of the pseudo-header: the sum over all from csum_start completes it. */
static void
single_complete(const struct split *split, uint8_t *dst)
{
	const uint64_t sum = checksum_add(dst + split->csum_start, split->len - split->csum_start);

	checksum_store(dst + split->csum_at, sum, split->csum_at == split->csum_start + 6);
}

void
split_segment(const struct split *split, unsigned i, uint8_t *dst)
{
	const uint32_t at = split->head + i * split->size, len = split_len(split, i);
	uint8_t *l4 = dst + split->l4;
	uint64_t sum;

	if (split->n == 1 && split->size == 0) {
		memcpy(dst, split->ip, len);
		if (split->csum_at)
			single_complete(split, dst);
		return;
	}
	memcpy(dst, split->ip, split->head);
	sum = checksum_copy(dst + split->head, split->ip + at, len - split->head);
	if (split->v6) {
		be16_store(dst + 4, (uint16_t)(len - 40));
	} else {
		be16_store(dst + 2, (uint16_t)len);
		be16_store(dst + 4, (uint16_t)(be16_load(split->ip + 4) + i));
		checksum_ipv4(dst, split->l4);
	}
	if (split->udp) {
		be16_store(l4 + 4, (uint16_t)(len - split->l4));
	} else {
		be32_store(l4 + 4, be32_load(l4 + 4) + i * split->size);
		if (i + 1 < split->n)
			l4[13] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
		if (i > 0)
			l4[13] &= (uint8_t)~TCP_CWR;
	}
	memset(l4 + (split->udp ? 6 : 16), 0, 2);
	sum += checksum_add(l4, split->head - split->l4) +
	       checksum_pseudo(dst, split->v6, len - split->l4, split->udp ? IPPROTO_UDP : IPPROTO_TCP);
	checksum_store(l4 + (split->udp ? 6 : 16), sum, split->udp);
}
