/* What is told to the inside, and when nothing is. */
#include "server/tunnel/icmp.h"

#include "tests/unit/tunnel/packets.h"

#include "base/cleanup.h"
#include "server/tunnel/checksum.h"
#include "server/tunnel/vnet.h"

static struct icmp_limit limit;
static struct pkt pkt;
static struct split split;
static uint8_t frame[VNET_LEN + 65600], out[ICMP_ROOM];

static const struct pkt_spec udp4 = {
	.udp = true, .ttl = 64, .host = 1, .sport = 1000, .dport = 53, .payload = 100};
static const struct pkt_spec udp6 = {
	.v6 = true, .udp = true, .ttl = 64, .host = 1, .sport = 1000, .dport = 53, .payload = 100};

/* As it stands, for a frame that is one packet. */
static uint32_t
answer_raw(enum icmp_error error, uint32_t mtu)
{
	memset(&limit, 0, sizeof(limit));
	assert_int_equal(split_frame(&split, pkt.b, pkt.len, false), 0);
	return icmp_answer(&limit, &split, error, mtu, SECONDS(1), out);
}

static uint32_t
answer(const struct pkt_spec *spec, enum icmp_error error, uint32_t mtu)
{
	pkt_make(&pkt, spec);
	return answer_raw(error, mtu);
}

/* Headers, addresses and both checksums of what came out; returns where ICMP begins. */
static const uint8_t *
assert_sound(uint32_t len, const uint8_t *quoted, uint32_t quoted_len)
{
	if (quoted[0] >> 4 == 4) {
		assert_int_equal(len, 28 + quoted_len);
		assert_int_equal(out[0], 0x45);
		assert_int_equal(get16(out + 2), len);
		assert_int_equal(out[9], 1);
		assert_int_equal(naive_sum(out, 20, 0), 0xffff);
		assert_memory_equal(out + 12, quoted + 16, 4);
		assert_memory_equal(out + 16, quoted + 12, 4);
		assert_int_equal(naive_sum(out + 20, len - 20, 0), 0xffff);
		assert_memory_equal(out + 28, quoted, quoted_len);
		return out + 20;
	}
	assert_int_equal(len, 48 + quoted_len);
	assert_int_equal(out[0], 0x60);
	assert_int_equal(get16(out + 4), len - 40);
	assert_int_equal(out[6], 58);
	assert_memory_equal(out + 8, quoted + 24, 16);
	assert_memory_equal(out + 24, quoted + 8, 16);
	assert_int_equal(naive_sum(out + 40, len - 40, naive_pseudo(out, len - 40)), 0xffff);
	assert_memory_equal(out + 48, quoted, quoted_len);
	return out + 40;
}

static void
each_error_has_its_type_and_code(void **state)
{
	static const struct {
		enum icmp_error error;
		uint8_t type4, code4, type6, code6;
	} all[] = {
		{ICMP_UNREACHABLE, 3, 1, 1, 3},
		{ICMP_PROHIBITED, 3, 13, 1, 1},
		{ICMP_TOO_LONG, 3, 4, 2, 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		uint32_t len = answer(&udp4, all[i].error, 1300);
		const uint8_t *icmp = assert_sound(len, pkt.b, pkt.len);

		assert_int_equal(icmp[0], all[i].type4);
		assert_int_equal(icmp[1], all[i].code4);
		assert_int_equal(get16(icmp + 4), 0);
		assert_int_equal(get16(icmp + 6), all[i].error == ICMP_TOO_LONG ? 1300 : 0);

		len = answer(&udp6, all[i].error, 1300);
		icmp = assert_sound(len, pkt.b, pkt.len);
		assert_int_equal(icmp[0], all[i].type6);
		assert_int_equal(icmp[1], all[i].code6);
		assert_int_equal(get16(icmp + 4), 0);
		assert_int_equal(get16(icmp + 6), all[i].error == ICMP_TOO_LONG ? 1300 : 0);
	}
}

static void
a_drop_is_told_as_what_it_is(void **state)
{
	enum icmp_error error;

	assert_true(icmp_of_drop(WG_DROP_NO_PEER, &error) && error == ICMP_UNREACHABLE);
	assert_true(icmp_of_drop(WG_DROP_NO_ENDPOINT, &error) && error == ICMP_UNREACHABLE);
	assert_true(icmp_of_drop(WG_DROP_CUT, &error) && error == ICMP_PROHIBITED);
	assert_true(icmp_of_drop(WG_DROP_ENDED, &error) && error == ICMP_PROHIBITED);
	assert_true(icmp_of_drop(WG_DROP_QUARANTINE, &error) && error == ICMP_PROHIBITED);
	assert_false(icmp_of_drop(WG_DROP_STAGED_OVERFLOW, &error));
	assert_false(icmp_of_drop(WG_DROP_NONE, &error));
}

static void
as_much_is_quoted_as_may_be(void **state)
{
	struct pkt_spec spec = udp4;
	uint32_t len;

	for (uint32_t payload = 0; payload < 1500; payload += 1 + rnd(100)) {
		spec = udp4;
		spec.payload = payload;
		len = answer(&spec, ICMP_UNREACHABLE, 0);
		assert_sound(len, pkt.b, MIN(pkt.len, 576U - 28));
		assert_true(len <= ICMP_IP4_MAX);
		spec = udp6;
		spec.payload = payload;
		len = answer(&spec, ICMP_UNREACHABLE, 0);
		assert_sound(len, pkt.b, MIN(pkt.len, 1280U - 48));
		assert_true(len <= ICMP_IP6_MAX);
	}
}

/* What the sender's stack has to recognise as its own. */
static void
a_superframe_is_answered_once_by_its_first_segment(void **state)
{
	const struct pkt_spec spec = {
		.v6 = true, .flags = ACK, .ttl = 64, .host = 1, .seq = 77, .payload = 20000};
	const struct virtio_net_hdr hdr = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
					   .gso_type = VIRTIO_NET_HDR_GSO_TCPV6,
					   .gso_size = 1000,
					   .csum_start = 40,
					   .csum_offset = 16};
	static struct pkt first;
	struct pkt_spec segment = spec;

	pkt_make(&pkt, &spec);
	put16(pkt.b + 56, naive_pseudo(pkt.b, pkt.len - 40));
	memcpy(frame, &hdr, VNET_LEN);
	memcpy(frame + VNET_LEN, pkt.b, pkt.len);
	assert_int_equal(split_frame(&split, frame, VNET_LEN + pkt.len, true), 0);
	memset(&limit, 0, sizeof(limit));
	segment.payload = 1000;
	pkt_make(&first, &segment);
	assert_sound(icmp_answer(&limit, &split, ICMP_TOO_LONG, 1280, SECONDS(1), out), first.b, first.len);
	assert_true(icmp_too_long(&split, 1059));
	assert_false(icmp_too_long(&split, 1060));
}

