/*
 * A rig with a foreign peer: what most tests of one device begin with.
 */
#ifndef TESTS_UNIT_WG_FOREIGN_H
#define TESTS_UNIT_WG_FOREIGN_H

#include "tests/unit/wg/oracle.h"
#include "tests/unit/wg/rig.h"

#define FOREIGN_AT "192.0.2.2:51820"
#define FOREIGN_IP "10.0.0.2"
#define GATE_IP    "10.0.0.1"

struct foreign {
	struct rig rig;
	struct oracle o;
	struct wg_peer *peer;
};

/* Device "gate" knows the peer by key, allowed address and endpoint. */
void foreign_init(struct foreign *f);
void foreign_done(struct foreign *f);

/* An initiation of now. */
void foreign_initiation(struct foreign *f, uint8_t out[ORACLE_INITIATION]);
/* The foreign peer initiates from @from; both have a session then, and the gate knows that. */
void foreign_shake(struct foreign *f, const char *from);
/* The gate initiates; both have a session then. */
void foreign_answer(struct foreign *f);

/* Data from the foreign peer, on its newest session. */
enum wg_drop foreign_send(struct foreign *f, uint64_t counter, const void *packet, size_t len,
			  const char *from);
/* A packet that is in order, its source the peer's. */
enum wg_drop foreign_data(struct foreign *f, const char *from);
/* A packet from the gate's TUN to the peer. */
int foreign_packet(struct foreign *f);

#endif
