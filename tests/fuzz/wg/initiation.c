/*
 * Initiations of a peer and of a stranger, altered or not, with right MACs or not, loaded or not, over some
 * time.  Whatever comes: an altered one gets no response, an honest and timely one does.
 */
#include "tests/fuzz/wg/input.h"
#include "tests/unit/wg/foreign.h"

static const char *const places[] = {FOREIGN_AT, "192.0.2.2:7", "[2001:db8::2]:51820", "198.51.100.66:1"};

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	struct oracle stranger;
	nsec_t accepted_at = -SECONDS(1);
	uint8_t latest[12] = {0};
	struct foreign f;

	foreign_init(&f);
	oracle_init(&stranger, "stranger", f.rig.public.b);
	for (unsigned i = 0; i < 12 && in.left; i++) {
		const uint8_t choice = input_byte(&in);
		struct oracle *from = choice & 1 ? &stranger : &f.o;
		const char *place = places[choice >> 1 & 3];
		uint8_t message[ORACLE_INITIATION], honest[ORACLE_INITIATION], stamp[12];
		bool altered, known = true;
		enum wg_drop drop;

		f.rig.loaded = choice >> 3 & 1;
		rig_run(&f.rig, MILLISECONDS(input_byte(&in)));
		oracle_timestamp(stamp, f.rig.now.wall - MILLISECONDS(choice & 16 ? 500 : 0));
		oracle_initiation(from, message, stamp);
		memcpy(honest, message, sizeof(honest));
		input_mutate(&in, message, 132);
		altered = memcmp(honest, message, sizeof(honest)) != 0;
		if (choice & 32) { /* whoever knows our public key can do this */
			oracle_seal_macs(from, message, sizeof(message));
		}
		if (choice & 64) /* raw */
		{
			input_bytes(&in, message, sizeof(message));
			altered = true;
			known = false;
		}
		rig_empty(&f.rig);
		drop = rig_datagram(&f.rig, message, sizeof(message), place);
		check(rig_count(&f.rig, WG_MSG_DATA) == 0 && rig_count(&f.rig, WG_MSG_RESPONSE) <= 1);
		check((drop == WG_DROP_NONE) == (rig_count(&f.rig, WG_MSG_RESPONSE) == 1));
		check((drop == WG_DROP_COOKIE_WANTED) == (rig_count(&f.rig, WG_MSG_COOKIE) == 1));
		check(drop != WG_DROP_COOKIE_WANTED || f.rig.loaded);
		if (from == &stranger || !known)
			check(drop != WG_DROP_NONE);
		if (drop == WG_DROP_NONE) {
			struct oracle taken = *from;

			/* The sender's index is covered by mac1 alone, which anybody can make. */
			check(!altered || choice & 32);
			check(memcmp(message, honest, 4) == 0 && memcmp(message + 8, honest + 8, 108) == 0);
			check(memcmp(stamp, latest, 12) > 0);
			check(f.rig.now.boot - accepted_at >= WG_INITIATION_INTERVAL);
			memcpy(latest, stamp, 12);
			accepted_at = f.rig.now.boot;
			taken.index = le32_load(message + 4);
			check(oracle_take_response(&taken, f.rig.out[0].data, f.rig.out[0].len));
		} else if (from == &f.o && !altered && !f.rig.loaded) {
			check(memcmp(stamp, latest, 12) <= 0 ||
			      f.rig.now.boot - accepted_at < WG_INITIATION_INTERVAL);
		}
		if (drop == WG_DROP_COOKIE_WANTED && !(choice & 128)) {
			struct oracle taken = *from;

			taken.index = le32_load(message + 4);
			memcpy(taken.mac1, message + 116, 16);
			check(oracle_take_cookie(&taken, f.rig.out[0].data, f.rig.out[0].len));
			memcpy(from->cookie, taken.cookie, 16);
			from->has_cookie = true;
		}
	}
	foreign_done(&f);
	return 0;
}
