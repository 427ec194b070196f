/* What is merged and cut again is what was sent, and only what the kernel would merge is merged. */
#include "server/tunnel/merge.h"

#include "tests/unit/tunnel/packets.h"

#include <errno.h>

#include "base/log.h"
#include "server/tunnel/checksum.h"
#include "server/tunnel/split.h"

#define MAX_PACKETS 400

static struct merge *merge;
static struct pkt in[MAX_PACKETS], out[MAX_PACKETS];
static unsigned n_in, n_out, frames, largest;
static int answer; /* of the device: -EINVAL to superframes only */
static unsigned writes, supers_refused;
static nsec_t now;
static struct ladder ladder;
static struct stats stats;

/* A device that cuts what it is given, as the kernel would for a plain receiver. */
static int
device_write(void *ctx, const struct iovec *iov, unsigned n)
{
	static uint8_t frame[VNET_LEN + 65600];
	struct virtio_net_hdr hdr;
	struct split split;
	size_t len = 0;

	for (unsigned i = 0; i < n; i++) {
		assert_true(len + iov[i].iov_len <= sizeof(frame));
		memcpy(frame + len, iov[i].iov_base, iov[i].iov_len);
		len += iov[i].iov_len;
	}
	memcpy(&hdr, frame, VNET_LEN);
	writes++;
	if (answer < 0 && (hdr.gso_type != VIRTIO_NET_HDR_GSO_NONE || answer != -EINVAL)) {
		supers_refused += hdr.gso_type != VIRTIO_NET_HDR_GSO_NONE;
		return answer;
	}
	assert_int_equal(split_frame(&split, frame, len, true), 0);
	frames++;
	largest = MAX(largest, split.n);
	for (unsigned i = 0; i < split.n; i++) {
		assert_true(n_out < MAX_PACKETS);
		out[n_out].len = split_len(&split, i);
		split_segment(&split, i, out[n_out++].b);
	}
	return 0;
}

static void
pass(void)
{
	for (unsigned i = 0; i < n_in; i++)
		if (!merge_add(merge, in[i].b, in[i].len)) {
			merge_flush(merge, device_write, NULL, now);
			assert_true(merge_add(merge, in[i].b, in[i].len));
		}
	merge_flush(merge, device_write, NULL, now);
}

static void
allow(bool of_tcp, bool of_udp)
{
	memset(&ladder, 0, sizeof(ladder));
	ladder_probed(&ladder, RUNG_TUN_TSO_WRITE, of_tcp, 0);
	ladder_probed(&ladder, RUNG_TUN_USO_WRITE, of_udp, 0);
	merge_allow(merge, true);
}

/* What the device was given is forgotten, not what is known of it. */
static void
traffic_begin(void)
{
	n_in = n_out = frames = largest = writes = supers_refused = 0;
}

static void
begin(void)
{
	traffic_begin();
	memset(&stats, 0, sizeof(stats));
	stats.ladder = &ladder;
	answer = 0;
	now = SECONDS(1);
	allow(true, true);
}

static bool
same(const struct pkt *a, const struct pkt *b)
{
	return a->len == b->len && memcmp(a->b, b->b, a->len) == 0;
}

/* Addresses and ports, as a number. */
static unsigned
flow_of(const struct pkt *pkt)
{
	const bool v6 = pkt->b[0] >> 4 == 6;

	return (v6 ? 1U : 0U) | (unsigned)pkt->b[v6 ? 23 : 15] << 1 | get16(pkt->b + (v6 ? 40 : 20)) << 9;
}

/* All that went in came out, once, and each flow in its order. */
static void
assert_same_traffic(void)
{
	static bool taken[MAX_PACKETS];

	assert_int_equal(n_out, n_in);
	memset(taken, 0, sizeof(taken));
	for (unsigned o = 0; o < n_out; o++) {
		unsigned i = 0;

		while (i < n_in && (taken[i] || flow_of(&in[i]) != flow_of(&out[o])))
			i++;
		assert_true(i < n_in);
		assert_true(same(&in[i], &out[o]));
		taken[i] = true;
	}
}

