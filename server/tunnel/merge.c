/*
 * A frame is a list of packets that stay where they are, so that a refused superframe can still be
 * written packet by packet.  The payloads of the first few frames are copied one behind the other while their
 * checksums are taken, which costs less than what the kernel needs for a vector each; those of
 * further frames stay where they are.  When a frame is written, its headers are made in a buffer of our own.
 */
#include "server/tunnel/merge.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "server/tunnel/checksum.h"
#include "server/tunnel/split.h"

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_PSH 0x08
#define TCP_ACK 0x10
#define TCP_URG 0x20
#define TCP_CWR 0x80

#define MERGE_HEAD_MAX  100 /* IPv6 40, TCP 60 */
#define MERGE_LOOK_BACK 32  /* frames looked at for one of the same flow */
#define NONE            UINT16_MAX

/* Frames whose payloads are copied: about those that one call receives. */
#define COPIES   8U
#define COPY_LEN (SPLIT_PACKET_MAX + 1U)

/* What a packet is, as far as merging goes. */
struct parsed {
	bool v6, udp;
	bool has_flow;  /* addresses and ports are known */
	bool mergeable; /* in form; its checksum is not looked at yet */
	uint8_t l4, head;
	uint32_t payload;
	uint32_t hash; /* of the flow */
};

struct packet {
	const uint8_t *data;
	uint32_t len;
	uint16_t next;
};

struct frame {
	bool v6, udp, has_flow;
	bool open; /* others may join */
	uint8_t l4, head;
	uint16_t first, last, n;
	uint32_t hash;
	uint32_t size; /* payload of the first */
	uint32_t len;  /* of the superframe */
	uint8_t *copy; /* of all payloads; NULL: there is none */
	uint32_t next_seq;
	uint16_t next_id;
};

struct merge {
	struct stats *stats;
	bool allowed;  /* by the device */
	bool tcp, udp; /* by the ladder, when the last frames left */
	unsigned n_frames, n_packets;
	struct frame frames[MERGE_FRAMES];
	struct packet packets[MERGE_PACKETS];
	struct iovec iov[MERGE_TCP_MAX + 2];
	struct virtio_net_hdr hdr;
	uint8_t head[MERGE_HEAD_MAX];
	unsigned n_copies;
	uint8_t copies[COPIES][COPY_LEN]; /* only the pages that are used become real */
};

/* A kind that is down may have its trial with what comes next. */
static void
ladder_look(struct merge *merge, nsec_t now)
{
	const struct ladder *ladder = merge->stats->ladder;

	merge->tcp = merge->allowed && ladder_may(ladder, RUNG_TUN_TSO_WRITE, now);
	merge->udp = merge->allowed && ladder_may(ladder, RUNG_TUN_USO_WRITE, now);
}

int
merge_new(struct stats *stats, struct merge **ret)
{
	*ret = calloc(1, sizeof(**ret));
	if (!*ret)
		return -ENOMEM;
	(*ret)->stats = stats;
	return 0;
}

void
merge_free(struct merge *merge)
{
	free(merge);
}

void
merge_freep(struct merge **merge)
{
	merge_free(*merge);
}

void
merge_allow(struct merge *merge, bool superframes)
{
	merge->allowed = superframes;
	ladder_look(merge, 0);
}

static uint32_t
flow_hash(const uint8_t *ip, bool v6, const uint8_t *ports)
{
	uint64_t h = be32_load(ports);
	const uint8_t *p = ip + (v6 ? 8 : 12);

	for (unsigned i = 0; i < (v6 ? 4U : 1U); i++)
		h = (h ^ le64_load(p + 8 * i)) * 0x9e3779b97f4a7c15ULL;
	return (uint32_t)(h >> 32);
}

static void
parse_tcp(struct parsed *p, const uint8_t *ip, uint32_t len)
{
	const uint8_t *tcp = ip + p->l4;
	const uint32_t head = p->l4 + (len >= p->l4 + 20U ? (tcp[12] >> 4) * 4U : 0);

	if (len < p->l4 + 20U || head < p->l4 + 20U || head >= len)
		return;
	p->head = (uint8_t)head;
	p->payload = len - head;
	p->mergeable = (tcp[13] & (TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK | TCP_URG | TCP_CWR)) == TCP_ACK;
}

