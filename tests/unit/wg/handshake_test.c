/* The handshake: bytes against vectors.h, and everything that a stranger can send in its place. */
#include "tests/unit/wg/foreign.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "tests/unit/wg/vectors.h"

#define VECTOR_WALL (SECONDS(VECTOR_SEC) + VECTOR_NSEC)

static struct foreign f;

static int
begin(void **state)
{
	foreign_init(&f);
	return 0;
}

static int
end(void **state)
{
	foreign_done(&f);
	return 0;
}

/* The device of @secret at the vectors' time, whose ephemerals are all @ephemeral. */
static struct wg_peer *
vector_rig(struct rig *rig, const uint8_t secret[32], const uint8_t peer[32], const uint8_t ephemeral[32],
	   const uint8_t *psk)
{
	struct private_key private;
	struct public_key public;
	struct wg_peer *ret;

	rig_init_at(rig, "vector", &(struct wg_device_config){.workers = 1}, 0, VECTOR_WALL);
	memcpy(private.b, secret, 32);
	wg_private_key_set(rig->device, &private, rig->now, rig_effects(rig));
	memcpy(public.b, peer, 32);
	ret = rig_peer(rig, &public, "10.0.0.2/32", FOREIGN_AT);
	if (psk) {
		struct preshared_key key;

		memcpy(key.b, psk, 32);
		wg_peer_psk_set(rig->device, ret, &key);
	}
	rig_pump(rig);
	rig_empty(rig);
	rig->ephemeral = ephemeral;
	return ret;
}

static void
assert_mac1(const uint8_t *message, size_t len, const uint8_t receiver[32])
{
	static const uint8_t none[16];
	uint8_t key[32], mac[16];

	oracle_hash(key, "mac1----", 8, receiver, 32);
	oracle_mac(mac, key, 32, message, len - 32);
	assert_memory_equal(mac, message + len - 32, 16);
	assert_memory_equal(none, message + len - 16, 16);
}

static void
initiate(const uint8_t *psk, const uint8_t *response, const uint8_t *sending, const uint8_t *receiving)
{
	uint8_t answer[WG_RESPONSE_LEN], key[32];
	const struct rig_datagram *initiation;
	struct wg_peer *peer;
	struct rig rig;

	peer = vector_rig(&rig, vector_static_i, vector_public_r, vector_ephemeral_i, psk);
	wg_peer_initiate(rig.device, peer, rig.now, rig_effects(&rig));
	initiation = rig_one(&rig, WG_MSG_INITIATION);
	assert_memory_equal(initiation->data, vector_initiation, 4);
	assert_memory_equal(initiation->data + 8, vector_initiation + 8, 108);
	assert_mac1(initiation->data, initiation->len, vector_public_r);

	/* The vector's response, to our index. */
	memcpy(answer, response, sizeof(answer));
	memcpy(answer + 8, initiation->data + 4, 4);
	oracle_hash(key, "mac1----", 8, vector_public_i, 32);
	oracle_mac(answer + 60, key, 32, answer, 60);
	rig_empty(&rig);
	assert_int_equal(rig_datagram(&rig, answer, sizeof(answer), FOREIGN_AT), WG_DROP_NONE);
	rig_one(&rig, WG_MSG_DATA);
	assert_int_equal(rig.n_sessions, 1);
	assert_true(rig.sessions[0].initiator);
	assert_int_equal(rig.sessions[0].remote_index, VECTOR_INDEX_R);
	assert_memory_equal(rig.sessions[0].sending, sending, 32);
	assert_memory_equal(rig.sessions[0].receiving, receiving, 32);
	rig_done(&rig);
}

static void
the_initiator_sends_and_derives_what_the_vectors_say(void **state)
{
	initiate(vector_psk, vector_response, vector_i_to_r, vector_r_to_i);
}

static void
without_a_psk_zeroes_are_mixed(void **state)
{
	initiate(NULL, vector_response_nopsk, vector_i_to_r_nopsk, vector_r_to_i_nopsk);
}