static const struct pkt_spec tcp = {.ttl = 64,
				    .flags = ACK,
				    .df = true,
				    .id = 7,
				    .sport = 1000,
				    .dport = 2000,
				    .window = 500,
				    .host = 1,
				    .seq = 4294960000U,
				    .ack = 99,
				    .options = 12,
				    .payload = 1368};
static const struct pkt_spec udp = {.udp = true,
				    .ttl = 64,
				    .df = true,
				    .id = 7,
				    .sport = 1000,
				    .dport = 2000,
				    .host = 1,
				    .payload = 1200};

static void
add(const struct pkt_spec *spec)
{
	pkt_make(&in[n_in++], spec);
}

static void
add_next(struct pkt_spec *spec)
{
	add(spec);
	spec->seq += spec->payload;
	spec->id++;
	spec->fill++;
}

static void
random_traffic_comes_out_as_it_went_in(void **state)
{
	unsigned merged = 0;

	for (unsigned round = 0; round < 150; round++) {
		struct pkt_spec flows[6];

		begin();
		allow(rnd(8), rnd(8));
		for (unsigned f = 0; f < 6; f++) {
			flows[f] = rnd(2) ? tcp : udp;
			flows[f].v6 = rnd(2);
			flows[f].sport = (uint16_t)(1000 + f);
			flows[f].df = rnd(2);
			flows[f].payload = 1 + rnd(1400);
		}
		for (unsigned n = 1 + rnd(350); n_in < n;) {
			struct pkt_spec *flow = &flows[rnd(6)], one;

			for (unsigned run = 1 + rnd(40); run > 0 && n_in < n; run--) {
				one = *flow;
				switch (rnd(40)) { /* now and then something is different */
				case 0:
					one.flags ^= PSH;
					break;
				case 1:
					one.payload = rnd(one.payload + 1);
					break;
				case 2:
					one.payload += rnd(30);
					break;
				case 3:
					one.tos ^= 3;
					break;
				case 4:
					one.ttl--;
					break;
				case 5:
					one.flags |= (uint8_t)(rnd(2) ? FIN : SYN);
					break;
				case 6:
					flow->ack++;
					break;
				case 7:
					one.seq += 1;
					break;
				case 8:
					flow->id = (uint16_t)(flow->id + (one.df ? 0 : 3));
					one.id = flow->id;
					break;
				case 9:
					one.options = one.udp ? 0 : 4;
					break;
				case 10:
					flow->window++;
					break;
				default:
					break;
				}
				add(&one);
				if (rnd(60) == 0)
					in[n_in - 1].b[in[n_in - 1].len - 1] ^=
						1; /* a checksum that does not hold */
				flow->seq = one.seq + one.payload;
				flow->id++;
			}
		}
		pass();
		assert_same_traffic();
		merged += n_in - frames;
	}
	assert_true(merged > 1000);
}

static void
bulk_becomes_superframes_of_forty_and_more(void **state)
{
	for (int kind = 0; kind < 4; kind++) {
		struct pkt_spec spec = kind & 2 ? udp : tcp;

		spec.v6 = kind & 1;
		begin();
		for (unsigned i = 0; i < 200; i++)
			add_next(&spec);
		pass();
		assert_same_traffic();
		assert_true(n_in / frames >= 40);
	}
}

/* Two packets that would merge if @change had not been made to the second. */
static unsigned
frames_of_two(const struct pkt_spec *base, void (*change)(struct pkt_spec *spec))
{
	struct pkt_spec spec = *base;

	begin();
	add_next(&spec);
	change(&spec);
	add(&spec);
	pass();
	assert_same_traffic();
	return frames;
}

#define CHANGE(name, expression)                                                                             \
	static void name(struct pkt_spec *s)                                                                 \
	{                                                                                                    \
		expression;                                                                                  \
	}