static void
parse_udp(struct parsed *p, const uint8_t *ip, uint32_t len)
{
	const uint8_t *udp = ip + p->l4;

	p->udp = true;
	if (len <= p->l4 + 8U || be16_load(udp + 4) != len - p->l4 || be16_load(udp + 6) == 0)
		return;
	p->head = (uint8_t)(p->l4 + 8);
	p->payload = len - p->head;
	p->mergeable = true;
}

/* No options, no fragments, no extension headers: these have no flow that we could tell. */
static struct parsed
parse(const uint8_t *ip, uint32_t len)
{
	struct parsed p = {0};
	uint8_t proto;

	if (len >= 24 && ip[0] == 0x45 && be16_load(ip + 2) == len && (be16_load(ip + 6) & 0xbfff) == 0) {
		p.l4 = 20;
		proto = ip[9];
	} else if (len >= 44 && ip[0] >> 4 == 6 && be16_load(ip + 4) == len - 40) {
		p.v6 = true;
		p.l4 = 40;
		proto = ip[6];
	} else {
		return p;
	}
	if (proto != IPPROTO_TCP && proto != IPPROTO_UDP)
		return p;
	p.has_flow = true;
	p.hash = flow_hash(ip, p.v6, ip + p.l4);
	if (proto == IPPROTO_TCP)
		parse_tcp(&p, ip, len);
	else
		parse_udp(&p, ip, len);
	return p;
}

/* What merging would replace must have been right: else it would be made so.  @sum: of the payload. */
static bool
checksums_hold(const struct parsed *p, const uint8_t *ip, uint64_t sum)
{
	const uint32_t head = p->head - p->l4; /* even */

	if (!p->v6 && checksum_fold(checksum_add(ip, 20)) != 0xffff)
		return false;
	sum += checksum_add(ip + p->l4, head) +
	       checksum_pseudo(ip, p->v6, head + p->payload, p->udp ? IPPROTO_UDP : IPPROTO_TCP);
	return checksum_fold(sum) == 0xffff;
}

static bool
same_flow(const struct merge *merge, const struct frame *frame, const struct parsed *p, const uint8_t *ip)
{
	const uint8_t *first = merge->packets[frame->first].data;

	return frame->has_flow && frame->hash == p->hash && frame->v6 == p->v6 && frame->udp == p->udp &&
	       memcmp(first + (p->v6 ? 8 : 12), ip + (p->v6 ? 8 : 12), p->v6 ? 32 : 8) == 0 &&
	       memcmp(first + frame->l4, ip + p->l4, 4) == 0;
}

static struct frame *
newest_of_flow(struct merge *merge, const struct parsed *p, const uint8_t *ip)
{
	const unsigned from = merge->n_frames > MERGE_LOOK_BACK ? merge->n_frames - MERGE_LOOK_BACK : 0;

	for (unsigned i = merge->n_frames; i > from; i--)
		if (same_flow(merge, &merge->frames[i - 1], p, ip))
			return &merge->frames[i - 1];
	return NULL;
}

/* All that the headers of the segments have in common, without lengths, checksums and what counts. */
static bool
same_headers(const uint8_t *a, const uint8_t *b, const struct parsed *p)
{
	const uint8_t *ta = a + p->l4, *tb = b + p->l4;

	if (p->v6 ? memcmp(a, b, 4) != 0 || a[7] != b[7] : a[1] != b[1] || a[6] != b[6] || a[8] != b[8])
		return false;
	if (p->udp)
		return true;
	/* acknowledgement, data offset, flags but PSH, window; urgent pointer and options */
	return memcmp(ta + 8, tb + 8, 5) == 0 && ((ta[13] ^ tb[13]) & ~TCP_PSH) == 0 &&
	       memcmp(ta + 14, tb + 14, 2) == 0 && memcmp(ta + 18, tb + 18, p->head - p->l4 - 18U) == 0;
}

static bool
may_join(const struct merge *merge, const struct frame *frame, const struct parsed *p, const uint8_t *ip)
{
	const uint8_t *first = merge->packets[frame->first].data;

	if (!frame->open || frame->head != p->head || p->payload > frame->size ||
	    frame->len + p->payload > SPLIT_PACKET_MAX ||
	    frame->n >= (p->udp ? MERGE_UDP_MAX : MERGE_TCP_MAX) || !same_headers(first, ip, p))
		return false;
	if (!p->udp && be32_load(ip + p->l4 + 4) != frame->next_seq)
		return false;
	/* without "don't fragment" the identification matters: cutting counts it up */
	return p->v6 || ip[6] & 0x40 || be16_load(ip + 4) == frame->next_id;
}