static void
the_responder_sends_and_derives_what_the_vectors_say(void **state)
{
	const struct rig_datagram *response;
	uint8_t data[sizeof(vector_data)];
	struct rig rig;

	vector_rig(&rig, vector_static_r, vector_public_i, vector_ephemeral_r, vector_psk);
	assert_int_equal(rig_datagram(&rig, vector_initiation, sizeof(vector_initiation), FOREIGN_AT),
			 WG_DROP_NONE);
	response = rig_one(&rig, WG_MSG_RESPONSE);
	assert_memory_equal(response->data, vector_response, 4);
	assert_int_equal(le32_load(response->data + 8), VECTOR_INDEX_I);
	assert_memory_equal(response->data + 12, vector_response + 12, 48);
	assert_mac1(response->data, response->len, vector_public_i);
	assert_int_equal(rig.n_sessions, 1);
	assert_false(rig.sessions[0].initiator);
	assert_int_equal(rig.sessions[0].remote_index, VECTOR_INDEX_I);
	assert_int_equal(rig.sessions[0].local_index, le32_load(response->data + 4));
	assert_memory_equal(rig.sessions[0].sending, vector_r_to_i, 32);
	assert_memory_equal(rig.sessions[0].receiving, vector_i_to_r, 32);

	/* The vector's data opens; what is inside is no IP packet. */
	memcpy(data, vector_data, sizeof(data));
	memcpy(data + 4, response->data + 4, 4);
	assert_int_equal(rig_datagram(&rig, data, sizeof(data), FOREIGN_AT), WG_DROP_INNER_VERSION);
	assert_int_equal(rig.handshakes, 1);
	rig_done(&rig);
}

static void
an_initiators_cookie_is_that_of_the_vectors(void **state)
{
	const struct rig_datagram *initiation;
	uint8_t reply[WG_COOKIE_REPLY_LEN], mac2[16];
	struct wg_peer *peer;
	struct oracle r;
	struct rig rig;

	peer = vector_rig(&rig, vector_static_i, vector_public_r, vector_ephemeral_i, vector_psk);
	wg_peer_initiate(rig.device, peer, rig.now, rig_effects(&rig));
	initiation = rig_one(&rig, WG_MSG_INITIATION);
	memset(&r, 0, sizeof(r));
	memcpy(r.public, vector_public_r, 32);
	oracle_cookie_reply(&r, reply, initiation->data, initiation->len, vector_cookie);
	rig_empty(&rig);
	assert_int_equal(rig_datagram(&rig, reply, sizeof(reply), FOREIGN_AT), WG_DROP_NONE);
	assert_int_equal(rig.n_out, 0);
	rig_run(&rig, MILLISECONDS(5500));
	initiation = rig_one(&rig, WG_MSG_INITIATION);
	oracle_mac(mac2, vector_cookie, 16, initiation->data, 132);
	assert_memory_equal(initiation->data + 132, mac2, 16);
	rig_done(&rig);
}

static void
the_timestamp_is_rounded_and_grows(void **state)
{
	static const nsec_t parts[] = {0, 1, (1 << 24) - 1, 1 << 24, 500000000, 999999999};
	uint8_t expected[12], last[12] = {0};

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		const struct rig_datagram *initiation;

		f.rig.now.wall = RIG_WALL + SECONDS(100 + 10 * i) + parts[i];
		f.rig.now.boot = SECONDS(100 + 10 * i) + parts[i];
		rig_empty(&f.rig);
		wg_peer_initiate(f.rig.device, f.peer, f.rig.now, rig_effects(&f.rig));
		initiation = rig_one(&f.rig, WG_MSG_INITIATION);
		assert_true(oracle_take_initiation(&f.o, initiation->data, initiation->len));
		oracle_timestamp(expected, f.rig.now.wall);
		assert_memory_equal(f.o.timestamp, expected, 12);
		assert_int_equal(be32_load(f.o.timestamp + 8) & 0xffffff, 0);
		assert_true(memcmp(f.o.timestamp, last, 12) > 0);
		memcpy(last, f.o.timestamp, 12);
	}
}

static void
an_initiation_seen_before_gets_no_answer(void **state)
{
	uint8_t initiation[ORACLE_INITIATION];

	foreign_initiation(&f, initiation);
	assert_int_equal(rig_datagram(&f.rig, initiation, sizeof(initiation), FOREIGN_AT), WG_DROP_NONE);
	rig_one(&f.rig, WG_MSG_RESPONSE);
	rig_empty(&f.rig);
	rig_run(&f.rig, SECONDS(1));
	rig_empty(&f.rig);
	assert_int_equal(rig_datagram(&f.rig, initiation, sizeof(initiation), "198.51.100.66:1"),
			 WG_DROP_TIMESTAMP);
	assert_int_equal(f.rig.n_out, 0);
	rig_run(&f.rig, SECONDS(600)); /* keys are zeroed, the timestamp is not forgotten */
	rig_empty(&f.rig);
	assert_int_equal(rig_datagram(&f.rig, initiation, sizeof(initiation), "198.51.100.66:1"),
			 WG_DROP_TIMESTAMP);
	rig_event(&f.rig, WG_EVENT_DOWN);
	rig_event(&f.rig, WG_EVENT_UP);
	assert_int_equal(rig_datagram(&f.rig, initiation, sizeof(initiation), "198.51.100.66:1"),
			 WG_DROP_TIMESTAMP);
	assert_int_equal(f.rig.n_out, 0);
}