static void
too_long_is_what_cannot_be_cut_on_its_way(void **state)
{
	struct pkt_spec spec = udp4;

	spec.payload = 1300;
	pkt_make(&pkt, &spec);
	assert_int_equal(split_frame(&split, pkt.b, pkt.len, false), 0);
	assert_false(icmp_too_long(&split, 1280)); /* may be cut */
	spec.df = true;
	pkt_make(&pkt, &spec);
	assert_int_equal(split_frame(&split, pkt.b, pkt.len, false), 0);
	assert_true(icmp_too_long(&split, 1280));
	assert_true(icmp_too_long(&split, pkt.len - 1));
	assert_false(icmp_too_long(&split, pkt.len));
	assert_false(icmp_too_long(&split, 0));
	spec = udp6;
	spec.payload = 1300;
	pkt_make(&pkt, &spec);
	assert_int_equal(split_frame(&split, pkt.b, pkt.len, false), 0);
	assert_true(icmp_too_long(&split, 1280));
}

static void
nobody_s_address_is_not_answered(void **state)
{
	static const uint8_t bad4[][4] = {{0, 0, 0, 0},     {0, 1, 2, 3},         {127, 0, 0, 1},
					  {224, 0, 0, 251}, {239, 255, 255, 255}, {255, 255, 255, 255}};
	static const uint8_t bad6[][16] = {{0}, {[15] = 1}, {0xff, 2, [15] = 1}, {0xff, 14, [15] = 7}};

	for (size_t i = 0; i < 2 * ARRAY_LEN(bad4); i++) {
		pkt_make(&pkt, &udp4);
		memcpy(pkt.b + 12 + 4 * (i % 2), bad4[i / 2], 4);
		assert_int_equal(answer_raw(ICMP_UNREACHABLE, 0), 0);
	}
	for (size_t i = 0; i < 2 * ARRAY_LEN(bad6); i++) {
		pkt_make(&pkt, &udp6);
		memcpy(pkt.b + 8 + 16 * (i % 2), bad6[i / 2], 16);
		assert_int_equal(answer_raw(ICMP_TOO_LONG, 1280), 0);
	}
}

static void
errors_are_not_answered_by_errors(void **state)
{
	for (unsigned type = 0; type < 256; type++) {
		const bool asks4 = type == 0 || type == 8 || (type >= 13 && type <= 18);
		const bool asks6 = type >= 128 && type != 137;

		pkt_make(&pkt, &udp4);
		pkt.b[9] = 1;
		pkt.b[20] = (uint8_t)type;
		assert_int_equal(answer_raw(ICMP_UNREACHABLE, 0) > 0, asks4);
		pkt_make(&pkt, &udp6);
		pkt.b[6] = 58;
		pkt.b[40] = (uint8_t)type;
		assert_int_equal(answer_raw(ICMP_UNREACHABLE, 0) > 0, asks6);
		/* behind an extension header */
		pkt.b[6] = 60;
		memset(pkt.b + 40, 0, 8);
		pkt.b[40] = 58;
		pkt.b[48] = (uint8_t)type;
		assert_int_equal(answer_raw(ICMP_UNREACHABLE, 0) > 0, asks6);
	}
}

