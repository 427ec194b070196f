/* What the tunnel and net say: read whole or refused whole, in order, and shown without secrets. */
#include "server/control/uapi.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "server/control/network.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void
check_show(const char *text, size_t len)
{
	size_t shown_len;
	char *shown = uapi_for_show(text, len, &shown_len);

	assert(shown && shown_len >= 9 && memcmp(shown + shown_len - 9, "errno=0\n\n", 9) == 0);
	assert(shown_len < 12 || memcmp(shown, "private_key=", 12) != 0);
	assert(!memmem(shown, shown_len, "\nprivate_key=", 13) &&
	       !memmem(shown, shown_len, "\npreshared_key=", 15));
	free(shown);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *text = malloc(len ? len : 1);
	struct network_state net = {0};
	struct tunnel_state state;
	struct uapi_event event;
	int error;

	memcpy(text, data, len);
	if (tunnel_state_parse(&state, text, len) == 0) {
		for (size_t i = 0; i < state.n_peers; i++) {
			assert(i == 0 || memcmp(state.peers[i - 1].key.b, state.peers[i].key.b, KEY_LEN) < 0);
			assert(tunnel_state_peer(&state, &state.peers[i].key) == &state.peers[i]);
			assert(allowed_ips_equal(&state.peers[i].access.allowed,
						 &state.peers[i].access.allowed));
		}
		tunnel_state_done(&state);
	} else {
		assert(!state.peers && !state.n_peers);
	}
	if (uapi_errno(text, len, &error) == 0)
		assert(error <= 0);
	if (uapi_event_parse(&event, text, len) == 0)
		assert(event.handshake_at >= 0);
	if (network_state_parse(&net, text, len) == 0)
		assert(net.known && net.n_problems <= NETWORK_PROBLEMS_MAX);
	check_show(text, len);
	free(text);
	return 0;
}