static uint16_t
packet_keep(struct merge *merge, const uint8_t *data, uint32_t len)
{
	merge->packets[merge->n_packets] = (struct packet){data, len, NONE};
	return (uint16_t)merge->n_packets++;
}

/* From the second packet on, if there is a place left. */
static void
copy_begin(struct merge *merge, struct frame *frame)
{
	if (frame->n > 1 || merge->n_copies == COPIES)
		return;
	frame->copy = merge->copies[merge->n_copies++];
	memcpy(frame->copy, merge->packets[frame->first].data + frame->head, frame->size);
}

/* Takes the payload behind the others, if it is right; else nothing of the frame changed. */
static bool
payload_take(struct merge *merge, struct frame *frame, const struct parsed *p, const uint8_t *ip)
{
	const uint8_t *payload = ip + p->head;

	copy_begin(merge, frame);
	return checksums_hold(
		p, ip,
		frame->copy ? checksum_copy(frame->copy + (frame->len - frame->head), payload, p->payload)
			    : checksum_add(payload, p->payload));
}

static void
frame_join(struct merge *merge, struct frame *frame, const struct parsed *p, const uint8_t *ip, uint32_t len)
{
	const uint16_t packet = packet_keep(merge, ip, len);

	merge->packets[frame->last].next = packet;
	frame->last = packet;
	frame->n++;
	frame->len += p->payload;
	frame->next_seq += p->payload;
	frame->next_id++;
	frame->open = p->payload == frame->size && (p->udp || !(ip[p->l4 + 13] & TCP_PSH));
}

static void
frame_begin(struct merge *merge, const struct parsed *p, const uint8_t *ip, uint32_t len, bool open)
{
	struct frame *frame = &merge->frames[merge->n_frames++];

	*frame = (struct frame){
		.v6 = p->v6,
		.udp = p->udp,
		.has_flow = p->has_flow,
		.open = open && (p->udp || !(ip[p->l4 + 13] & TCP_PSH)),
		.l4 = p->l4,
		.head = p->head,
		.n = 1,
		.hash = p->hash,
		.size = p->payload,
		.len = len,
		.next_id = p->v6 ? 0 : (uint16_t)(be16_load(ip + 4) + 1),
		.next_seq = open && !p->udp ? be32_load(ip + p->l4 + 4) + p->payload : 0,
	};
	frame->first = frame->last = packet_keep(merge, ip, len);
}

bool
merge_add(struct merge *merge, const uint8_t *packet, uint32_t len)
{
	const struct parsed none = {0};
	struct frame *frame;
	struct parsed p;

	if (merge->n_frames == MERGE_FRAMES || merge->n_packets == MERGE_PACKETS)
		return false;
	if (!merge->tcp && !merge->udp) {
		frame_begin(merge, &none, packet, len, false);
		return true;
	}
	p = parse(packet, len);
	p.mergeable = p.mergeable && (p.udp ? merge->udp : merge->tcp);
	if (!p.has_flow) /* it may belong to any of them: a fragment, for example */
		for (unsigned i = 0; i < merge->n_frames; i++)
			merge->frames[i].open = false;
	frame = p.has_flow ? newest_of_flow(merge, &p, packet) : NULL;
	if (frame && p.mergeable && may_join(merge, frame, &p, packet)) {
		if (payload_take(merge, frame, &p, packet)) {
			frame_join(merge, frame, &p, packet, len);
			return true;
		}
		p.mergeable = false;
	}
	p.mergeable = p.mergeable && checksums_hold(&p, packet, checksum_add(packet + p.head, p.payload));
	if (frame)
		frame->open = false;
	frame_begin(merge, &p, packet, len, p.mergeable);
	return true;
}

