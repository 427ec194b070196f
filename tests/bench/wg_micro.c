/*
 * What server/wg costs by itself, on one core and without sockets: handshakes answered and begun, what
 * a flood costs, packets sealed and opened with a cipher that does nothing, and the two X25519 that could be
 * used.  Prints "name value unit", the best of several rounds in CPU time of this thread.
 */
#include <openssl/evp.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/wg/cookie.h"
#include "server/wg/device.h"
#include "server/wg/messages.h"
#include "server/wg/noise.h"
#include "server/wg/path.h"

#define PEERS  500U
#define ROUNDS 8U
#define MTU    1420U
#define INSIDE 1400U
#define BATCH  64U

/* An end that is not a device: the other half of a peer. */
struct end {
	struct noise_identity identity;
	uint8_t static_static[KEY_LEN];
	struct noise_handshake handshake;
	struct cookie cookie;
	struct wg_peer *peer;
	uint8_t message[WG_HANDSHAKE_MAX];
	uint8_t sending[AEAD_KEY_LEN], receiving[AEAD_KEY_LEN];
};

static struct wg_device *device;
static struct wg_domain *domain;
static struct wg_path *path;
static struct public_key own;
static struct end ends[PEERS];
static uint64_t sent;
static struct wg_now now = {.boot = SECONDS(100), .wall = SECONDS(1800000000)};
static const struct wg_arrival arrival = {
	.from = {.ip = {.family = AF_INET, .addr = {192, 0, 2, 1}}, .port = 4242}};

static void
must(bool right, const char *what)
{
	if (right)
		return;
	fprintf(stderr, "wg-micro: %s\n", what);
	exit(1);
}

static nsec_t
cpu_time(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return SECONDS(t.tv_sec) + t.tv_nsec;
}

static void
random_fill(void *ctx, void *buf, size_t len)
{
	randombytes_buf(buf, len);
}

/* A cipher that does nothing. */
static void
null_seal(void *ctx, struct aead_job *jobs, unsigned n)
{
}

static void
null_open(void *ctx, struct aead_job *jobs, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		jobs[i].ok = 1;
}

static const struct aead null_cipher = {.name = "none", .seal = null_seal, .open = null_open};

static uint8_t last_sent[WG_HANDSHAKE_MAX];

static void
on_send(void *ctx, const struct wg_datagram *datagram)
{
	memcpy(last_sent, datagram->data, datagram->len);
	sent++;
}

static void
on_order(void *ctx, unsigned worker, struct wg_order *order)
{
	must(path_order(path, order, now) == 0, "an order is not obeyed");
}

static const struct wg_effects effects = {.send = on_send, .order = on_order};

static void
identity_make(struct noise_identity *identity)
{
	identity->present = true;
	private_key_generate(&identity->secret);
	public_key_derive(&identity->key, &identity->secret);
}

static void
setup(void)
{
	const struct wg_device_config config = {.random.fill = random_fill, .workers = 1};
	struct path_config of_path = {.aead = &null_cipher};
	struct wg_event up = {.type = WG_EVENT_UP};
	struct noise_identity identity;

	must(wg_device_new(&config, &device) == 0 && wg_domain_add(device, &domain) == 0, "no device");
	of_path.index = wg_index(device);
	must(path_new(&of_path, &path) == 0, "no path");
	up.domain = domain;
	wg_step(device, &up, now, &effects);
	identity_make(&identity);
	own = identity.key;
	wg_private_key_set(device, &identity.secret, now, &effects);
	for (unsigned i = 0; i < PEERS; i++) {
		struct end *end = &ends[i];
		const struct cidr cidr = {
			.ip = {.family = AF_INET, .addr = {10, 0, (uint8_t)(i >> 8), (uint8_t)i}}, .len = 32};

		identity_make(&end->identity);
		must(noise_static_static(&end->identity, &own, end->static_static) == 0, "a weak key");
		must(wg_peer_add(device, domain, &end->identity.key, &effects, &end->peer) == 0 &&
			     wg_peer_allow(device, end->peer, &cidr) == 0,
		     "no peer");
		wg_peer_endpoint_set(device, end->peer, &arrival.from, now, &effects);
	}
}

static void
initiation_make(struct end *end, uint32_t index)
{
	struct private_key ephemeral;
	uint8_t timestamp[NOISE_TIMESTAMP_LEN];

	be64_store(timestamp, (uint64_t)now.wall);
	be32_store(timestamp + 8, 0);
	private_key_generate(&ephemeral);
	must(noise_initiation_write(&end->handshake, &end->identity, &own, end->static_static, &ephemeral,
				    timestamp, index, end->message) == 0,
	     "no initiation");
	cookie_macs_add(&end->cookie, &own, end->message, WG_INITIATION_LEN, now.boot);
}

