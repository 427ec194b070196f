/* The tunnel's words: what is taken, what is refused, and that no secret and none of our own keys is shown
 * on. */
#include "server/control/uapi.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <fcntl.h>

#include "base/errors.h"
#include "server/control/stanza.h"

#define KEY_A "0a00000000000000000000000000000000000000000000000000000000000000"
#define KEY_B "0b00000000000000000000000000000000000000000000000000000000000000"

static const char answer[] = "private_key=" KEY_A "\n"
			     "listen_port=51820\n"
			     "warren_protocol=1\n"
			     "warren_public_key=" KEY_B "\n"
			     "warren_aead=ipsec-mb\n"
			     "warren_rung_tun_tso=on 0 0 0\n"
			     "warren_rung_udp4_gso=down 1 0 0\n"
			     "warren_datagrams=7\n"
			     "warren_workers=2\n"
			     "warren_handoff_in=3\n"
			     "warren_handoff_out=4\n"
			     "warren_calls_tun_read=10\n"
			     "warren_segments_tun_read=450\n"
			     "warren_calls_udp_send=1\n"
			     "warren_drop_mac1=3\n"
			     "warren_drop_replay=0\n"
			     "warren_something_new=x y z\n"
			     "public_key=" KEY_B "\n"
			     "preshared_key=" KEY_A "\n"
			     "protocol_version=1\n"
			     "endpoint=[2001:db8::1]:4711\n"
			     "last_handshake_time_sec=1796000000\n"
			     "last_handshake_time_nsec=5\n"
			     "tx_bytes=18446744073709551615\n"
			     "rx_bytes=2\n"
			     "allowed_ip=10.0.0.9/24\n"
			     "allowed_ip=10.0.0.0/24\n"
			     "warren_state=cut\n"
			     "warren_end=1796000001\n"
			     "public_key=" KEY_A "\n"
			     "allowed_ip=fd00::1/128\n"
			     "errno=0\n\n";

static void
a_full_answer_is_read(void **state)
{
	struct tunnel_state tunnel;
	const struct tunnel_peer *peer;
	struct public_key key = {{0x0b}};

	assert_int_equal(tunnel_state_parse(&tunnel, answer, strlen(answer)), 0);
	assert_true(tunnel.has_key && tunnel.key.b[0] == 0x0b);
	assert_string_equal(tunnel.aead, "ipsec-mb");
	assert_int_equal(tunnel.datagrams, 7);
	assert_int_equal(tunnel.n_rungs, 2);
	assert_string_equal(tunnel.rungs[1].name, "udp4_gso");
	assert_string_equal(tunnel.rungs[1].state, "down");
	assert_int_equal(tunnel.rungs[1].downs, 1);
	assert_int_equal(tunnel.workers, 2);
	assert_int_equal(tunnel.handoff_in, 3);
	assert_int_equal(tunnel.handoff_out, 4);
	assert_int_equal(tunnel.n_calls, 2);
	assert_string_equal(tunnel.calls[0].name, "tun_read");
	assert_int_equal(tunnel.calls[0].calls, 10);
	assert_int_equal(tunnel.calls[0].segments, 450);
	assert_int_equal(tunnel.n_drops, 1);
	assert_int_equal(tunnel.n_peers, 2);
	assert_int_equal(tunnel.peers[0].key.b[0], 0x0a); /* in order, whatever order they came in */
	peer = tunnel_state_peer(&tunnel, &key);
	assert_non_null(peer);
	assert_int_equal(peer->access.state, ACCESS_CUT);
	assert_int_equal(peer->access.end, 1796000001);
	assert_int_equal(peer->last_handshake_at, 1796000000);
	assert_int_equal(peer->endpoint.port, 4711);
	assert_true(peer->tx_bytes == UINT64_MAX);
	assert_int_equal(peer->access.allowed.n, 1); /* host bits masked, the same one once */
	tunnel_state_done(&tunnel);
}

static void
an_answer_that_is_not_well_formed_counts_for_nothing(void **state)
{
	static const char *const bad[] = {
		"",
		"\n",
		"errno=0",
		"listen_port=1\n\n",
		"errno=0\nlisten_port=1\n\n",
		"errno=0\nerrno=0\n\n",
		"nonsense\nerrno=0\n\n",
		"=x\nerrno=0\n\n",
		"errno=x\n\n",
		"errno=-99999\n\n",
		"public_key=0a\nerrno=0\n\n",
		"public_key=" KEY_A "\npublic_key=" KEY_A "\nerrno=0\n\n",
		"public_key=" KEY_A "\nallowed_ip=10.0.0.0/33\nerrno=0\n\n",
		"public_key=" KEY_A "\nendpoint=nowhere\nerrno=0\n\n",
		"public_key=" KEY_A "\nrx_bytes=18446744073709551616\nerrno=0\n\n",
		"public_key=" KEY_A "\nwarren_end=-1\nerrno=0\n\n",
		"public_key=" KEY_A "\nwarren_state=asleep\nerrno=0\n\n",
		"warren_aead=\nerrno=0\n\n",
		"warren_aead=a b\nerrno=0\n\n",
		"warren_rung_A=on 0 0 0\nerrno=0\n\n",
		"warren_rung_a=on 0 0\nerrno=0\n\n",
		"warren_rung_a=\nerrno=0\n\n",
		"warren_rung_a=on 0 -1 0\nerrno=0\n\n",
		"warren_calls_a=x\nerrno=0\n\n",
		"warren_workers=two\nerrno=0\n\n",
		"warren_drop_=1\nerrno=0\n\n",
	};
	struct tunnel_state tunnel;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(tunnel_state_parse(&tunnel, bad[i], strlen(bad[i])), -ERR_MESSAGE);
		assert_int_equal(tunnel.n_peers, 0);
		assert_null(tunnel.peers);
	}
}