static void
only_the_first_fragment_is_answered(void **state)
{
	for (unsigned offset = 0; offset < 0x2000; offset += 1 + rnd(700)) {
		pkt_make(&pkt, &udp4);
		put16(pkt.b + 6, 0x2000 | offset); /* more of them */
		assert_int_equal(answer_raw(ICMP_UNREACHABLE, 0) > 0, offset == 0);
		pkt_make(&pkt, &udp6);
		pkt.b[6] = 44;
		memset(pkt.b + 40, 0, 8);
		pkt.b[40] = 17;
		put16(pkt.b + 42, offset << 3 | 1);
		assert_int_equal(answer_raw(ICMP_UNREACHABLE, 0) > 0, offset == 0);
	}
}

static void
what_is_malformed_is_not_answered(void **state)
{
	pkt_make(&pkt, &udp4);
	put16(pkt.b + 2, pkt.len + 1);
	assert_int_equal(answer_raw(ICMP_UNREACHABLE, 0), 0);
	put16(pkt.b + 2, 19);
	assert_int_equal(answer_raw(ICMP_UNREACHABLE, 0), 0);
	pkt.b[9] = 1;
	put16(pkt.b + 2, 20); /* ICMP without a type */
	assert_int_equal(answer_raw(ICMP_UNREACHABLE, 0), 0);
	pkt_make(&pkt, &udp6);
	put16(pkt.b + 4, pkt.len - 39);
	assert_int_equal(answer_raw(ICMP_UNREACHABLE, 0), 0);
	pkt_make(&pkt, &udp6);
	pkt.b[6] = 0; /* a header that reaches beyond the end */
	pkt.b[40] = 17;
	pkt.b[41] = 255;
	assert_int_equal(answer_raw(ICMP_UNREACHABLE, 0), 0);
	put16(pkt.b + 4, 1); /* not even its length is there */
	assert_int_equal(answer_raw(ICMP_UNREACHABLE, 0), 0);
	pkt_make(&pkt, &udp6);
	pkt.b[6] = 0; /* headers without end */
	memset(pkt.b + 40, 0, pkt.len - 40);
	assert_int_equal(answer_raw(ICMP_UNREACHABLE, 0), 0);
	/* What comes behind the packet is not quoted. */
	pkt_make(&pkt, &udp4);
	put16(pkt.b + 2, pkt.len - 10);
	assert_sound(answer_raw(ICMP_UNREACHABLE, 0), pkt.b, pkt.len - 10);
}

static unsigned
answers_at(nsec_t now, enum icmp_error error, unsigned wanted)
{
	unsigned n = 0;

	for (unsigned i = 0; i < wanted; i++)
		n += icmp_answer(&limit, &split, error, 1280, now, out) > 0;
	return n;
}

static void
a_flood_is_answered_at_a_rate(void **state)
{
	nsec_t now = SECONDS(100);

	pkt_make(&pkt, &udp4);
	assert_int_equal(split_frame(&split, pkt.b, pkt.len, false), 0);
	memset(&limit, 0, sizeof(limit));
	assert_int_equal(answers_at(now, ICMP_UNREACHABLE, 1000), ICMP_BURST);
	assert_int_equal(answers_at(now, ICMP_TOO_LONG, 1), 1); /* another bucket */
	now += SECONDS(1) / ICMP_PER_SECOND - 1;
	assert_int_equal(answers_at(now, ICMP_UNREACHABLE, 1000), 0);
	now += 1;
	assert_int_equal(answers_at(now, ICMP_UNREACHABLE, 1000), 1);
	now += 10 * SECONDS(1) / ICMP_PER_SECOND;
	assert_int_equal(answers_at(now, ICMP_UNREACHABLE, 1000), 10);
	now += SECONDS(1000);
	assert_int_equal(answers_at(now, ICMP_UNREACHABLE, 1000), ICMP_BURST);
	/* What must not be answered costs nothing. */
	now += SECONDS(1000);
	pkt.b[16] = 224;
	assert_int_equal(answers_at(now, ICMP_UNREACHABLE, 1000), 0);
	pkt.b[16] = 10;
	assert_int_equal(answers_at(now, ICMP_UNREACHABLE, 1000), ICMP_BURST);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_error_has_its_type_and_code),
		cmocka_unit_test(a_drop_is_told_as_what_it_is),
		cmocka_unit_test(as_much_is_quoted_as_may_be),
		cmocka_unit_test(a_superframe_is_answered_once_by_its_first_segment),
		cmocka_unit_test(too_long_is_what_cannot_be_cut_on_its_way),
		cmocka_unit_test(nobody_s_address_is_not_answered),
		cmocka_unit_test(errors_are_not_answered_by_errors),
		cmocka_unit_test(only_the_first_fragment_is_answered),
		cmocka_unit_test(what_is_malformed_is_not_answered),
		cmocka_unit_test(a_flood_is_answered_at_a_rate),
	};

	checksum_init();
	rnd_begin();
	return cmocka_run_group_tests_name("icmp", tests, NULL, NULL);
}
