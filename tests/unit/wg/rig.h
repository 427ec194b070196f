/*
 * A device with its paths, taken out of the tunnel: what the loop and the workers would do, on one
 * thread and at a time that the test names.  Everything that leaves is kept in boxes and checked
 * by the rules that no implementation may break, whatever the test is about: no counter is used
 * twice under one key, no key is used beyond its age, padding and lengths are right, datagrams open
 * with a foreign implementation of the cipher.
 */
#ifndef TESTS_UNIT_WG_RIG_H
#define TESTS_UNIT_WG_RIG_H

#include "server/wg/device.h"
#include "server/wg/messages.h"
#include "server/wg/path.h"

#define RIG_WORKERS 4
#define RIG_MTU     1420
#define RIG_PEERS   65536               /* numbers that a rig follows */
#define RIG_WALL    SECONDS(1795536000) /* when boot time is 0 */

/* A datagram that was sent. */
struct rig_datagram {
	uint8_t *data;
	size_t len;
	struct wg_route route;
	uint8_t tos;
	uint32_t type;
};

/* A packet that was delivered. */
struct rig_packet {
	uint8_t *data;
	size_t len;
	bool quarantined;
	struct wg_peer_id peer;
	unsigned domain;
};

/* A session, as the device told the path. */
struct rig_session {
	uint8_t sending[32], receiving[32];
	uint32_t local_index, remote_index;
	nsec_t birth;
	bool initiator;
	struct wg_peer_id peer;
	uint64_t next; /* lowest counter that was not sent yet */
	uint64_t sent;
};

struct rig {
	struct wg_device *device;
	struct wg_domain *domain; /* the first one, for functions that name none */
	struct wg_path *path[RIG_WORKERS];
	struct aead aead[RIG_WORKERS];
	unsigned workers;
	struct private_key secret;
	struct public_key public;

	/* The test's to change. */
	struct wg_now now;
	bool loaded;
	uint32_t mtu;
	const uint8_t *ephemeral; /* not NULL: what 32 random bytes are */

	/* What came out. */
	struct rig_datagram *out;
	size_t n_out, max_out;
	struct rig_packet *in;
	size_t n_in, max_in;
	struct rig_session *sessions;
	size_t n_sessions;
	unsigned ordered[16]; /* by enum wg_order_type */
	unsigned handshakes, endpoints;
	uint64_t received[WG_DROP_COUNT]; /* what path_open() and path_seal() answered */

	/* Its own. */
	uint64_t random;
	struct rig_order *orders, **orders_last;
	uint8_t *worker_of; /* by peer number */
};

/* A device that is up at boot time 1 s, with a secret made of @name. */
void rig_init(struct rig *rig, const char *name, unsigned workers);
void rig_init_config(struct rig *rig, const char *name, const struct wg_device_config *config,
		     uint32_t staged_max);
/* The wall clock is that when it starts. */
void rig_init_at(struct rig *rig, const char *name, const struct wg_device_config *config,
		 uint32_t staged_max, nsec_t wall);
void rig_done(struct rig *rig);

/* A peer; @allowed: prefixes apart by commas; @endpoint: NULL for none. */
struct wg_peer *rig_peer(struct rig *rig, const struct public_key *key, const char *allowed,
			 const char *endpoint);
struct wg_peer *rig_peer_in(struct rig *rig, struct wg_domain *domain, const struct public_key *key,
			    const char *allowed, const char *endpoint);
/* A further domain that is up. */
struct wg_domain *rig_domain(struct rig *rig);
void rig_secret(struct private_key *ret, const char *name);

/* Effects that the device's functions want; rig_pump() afterwards carries them out. */
const struct wg_effects *rig_effects(struct rig *rig);
/* Until nothing moves. */
void rig_pump(struct rig *rig);

void rig_event(struct rig *rig, enum wg_event_type type);
void rig_event_in(struct rig *rig, enum wg_event_type type, struct wg_domain *domain);
/* A datagram as the socket has it; the answer is why it went no further, if so. */
enum wg_drop rig_datagram(struct rig *rig, const void *data, size_t len, const char *from);
enum wg_drop rig_arrive(struct rig *rig, const void *data, size_t len, const struct wg_arrival *arrival);
/* A packet from the TUN.  1: sent; 0: waits; negative: dropped for that reason. */
int rig_packet(struct rig *rig, const void *packet, size_t len);
int rig_packet_from(struct rig *rig, const void *packet, size_t len, bool quarantine);
int rig_packet_in(struct rig *rig, struct wg_domain *domain, const void *packet, size_t len, bool quarantine);
nsec_t rig_deadline(const struct rig *rig);
/* Moves both clocks, stepping at each deadline on the way. */
void rig_run(struct rig *rig, nsec_t duration);
void rig_run_until(struct rig *rig, nsec_t boot);

/* Forgets what is in the boxes. */
void rig_empty(struct rig *rig);
/* The only datagram sent since then; fails if there is another number or another type. */
const struct rig_datagram *rig_one(const struct rig *rig, uint32_t type);
unsigned rig_count(const struct rig *rig, uint32_t type);
uint64_t rig_drops(const struct rig *rig, enum wg_drop drop);

/* Inner packets: headers that are in order, an id in the first 8 bytes of payload. */
size_t packet4(uint8_t *out, const char *from, const char *to, size_t len, uint64_t id);
size_t packet6(uint8_t *out, const char *from, const char *to, size_t len, uint64_t id);
uint64_t packet_id(const uint8_t *packet);
void arrival_from(struct wg_arrival *ret, const char *from);

#endif