static void
the_errno_of_an_answer_is_read(void **state)
{
	int error = 1;

	assert_int_equal(uapi_errno("errno=0\n\n", 9, &error), 0);
	assert_int_equal(error, 0);
	assert_int_equal(uapi_errno("errno=-22\n\n", 11, &error), 0);
	assert_int_equal(error, -EINVAL);
	assert_int_equal(uapi_errno("errno=22\n\n", 10, &error), 0); /* as some write it */
	assert_int_equal(error, -EINVAL);
	assert_int_equal(uapi_errno("x=1\n\n", 5, &error), -ERR_MESSAGE);
}

static void
an_event_names_its_peer_first_of_all(void **state)
{
	static const char good[] =
		"public_key=" KEY_A "\nendpoint=192.0.2.1:4711\nlast_handshake_time_sec=5\n"
		"last_handshake_time_nsec=0\n\n";
	static const char *const bad[] = {
		"endpoint=192.0.2.1:4711\n\n",
		"public_key=" KEY_A "\npublic_key=" KEY_A "\n\n",
		"public_key=" KEY_A "\nendpoint=x\n\n",
	};
	struct uapi_event event;

	assert_int_equal(uapi_event_parse(&event, good, strlen(good)), 0);
	assert_int_equal(event.handshake_at, 5);
	assert_int_equal(event.endpoint.port, 4711);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(uapi_event_parse(&event, bad[i], strlen(bad[i])), -ERR_MESSAGE);
}

static void
no_key_that_is_secret_and_none_of_ours_is_shown_on(void **state)
{
	size_t len;
	char *text = uapi_for_show(answer, strlen(answer), &len);

	assert_non_null(text);
	assert_int_equal(strlen(text), len);
	assert_null(strstr(text, "private_key"));
	assert_null(strstr(text, "preshared_key"));
	assert_null(strstr(text, "warren_protocol"));
	assert_null(strstr(text, "warren_end"));
	assert_non_null(strstr(text, "warren_public_key=" KEY_B "\n"));
	assert_non_null(strstr(text, "endpoint=[2001:db8::1]:4711\n"));
	assert_string_equal(text + len - 9, "errno=0\n\n");
	free(text);
}

static void
allowed_ips_are_compared_as_sets(void **state)
{
	struct allowed_ips a = {0}, b = {0};
	struct cidr v[3];

	assert_int_equal(cidr_parse(&v[0], "10.0.0.7/24"), 0);
	assert_int_equal(cidr_parse(&v[1], "fd00::/64"), 0);
	assert_int_equal(cidr_parse(&v[2], "10.0.0.0/24"), 0);
	assert_int_equal(allowed_ips_set(&a, v, 3), 0);
	assert_int_equal(a.n, 2);
	assert_int_equal(allowed_ips_set(&b, v + 1, 1), 0);
	assert_true(allowed_ips_within(&b, &a));
	assert_false(allowed_ips_within(&a, &b));
	assert_int_equal(allowed_ips_set(&b, v + 1, 2), 0);
	assert_true(allowed_ips_equal(&a, &b));
	allowed_ips_done(&a);
	allowed_ips_done(&b);
}

static void
stanzas_come_whole_however_they_were_cut(void **state)
{
	static const char text[] = "a=1\n\nb=2\nc=3\n\nd=";
	struct stanza stanza = {.max = 64};
	const char *at;
	size_t len, n = 0;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	for (size_t i = 0; i < strlen(text); i++) {
		assert_int_equal(write(pair[0], text + i, 1), 1);
		assert_true(stanza_fill(&stanza, pair[1]) > 0);
		while (stanza_next(&stanza, &at, &len) == 0)
			assert_memory_equal(at, n++ ? "b=2\nc=3\n\n" : "a=1\n\n", len);
	}
	assert_int_equal(n, 2);
	close(pair[0]);
	assert_int_equal(stanza_fill(&stanza, pair[1]), -ERR_CLOSED);
	stanza_clear(&stanza);
	close(pair[1]);
}

static void
a_stanza_beyond_its_bound_is_refused(void **state)
{
	struct stanza stanza = {.max = 16};
	char text[64];
	const char *at;
	size_t len;
	int pair[2];

	memset(text, 'x', sizeof(text));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	assert_int_equal(write(pair[0], text, sizeof(text)), (int)sizeof(text));
	assert_true(stanza_fill(&stanza, pair[1]) > 0);
	assert_int_equal(stanza_next(&stanza, &at, &len), -ERR_MESSAGE);
	stanza_clear(&stanza);
	close(pair[0]);
	close(pair[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_answer_is_read),
		cmocka_unit_test(an_answer_that_is_not_well_formed_counts_for_nothing),
		cmocka_unit_test(the_errno_of_an_answer_is_read),
		cmocka_unit_test(an_event_names_its_peer_first_of_all),
		cmocka_unit_test(no_key_that_is_secret_and_none_of_ours_is_shown_on),
		cmocka_unit_test(allowed_ips_are_compared_as_sets),
		cmocka_unit_test(stanzas_come_whole_however_they_were_cut),
		cmocka_unit_test(a_stanza_beyond_its_bound_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
