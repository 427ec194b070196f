/*
 * Responses to the gate's initiation, altered or not, late, twice, with another PSK, after an initiation of
 * the peer's own.  Only an unaltered one to the handshake that stands is taken, and once.
 */
#include "tests/fuzz/wg/input.h"
#include "tests/unit/wg/foreign.h"

/* The newest initiation in the box is the one that stands. */
static void
await_newest(struct foreign *f, bool *awaited)
{
	for (size_t i = 0; i < f->rig.n_out; i++)
		if (f->rig.out[i].type == WG_MSG_INITIATION) {
			check(oracle_take_initiation(&f->o, f->rig.out[i].data, f->rig.out[i].len));
			*awaited = true;
		}
	rig_empty(&f->rig);
}

static void
wait_and_initiate(struct foreign *f, nsec_t time, bool initiate, bool *awaited)
{
	rig_empty(&f->rig);
	rig_run(&f->rig, time);
	await_newest(f, awaited);
	if (initiate) {
		wg_peer_initiate(f->rig.device, f->peer, f->rig.now, rig_effects(&f->rig));
		rig_pump(&f->rig);
		await_newest(f, awaited);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	uint8_t message[ORACLE_RESPONSE], honest[ORACLE_RESPONSE], initiation[ORACLE_INITIATION];
	bool awaited = false;
	struct foreign f;

	foreign_init(&f);
	wait_and_initiate(&f, 0, true, &awaited);
	check(awaited);
	for (unsigned i = 0; i < 10 && in.left; i++) {
		const uint8_t choice = input_byte(&in);
		struct oracle before;
		unsigned handshakes;
		enum wg_drop drop;

		if (choice & 1)
			wait_and_initiate(&f, SECONDS(6), false, &awaited);
		if (choice & 2) {
			struct oracle other;

			wait_and_initiate(&f, MILLISECONDS(30), false, &awaited);
			other = f.o;
			foreign_initiation(&f, initiation);
			if (rig_datagram(&f.rig, initiation, sizeof(initiation), FOREIGN_AT) == WG_DROP_NONE)
				awaited = false;
			other.index = f.o.index;
			f.o = other;
		}
		if (!awaited && choice & 4)
			wait_and_initiate(&f, SECONDS(6), true, &awaited);
		rig_empty(&f.rig);
		before = f.o;
		handshakes = f.rig.handshakes;
		f.o.psk[0] = choice & 8 ? 1 : 0;
		f.o.small_order = choice & 16;
		oracle_response(&f.o, message);
		memcpy(honest, message, sizeof(message));
		input_mutate(&in, message, 76);
		if (choice & 32)
			oracle_seal_macs(&f.o, message, sizeof(message));
		if (choice & 64)
			input_bytes(&in, message, sizeof(message));
		f.rig.loaded = choice >> 7;
		drop = rig_datagram(&f.rig, message, sizeof(message), FOREIGN_AT);
		check((drop == WG_DROP_NONE) == (f.rig.handshakes == handshakes + 1));
		if (drop == WG_DROP_NONE) {
			check(awaited && !(choice & (8 | 16)));
			check(memcmp(message, honest, 4) == 0 && memcmp(message + 8, honest + 8, 52) == 0);
			check(f.rig.n_out >= 1 && f.rig.out[0].type == WG_MSG_DATA);
			check(rig_datagram(&f.rig, message, sizeof(message), FOREIGN_AT) != WG_DROP_NONE);
			check(f.rig.handshakes == handshakes + 1);
			awaited = false;
		} else if (awaited && !f.rig.loaded && !(choice & (8 | 16 | 64))) {
			check(memcmp(message, honest, sizeof(message)) != 0);
		}
		/* Another response to the same initiation may still come. */
		before.index = f.o.index;
		before.seed = f.o.seed;
		f.o = before;
	}
	foreign_done(&f);
	return 0;
}
