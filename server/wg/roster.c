#include "server/wg/roster.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "base/bytes.h"

#define BUCKETS_MIN 64U

_Static_assert(sizeof(((struct roster *)0)->hash_key) == crypto_shorthash_KEYBYTES, "SipHash's key");

void
roster_init(struct roster *peers, uint32_t max, const struct wg_random *random)
{
	*peers = (struct roster){.max = max};
	random->fill(random->ctx, peers->hash_key, sizeof(peers->hash_key));
	random->fill(random->ctx, &peers->serial, sizeof(peers->serial));
}

void
peer_handshake_forget(struct wg_peer *peer)
{
	if (peer->handshake)
		noise_wipe(peer->handshake);
	free(peer->handshake);
	peer->handshake = NULL;
}

static void
peer_free(struct wg_peer *peer)
{
	if (!peer)
		return;
	peer_handshake_forget(peer);
	bytes_wipe(peer, sizeof(*peer));
	free(peer);
}

void
roster_done(struct roster *peers)
{
	for (uint32_t i = 0; i < peers->top; i++) {
		peer_free(peers->numbers[i]);
	}
	free(peers->buckets);
	free(peers->numbers);
	free(peers->unused);
	*peers = (struct roster){0};
}

static struct wg_peer **
bucket_of(const struct roster *peers, const struct public_key *key)
{
	uint8_t out[crypto_shorthash_BYTES];
	uint32_t bucket;

	crypto_shorthash(out, key->b, KEY_LEN, peers->hash_key);
	bucket = (uint32_t)le64_load(out) & (2 * peers->bucket_level - 1);
	if (bucket >= peers->bucket_count) /* it is not split yet */
		bucket -= peers->bucket_level;
	return &peers->buckets[bucket];
}

static int
buckets_reserve(struct roster *peers)
{
	const uint32_t room = MAX(BUCKETS_MIN, peers->bucket_room * 2);
	struct wg_peer **buckets;

	if (peers->bucket_count < peers->bucket_room)
		return 0;
	buckets = reallocarray(peers->buckets, room, sizeof(struct wg_peer *));
	if (!buckets)
		return -ENOMEM;
	peers->buckets = buckets;
	peers->bucket_room = room;
	return 0;
}

/*
 * Linear hashing: with each peer one bucket is split in two, in order, so that no peer that is added waits
 * for all others to be sorted anew.
 */
static int
buckets_grow(struct roster *peers)
{
	struct wg_peer *peer, *next;
	int r;

	if (peers->count < peers->bucket_count)
		return 0;
	r = buckets_reserve(peers);
	if (r < 0)
		return r;
	if (peers->bucket_count == 2 * peers->bucket_level)
		peers->bucket_level *= 2;
	if (peers->bucket_level == 0) {
		peers->buckets[0] = NULL;
		peers->bucket_level = peers->bucket_count = 1;
		return 0;
	}
	peer = take_ptr(peers->buckets[peers->bucket_count - peers->bucket_level]);
	peers->buckets[peers->bucket_count++] = NULL;
	for (; peer; peer = next) {
		struct wg_peer **bucket = bucket_of(peers, &peer->key);

		next = peer->same_hash;
		peer->same_hash = *bucket;
		*bucket = peer;
	}
	return 0;
}

static int
numbers_grow(struct roster *peers)
{
	const uint32_t room = MAX(64U, peers->room * 2);
	struct wg_peer **numbers;
	uint32_t *unused;

	if (peers->top < peers->room)
		return 0;
	numbers = reallocarray(peers->numbers, room, sizeof(struct wg_peer *));
	if (!numbers)
		return -ENOMEM;
	peers->numbers = numbers;
	unused = reallocarray(peers->unused, room, sizeof(*unused));
	if (!unused)
		return -ENOMEM;
	peers->unused = unused;
	peers->room = room;
	return 0;
}

int
roster_add(struct roster *peers, const struct public_key *key, struct wg_peer **ret)
{
	struct wg_peer *peer, **bucket;
	int r;

	if (peers->count >= peers->max)
		return -ENOSPC;
	r = buckets_grow(peers);
	if (r < 0)
		return r;
	r = numbers_grow(peers);
	if (r < 0)
		return r;
	peer = calloc(1, sizeof(*peer));
	if (!peer)
		return -ENOMEM;

	peer->key = *key;
	peer->id.number = peers->unused_count > 0 ? peers->unused[--peers->unused_count] : peers->top++;
	if (++peers->serial == 0)
		peers->serial = 1;
	peer->id.serial = peers->serial;
	peers->numbers[peer->id.number] = peer;
	bucket = bucket_of(peers, key);
	peer->same_hash = *bucket;
	*bucket = peer;
	peers->count++;
	*ret = peer;
	return 0;
}

void
roster_remove(struct roster *peers, struct wg_peer *peer)
{
	struct wg_peer **at = bucket_of(peers, &peer->key);

	while (*at != peer)
		at = &(*at)->same_hash;
	*at = peer->same_hash;
	peers->numbers[peer->id.number] = NULL;
	peers->unused[peers->unused_count++] = peer->id.number;
	peers->count--;
	peer_free(peer);
}

struct wg_peer *
roster_by_key(const struct roster *peers, const struct public_key *key)
{
	struct wg_peer *peer = peers->bucket_count > 0 ? *bucket_of(peers, key) : NULL;

	while (peer && memcmp(peer->key.b, key->b, KEY_LEN) != 0)
		peer = peer->same_hash;
	return peer;
}

struct wg_peer *
roster_by_number(const struct roster *peers, uint32_t number)
{
	return number < peers->top ? peers->numbers[number] : NULL;
}

struct wg_peer *
roster_next(const struct roster *peers, const struct wg_peer *prev)
{
	for (uint32_t i = prev ? prev->id.number + 1 : 0; i < peers->top; i++)
		if (peers->numbers[i])
			return peers->numbers[i];
	return NULL;
}