CHANGE(nothing, (void)s)
CHANGE(tos, s->tos ^= 4)
CHANGE(ecn, s->tos ^= 1)
CHANGE(ttl, s->ttl--)
CHANGE(df, s->df = false)
CHANGE(seq, s->seq++)
CHANGE(ack, s->ack++)
CHANGE(window, s->window++)
CHANGE(fin, s->flags |= FIN)
CHANGE(syn, s->flags |= SYN)
CHANGE(rst, s->flags |= RST)
CHANGE(urg, s->flags |= URG)
CHANGE(cwr, s->flags |= CWR)
CHANGE(ece, s->flags |= ECE)
CHANGE(options, s->options += 4)
CHANGE(longer, s->payload++)
CHANGE(empty, s->payload = 0)
CHANGE(port, s->sport++)
CHANGE(host, s->host++)
CHANGE(family, s->v6 = !s->v6)
CHANGE(shorter, s->payload -= 5)
CHANGE(push, s->flags |= PSH)
CHANGE(other_id, s->id = 4711)

static void
what_differs_is_not_merged(void **state)
{
	static void (*const of_tcp[])(struct pkt_spec *) = {tos,    ecn,   ttl,  df,   seq,   ack, window,
							    fin,    syn,   rst,  urg,  cwr,   ece, options,
							    longer, empty, port, host, family};
	static void (*const of_udp[])(struct pkt_spec *) = {tos,   ecn,  ttl,  df,    longer,
							    empty, port, host, family};
	struct pkt_spec base;

	for (int v6 = 0; v6 < 2; v6++) {
		base = tcp;
		base.v6 = v6;
		for (size_t i = 0; i < ARRAY_LEN(of_tcp); i++)
			if (!(v6 && of_tcp[i] == df) && frames_of_two(&base, of_tcp[i]) != 2)
				fail_msg("TCP change %zu was merged", i);
		base = udp;
		base.v6 = v6;
		for (size_t i = 0; i < ARRAY_LEN(of_udp); i++)
			if (!(v6 && of_udp[i] == df) && frames_of_two(&base, of_udp[i]) != 2)
				fail_msg("UDP change %zu was merged", i);
	}
}

static void
what_only_ends_a_superframe_is_merged(void **state)
{
	assert_int_equal(frames_of_two(&tcp, nothing), 1);
	assert_int_equal(frames_of_two(&tcp, shorter), 1);
	assert_int_equal(frames_of_two(&tcp, push), 1);
	assert_int_equal(frames_of_two(&udp, nothing), 1);
	assert_int_equal(frames_of_two(&udp, shorter), 1);
}

static void
a_short_or_pushed_segment_is_the_last_one(void **state)
{
	struct pkt_spec spec = tcp;

	begin();
	add_next(&spec);
	spec.payload -= 5;
	add_next(&spec);
	add_next(&spec);
	pass();
	assert_int_equal(frames, 2);
	assert_same_traffic();

	spec = tcp;
	begin();
	spec.flags |= PSH;
	add_next(&spec);
	spec.flags &= (uint8_t)~PSH;
	add_next(&spec);
	pass();
	assert_int_equal(frames, 2);
	assert_same_traffic();
}

static void
the_identification_counts_only_where_fragments_may_be(void **state)
{
	struct pkt_spec base = tcp;
	struct pkt_spec spec;

	base.df = false;
	assert_int_equal(frames_of_two(&base, other_id), 2);
	assert_int_equal(frames_of_two(&base, nothing), 1);
	spec = tcp; /* atomic: merged, though the identification is not kept */
	begin();
	add_next(&spec);
	spec.id = 4711;
	add(&spec);
	pass();
	assert_int_equal(frames, 1);
	assert_int_equal(n_out, 2);
	put16(out[1].b + 4, 4711);
	pkt_finish(&out[1]);
	assert_true(same(&in[1], &out[1]));
}

