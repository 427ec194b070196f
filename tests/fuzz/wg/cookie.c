/*
 * Cookie replies to the gate's initiations and responses, altered or not, twice, from elsewhere.  None moves
 * an endpoint or is answered; only an unaltered, awaited one leads to a second MAC.
 */
#include "tests/fuzz/wg/input.h"
#include "tests/unit/wg/foreign.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	uint8_t sent[ORACLE_INITIATION], message[ORACLE_COOKIE], honest[ORACLE_COOKIE], cookie[16] = {0},
											mac[16];
	static const uint8_t none[16];
	size_t sent_len = 0;
	bool used = true, has = false;
	nsec_t got = 0;
	struct foreign f;

	foreign_init(&f);
	for (unsigned i = 0; i < 16 && in.left; i++) {
		const uint8_t choice = input_byte(&in);
		struct wg_peer_view view;
		char text[ENDPOINT_TEXT_LEN];
		enum wg_drop drop;

		rig_empty(&f.rig);
		rig_run(&f.rig, MILLISECONDS(100) * input_byte(&in));
		if (choice & 1) {
			uint8_t initiation[ORACLE_INITIATION];

			foreign_initiation(&f, initiation);
			rig_datagram(&f.rig, initiation, sizeof(initiation), FOREIGN_AT);
		} else {
			wg_peer_initiate(f.rig.device, f.peer, f.rig.now, rig_effects(&f.rig));
			rig_pump(&f.rig);
		}
		for (size_t k = 0; k < f.rig.n_out; k++) {
			const struct rig_datagram *out = &f.rig.out[k];

			if (out->type != WG_MSG_INITIATION && out->type != WG_MSG_RESPONSE)
				continue;
			sent_len = out->len;
			memcpy(sent, out->data, sent_len);
			used = false;
			oracle_mac(mac, cookie, 16, sent, sent_len - 16);
			if (!has)
				check(memcmp(sent + sent_len - 16, none, 16) == 0);
			else
				check(memcmp(sent + sent_len - 16, none, 16) == 0 ||
				      memcmp(sent + sent_len - 16, mac, 16) == 0);
			if (has && f.rig.now.boot < got + SECONDS(115))
				check(memcmp(sent + sent_len - 16, mac, 16) == 0);
		}
		if (!sent_len)
			continue;
		rig_empty(&f.rig);
		cookie[15] ^= choice & 8; /* sometimes the one that is there already */
		oracle_cookie_reply(&f.o, message, sent, sent_len, cookie);
		cookie[15] ^= choice & 8;
		memcpy(honest, message, sizeof(honest));
		input_mutate(&in, message, sizeof(message));
		if (choice & 32)
			input_bytes(&in, message, sizeof(message));
		drop = rig_datagram(&f.rig, message, sizeof(message),
				    choice & 2 ? FOREIGN_AT : "198.51.100.66:1");
		check(f.rig.n_out == 0);
		if (drop == WG_DROP_NONE) {
			check(memcmp(message, honest, sizeof(message)) == 0);
			check(!used);
			used = has = true;
			got = f.rig.now.boot;
			cookie[15] ^= choice & 8;
			check(rig_datagram(&f.rig, message, sizeof(message), FOREIGN_AT) ==
			      WG_DROP_COOKIE_REPLY);
		} else {
			check(used || memcmp(message, honest, sizeof(message)) != 0);
		}
		wg_peer_view(f.peer, &view);
		endpoint_text(text, &view.endpoint);
		check(strcmp(text, FOREIGN_AT) == 0);
	}
	foreign_done(&f);
	return 0;
}