/* The headers of the superframe; the checksum field gets the sum of the pseudo-header, as for a card. */
static void
frame_head(struct merge *merge, const struct frame *frame)
{
	const uint8_t proto = frame->udp ? IPPROTO_UDP : IPPROTO_TCP;
	const uint8_t *last = merge->packets[frame->last].data;
	uint8_t *ip = merge->head, *l4 = ip + frame->l4;
	uint16_t sum;

	memcpy(ip, merge->packets[frame->first].data, frame->head);
	if (frame->v6) {
		be16_store(ip + 4, (uint16_t)(frame->len - 40));
	} else {
		be16_store(ip + 2, (uint16_t)frame->len);
		checksum_ipv4(ip, frame->l4);
	}
	if (frame->udp)
		be16_store(l4 + 4, (uint16_t)(frame->len - frame->l4));
	else
		l4[13] |= last[frame->l4 + 13];
	sum = checksum_fold(checksum_pseudo(ip, frame->v6, frame->len - frame->l4, proto));
	memcpy(l4 + (frame->udp ? 6 : 16), &sum, sizeof(sum));
	merge->hdr = (struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = frame->udp  ? VIRTIO_NET_HDR_GSO_UDP_L4
			    : frame->v6 ? VIRTIO_NET_HDR_GSO_TCPV6
					: VIRTIO_NET_HDR_GSO_TCPV4,
		.hdr_len = frame->head,
		.gso_size = (uint16_t)frame->size,
		.csum_start = frame->l4,
		.csum_offset = frame->udp ? 6 : 16,
	};
}

/* One write.  -EINVAL of a superframe is for the caller to deal with, all else ends here. */
static int
write_counted(struct merge *merge, unsigned n, unsigned segments, merge_write_fn *write, void *ctx)
{
	const int r = write(ctx, merge->iov, n);

	if (r == 0)
		stats_call(merge->stats, STATS_TUN_WRITE, 1, segments);
	else if (r != -EINVAL || segments == 1) /* it is down (EIO) or gone: as on a dead link */
		wg_count(&merge->stats->drops, WG_DROP_TUN_REFUSED, segments);
	return r;
}

static int
write_super(struct merge *merge, const struct frame *frame, merge_write_fn *write, void *ctx)
{
	unsigned n = 2;

	frame_head(merge, frame);
	merge->iov[0] = (struct iovec){&merge->hdr, VNET_LEN};
	merge->iov[1] = (struct iovec){merge->head, frame->head};
	if (frame->copy)
		merge->iov[n++] = (struct iovec){frame->copy, frame->len - frame->head};
	else
		for (uint16_t i = frame->first; i != NONE; i = merge->packets[i].next)
			merge->iov[n++] =
				(struct iovec){(void *)(uintptr_t)(merge->packets[i].data + frame->head),
					       merge->packets[i].len - frame->head};
	return write_counted(merge, n, frame->n, write, ctx);
}

static void
write_singles(struct merge *merge, const struct frame *frame, merge_write_fn *write, void *ctx)
{
	merge->hdr = (struct virtio_net_hdr){0};
	merge->iov[0] = (struct iovec){&merge->hdr, VNET_LEN};
	for (uint16_t i = frame->first; i != NONE; i = merge->packets[i].next) {
		merge->iov[1] =
			(struct iovec){(void *)(uintptr_t)merge->packets[i].data, merge->packets[i].len};
		write_counted(merge, 2, 1, write, ctx);
	}
}

static void
frame_write(struct merge *merge, const struct frame *frame, merge_write_fn *write, void *ctx, nsec_t now)
{
	struct ladder *ladder = merge->stats->ladder;
	const enum rung rung = frame->udp ? RUNG_TUN_USO_WRITE : RUNG_TUN_TSO_WRITE;

	if (frame->n > 1 && ladder_may(ladder, rung, now)) {
		const int r = write_super(merge, frame, write, ctx);

		if (r == 0 && !ladder_on(ladder, rung))
			ladder_up(ladder, rung);
		if (r != -EINVAL)
			return;
		ladder_down(ladder, rung, EINVAL, now);
	}
	write_singles(merge, frame, write, ctx);
}

void
merge_flush(struct merge *merge, merge_write_fn *write, void *ctx, nsec_t now)
{
	for (unsigned i = 0; i < merge->n_frames; i++)
		frame_write(merge, &merge->frames[i], write, ctx, now);
	merge->n_frames = merge->n_packets = merge->n_copies = 0;
	ladder_look(merge, now);
}