static void
a_wrong_checksum_is_passed_on_as_it_is(void **state)
{
	for (int where = 0; where < 3; where++)
		for (int kind = 0; kind < 4; kind++) {
			struct pkt_spec spec = kind & 2 ? udp : tcp;

			spec.v6 = kind & 1;
			if (where == 2 && spec.v6)
				continue;
			begin();
			add_next(&spec);
			add_next(&spec);
			if (where == 0)
				in[1].b[in[1].len - 1] ^= 0x40;
			else if (where == 1)
				in[0].b[(spec.v6 ? 40 : 20) + (spec.udp ? 6 : 16)] ^= 1;
			else
				in[1].b[10] ^= 1;
			pass();
			assert_int_equal(frames, 2);
			assert_same_traffic();
		}
}

static void
udp_without_a_checksum_is_not_merged(void **state)
{
	struct pkt_spec spec = udp;

	begin();
	add_next(&spec);
	add_next(&spec);
	put16(in[0].b + 26, 0);
	put16(in[1].b + 26, 0);
	pass();
	assert_int_equal(frames, 2);
	assert_same_traffic();
}

static void
fragments_and_options_are_not_merged_and_not_overtaken(void **state)
{
	struct pkt_spec spec = udp;

	begin();
	spec.df = false;
	add_next(&spec);
	add_next(&spec);
	in[1].b[6] = 0x20; /* more fragments */
	pkt_finish(&in[1]);
	add_next(&spec);
	pass();
	assert_int_equal(frames, 3);
	for (unsigned i = 0; i < 3; i++)
		assert_true(same(&in[i], &out[i]));
}

static void
an_acknowledgement_between_is_not_overtaken(void **state)
{
	struct pkt_spec spec = tcp, pure = tcp;

	begin();
	add_next(&spec);
	pure.payload = 0;
	pure.seq = spec.seq;
	add(&pure);
	add_next(&spec);
	pass();
	assert_int_equal(frames, 3);
	for (unsigned i = 0; i < 3; i++)
		assert_true(same(&in[i], &out[i]));
}

static void
flows_that_take_turns_are_merged_each(void **state)
{
	struct pkt_spec a = tcp, b = udp;

	begin();
	b.sport = 5;
	for (unsigned i = 0; i < 30; i++) {
		add_next(&a);
		add_next(&b);
	}
	pass();
	assert_int_equal(frames, 2);
	assert_same_traffic();
}

static void
a_udp_superframe_has_at_most_64_segments(void **state)
{
	struct pkt_spec spec = udp;

	begin();
	spec.payload = 10;
	for (unsigned i = 0; i < 200; i++)
		add_next(&spec);
	pass();
	assert_int_equal(largest, 64);
	assert_same_traffic();
}

static void
twenty(struct pkt_spec spec)
{
	for (unsigned i = 0; i < 20; i++)
		add_next(&spec);
}

/* Each kind by itself; and what is tried again after a while costs one write. */
static void
refused_superframes_are_written_singly_until_one_is_taken_again(void **state)
{
	for (unsigned kind = 0; kind < 2; kind++) {
		const struct pkt_spec *spec = kind ? &udp : &tcp, *other = kind ? &tcp : &udp;
		const enum rung rung = kind ? RUNG_TUN_USO_WRITE : RUNG_TUN_TSO_WRITE;

		begin();
		answer = -EINVAL;
		twenty(*spec);
		pass();
		assert_int_equal(frames, 20);
		assert_int_equal(supers_refused, 1);
		assert_same_traffic();
		assert_int_equal(ladder_get(&ladder, rung), RUNG_DOWN);
		assert_int_equal(ladder_get(&ladder, kind ? RUNG_TUN_TSO_WRITE : RUNG_TUN_USO_WRITE),
				 RUNG_ON);

		for (unsigned later = 0; later < 2; later++) { /* the second time it is due */
			traffic_begin();
			now += LADDER_RETRY_TIME - 1 + later;
			twenty(*spec);
			pass();
			traffic_begin();
			twenty(*spec);
			pass();
			assert_int_equal(frames, 20);
			assert_int_equal(supers_refused, later);
			assert_same_traffic();
		}
		assert_int_equal(ladder.rungs[rung].downs, 1);

		traffic_begin();
		answer = 0;
		twenty(*other);
		pass();
		assert_int_equal(frames, 1);
		now += LADDER_RETRY_TIME;
		pass();
		traffic_begin();
		twenty(*spec);
		pass();
		assert_int_equal(frames, 1);
		assert_same_traffic();
		assert_int_equal(ladder_get(&ladder, rung), RUNG_ON);
		assert_int_equal(ladder.rungs[rung].ups, 1);
	}
}

