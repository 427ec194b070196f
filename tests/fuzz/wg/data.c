/*
 * Authentic messages with any inside and any counter, and forged ones between them.  What becomes of each is
 * foretold: altered is not authentic, a counter counts once and not below the window, the inside is judged by
 * a second parser, its source by comparison.
 */
#include "tests/fuzz/wg/input.h"
#include "tests/fuzz/wg/model.h"
#include "tests/unit/wg/foreign.h"

#define INSIDE_MAX 300

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	uint64_t seen[64], top = 0, counter = 1;
	unsigned n_seen = 1;
	struct foreign f;

	foreign_init(&f);
	foreign_shake(&f, FOREIGN_AT);
	seen[0] = 0;
	for (unsigned i = 0; i < 60 && in.left; i++) {
		const uint8_t choice = input_byte(&in);
		const size_t len = choice & 64 ? input_byte(&in) : 64;
		uint8_t inside[INSIDE_MAX], message[INSIDE_MAX + 32];
		enum wg_drop drop, expected;
		size_t inner = 0;
		bool altered = false, replayed = false;
		struct wg_arrival arrival;

		if (choice & 1)
			counter += input_byte(&in);
		else if (choice & 2)
			counter -= MIN(counter, (uint64_t)input_word(&in) % 9000);
		else if (choice & 4)
			counter = (uint64_t)input_word(&in) << 32 | input_word(&in);
		packet4(inside, FOREIGN_IP, GATE_IP, 64, 1);
		if (choice & 8)
			packet6(inside, "2001:db8::2", "2001:db8::1", 64, 1);
		if (choice & 16)
			input_bytes(&in, inside, len);
		oracle_data(&f.o, message, counter, inside, len);
		if (choice & 32)
			altered = input_mutate(&in, message, MIN(len + 32, (size_t)255)) != 0;

		for (unsigned k = 0; k < n_seen; k++)
			replayed = replayed || seen[k] == counter;
		if (top > counter && top - counter > 8128)
			replayed = true;
		arrival_from(&arrival, choice & 128 ? FOREIGN_AT : "198.51.100.7:7");
		arrival.tos = choice;
		rig_empty(&f.rig);
		drop = rig_arrive(&f.rig, message, len + 32, &arrival);
		if (altered) {
			check(drop != WG_DROP_NONE && f.rig.n_in == 0);
			continue;
		}
		if (counter >= WG_REJECT_AFTER_MESSAGES)
			expected = WG_DROP_KEY_EXPIRED;
		else if (replayed)
			expected = WG_DROP_REPLAY;
		else if (len == 0)
			expected = WG_DROP_NONE;
		else
			expected = model_inner(inside, len, &inner);
		if (expected == WG_DROP_NONE && len) {
			static const uint8_t source[4] = {10, 0, 0, 2};

			if (inside[0] >> 4 == 6 || memcmp(inside + 12, source, 4) != 0)
				expected = WG_DROP_SOURCE;
		}
		if (drop != expected) {
			fprintf(stderr, "%s, not %s\n", wg_drop_name(drop), wg_drop_name(expected));
			abort();
		}
		if (expected != WG_DROP_KEY_EXPIRED && expected != WG_DROP_REPLAY) {
			seen[n_seen++] = counter;
			top = MAX(top, counter);
		}
		check(f.rig.n_in == (drop == WG_DROP_NONE && len));
		if (f.rig.n_in) {
			check(f.rig.in[0].len == inner);
			/* But for a mark and its checksum it is what went in. */
			for (size_t k = 0; k < inner; k++)
				check(f.rig.in[0].data[k] == inside[k] ||
				      ((choice & 1) && (k == 1 || k == 10 || k == 11)));
		}
	}
	foreign_done(&f);
	return 0;
}