static void
an_initiation_with_an_equal_or_older_timestamp_gets_no_answer(void **state)
{
	uint8_t initiation[ORACLE_INITIATION], stamp[12];
	const nsec_t wall = f.rig.now.wall;

	foreign_shake(&f, FOREIGN_AT);
	rig_run(&f.rig, SECONDS(1));
	for (nsec_t back = 0; back < SECONDS(4000); back = back * 2 + SECONDS(1)) {
		oracle_timestamp(stamp, wall - back);
		oracle_initiation(&f.o, initiation, stamp);
		assert_int_equal(rig_datagram(&f.rig, initiation, sizeof(initiation), FOREIGN_AT),
				 WG_DROP_TIMESTAMP);
	}
	assert_int_equal(f.rig.n_out, 0);
	oracle_timestamp(stamp, wall + (1 << 24));
	oracle_initiation(&f.o, initiation, stamp);
	assert_int_equal(rig_datagram(&f.rig, initiation, sizeof(initiation), FOREIGN_AT), WG_DROP_NONE);
}

static void
initiations_less_than_20_ms_apart_get_no_answer(void **state)
{
	uint8_t initiation[ORACLE_INITIATION], stamp[12];
	unsigned answered = 0;

	for (unsigned i = 0; i < 100; i++) { /* each 1 ms, timestamps growing fast enough */
		oracle_timestamp(stamp, f.rig.now.wall + SECONDS(i));
		oracle_initiation(&f.o, initiation, stamp);
		switch (rig_datagram(&f.rig, initiation, sizeof(initiation), FOREIGN_AT)) {
		case WG_DROP_NONE:
			answered++;
			break;
		case WG_DROP_FLOOD:
			break;
		default:
			fail();
		}
		rig_run(&f.rig, MILLISECONDS(1));
	}
	assert_int_equal(answered, 5);
	assert_int_equal(rig_count(&f.rig, WG_MSG_RESPONSE), 5);
}

static void
hundreds_of_handshakes_draw_no_cookie(void **state)
{
	for (unsigned i = 0; i < 300; i++) {
		foreign_shake(&f, FOREIGN_AT);
		rig_run(&f.rig, MILLISECONDS(25));
	}
	assert_int_equal(rig_drops(&f.rig, WG_DROP_COOKIE_WANTED), 0);
	assert_true(f.rig.handshakes >= 100); /* reports of one path may speak of several */
}

static void
one_wrong_bit_in_an_initiation_is_fatal_to_it_and_to_nothing_else(void **state)
{
	uint8_t initiation[ORACLE_INITIATION];

	foreign_initiation(&f, initiation);
	for (unsigned i = 0; i < 132; i++) {
		initiation[i] ^= (uint8_t)BIT(i % 8);
		assert_int_not_equal(rig_datagram(&f.rig, initiation, sizeof(initiation), FOREIGN_AT),
				     WG_DROP_NONE);
		/* and by someone who knows the public key, so that mac1 is right */
		if (i >= 8 && i < 116) {
			oracle_seal_macs(&f.o, initiation, sizeof(initiation));
			assert_int_equal(rig_datagram(&f.rig, initiation, sizeof(initiation), FOREIGN_AT),
					 WG_DROP_HANDSHAKE);
		}
		initiation[i] ^= (uint8_t)BIT(i % 8);
		oracle_seal_macs(&f.o, initiation, sizeof(initiation));
	}
	assert_int_equal(f.rig.n_out, 0);
	assert_int_equal(rig_datagram(&f.rig, initiation, sizeof(initiation), FOREIGN_AT), WG_DROP_NONE);
	rig_one(&f.rig, WG_MSG_RESPONSE);
}

static void
a_stranger_gets_no_answer(void **state)
{
	uint8_t initiation[ORACLE_INITIATION], stamp[12];
	struct oracle stranger;

	oracle_init(&stranger, "stranger", f.rig.public.b);
	oracle_timestamp(stamp, f.rig.now.wall);
	oracle_initiation(&stranger, initiation, stamp);
	assert_int_equal(rig_datagram(&f.rig, initiation, sizeof(initiation), "198.51.100.66:1"),
			 WG_DROP_UNKNOWN_PEER);

	/* The peer's public key is no secret: its name on an initiation of another's making is not enough. */
	memcpy(stranger.public, f.o.public, 32);
	oracle_initiation(&stranger, initiation, stamp);
	assert_int_equal(rig_datagram(&f.rig, initiation, sizeof(initiation), "198.51.100.66:1"),
			 WG_DROP_HANDSHAKE);
	assert_int_equal(f.rig.n_out, 0);
}

