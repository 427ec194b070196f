#include "tests/bench/client.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"

#define SEAL_MAX 64U
#define NETWORK  0x0a400000U /* 10.64.0.0 */

void
client_key(uint32_t number, struct private_key *secret, struct public_key *key)
{
	static const char label[] = "a client of the bench";

	hash(secret->b, label, sizeof(label), &number, sizeof(number));
	secret->b[0] &= 248;
	secret->b[31] = (uint8_t)((secret->b[31] & 127) | 64);
	public_key_derive(key, secret);
}

uint32_t
client_address(uint32_t number)
{
	return htonl(NETWORK + number);
}

int
client_init(struct client *client, const struct gateway *gateway, uint32_t number)
{
	*client = (struct client){.fd = -1, .identity.present = true};
	client_key(number, &client->identity.secret, &client->identity.key);
	return noise_static_static(&client->identity, &gateway->key, client->static_static);
}

int
client_initiate(struct client *client, const struct gateway *gateway, uint32_t index,
		uint8_t message[WG_INITIATION_LEN])
{
	const uint64_t now = (uint64_t)clock_wall();
	uint8_t timestamp[NOISE_TIMESTAMP_LEN];
	struct private_key ephemeral;
	int r;

	client->timestamp = MAX(client->timestamp + 1, now);
	be64_store(timestamp, UINT64_C(0x400000000000000a) + client->timestamp / SECONDS(1));
	be32_store(timestamp + 8, (uint32_t)(client->timestamp % SECONDS(1)));
	private_key_generate(&ephemeral);
	r = noise_initiation_write(&client->handshake, &client->identity, &gateway->key,
				   client->static_static, &ephemeral, timestamp, index, message);
	if (r == 0)
		cookie_macs_add(&client->cookie, &gateway->key, message, WG_INITIATION_LEN, clock_boottime());
	return r;
}

int
client_respond(struct client *client, const struct gateway *gateway, const uint8_t message[WG_RESPONSE_LEN])
{
	static const struct preshared_key none;
	int r;

	if (client->handshake.state != NOISE_INITIATION_SENT)
		return -EBADMSG;
	r = noise_response_read(&client->handshake, &client->identity, &none, message);
	if (r < 0)
		return r;
	client->remote = client->handshake.remote_index;
	client->counter = 0;
	noise_keys(&client->handshake, true, client->sending, client->receiving);
	if (gateway->aead.session_new)
		client->session = gateway->aead.session_new(gateway->aead.ctx, client->sending);
	return 0;
}

void
client_seal(struct client *client, const struct gateway *gateway, const uint8_t *plain, uint32_t len,
	    unsigned n, uint8_t *out)
{
	struct aead_job jobs[SEAL_MAX];

	assert(n <= SEAL_MAX);
	for (unsigned i = 0; i < n; i++) {
		uint8_t *message = out + (size_t)i * (len + WG_DATA_OVERHEAD);

		le32_store(message, WG_MSG_DATA);
		le32_store(message + 4, client->remote);
		le64_store(message + 8, client->counter);
		jobs[i] = (struct aead_job){.key = client->sending,
					    .session = client->session,
					    .counter = client->counter++,
					    .src = plain,
					    .dst = message + WG_DATA_HEADER,
					    .len = len};
	}
	gateway->aead.seal(gateway->aead.ctx, jobs, n);
}
