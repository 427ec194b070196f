#include "server/wg/cookie.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "server/wg/hash.h"

#define REPLY_RECEIVER 4
#define REPLY_NONCE    8
#define REPLY_COOKIE   32

_Static_assert(REPLY_COOKIE - REPLY_NONCE == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES, "XChaCha's nonce");

static void
label_key(uint8_t key[COOKIE_KEY_LEN], const char label[static 8], const struct public_key *receiver)
{
	hash(key, label, 8, receiver->b, KEY_LEN);
}

void
cookie_checker_key(struct cookie_checker *checker, const struct public_key *own)
{
	label_key(checker->mac1_key, "mac1----", own);
	label_key(checker->reply_key, "cookie--", own);
}

static size_t
mac1_at(size_t len)
{
	return len - 2 * (size_t)WG_MAC_LEN;
}

static size_t
mac2_at(size_t len)
{
	return len - WG_MAC_LEN;
}

static void
mac1_make(uint8_t mac[WG_MAC_LEN], const uint8_t key[COOKIE_KEY_LEN], const uint8_t *message, size_t len)
{
	hash_mac(mac, WG_MAC_LEN, key, COOKIE_KEY_LEN, message, mac1_at(len), NULL, 0);
}

static void
mac2_make(uint8_t mac[WG_MAC_LEN], const uint8_t cookie[COOKIE_LEN], const uint8_t *message, size_t len)
{
	hash_mac(mac, WG_MAC_LEN, cookie, COOKIE_LEN, message, mac2_at(len), NULL, 0);
}

bool
cookie_mac1_valid(const struct cookie_checker *checker, const uint8_t *message, size_t len)
{
	uint8_t mac[WG_MAC_LEN];

	mac1_make(mac, checker->mac1_key, message, len);
	return bytes_equal(mac, message + mac1_at(len), sizeof(mac));
}

/* Bound to address and port, so that one host behind a NAT does not vouch for the others. */
static void
cookie_make(struct cookie_checker *checker, const struct endpoint *from, nsec_t now,
	    const struct wg_random *random, uint8_t cookie[COOKIE_LEN])
{
	uint8_t port[2];

	if (checker->secret_birth == 0 || now - checker->secret_birth >= WG_COOKIE_SECRET_TIME) {
		random->fill(random->ctx, checker->secret, sizeof(checker->secret));
		checker->secret_birth = now;
	}
	be16_store(port, from->port);
	hash_mac(cookie, COOKIE_LEN, checker->secret, sizeof(checker->secret), from->ip.addr,
		 ip_bits(&from->ip) / 8, port, sizeof(port));
}

bool
cookie_mac2_valid(struct cookie_checker *checker, const uint8_t *message, size_t len,
		  const struct endpoint *from, nsec_t now, const struct wg_random *random)
{
	uint8_t cookie[COOKIE_LEN], mac[WG_MAC_LEN];
	bool valid;

	cookie_make(checker, from, now, random, cookie);
	mac2_make(mac, cookie, message, len);
	valid = bytes_equal(mac, message + mac2_at(len), sizeof(mac));
	bytes_wipe(cookie, sizeof(cookie));
	return valid;
}

void
cookie_reply_write(struct cookie_checker *checker, const uint8_t *message, size_t len,
		   const struct endpoint *from, nsec_t now, const struct wg_random *random,
		   uint8_t reply[WG_COOKIE_REPLY_LEN])
{
	uint8_t cookie[COOKIE_LEN];

	cookie_make(checker, from, now, random, cookie);
	le32_store(reply, WG_MSG_COOKIE);
	memcpy(reply + REPLY_RECEIVER, message + 4, 4); /* its sender index */
	random->fill(random->ctx, reply + REPLY_NONCE, REPLY_COOKIE - REPLY_NONCE);
	crypto_aead_xchacha20poly1305_ietf_encrypt(reply + REPLY_COOKIE, NULL, cookie, sizeof(cookie),
						   message + mac1_at(len), WG_MAC_LEN, NULL,
						   reply + REPLY_NONCE, checker->reply_key);
	bytes_wipe(cookie, sizeof(cookie));
}

void
cookie_macs_add(struct cookie *cookie, const struct public_key *remote, uint8_t *message, size_t len,
		nsec_t now)
{
	uint8_t key[COOKIE_KEY_LEN];

	label_key(key, "mac1----", remote);
	mac1_make(cookie->mac1, key, message, len);
	memcpy(message + mac1_at(len), cookie->mac1, WG_MAC_LEN);
	cookie->awaited = true;

	if (cookie->birth != 0 && now - cookie->birth >= WG_COOKIE_SECRET_TIME - WG_COOKIE_LATENCY) {
		bytes_wipe(cookie->value, sizeof(cookie->value));
		cookie->birth = 0;
	}
	if (cookie->birth != 0)
		mac2_make(message + mac2_at(len), cookie->value, message, len);
	else
		memset(message + mac2_at(len), 0, WG_MAC_LEN);
}

int
cookie_reply_read(struct cookie *cookie, const struct public_key *remote,
		  const uint8_t reply[WG_COOKIE_REPLY_LEN], nsec_t now)
{
	uint8_t key[COOKIE_KEY_LEN], value[COOKIE_LEN];

	if (!cookie->awaited)
		return -EBADMSG;
	label_key(key, "cookie--", remote);
	if (crypto_aead_xchacha20poly1305_ietf_decrypt(value, NULL, NULL, reply + REPLY_COOKIE,
						       COOKIE_LEN + WG_TAG_LEN, cookie->mac1, WG_MAC_LEN,
						       reply + REPLY_NONCE, key) != 0)
		return -EBADMSG;
	memcpy(cookie->value, value, sizeof(value));
	cookie->birth = now;
	cookie->awaited = false;
	bytes_wipe(value, sizeof(value));
	return 0;
}