static void
a_message_for_another_key_fails_at_its_mac(void **state)
{
	uint8_t initiation[ORACLE_INITIATION], stamp[12];
	struct oracle lost;

	oracle_init(&lost, "foreign", f.o.public); /* it believes us to be somebody else */
	oracle_timestamp(stamp, f.rig.now.wall);
	oracle_initiation(&lost, initiation, stamp);
	assert_int_equal(rig_datagram(&f.rig, initiation, sizeof(initiation), FOREIGN_AT), WG_DROP_MAC1);
}

/* Workers look first, so that a flood of them wakes nobody. */
static void
a_path_refuses_what_is_for_another_key(void **state)
{
	uint8_t initiation[ORACLE_INITIATION], other[ORACLE_INITIATION],
		cookie[WG_COOKIE_REPLY_LEN] = {WG_MSG_COOKIE};
	const struct private_key none = {0}, another = {.b = {8, 1, 2}};
	uint8_t stamp[12];
	struct oracle lost;

	rig_pump(&f.rig);
	oracle_timestamp(stamp, f.rig.now.wall);
	oracle_initiation(&f.o, initiation, stamp);
	oracle_init(&lost, "foreign", f.o.public);
	oracle_initiation(&lost, other, stamp);
	for (unsigned i = 0; i < f.rig.workers; i++) {
		const uint64_t before = wg_counted(path_counters(f.rig.path[i]), WG_DROP_MAC1);

		assert_true(path_handshake_worth(f.rig.path[i], initiation, sizeof(initiation)));
		assert_true(path_handshake_worth(f.rig.path[i], cookie, sizeof(cookie)));
		assert_false(path_handshake_worth(f.rig.path[i], other, sizeof(other)));
		assert_int_equal(wg_counted(path_counters(f.rig.path[i]), WG_DROP_MAC1), before + 1);
	}
	wg_private_key_set(f.rig.device, &another, f.rig.now, rig_effects(&f.rig));
	rig_pump(&f.rig);
	assert_false(path_handshake_worth(f.rig.path[0], initiation, sizeof(initiation)));
	wg_private_key_set(f.rig.device, &none, f.rig.now, rig_effects(&f.rig));
	rig_pump(&f.rig);
	assert_true(path_handshake_worth(f.rig.path[0], other, sizeof(other)));
}

/* The foreign side's answer to the gate's initiation. */
static void
awaited_response(uint8_t response[ORACLE_RESPONSE])
{
	const struct rig_datagram *initiation;

	wg_peer_initiate(f.rig.device, f.peer, f.rig.now, rig_effects(&f.rig));
	rig_pump(&f.rig);
	initiation = rig_one(&f.rig, WG_MSG_INITIATION);
	assert_true(oracle_take_initiation(&f.o, initiation->data, initiation->len));
	oracle_response(&f.o, response);
	rig_empty(&f.rig);
}

static void
one_wrong_bit_in_a_response_is_fatal_to_it_and_to_nothing_else(void **state)
{
	uint8_t response[ORACLE_RESPONSE];

	awaited_response(response);
	for (unsigned i = 0; i < 76; i++) {
		response[i] ^= (uint8_t)BIT(i % 8);
		assert_int_not_equal(rig_datagram(&f.rig, response, sizeof(response), FOREIGN_AT),
				     WG_DROP_NONE);
		if (i >= 8 && i < 60) {
			oracle_seal_macs(&f.o, response, sizeof(response));
			assert_int_equal(rig_datagram(&f.rig, response, sizeof(response), FOREIGN_AT),
					 i < 12 ? WG_DROP_NO_HANDSHAKE : WG_DROP_HANDSHAKE);
		}
		response[i] ^= (uint8_t)BIT(i % 8);
		oracle_seal_macs(&f.o, response, sizeof(response));
	}
	assert_int_equal(f.rig.n_out, 0);
	assert_int_equal(rig_datagram(&f.rig, response, sizeof(response), FOREIGN_AT), WG_DROP_NONE);
	rig_one(&f.rig, WG_MSG_DATA);
}

static void
a_response_counts_once(void **state)
{
	uint8_t response[ORACLE_RESPONSE];

	awaited_response(response);
	assert_int_equal(rig_datagram(&f.rig, response, sizeof(response), FOREIGN_AT), WG_DROP_NONE);
	rig_empty(&f.rig);
	assert_int_equal(rig_datagram(&f.rig, response, sizeof(response), "198.51.100.66:1"),
			 WG_DROP_NO_HANDSHAKE);
	assert_int_equal(f.rig.n_out, 0);
	assert_int_equal(f.rig.handshakes, 1);
}

