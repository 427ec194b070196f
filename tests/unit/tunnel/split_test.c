/* Superframes are cut as a sender without offloads would have sent them. */
#include "server/tunnel/split.h"

#include "tests/unit/tunnel/packets.h"

#include <errno.h>

#include "server/tunnel/checksum.h"
#include "server/tunnel/vnet.h"

static uint8_t frame[VNET_LEN + 65600];
static struct pkt whole, expected;
static uint8_t got[65600];

/* A frame as the kernel gives it: the checksum field holds the sum of the pseudo-header. */
static size_t
superframe(const struct pkt_spec *spec, uint16_t size)
{
	struct virtio_net_hdr hdr = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = spec->udp  ? VIRTIO_NET_HDR_GSO_UDP_L4
			    : spec->v6 ? VIRTIO_NET_HDR_GSO_TCPV6
				       : VIRTIO_NET_HDR_GSO_TCPV4,
		.hdr_len = 14, /* a wrong hint */
		.gso_size = size,
		.csum_start = spec->v6 ? 40 : 20,
		.csum_offset = spec->udp ? 6 : 16,
	};

	pkt_make(&whole, spec);
	put16(whole.b + hdr.csum_start + hdr.csum_offset, naive_pseudo(whole.b, whole.len - hdr.csum_start));
	memcpy(frame, &hdr, VNET_LEN);
	memcpy(frame + VNET_LEN, whole.b, whole.len);
	return VNET_LEN + whole.len;
}

static struct pkt_spec
random_spec(uint32_t payload_max)
{
	const bool udp = rnd(2), v6 = rnd(2);
	const unsigned options = udp ? 0 : rnd(11) * 4;

	return (struct pkt_spec){
		.v6 = v6,
		.udp = udp,
		.tos = (uint8_t)rnd(256),
		.ttl = (uint8_t)rnd(256),
		.df = rnd(2),
		.id = (uint16_t)rnd(65536),
		.sport = (uint16_t)rnd(65536),
		.dport = (uint16_t)rnd(65536),
		.flags = (uint8_t)(ACK | (rnd(2) ? PSH : 0) | (rnd(4) ? 0 : FIN) | (rnd(4) ? 0 : CWR)),
		.seq = rnd(UINT32_MAX),
		.ack = rnd(UINT32_MAX),
		.window = (uint16_t)rnd(65536),
		.host = 1,
		.options = options,
		.payload = 1 + rnd(payload_max - (udp ? 8 : 20 + options) - 40),
		.fill = (uint8_t)rnd(256)};
}

/* Segment @i of @spec, made from nothing but its parts. */
static void
naive_segment(const struct pkt_spec *spec, uint32_t size, unsigned i, unsigned n)
{
	struct pkt_spec one = *spec;

	one.payload = i + 1 < n ? size : spec->payload - i * size;
	one.id = (uint16_t)(spec->id + i);
	one.seq = spec->seq + i * size;
	one.fill = (uint8_t)(spec->fill + i * size * 7);
	if (i + 1 < n)
		one.flags &= (uint8_t) ~(PSH | FIN);
	if (i > 0)
		one.flags &= (uint8_t)~CWR;
	pkt_make(&expected, &one);
}

static void
every_segment_is_what_a_plain_sender_would_have_sent(void **state)
{
	for (unsigned round = 0; round < 300; round++) {
		const struct pkt_spec spec = random_spec(65535);
		const uint32_t size = 1 + rnd(MIN(spec.payload, 4000U));
		const size_t len = superframe(&spec, (uint16_t)size);
		struct split split;

		assert_int_equal(split_frame(&split, frame, len, true), 0);
		assert_int_equal(split.n, (spec.payload + size - 1) / size);
		assert_memory_equal(split_destination(&split), whole.b + (spec.v6 ? 24 : 16),
				    spec.v6 ? 16 : 4);
		for (unsigned i = 0; i < split.n; i += size < 100 && i + 20 < split.n ? 1 + rnd(20) : 1) {
			naive_segment(&spec, size, i, split.n);
			assert_int_equal(split_len(&split, i), expected.len);
			memset(got, 0x5a, expected.len + 1);
			split_segment(&split, i, got);
			assert_memory_equal(got, expected.b, expected.len);
			assert_int_equal(got[expected.len], 0x5a);
		}
	}
}

static void
a_single_packet_gets_its_checksum_completed(void **state)
{
	for (unsigned round = 0; round < 300; round++) {
		const struct pkt_spec spec = random_spec(9000);
		size_t len = superframe(&spec, 1);
		struct split split;

		frame[1] = VIRTIO_NET_HDR_GSO_NONE;
		pkt_make(&expected, &spec);
		assert_int_equal(split_frame(&split, frame, len, true), 0);
		assert_int_equal(split.n, 1);
		assert_int_equal(split_len(&split, 0), expected.len);
		split_segment(&split, 0, got);
		assert_memory_equal(got, expected.b, expected.len);
	}
}

static void
a_packet_without_a_vnet_header_passes_as_it_is(void **state)
{
	struct split split;

	rnd_fill(whole.b, 1400);
	whole.b[0] = 0x45;
	assert_int_equal(split_frame(&split, whole.b, 1400, false), 0);
	split_segment(&split, 0, got);
	assert_memory_equal(got, whole.b, 1400);
}

static void
frames_that_lie_are_refused(void **state)
{
	const struct pkt_spec spec = {.ttl = 64, .flags = ACK, .payload = 4000};
	struct split split;
	const size_t len = superframe(&spec, 1000);
	struct virtio_net_hdr hdr, bad;

	memcpy(&hdr, frame, VNET_LEN);
	assert_int_equal(split_frame(&split, frame, len, true), 0);
#define REFUSED(field, value)                                                                                \
	do {                                                                                                 \
		bad = hdr;                                                                                   \
		bad.field = value;                                                                           \
		memcpy(frame, &bad, VNET_LEN);                                                               \
		assert_int_equal(split_frame(&split, frame, len, true), -EINVAL);                            \
	} while (0)
	REFUSED(gso_size, 0);
	REFUSED(flags, 0);
	REFUSED(gso_type, VIRTIO_NET_HDR_GSO_TCPV6);
	REFUSED(gso_type, VIRTIO_NET_HDR_GSO_UDP);
	REFUSED(gso_type, 77);
	REFUSED(csum_start, 0);
	REFUSED(csum_start, 24);
	REFUSED(csum_start, 65535);
#undef REFUSED
	memcpy(frame, &hdr, VNET_LEN);
	for (size_t cut = 0; cut < VNET_LEN + 40; cut++)
		assert_int_equal(split_frame(&split, frame, cut, true), -EINVAL);
	frame[VNET_LEN + 20 + 12] = 0x10; /* a TCP header of 4 bytes */
	assert_int_equal(split_frame(&split, frame, len, true), -EINVAL);
	frame[VNET_LEN] = 0x75;
	assert_int_equal(split_frame(&split, frame, len, true), -EINVAL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_segment_is_what_a_plain_sender_would_have_sent),
		cmocka_unit_test(a_single_packet_gets_its_checksum_completed),
		cmocka_unit_test(a_packet_without_a_vnet_header_passes_as_it_is),
		cmocka_unit_test(frames_that_lie_are_refused),
	};

	rnd_begin();
	checksum_init();
	return cmocka_run_group_tests_name("split", tests, NULL, NULL);
}
