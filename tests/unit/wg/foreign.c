#include "tests/unit/wg/foreign.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

void
foreign_init(struct foreign *f)
{
	struct public_key key;

	memset(f, 0, sizeof(*f));
	/* Few places to wait: fuzzers make thousands of these. */
	rig_init_config(&f->rig, "gate", &(struct wg_device_config){.workers = 1}, 256);
	oracle_init(&f->o, "foreign", f->rig.public.b);
	memcpy(key.b, f->o.public, KEY_LEN);
	f->peer = rig_peer(&f->rig, &key, FOREIGN_IP "/32", FOREIGN_AT);
	assert_int_equal(f->rig.n_out, 0);
}

void
foreign_done(struct foreign *f)
{
	rig_done(&f->rig);
}

void
foreign_initiation(struct foreign *f, uint8_t out[ORACLE_INITIATION])
{
	uint8_t stamp[12];

	oracle_timestamp(stamp, f->rig.now.wall);
	oracle_initiation(&f->o, out, stamp);
}

void
foreign_shake(struct foreign *f, const char *from)
{
	uint8_t initiation[ORACLE_INITIATION];
	const struct rig_datagram *response;

	rig_empty(&f->rig);
	foreign_initiation(f, initiation);
	assert_int_equal(rig_datagram(&f->rig, initiation, sizeof(initiation), from), WG_DROP_NONE);
	response = rig_one(&f->rig, WG_MSG_RESPONSE);
	assert_true(oracle_take_response(&f->o, response->data, response->len));
	assert_int_equal(foreign_send(f, f->o.counter++, "", 0, from), WG_DROP_NONE);
	rig_empty(&f->rig);
}

void
foreign_answer(struct foreign *f)
{
	uint8_t response[ORACLE_RESPONSE];
	const struct rig_datagram *initiation;

	rig_empty(&f->rig);
	wg_peer_initiate(f->rig.device, f->peer, f->rig.now, rig_effects(&f->rig));
	rig_pump(&f->rig);
	initiation = rig_one(&f->rig, WG_MSG_INITIATION);
	assert_true(oracle_take_initiation(&f->o, initiation->data, initiation->len));
	oracle_response(&f->o, response);
	rig_empty(&f->rig);
	assert_int_equal(rig_datagram(&f->rig, response, sizeof(response), FOREIGN_AT), WG_DROP_NONE);
	rig_one(&f->rig, WG_MSG_DATA);
	rig_empty(&f->rig);
}

enum wg_drop
foreign_send(struct foreign *f, uint64_t counter, const void *packet, size_t len, const char *from)
{
	uint8_t *message = malloc(len + 32);
	enum wg_drop drop;

	assert_non_null(message);
	oracle_data(&f->o, message, counter, packet, len);
	drop = rig_datagram(&f->rig, message, len + 32, from);
	free(message);
	return drop;
}

enum wg_drop
foreign_data(struct foreign *f, const char *from)
{
	uint8_t packet[64];

	packet4(packet, FOREIGN_IP, GATE_IP, sizeof(packet), f->o.counter);
	return foreign_send(f, f->o.counter++, packet, sizeof(packet), from);
}

int
foreign_packet(struct foreign *f)
{
	uint8_t packet[64];

	packet4(packet, GATE_IP, FOREIGN_IP, sizeof(packet), 1);
	return rig_packet(&f->rig, packet, sizeof(packet));
}