static void
a_response_that_nobody_asked_for_is_dropped(void **state)
{
	uint8_t response[ORACLE_RESPONSE] = {0};

	for (unsigned i = 0; i < 1000; i++) {
		le32_store(response, 2);
		le32_store(response + 8, i * 0x9e3779b9U);
		oracle_seal_macs(&f.o, response, sizeof(response));
		assert_int_equal(rig_datagram(&f.rig, response, sizeof(response), FOREIGN_AT),
				 WG_DROP_NO_HANDSHAKE);
	}
}

static void
an_initiation_in_between_takes_the_place_of_our_own(void **state)
{
	uint8_t response[ORACLE_RESPONSE], initiation[ORACLE_INITIATION];

	awaited_response(response);
	foreign_initiation(&f, initiation);
	assert_int_equal(rig_datagram(&f.rig, initiation, sizeof(initiation), FOREIGN_AT), WG_DROP_NONE);
	assert_int_equal(rig_datagram(&f.rig, response, sizeof(response), FOREIGN_AT), WG_DROP_NO_HANDSHAKE);
	assert_int_equal(f.rig.handshakes, 0);
}

static void
another_psk_fails_the_response(void **state)
{
	uint8_t response[ORACLE_RESPONSE];

	f.o.psk[31] = 1;
	awaited_response(response);
	assert_int_equal(rig_datagram(&f.rig, response, sizeof(response), FOREIGN_AT), WG_DROP_HANDSHAKE);
	assert_int_equal(f.rig.n_out, 0);
	assert_int_equal(f.rig.handshakes, 0);
}

static void
points_of_small_order_are_refused(void **state)
{
	uint8_t initiation[ORACLE_INITIATION], response[ORACLE_RESPONSE];

	f.o.small_order = true;
	foreign_initiation(&f, initiation);
	assert_int_equal(rig_datagram(&f.rig, initiation, sizeof(initiation), FOREIGN_AT), WG_DROP_HANDSHAKE);
	assert_int_equal(f.rig.n_out, 0);
	f.o.small_order = false;
	awaited_response(response);
	{
		struct oracle weak = f.o;
		const struct rig_datagram *again;

		rig_run(&f.rig, MILLISECONDS(5500));
		again = rig_one(&f.rig, WG_MSG_INITIATION);
		assert_true(oracle_take_initiation(&weak, again->data, again->len));
		weak.small_order = true;
		oracle_response(&weak, response);
	}
	rig_empty(&f.rig);
	assert_int_equal(rig_datagram(&f.rig, response, sizeof(response), FOREIGN_AT), WG_DROP_HANDSHAKE);
	assert_int_equal(f.rig.n_out, 0);
	assert_int_equal(f.rig.handshakes, 0);
}

static void
a_peer_whose_key_is_of_small_order_is_never_spoken_to(void **state)
{
	const struct public_key zero = {.b = {0}}, one = {.b = {1}};
	struct wg_peer *peers[] = {rig_peer(&f.rig, &zero, "10.9.0.1/32", "192.0.2.77:1"),
				   rig_peer(&f.rig, &one, "10.9.0.2/32", "192.0.2.78:1")};

	for (unsigned i = 0; i < ARRAY_LEN(peers); i++)
		wg_peer_initiate(f.rig.device, peers[i], f.rig.now, rig_effects(&f.rig));
	rig_pump(&f.rig);
	rig_run(&f.rig, SECONDS(200));
	assert_int_equal(f.rig.n_out, 0);
}

static void
the_old_session_sends_until_the_new_one_is_confirmed(void **state)
{
	uint8_t initiation[ORACLE_INITIATION], plain[64];
	const struct rig_datagram *response;
	struct oracle old;

	foreign_shake(&f, FOREIGN_AT);
	old = f.o;
	rig_run(&f.rig, SECONDS(1));
	foreign_initiation(&f, initiation);
	assert_int_equal(rig_datagram(&f.rig, initiation, sizeof(initiation), FOREIGN_AT), WG_DROP_NONE);
	response = rig_one(&f.rig, WG_MSG_RESPONSE);
	assert_true(oracle_take_response(&f.o, response->data, response->len));
	rig_empty(&f.rig);
	assert_int_equal(foreign_packet(&f), 1);
	assert_true(oracle_take_data(&old, plain, f.rig.out[0].data, f.rig.out[0].len));

	assert_int_equal(foreign_data(&f, FOREIGN_AT), WG_DROP_NONE);
	rig_empty(&f.rig);
	assert_int_equal(foreign_packet(&f), 1);
	assert_true(oracle_take_data(&f.o, plain, f.rig.out[0].data, f.rig.out[0].len));

	/* The one before still receives. */
	{
		const struct oracle new = f.o;

		f.o = old;
		f.o.counter = 100;
		assert_int_equal(foreign_data(&f, FOREIGN_AT), WG_DROP_NONE);
		f.o = new;
	}
	/* Two renewals later it is gone. */
	rig_run(&f.rig, SECONDS(1));
	foreign_shake(&f, FOREIGN_AT);
	f.o = old;
	f.o.counter = 101;
	assert_int_equal(foreign_data(&f, FOREIGN_AT), WG_DROP_NO_SESSION);
}

