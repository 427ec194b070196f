/*
 * A WireGuard client as small as can be, many of which fit into one process: it initiates, reads the
 * response, and seals data.  No timers, no renewal: a run is shorter than a session.
 */
#ifndef TESTS_BENCH_CLIENT_H
#define TESTS_BENCH_CLIENT_H

#include "base/ip.h"
#include "server/wg/aead.h"
#include "server/wg/cookie.h"
#include "server/wg/noise.h"

/* Whom the clients talk to, and what they have in common. */
struct gateway {
	struct endpoint at;
	struct public_key key;
	struct aead aead;
};

struct client {
	struct noise_identity identity;
	uint8_t static_static[KEY_LEN];
	struct noise_handshake handshake;
	struct cookie cookie;
	uint64_t timestamp; /* nanoseconds of the last initiation: each is newer than the one before */
	int fd;             /* the socket that it uses, perhaps with others */

	uint32_t remote; /* its session: the gateway's index, 0: none */
	uint64_t counter;
	uint8_t sending[AEAD_KEY_LEN], receiving[AEAD_KEY_LEN];
	void *session; /* the back end's */
};

/* The same key for the same number in every process, so that the gateway can be told before. */
void client_key(uint32_t number, struct private_key *secret, struct public_key *key);

/* The inner address of a client: 10.64.0.0 and its number. */
uint32_t client_address(uint32_t number);

/* -EKEYREJECTED: the gateway's key is none. */
int client_init(struct client *client, const struct gateway *gateway, uint32_t number) _must_check_;

/* A fresh initiation, with both MACs. */
int client_initiate(struct client *client, const struct gateway *gateway, uint32_t index,
		    uint8_t message[WG_INITIATION_LEN]) _must_check_;

/* The session, if the response is authentic.  -EBADMSG. */
int client_respond(struct client *client, const struct gateway *gateway,
		   const uint8_t message[WG_RESPONSE_LEN]) _must_check_;

/* @n messages of @len plaintext bytes each, one after another at @out; 0 bytes make a keepalive. */
void client_seal(struct client *client, const struct gateway *gateway, const uint8_t *plain, uint32_t len,
		 unsigned n, uint8_t *out);

#endif