/* Of many superframes that are made before the first is refused. */
static void
one_refusal_is_enough(void **state)
{
	struct pkt_spec spec = tcp;

	begin();
	answer = -EINVAL;
	for (unsigned flow = 0; flow < 10; flow++) {
		spec.sport = (uint16_t)(100 + flow);
		twenty(spec);
	}
	pass();
	assert_int_equal(supers_refused, 1);
	assert_same_traffic();
}

static void
what_the_device_does_not_take_is_counted(void **state)
{
	static const int errors[] = {-EIO, -EAGAIN, -ENOMEM, -EBADFD};

	for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
		begin();
		answer = errors[i];
		twenty(tcp);
		add(&udp);
		pass();
		assert_int_equal(writes, 2);
		assert_int_equal(n_out, 0);
		assert_int_equal(wg_counted(&stats.drops, WG_DROP_TUN_REFUSED), 21);
		assert_true(ladder_on(&ladder, RUNG_TUN_TSO_WRITE));
		answer = 0;
		pass();
		assert_int_equal(stats.segments[STATS_TUN_WRITE], 21);
	}
}

static void
nothing_is_merged_for_a_device_that_takes_no_superframes(void **state)
{
	begin();
	merge_allow(merge, false);
	twenty(tcp);
	pass();
	assert_int_equal(frames, 20);
	assert_same_traffic();
}

static void
more_than_fits_is_refused_until_flushed(void **state)
{
	struct pkt_spec spec = udp;

	begin();
	pkt_make(&in[0], &spec);
	for (unsigned i = 0; i < MERGE_FRAMES; i++)
		assert_true(merge_add(merge, (const uint8_t *)"\x45 not one", 9));
	assert_false(merge_add(merge, in[0].b, in[0].len));
}

static int
setup(void **state)
{
	return merge_new(&stats, &merge);
}

static int
teardown(void **state)
{
	merge_free(merge);
	return 0;
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(random_traffic_comes_out_as_it_went_in),
		TEST(bulk_becomes_superframes_of_forty_and_more),
		TEST(what_differs_is_not_merged),
		TEST(what_only_ends_a_superframe_is_merged),
		TEST(a_short_or_pushed_segment_is_the_last_one),
		TEST(the_identification_counts_only_where_fragments_may_be),
		TEST(a_wrong_checksum_is_passed_on_as_it_is),
		TEST(udp_without_a_checksum_is_not_merged),
		TEST(fragments_and_options_are_not_merged_and_not_overtaken),
		TEST(an_acknowledgement_between_is_not_overtaken),
		TEST(flows_that_take_turns_are_merged_each),
		TEST(a_udp_superframe_has_at_most_64_segments),
		TEST(refused_superframes_are_written_singly_until_one_is_taken_again),
		TEST(one_refusal_is_enough),
		TEST(what_the_device_does_not_take_is_counted),
		TEST(nothing_is_merged_for_a_device_that_takes_no_superframes),
		TEST(more_than_fits_is_refused_until_flushed),
	};

	log_init("test", LOG_LEVEL_SILENT);
	rnd_begin();
	checksum_init();
	return cmocka_run_group_tests_name("merge", tests, NULL, NULL);
}