static void
an_answer_of_ours_lets_go_of_the_session_before_the_current_one(void **state)
{
	uint8_t initiation[ORACLE_INITIATION];
	struct oracle first, second;

	foreign_shake(&f, FOREIGN_AT);
	first = f.o;
	rig_run(&f.rig, SECONDS(1));
	foreign_shake(&f, FOREIGN_AT);
	second = f.o;
	rig_run(&f.rig, SECONDS(1));
	foreign_initiation(&f, initiation);
	assert_int_equal(rig_datagram(&f.rig, initiation, sizeof(initiation), FOREIGN_AT), WG_DROP_NONE);
	f.o = first;
	assert_int_equal(foreign_data(&f, FOREIGN_AT), WG_DROP_NO_SESSION);
	f.o = second;
	assert_int_equal(foreign_data(&f, FOREIGN_AT), WG_DROP_NONE);
}

static void
only_the_newest_unconfirmed_session_can_be_confirmed(void **state)
{
	uint8_t initiation[ORACLE_INITIATION];
	struct oracle first;

	foreign_initiation(&f, initiation);
	assert_int_equal(rig_datagram(&f.rig, initiation, sizeof(initiation), FOREIGN_AT), WG_DROP_NONE);
	first = f.o;
	assert_true(oracle_take_response(&first, rig_one(&f.rig, WG_MSG_RESPONSE)->data, WG_RESPONSE_LEN));
	rig_empty(&f.rig);
	rig_run(&f.rig, SECONDS(1));
	rig_empty(&f.rig);
	foreign_initiation(&f, initiation);
	assert_int_equal(rig_datagram(&f.rig, initiation, sizeof(initiation), FOREIGN_AT), WG_DROP_NONE);
	assert_true(oracle_take_response(&f.o, rig_one(&f.rig, WG_MSG_RESPONSE)->data, WG_RESPONSE_LEN));
	{
		const struct oracle second = f.o;

		f.o = first;
		assert_int_equal(foreign_data(&f, FOREIGN_AT), WG_DROP_NO_SESSION);
		f.o = second;
	}
	assert_int_equal(foreign_data(&f, FOREIGN_AT), WG_DROP_NONE);
}

static void
a_handshake_moves_the_endpoint_and_what_fails_does_not(void **state)
{
	uint8_t initiation[ORACLE_INITIATION], response[ORACLE_RESPONSE];
	struct wg_peer_view view;
	char text[ENDPOINT_TEXT_LEN];

	foreign_initiation(&f, initiation);
	initiation[90] ^= 1;
	oracle_seal_macs(&f.o, initiation, sizeof(initiation));
	rig_datagram(&f.rig, initiation, sizeof(initiation), "198.51.100.66:1");
	wg_peer_view(f.peer, &view);
	endpoint_text(text, &view.endpoint);
	assert_string_equal(text, FOREIGN_AT);

	foreign_initiation(&f, initiation);
	assert_int_equal(rig_datagram(&f.rig, initiation, sizeof(initiation), "[2001:db8::5]:77"),
			 WG_DROP_NONE);
	endpoint_text(text, &rig_one(&f.rig, WG_MSG_RESPONSE)->route.to);
	assert_string_equal(text, "[2001:db8::5]:77");
	rig_empty(&f.rig);

	rig_run(&f.rig, SECONDS(6));
	rig_empty(&f.rig);
	awaited_response(response);
	assert_int_equal(rig_datagram(&f.rig, response, sizeof(response), "203.0.113.9:4"), WG_DROP_NONE);
	endpoint_text(text, &rig_one(&f.rig, WG_MSG_DATA)->route.to);
	assert_string_equal(text, "203.0.113.9:4");
	wg_peer_view(f.peer, &view);
	endpoint_text(text, &view.endpoint);
	assert_string_equal(text, "203.0.113.9:4");
}

