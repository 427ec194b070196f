/*
 * The two MACs of handshake messages.  mac1 shows that the sender knows our public key; mac2, that it
 * receives at the address from which it sends: it is keyed by a cookie that we hand out under load.
 */
#ifndef SERVER_WG_COOKIE_H
#define SERVER_WG_COOKIE_H

#include <stdbool.h>

#include "base/key.h"
#include "server/wg/constants.h"
#include "server/wg/messages.h"
#include "server/wg/values.h"

#define COOKIE_LEN     16
#define COOKIE_KEY_LEN 32

/* The receiving side, one a device. */
struct cookie_checker {
	uint8_t mac1_key[COOKIE_KEY_LEN], reply_key[COOKIE_KEY_LEN]; /* of our public key */
	uint8_t secret[COOKIE_KEY_LEN];
	nsec_t secret_birth; /* 0: there is none yet */
};

void cookie_checker_key(struct cookie_checker *checker, const struct public_key *own);

/* @message is an initiation or a response of @len bytes. */
bool cookie_mac1_valid(const struct cookie_checker *checker, const uint8_t *message, size_t len);
bool cookie_mac2_valid(struct cookie_checker *checker, const uint8_t *message, size_t len,
		       const struct endpoint *from, nsec_t now, const struct wg_random *random);
void cookie_reply_write(struct cookie_checker *checker, const uint8_t *message, size_t len,
			const struct endpoint *from, nsec_t now, const struct wg_random *random,
			uint8_t reply[WG_COOKIE_REPLY_LEN]);

/* The sending side, one a peer.  Zeroes: no cookie. */
struct cookie {
	uint8_t mac1[WG_MAC_LEN]; /* the last one that we sent */
	bool awaited;             /* and no cookie has come for it */
	uint8_t value[COOKIE_LEN];
	nsec_t birth; /* 0: no value */
};

/* Fills in both MACs of a message to @remote. */
void cookie_macs_add(struct cookie *cookie, const struct public_key *remote, uint8_t *message, size_t len,
		     nsec_t now);

/* -EBADMSG: not for the last message that we sent to @remote, or not from there. */
int cookie_reply_read(struct cookie *cookie, const struct public_key *remote,
		      const uint8_t reply[WG_COOKIE_REPLY_LEN], nsec_t now) _must_check_;

#endif