static struct wg_event
datagram_event(const uint8_t *data, size_t len, bool loaded)
{
	return (struct wg_event){
		.type = WG_EVENT_DATAGRAM,
		.datagram = {.data = data, .len = len, .arrival = arrival, .loaded = loaded}};
}

static void
receive(const uint8_t *data, size_t len, bool loaded)
{
	const struct wg_event event = datagram_event(data, len, loaded);

	wg_step(device, &event, now, &effects);
}

static void
say(const char *name, nsec_t best, unsigned n)
{
	printf("%-28s %12.1f ns %14.0f /s\n", name, (double)best / n, n * 1e9 / (double)best);
}

static void
answer_handshakes(void)
{
	nsec_t best = NSEC_NEVER;

	for (unsigned round = 0; round < ROUNDS; round++) {
		nsec_t took;

		now.boot += SECONDS(10);
		now.wall += SECONDS(10);
		for (unsigned i = 0; i < PEERS; i++)
			initiation_make(&ends[i], i);
		sent = 0;
		took = cpu_time();
		for (unsigned i = 0; i < PEERS; i++)
			receive(ends[i].message, WG_INITIATION_LEN, false);
		took = cpu_time() - took;
		must(sent == PEERS, "an initiation is not answered");
		if (round > 0) /* the first one works out static-static */
			best = MIN(best, took);
	}
	say("handshake_answered", best, PEERS);
}

/* The other end's answer to what we just sent. */
static void
response_make(struct end *end, uint32_t index)
{
	static const struct preshared_key no_psk;
	struct noise_initiation initiation = {0};
	struct private_key ephemeral;
	uint8_t timestamp[NOISE_TIMESTAMP_LEN];

	must(noise_initiation_open(&initiation, &end->identity, last_sent) == 0 &&
		     noise_initiation_prove(&initiation, end->static_static, last_sent, timestamp) == 0,
	     "a bad initiation");
	noise_initiation_take(&end->handshake, &initiation);
	private_key_generate(&ephemeral);
	must(noise_response_write(&end->handshake, &own, &no_psk, &ephemeral, index, end->message) == 0,
	     "no response");
	cookie_macs_add(&end->cookie, &own, end->message, WG_RESPONSE_LEN, now.boot);
	noise_keys(&end->handshake, false, end->sending, end->receiving);
}

static void
begin_handshakes(void)
{
	nsec_t begun = NSEC_NEVER, completed = NSEC_NEVER;

	for (unsigned round = 0; round < ROUNDS; round++) {
		nsec_t at, begin = 0, complete = 0;

		now.boot += SECONDS(10);
		now.wall += SECONDS(10);
		sent = 0;
		for (unsigned i = 0; i < PEERS; i++) {
			at = cpu_time();
			wg_peer_initiate(device, ends[i].peer, now, &effects);
			begin += cpu_time() - at;
			response_make(&ends[i], i);
			at = cpu_time();
			receive(ends[i].message, WG_RESPONSE_LEN, false);
			complete += cpu_time() - at;
		}
		must(sent == PEERS, "no initiation");
		begun = MIN(begun, begin);
		completed = MIN(completed, complete);
	}
	say("handshake_begun", begun, PEERS);
	say("handshake_completed", completed, PEERS);
	say("handshake_initiated_whole", begun + completed, PEERS);
}

/* What a stranger costs. */
static void
flood(const char *name, bool loaded, bool good_mac1)
{
	nsec_t best = NSEC_NEVER;

	initiation_make(&ends[0], 0);
	if (!good_mac1)
		ends[0].message[WG_INITIATION_LEN - 20] ^= 1;
	for (unsigned round = 0; round < ROUNDS; round++) {
		const nsec_t from = cpu_time();

		for (unsigned i = 0; i < 10000; i++)
			receive(ends[0].message, WG_INITIATION_LEN, loaded);
		best = MIN(best, cpu_time() - from);
	}
	say(name, best, 10000);
}