static void
answers_leave_from_the_address_that_was_spoken_to(void **state)
{
	uint8_t initiation[ORACLE_INITIATION];
	struct wg_arrival arrival;
	const struct rig_datagram *out;

	arrival_from(&arrival, FOREIGN_AT);
	assert_int_equal(ip_parse(&arrival.to, "203.0.113.80"), 0);
	foreign_initiation(&f, initiation);
	assert_int_equal(rig_arrive(&f.rig, initiation, sizeof(initiation), &arrival), WG_DROP_NONE);
	out = rig_one(&f.rig, WG_MSG_RESPONSE);
	assert_true(ip_equal(&out->route.from, &arrival.to));
	assert_int_equal(out->route.ifindex, 0);
	assert_true(oracle_take_response(&f.o, out->data, out->len));
	{
		uint8_t data[32];

		oracle_data(&f.o, data, 0, "", 0);
		assert_int_equal(rig_arrive(&f.rig, data, sizeof(data), &arrival), WG_DROP_NONE);
	}
	rig_empty(&f.rig);
	assert_int_equal(foreign_packet(&f), 1);
	assert_true(ip_equal(&rig_one(&f.rig, WG_MSG_DATA)->route.from, &arrival.to));

	/* Until that address cannot be used any more. */
	wg_sources_clear(f.rig.device, rig_effects(&f.rig));
	rig_pump(&f.rig);
	rig_empty(&f.rig);
	assert_int_equal(foreign_packet(&f), 1);
	assert_int_equal(rig_one(&f.rig, WG_MSG_DATA)->route.from.family, 0);

	/* Spoken to at it again, it is good again. */
	{
		uint8_t data[32];

		oracle_data(&f.o, data, 1, "", 0);
		assert_int_equal(rig_arrive(&f.rig, data, sizeof(data), &arrival), WG_DROP_NONE);
	}
	rig_empty(&f.rig);
	assert_int_equal(foreign_packet(&f), 1);
	assert_true(ip_equal(&rig_one(&f.rig, WG_MSG_DATA)->route.from, &arrival.to));
}

/* The gate has a session and answers from 203.0.113.80. */
static void
shake_with_source(void)
{
	uint8_t initiation[ORACLE_INITIATION], data[32];
	struct wg_arrival arrival;

	arrival_from(&arrival, FOREIGN_AT);
	assert_int_equal(ip_parse(&arrival.to, "203.0.113.80"), 0);
	foreign_initiation(&f, initiation);
	assert_int_equal(rig_arrive(&f.rig, initiation, sizeof(initiation), &arrival), WG_DROP_NONE);
	assert_true(oracle_take_response(&f.o, rig_one(&f.rig, WG_MSG_RESPONSE)->data, WG_RESPONSE_LEN));
	oracle_data(&f.o, data, 0, "", 0);
	assert_int_equal(rig_arrive(&f.rig, data, sizeof(data), &arrival), WG_DROP_NONE);
	rig_run(&f.rig, SECONDS(6));
	rig_empty(&f.rig);
}

static void
retries_let_routing_choose_the_source(void **state)
{
	shake_with_source();
	wg_peer_initiate(f.rig.device, f.peer, f.rig.now, rig_effects(&f.rig));
	rig_pump(&f.rig);
	assert_int_equal(rig_one(&f.rig, WG_MSG_INITIATION)->route.from.family, AF_INET);
	rig_empty(&f.rig);
	rig_run(&f.rig, MILLISECONDS(5400));
	assert_int_equal(rig_one(&f.rig, WG_MSG_INITIATION)->route.from.family, 0);
	/* and so do data from then on */
	rig_empty(&f.rig);
	assert_int_equal(foreign_packet(&f), 1);
	assert_int_equal(f.rig.out[0].route.from.family, 0);
}

static void
a_source_that_failed_a_handshake_is_forgotten_everywhere(void **state)
{
	struct wg_peer_view view;

	shake_with_source();
	wg_peer_view(f.peer, &view);
	wg_peer_source_clear(f.rig.device, view.id, rig_effects(&f.rig));
	wg_peer_source_clear(f.rig.device, (struct wg_peer_id){.number = 77, .serial = 7},
			     rig_effects(&f.rig)); /* nobody */
	rig_pump(&f.rig);
	rig_empty(&f.rig);
	wg_peer_initiate(f.rig.device, f.peer, f.rig.now, rig_effects(&f.rig));
	rig_pump(&f.rig);
	assert_int_equal(rig_one(&f.rig, WG_MSG_INITIATION)->route.from.family, 0);
	assert_int_equal(foreign_packet(&f), 1);
	assert_int_equal(f.rig.out[1].route.from.family, 0);
}

static void
a_path_whose_source_is_gone_sends_from_anywhere(void **state)
{
	shake_with_source();
	assert_int_equal(foreign_packet(&f), 1);
	assert_int_equal(f.rig.out[0].route.from.family, AF_INET);
	rig_empty(&f.rig);
	path_source_clear(f.rig.path[0], f.rig.sessions[0].peer);
	assert_int_equal(foreign_packet(&f), 1);
	assert_int_equal(f.rig.out[0].route.from.family, 0);
	path_source_clear(f.rig.path[0], (struct wg_peer_id){.number = 9, .serial = 9}); /* nobody */
}

static void
truncated_and_stretched_handshakes_are_dropped_by_length(void **state)
{
	uint8_t initiation[ORACLE_INITIATION + 1];

	foreign_initiation(&f, initiation);
	initiation[148] = 0;
	assert_int_equal(rig_datagram(&f.rig, initiation, 149, FOREIGN_AT), WG_DROP_LENGTH);
	for (size_t len = 4; len < 148; len++)
		assert_int_equal(rig_datagram(&f.rig, initiation, len, FOREIGN_AT), WG_DROP_LENGTH);
	for (size_t len = 0; len < 4; len++)
		assert_int_equal(rig_datagram(&f.rig, initiation, len, FOREIGN_AT), WG_DROP_TYPE);
}

/* The caller classifies first, but a device believes nobody. */
static void
what_is_no_handshake_is_dropped_by_the_device_itself(void **state)
{
	static uint8_t data[2000];
	struct wg_event event = {.type = WG_EVENT_DATAGRAM};

	foreign_shake(&f, FOREIGN_AT);
	arrival_from(&event.datagram.arrival, FOREIGN_AT);
	for (uint32_t type = 0; type < 6; type++)
		for (size_t len = 0; len < sizeof(data); len++) {
			uint8_t *copy = malloc(len ? len : 1);

			le32_store(data, type);
			memcpy(copy, data, len);
			event.datagram.data = copy;
			event.datagram.len = len;
			wg_step(f.rig.device, &event, f.rig.now, rig_effects(&f.rig));
			free(copy);
		}
	rig_pump(&f.rig);
	assert_int_equal(f.rig.n_out, 0);
	assert_int_equal(f.rig.handshakes, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_initiator_sends_and_derives_what_the_vectors_say),
		cmocka_unit_test(without_a_psk_zeroes_are_mixed),
		cmocka_unit_test(the_responder_sends_and_derives_what_the_vectors_say),
		cmocka_unit_test(an_initiators_cookie_is_that_of_the_vectors),
		TEST(the_timestamp_is_rounded_and_grows),
		TEST(an_initiation_seen_before_gets_no_answer),
		TEST(an_initiation_with_an_equal_or_older_timestamp_gets_no_answer),
		TEST(initiations_less_than_20_ms_apart_get_no_answer),
		TEST(hundreds_of_handshakes_draw_no_cookie),
		TEST(one_wrong_bit_in_an_initiation_is_fatal_to_it_and_to_nothing_else),
		TEST(a_stranger_gets_no_answer),
		TEST(a_message_for_another_key_fails_at_its_mac),
		TEST(a_path_refuses_what_is_for_another_key),
		TEST(one_wrong_bit_in_a_response_is_fatal_to_it_and_to_nothing_else),
		TEST(a_response_counts_once),
		TEST(a_response_that_nobody_asked_for_is_dropped),
		TEST(an_initiation_in_between_takes_the_place_of_our_own),
		TEST(another_psk_fails_the_response),
		TEST(points_of_small_order_are_refused),
		TEST(a_peer_whose_key_is_of_small_order_is_never_spoken_to),
		TEST(the_old_session_sends_until_the_new_one_is_confirmed),
		TEST(an_answer_of_ours_lets_go_of_the_session_before_the_current_one),
		TEST(only_the_newest_unconfirmed_session_can_be_confirmed),
		TEST(a_handshake_moves_the_endpoint_and_what_fails_does_not),
		TEST(answers_leave_from_the_address_that_was_spoken_to),
		TEST(retries_let_routing_choose_the_source),
		TEST(a_source_that_failed_a_handshake_is_forgotten_everywhere),
		TEST(a_path_whose_source_is_gone_sends_from_anywhere),
		TEST(what_is_no_handshake_is_dropped_by_the_device_itself),
		TEST(truncated_and_stretched_handshakes_are_dropped_by_length),
	};

	return cmocka_run_group_tests_name("handshake", tests, NULL, NULL);
}