/* A session of ends[0], begun by us, with which both ways work. */
static void
packets(const char *name_seal, const char *name_open, unsigned batch)
{
	static uint8_t rooms[BATCH][WG_DATA_HEADER + INSIDE + PATH_TAIL];
	static struct path_out out[BATCH];
	static struct path_in in[BATCH];
	const unsigned n = 20000 / batch;
	nsec_t seal = NSEC_NEVER, open = NSEC_NEVER;
	const struct wg_route *route;
	struct wg_peer_view view;
	struct wg_report report;
	uint32_t index;
	uint64_t counter = 0;

	now.boot += SECONDS(10);
	now.wall += SECONDS(10);
	wg_peer_initiate(device, ends[0].peer, now, &effects);
	response_make(&ends[0], 7);
	receive(ends[0].message, WG_RESPONSE_LEN, false);
	index = ends[0].handshake.remote_index;
	wg_peer_view(ends[0].peer, &view);
	memcpy(&index, ends[0].message + 8, sizeof(index));
	for (unsigned i = 0; i < BATCH; i++) {
		uint8_t *packet = rooms[i] + WG_DATA_HEADER;

		packet[0] = 0x45;
		be16_store(packet + 2, INSIDE);
		packet[12] = 10;
	}
	for (unsigned round = 0; round < ROUNDS; round++) {
		nsec_t at = cpu_time();

		for (unsigned k = 0; k < n; k++) {
			for (unsigned i = 0; i < batch; i++)
				out[i] = (struct path_out){.data = rooms[i], .len = INSIDE};
			must(path_seal(path, view.id, out, batch, MTU, false, now, &route) == (int)batch,
			     "not sealed");
		}
		seal = MIN(seal, cpu_time() - at);
		at = cpu_time();
		for (unsigned k = 0; k < n; k++) {
			for (unsigned i = 0; i < batch; i++) {
				le32_store(rooms[i], WG_MSG_DATA);
				le32_store(rooms[i] + 4, index);
				le64_store(rooms[i] + 8, counter++);
				in[i] = (struct path_in){.data = rooms[i],
							 .len = INSIDE + 8 + WG_DATA_OVERHEAD,
							 .arrival = &arrival,
							 .plain = rooms[i] + WG_DATA_HEADER};
			}
			path_open(path, in, batch, now);
			must(in[batch - 1].drop == WG_DROP_NONE, "not opened");
		}
		open = MIN(open, cpu_time() - at);
		while (path_reports(path, now, &report, 1) == 1)
			continue;
	}
	say(name_seal, seal, n * batch);
	say(name_open, open, n * batch);
}

/* X25519: libsodium, which the handshake uses, and libcrypto with all that can be kept. */
static void
curves(void)
{
	EVP_PKEY *secret = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, ends[0].identity.secret.b, 32);
	EVP_PKEY_CTX *kept = EVP_PKEY_CTX_new(secret, NULL);
	nsec_t best[4] = {NSEC_NEVER, NSEC_NEVER, NSEC_NEVER, NSEC_NEVER};
	const uint8_t *key = ends[0].identity.secret.b, *remote = own.b;
	uint8_t a[32], b[32];
	size_t len = sizeof(b);

	must(kept && EVP_PKEY_derive_init(kept) == 1, "no X25519 in libcrypto");
	for (unsigned round = 0; round < 5 * ROUNDS; round++) {
		nsec_t at[5];

		at[0] = cpu_time();
		for (unsigned i = 0; i < 100; i++)
			must(crypto_scalarmult(a, key, remote) == 0, "DH");
		at[1] = cpu_time();
		for (unsigned i = 0; i < 100; i++) {
			EVP_PKEY *public = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, remote, 32);

			must(EVP_PKEY_derive_set_peer(kept, public) == 1 &&
				     EVP_PKEY_derive(kept, b, &len) == 1,
			     "DH");
			EVP_PKEY_free(public);
		}
		at[2] = cpu_time();
		must(memcmp(a, b, 32) == 0, "the two differ");
		for (unsigned i = 0; i < 100; i++)
			crypto_scalarmult_base(a, key);
		at[3] = cpu_time();
		for (unsigned i = 0; i < 100; i++) {
			EVP_PKEY *pair = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, key, 32);

			EVP_PKEY_get_raw_public_key(pair, b, &len);
			EVP_PKEY_free(pair);
		}
		at[4] = cpu_time();
		must(memcmp(a, b, 32) == 0, "the two differ");
		for (unsigned i = 0; i < 4; i++)
			best[i] = MIN(best[i], at[i + 1] - at[i]);
	}
	say("x25519_dh_libsodium", best[0], 100);
	say("x25519_dh_libcrypto", best[1], 100);
	say("x25519_base_libsodium", best[2], 100);
	say("x25519_base_libcrypto", best[3], 100);
	EVP_PKEY_CTX_free(kept);
	EVP_PKEY_free(secret);
}

int
main(void)
{
	must(sodium_init() >= 0, "no libsodium");
	setup();
	answer_handshakes();
	begin_handshakes();
	flood("mac1_refused", false, false);
	flood("mac1_refused_loaded", true, false);
	flood("cookie_replied", true, true);
	packets("seal_1_without_aead", "open_1_without_aead", 1);
	packets("seal_8_without_aead", "open_8_without_aead", 8);
	packets("seal_64_without_aead", "open_64_without_aead", 64);
	curves();
	path_free(path);
	wg_device_free(device);
	return 0;
}
