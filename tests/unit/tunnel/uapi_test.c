/* The UAPI on a real device: requests in pieces of any size, every key, every errno answer. */
#include "server/tunnel/uapi.h"

#include "tests/unit/tunnel/packets.h"
#include "tests/unit/tunnel/domains.h"

#include <errno.h>

#include "base/bytes.h"
#include "base/errors.h"
#include "base/key.h"

#define A       "a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbe3f"
#define B       "c0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddf4f"
#define PSK     "e0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfe7f"
#define ZERO    "0000000000000000000000000000000000000000000000000000000000000000"
#define PRIVATE "d8dbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f87f"

static struct wg_device *device;
static struct wg_domain *own; /* "wg0", that of the connection */
static struct uapi_host host;
static struct domains domains;
static struct uapi *uapi;
static uint16_t port;
static uint32_t mark;
static int port_answer;
static unsigned port_sets, orders, initiations;
static struct wg_now now = {.boot = SECONDS(1000), .wall = SECONDS(1796000000)};
static char out[200000];
static size_t out_len;

static void
fill(void *ctx, void *buf, size_t len)
{
	rnd_fill(buf, len);
}

static void
on_send(void *ctx, const struct wg_datagram *datagram)
{
	initiations++;
}

static void
on_order(void *ctx, unsigned worker, struct wg_order *order)
{
	orders++;
}

static const struct wg_effects effects = {.send = on_send, .order = on_order};

static struct wg_now
now_get(void *ctx)
{
	return now;
}

static uint16_t
port_get(void *ctx)
{
	return port;
}

static int
port_set(void *ctx, uint16_t wish)
{
	port_sets++;
	if (port_answer == 0)
		port = wish;
	return port_answer;
}

static uint32_t
mark_get(void *ctx)
{
	return mark;
}

static int
mark_set(void *ctx, uint32_t wish)
{
	mark = wish;
	return 0;
}

static void
more(void *ctx, struct text *text)
{
	text_add(text, "warren_aead=sodium\n");
}

/* Reads what there is to read, in pieces of any size. */
static void
output_take(void)
{
	const char *bytes;
	size_t len;

	for (;;) {
		assert_int_equal(uapi_output(uapi, &bytes, &len), 0);
		if (len == 0)
			return;
		len = 1 + rnd((uint32_t)len);
		assert_true(out_len + len < sizeof(out));
		memcpy(out + out_len, bytes, len);
		out_len += len;
		out[out_len] = '\0';
		uapi_written(uapi, len);
	}
}

/* It may write to what it is given. */
static ssize_t
input(const char *text, size_t len)
{
	char *copy = malloc(len);
	ssize_t taken;

	assert_non_null(copy);
	memcpy(copy, text, len);
	taken = uapi_input(uapi, copy, len);
	free(copy);
	return taken;
}

/* Says @text in pieces of up to @piece bytes, and returns all that is answered. */
static const char *
say_in(const char *text, size_t piece)
{
	size_t at = 0, len = strlen(text);

	out_len = 0;
	out[0] = '\0';
	while (at < len) {
		const size_t n = MIN(piece, len - at);
		const ssize_t taken = input(text + at, n);

		if (taken == -ERR_CLOSED) {
			output_take();
			return NULL;
		}
		assert_true(taken >= 0 && (size_t)taken <= n);
		at += (size_t)taken;
		output_take();
	}
	output_take();
	return out;
}

static const char *
say(const char *text)
{
	return say_in(text, 1 + rnd(rnd(2) ? 5 : 5000));
}

static void
assert_answer(const char *request, const char *answer)
{
	assert_string_equal(say(request), answer);
}

/* Who begins with a key of ours gets words too. */
static void
assert_refused(const char *request, const char *words, int error)
{
	char answer[300];

	snprintf(answer, sizeof(answer), "warren_trouble=%s\nerrno=%d\n\n", words, -error);
	assert_string_equal(say(request), answer);
}

static void
connect_as(enum uapi_rights rights)
{
	uapi_free(uapi);
	uapi = NULL;
	assert_int_equal(uapi_new(&host, rights, "wg0", &uapi), 0);
}

static struct wg_peer *
peer(const char *hex)
{
	struct public_key key;

	assert_int_equal(hex_decode(key.b, KEY_LEN, hex), 0);
	return wg_peer_find(device, &key);
}

static struct wg_peer_view
view(const char *hex)
{
	struct wg_peer_view v;

	assert_non_null(peer(hex));
	wg_peer_view(peer(hex), &v);
	return v;
}

static void
an_empty_device_says_nothing_but_errno(void **state)
{
	assert_answer("get=1\n\n", "errno=0\n\n");
	assert_answer("set=1\n\n", "errno=0\n\n");
}

static void
what_was_set_is_got_whatever_the_pieces(void **state)
{
	static const char request[] =
		"set=1\nprivate_key=" PRIVATE "\nlisten_port=51820\nfwmark=4660\nreplace_peers=true\n"
		"public_key=" A "\nreplace_allowed_ips=true\npreshared_key=" PSK "\nendpoint=192.0.2.1:4711\n"
		"persistent_keepalive_interval=25\nprotocol_version=1\nallowed_ip=10.1.2.3/"
		"24\nallowed_ip=fd00::1/128\n"
		"public_key=" B "\nendpoint=[2001:db8::1]:51820\nallowed_ip=0.0.0.0/0\n\n";
	static const size_t pieces[] = {1, 2, 3, 7, 64, 10000};
	const char *got;

	for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
		assert_string_equal(say_in(request, pieces[i]), "errno=0\n\n");
		got = say("get=1\n\n");
		assert_ptr_equal(
			strstr(got, "private_key=" PRIVATE "\nlisten_port=51820\nfwmark=4660\npublic_key="),
			got);
		assert_non_null(strstr(got, "public_key=" A "\npreshared_key=" PSK
					    "\nprotocol_version=1\nendpoint=192.0.2.1:4711\n"
					    "last_handshake_time_sec=0\nlast_handshake_time_nsec=0\n"));
		assert_non_null(
			strstr(got, "tx_bytes=0\nrx_bytes=0\npersistent_keepalive_interval=25\nallowed_ip="));
		assert_non_null(strstr(got, "allowed_ip=10.1.2.0/24\n"));
		assert_non_null(strstr(got, "allowed_ip=fd00::1/128\n"));
		assert_non_null(strstr(got, "public_key=" B "\npreshared_key=" ZERO
					    "\nprotocol_version=1\nendpoint=[2001:db8::1]:51820\n"));
		assert_non_null(strstr(got, "persistent_keepalive_interval=0\nallowed_ip=0.0.0.0/0\n"));
		assert_null(strstr(got, "warren_"));
		assert_string_equal(got + strlen(got) - 9, "errno=0\n\n");
	}
}

static void
several_requests_on_one_connection_are_answered_in_turn(void **state)
{
	assert_answer("set=1\nlisten_port=1\n\nget=1\n\nset=1\nlisten_port=x\n\nget=1\n\n",
		      "errno=0\n\nlisten_port=1\nerrno=0\n\nerrno=-22\n\nlisten_port=1\nerrno=0\n\n");
}

static void
bad_lines_are_answered_by_errno_and_what_came_before_stays(void **state)
{
	static const struct {
		const char *line;
		int error;
	} bad[] = {
		{"private_key=00", EINVAL},
		{"private_key=" PRIVATE "00", EINVAL},
		{"private_key=zz" PRIVATE, EINVAL},
		{"private_key=", EINVAL},
		{"listen_port=65536", EINVAL},
		{"listen_port=-1", EINVAL},
		{"listen_port= 1", EINVAL},
		{"listen_port=", EINVAL},
		{"listen_port=1x", EINVAL},
		{"fwmark=4294967296", EINVAL},
		{"fwmark=0x10", EINVAL},
		{"replace_peers=false", EINVAL},
		{"replace_peers=1", EINVAL},
		{"public_key=abc", EINVAL},
		{"endpoint=1.2.3.4:5", EINVAL}, /* there is no peer yet */
		{"allowed_ip=10.0.0.0/8", EINVAL},
		{"colour=blue", EINVAL},
		{"errno=0", EINVAL},
		{"nothing", EPROTO},
		{"public_key=" A "\nendpoint=example.org:1", EINVAL},
		{"public_key=" A "\nendpoint=1.2.3.4", EINVAL},
		{"public_key=" A "\nendpoint=1.2.3.4:65536", EINVAL},
		{"public_key=" A "\nendpoint=2001:db8::1:5", EINVAL},
		{"public_key=" A "\npersistent_keepalive_interval=65536", EINVAL},
		{"public_key=" A "\npersistent_keepalive_interval=off", EINVAL},
		{"public_key=" A "\nallowed_ip=10.0.0.0/33", EINVAL},
		{"public_key=" A "\nallowed_ip=10.0.0/8", EINVAL},
		{"public_key=" A "\nallowed_ip=", EINVAL},
		{"public_key=" A "\nallowed_ip=-", EINVAL},
		{"public_key=" A "\npreshared_key=00", EINVAL},
		{"public_key=" A "\nprotocol_version=2", EINVAL},
		{"public_key=" A "\nremove=yes", EINVAL},
		{"public_key=" A "\nupdate_only=", EINVAL},
		{"public_key=" A "\nreplace_allowed_ips=0", EINVAL},
		{"public_key=" A "\nlisten_port=7", EINVAL},
		{"public_key=" A "\nprivate_key=" PRIVATE, EINVAL},
		{"public_key=" A "\nwarren_state=angry", EINVAL},
		{"public_key=" A "\nwarren_end=tomorrow", EINVAL},
		{"public_key=" A "\nwarren_end=-5", EINVAL},
		{"public_key=" A "\nwarren_initiate=1", EINVAL},
		{"warren_watch=false", EINVAL},
		{"public_key=" A "\nnonsense", EPROTO},
	};
	char request[2000], answer[64];

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		mark = 0;
		snprintf(request, sizeof(request), "set=1\nfwmark=%zu\n%s\nlisten_port=9999\n\n", i + 1,
			 bad[i].line);
		snprintf(answer, sizeof(answer), "errno=%d\n\n", -bad[i].error);
		if (strcmp(say(request), answer) != 0)
			fail_msg("%s: %s", bad[i].line, out);
		assert_int_equal(mark, i + 1);
		assert_int_not_equal(port, 9999);
	}
	assert_string_equal(say("set=1\n\n"), "errno=0\n\n");
}

static void
a_line_that_is_too_long_is_a_protocol_error(void **state)
{
	static char request[3 * UAPI_LINE_MAX];

	snprintf(request, sizeof(request), "set=1\nfwmark=%0*d\n\nget=1\n\n", 2 * UAPI_LINE_MAX, 5);
	assert_answer(request, "errno=-71\n\nerrno=0\n\n");
	snprintf(request, sizeof(request), "set=1\nfwmark=%0*d\n\n", UAPI_LINE_MAX - 7, 5);
	assert_answer(request, "errno=0\n\n");
	assert_int_equal(mark, 5);
}

static void
what_is_no_request_ends_the_connection(void **state)
{
	static const char *const wrong[] = {"get=2\n\n", "hello\n", "\n", "set=\n", "GET / HTTP/1.1\n"};

	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		connect_as(UAPI_ALL);
		assert_null(say(wrong[i]));
	}
	connect_as(UAPI_ALL);
	assert_answer("get=1\ncolour=blue\n\n", "errno=-22\n\n");
	assert_answer("get=1\nwarren_protocol=2\n\n",
		      "warren_trouble=warren_protocol: Invalid argument\nerrno=-22\n\n");
}

static void
a_busy_port_is_said(void **state)
{
	port_answer = -EADDRINUSE;
	assert_answer("set=1\nlisten_port=53\n\n", "errno=-98\n\n");
}

static void
peers_are_updated_removed_and_replaced(void **state)
{
	assert_answer("set=1\npublic_key=" A "\nupdate_only=true\nallowed_ip=10.0.0.1/32\n\n", "errno=0\n\n");
	assert_null(peer(A));
	assert_answer("set=1\npublic_key=" A "\nremove=true\n\n", "errno=0\n\n");
	assert_null(peer(A));
	assert_answer("set=1\npublic_key=" A "\nallowed_ip=10.0.0.1/32\npublic_key=" B
		      "\nallowed_ip=10.0.0.2/32\n\n",
		      "errno=0\n\n");
	assert_answer("set=1\npublic_key=" A "\nupdate_only=true\npersistent_keepalive_interval=7\n\n",
		      "errno=0\n\n");
	assert_int_equal(view(A).keepalive, 7);
	assert_answer("set=1\npublic_key=" A "\nremove=true\nendpoint=1.2.3.4:5\n\n", "errno=0\n\n");
	assert_null(peer(A));
	assert_non_null(peer(B));
	assert_answer("set=1\nreplace_peers=true\npublic_key=" A "\n\n", "errno=0\n\n");
	assert_null(peer(B));
	assert_non_null(peer(A));
}

static void
an_allowed_ip_moves_and_goes(void **state)
{
	assert_answer("set=1\npublic_key=" A "\nallowed_ip=10.0.0.0/24\npublic_key=" B
		      "\nallowed_ip=10.0.0.0/24\n\n",
		      "errno=0\n\n");
	assert_null(allowedips_next(wg_peer_allowed(peer(A)), NULL));
	assert_non_null(allowedips_next(wg_peer_allowed(peer(B)), NULL));
	assert_answer("set=1\npublic_key=" B "\nallowed_ip=-10.0.0.0/24\nallowed_ip=-10.9.0.0/24\n\n",
		      "errno=0\n\n");
	assert_null(allowedips_next(wg_peer_allowed(peer(B)), NULL));
}

static void
our_own_key_is_no_peer(void **state)
{
	struct private_key private;
	struct public_key public;
	char request[400], hex[KEY_HEX_LEN];

	assert_int_equal(hex_decode(private.b, KEY_LEN, PRIVATE), 0);
	public_key_derive(&public, &private);
	hex_encode(hex, public.b, KEY_LEN);
	hex[KEY_HEX_LEN - 1] = '\0';
	snprintf(request, sizeof(request), "set=1\nprivate_key=%s\npublic_key=%s\nallowed_ip=10.0.0.1/32\n\n",
		 PRIVATE, hex);
	assert_answer(request, "errno=0\n\n");
	assert_int_equal(wg_peer_count(device), 0);
	snprintf(request, sizeof(request), "set=1\npublic_key=%s\nallowed_ip=nonsense\n\n", hex);
	assert_answer(request, "errno=-22\n\n");
}

static void
setting_the_same_again_gives_no_order(void **state)
{
	static const char request[] =
		"set=1\nprivate_key=" PRIVATE "\npublic_key=" A "\npreshared_key=" PSK
		"\nendpoint=192.0.2.1:4711\npersistent_keepalive_interval=25\nallowed_ip=10.0.0.1/32\n"
		"warren_end=1796000100\nwarren_state=active\n\n";

	assert_answer(request, "errno=0\n\n");
	orders = 0;
	assert_answer(request, "errno=0\n\n");
	assert_int_equal(orders, 0);
}

static void
a_full_answer_has_what_is_ours(void **state)
{
	const char *got;

	assert_answer("set=1\nprivate_key=" PRIVATE "\npublic_key=" A
		      "\nwarren_end=1796000100\nwarren_state=quarantined\n\n",
		      "errno=0\n\n");
	got = say("get=1\nwarren_protocol=1\n\n");
	assert_non_null(strstr(got, "\nwarren_protocol=1\nwarren_public_key="));
	assert_non_null(strstr(got, "\nwarren_aead=sodium\nwarren_domain=wg0\npublic_key=" A));
	assert_non_null(strstr(got, "\nwarren_state=quarantined\nwarren_end=1796000100\nwarren_rate_rx=0\n"
				    "warren_rate_tx=0\nwarren_mtu=0\nerrno=0\n\n"));
}

static void
an_end_and_a_state_are_kept_apart(void **state)
{
	assert_answer("set=1\npublic_key=" A "\nwarren_end=1796000100\n\n", "errno=0\n\n");
	assert_answer("set=1\npublic_key=" A "\nwarren_state=cut\n\n", "errno=0\n\n");
	assert_int_equal(view(A).end, 1796000100);
	assert_int_equal(view(A).access, WG_CUT);
	assert_answer("set=1\npublic_key=" A "\nwarren_end=0\n\n", "errno=0\n\n");
	assert_int_equal(view(A).end, 0);
	assert_int_equal(view(A).access, WG_CUT);
}

static void
a_new_peer_is_cut_off_until_its_request_is_through(void **state)
{
	connect_as(UAPI_CONTROL);
	say("set=1\npublic_key=" A "\nallowed_ip=10.0.0.1/32\n");
	assert_int_equal(view(A).access, WG_CUT);
	assert_string_equal(say("warren_end=1796000100\n\n"), "errno=0\n\n");
	assert_int_equal(view(A).access, WG_ACTIVE);
	assert_int_equal(view(A).end, 1796000100);
}

static void
a_new_peer_whose_lines_fail_stays_cut_off(void **state)
{
	connect_as(UAPI_CONTROL);
	assert_answer("set=1\npublic_key=" A "\nendpoint=bad\nwarren_end=1796000100\n\n", "errno=-22\n\n");
	assert_int_equal(view(A).access, WG_CUT);
	connect_as(UAPI_ALL);
	assert_answer("set=1\npublic_key=" B "\nwarren_end=bad\n\n", "errno=-22\n\n");
	assert_int_equal(view(B).access, WG_CUT);
}

static void
a_new_peer_goes_with_a_connection_that_ends_within(void **state)
{
	say("set=1\npublic_key=" A "\nallowed_ip=10.0.0.1/32\n");
	assert_non_null(peer(A));
	connect_as(UAPI_ALL);
	assert_null(peer(A));
}

static void
a_sibling_changes_peers_but_not_the_device(void **state)
{
	static const char *const refused[] = {("private_key=" PRIVATE), "listen_port=1", "fwmark=1"};
	char request[200];

	assert_answer("set=1\nprivate_key=" PRIVATE "\npublic_key=" B "\npreshared_key=" PSK "\n\n",
		      "errno=0\n\n");
	connect_as(UAPI_CONTROL);
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		snprintf(request, sizeof(request), "set=1\n%s\n\n", refused[i]);
		assert_answer(request, "errno=-13\n\n");
	}
	assert_answer("set=1\npublic_key=" A "\npreshared_key=" PSK "\n\n", "errno=0\n\n");
	say("get=1\nwarren_protocol=1\n\n");
	assert_non_null(strstr(out, A));
	assert_non_null(strstr(out, "warren_public_key="));
	assert_null(strstr(out, "private_key"));
	assert_null(strstr(out, "preshared"));
	assert_null(strstr(out, PSK));
}

static void
everybody_else_changes_nothing(void **state)
{
	static const char *const refused[] = {"replace_peers=true", "public_key=" A, "listen_port=1",
					      "private_key=" PRIVATE, "colour=blue"};
	char request[200];

	assert_answer("set=1\npublic_key=" B "\npreshared_key=" PSK "\n\n", "errno=0\n\n");
	connect_as(UAPI_READ);
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		snprintf(request, sizeof(request), "set=1\n%s\n\n", refused[i]);
		assert_answer(request, "errno=-13\n\n");
	}
	assert_refused("set=1\nwarren_watch=true\n\n", "warren_watch: Permission denied", EACCES);
	assert_refused("set=1\nwarren_domain=wg0\n\n", "warren_domain: Permission denied", EACCES);
	say("get=1\n\n");
	assert_non_null(strstr(out, B));
	assert_null(strstr(out, PSK));
	assert_int_equal(wg_peer_count(device), 1);
}

static void
a_large_answer_is_made_while_it_is_read(void **state)
{
	char request[200], hex[KEY_HEX_LEN];
	struct public_key key;
	const char *bytes;
	size_t len, keys = 0;

	for (unsigned i = 0; i < 400; i++) {
		rnd_fill(key.b, KEY_LEN);
		hex_encode(hex, key.b, KEY_LEN);
		hex[KEY_HEX_LEN - 1] = '\0';
		snprintf(request, sizeof(request), "set=1\npublic_key=%s\nallowed_ip=10.0.%u.%u/32\n\n", hex,
			 i / 250, i % 250);
		assert_answer(request, "errno=0\n\n");
	}
	assert_int_equal(input("get=1\n\nset=1\n", 13), 7); /* the next request waits */
	assert_int_equal(uapi_output(uapi, &bytes, &len), 0);
	assert_in_range(len, UAPI_OUT_HIGH, UAPI_OUT_HIGH + 1000);
	wg_peer_remove(device, wg_peer_next(own, NULL), &effects); /* while the answer is under way */
	out_len = 0;
	output_take();
	for (const char *at = out; (at = strstr(at, "public_key=")); at++)
		keys++;
	assert_in_range(keys, 399, 400);
	assert_string_equal(out + out_len - 9, "errno=0\n\n");
}

static void
a_watch_tells_what_is_true_when_it_is_read(void **state)
{
	struct wg_peer_id id;

	assert_answer("set=1\npublic_key=" A "\nendpoint=192.0.2.1:1\n\nset=1\nwarren_watch=true\n\n",
		      "errno=0\n\nerrno=0\n\n");
	id = view(A).id;
	out_len = 0;
	output_take();
	assert_int_equal(out_len, 0);
	uapi_changed(uapi, id);
	uapi_changed(uapi, (struct wg_peer_id){5, 77}); /* gone again */
	output_take();
	assert_string_equal(out, "public_key=" A
				 "\nwarren_domain=wg0\nendpoint=192.0.2.1:1\nlast_handshake_time_sec=0\n"
				 "last_handshake_time_nsec=0\n\n");
	assert_int_equal(input("get=1\n\n", 7), 7);
	out_len = 0;
	output_take();
	assert_int_equal(out_len, 0);
}

static void
a_slow_watcher_learns_of_all_peers_in_the_end(void **state)
{
	struct wg_peer_id id;

	assert_answer("set=1\npublic_key=" A "\npublic_key=" B "\nwarren_watch=true\n\n", "errno=-22\n\n");
	assert_answer("set=1\nwarren_watch=true\npublic_key=" A "\n\n", "errno=0\n\n");
	id = view(A).id;
	for (unsigned i = 0; i < 3 * UAPI_WATCH_QUEUE; i++)
		uapi_changed(uapi, id);
	uapi_changed(uapi, view(B).id);
	out_len = 0;
	output_take();
	assert_non_null(strstr(out, "public_key=" A));
	assert_non_null(strstr(out, "public_key=" B));
	assert_true(out_len < 1000);
}

static void
limits_are_set_shown_and_bounded(void **state)
{
	static const char *const bad[] = {"warren_rate_rx=1099511627777",
					  "warren_rate_tx=-1",
					  "warren_rate_rx=",
					  "warren_rate_tx=1k",
					  "warren_mtu=1279",
					  "warren_mtu=65536",
					  "warren_mtu=1",
					  "warren_mtu=x"};
	char request[200];

	assert_answer("set=1\npublic_key=" A "\nwarren_rate_rx=1099511627776\nwarren_mtu=1280\n\n",
		      "errno=0\n\n");
	assert_answer("set=1\npublic_key=" A "\nwarren_rate_tx=5\n\n", "errno=0\n\n");
	assert_non_null(strstr(say("get=1\nwarren_protocol=1\n\n"),
			       "\nwarren_rate_rx=1099511627776\nwarren_rate_tx=5\nwarren_mtu=1280\n"));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		snprintf(request, sizeof(request), "set=1\npublic_key=" A "\n%s\n\n", bad[i]);
		assert_answer(request, "errno=-22\n\n");
	}
	orders = 0;
	assert_answer("set=1\npublic_key=" A "\nwarren_rate_tx=5\nwarren_rate_rx=1099511627776\n"
		      "warren_mtu=1280\n\n",
		      "errno=0\n\n");
	assert_int_equal(orders, 0);
	assert_answer("set=1\npublic_key=" A "\nwarren_rate_rx=0\nwarren_mtu=65535\n\n", "errno=0\n\n");
	assert_int_equal(view(A).limits.rate_rx, 0);
	assert_int_equal(view(A).limits.rate_tx, 5);
	assert_int_equal(view(A).limits.mtu, 65535);
	assert_refused("set=1\nwarren_domain=wg0\npublic_key=" A "\nwarren_mtu=1200\n\n",
		       "warren_mtu: an MTU is 0 for none, or 1280 to 65535", EINVAL);
}

static const char *
domain_of(const char *hex)
{
	return domain_name(&domains, view(hex).domain);
}

static void
a_domain_comes_with_its_first_mention_and_has_its_own_peers(void **state)
{
	const char *got;

	assert_answer("set=1\npublic_key=" A "\nallowed_ip=10.0.0.1/32\nwarren_domain=red\npublic_key=" B
		      "\nallowed_ip=10.0.0.1/32\n\n",
		      "errno=0\n\n");
	assert_string_equal(domain_of(A), "wg0");
	assert_string_equal(domain_of(B), "red");
	assert_non_null(allowedips_next(wg_peer_allowed(peer(A)), NULL));
	assert_null(strstr(say("get=1\n\n"), B));
	got = say("get=1\nwarren_domain=red\n\n");
	assert_non_null(strstr(got, B));
	assert_null(strstr(got, A));
	assert_null(strstr(got, "warren_"));
	assert_non_null(strstr(say("get=1\nwarren_domain=red\nwarren_protocol=1\n\n"),
			       "\nwarren_domain=red\npublic_key=" B));
	assert_answer("set=1\nwarren_domain=blue\nwarren_domain=green\n\n", "errno=0\n\n");
	assert_non_null(domain_find(&domains, "blue"));
	assert_non_null(domain_find(&domains, "green"));
}

static void
all_domains_are_shown_one_after_the_other(void **state)
{
	assert_answer("set=1\npublic_key=" A "\nwarren_domain=red\nwarren_domain=blue\npublic_key=" B "\n\n",
		      "errno=0\n\n");
	say("get=1\nwarren_domain=*\n\n");
	assert_ptr_equal(strstr(out, "warren_domain=wg0\npublic_key=" A "\n"), out);
	assert_non_null(strstr(out, "\nwarren_domain=red\nwarren_domain=blue\npublic_key=" B "\n"));
	assert_string_equal(out + out_len - 9, "errno=0\n\n");
}

static void
replacing_peers_touches_one_domain(void **state)
{
	assert_answer("set=1\npublic_key=" A "\nwarren_domain=red\npublic_key=" B "\n\n", "errno=0\n\n");
	assert_answer("set=1\nwarren_domain=red\nreplace_peers=true\n\n", "errno=0\n\n");
	assert_non_null(peer(A));
	assert_null(peer(B));
}

static void
a_key_is_in_one_domain_only(void **state)
{
	static const char words[] = "public_key: the public key is a peer of domain wg0";

	assert_answer("set=1\npublic_key=" A "\n\n", "errno=0\n\n");
	assert_answer("set=1\nlisten_port=5\nwarren_domain=red\npublic_key=" A "\n\n", "errno=-17\n\n");
	say("set=1\nwarren_domain=red\npublic_key=" A "\n\n");
	assert_string_equal(out, "warren_trouble=the public key is a peer of domain wg0\nerrno=-17\n\n");
	say("set=1\nwarren_domain=red\npublic_key=" A "\npublic_key=" B "\n\n");
	assert_non_null(strstr(out, words));
	assert_null(peer(B));
	say("set=1\nwarren_domain=red\npublic_key=" A "\nallowed_ip=10.0.0.1/32\n\n");
	assert_non_null(strstr(out, "errno=-17"));
	assert_null(allowedips_next(wg_peer_allowed(peer(A)), NULL));
	/* It is not to be in the other one: so it is, and stays where it is. */
	assert_answer("set=1\nwarren_domain=red\npublic_key=" A "\nremove=true\npublic_key=" A
		      "\nupdate_only=true\nallowed_ip=10.0.0.1/32\n\n",
		      "errno=0\n\n");
	assert_string_equal(domain_of(A), "wg0");
	assert_null(allowedips_next(wg_peer_allowed(peer(A)), NULL));
	/* From one to another in one request. */
	assert_answer("set=1\nwarren_domain=wg0\npublic_key=" A
		      "\nremove=true\nwarren_domain=red\npublic_key=" A "\n\n",
		      "errno=0\n\n");
	assert_string_equal(domain_of(A), "red");
}

static void
a_domain_is_removed_with_its_peers_and_only_by_name(void **state)
{
	assert_answer("set=1\npublic_key=" A "\nwarren_domain=red\npublic_key=" B "\n\n", "errno=0\n\n");
	assert_refused("set=1\nwarren_remove_domain=true\n\n",
		       "warren_remove_domain: the domain to be removed is to be named", EINVAL);
	assert_refused("set=1\nwarren_domain=red\nwarren_remove_domain=yes\n\n",
		       "warren_remove_domain: Invalid argument", EINVAL);
	assert_answer("set=1\nwarren_domain=red\nwarren_remove_domain=true\n\n", "errno=0\n\n");
	assert_null(peer(B));
	assert_non_null(peer(A));
	assert_null(domain_find(&domains, "red"));
	assert_answer("set=1\nwarren_domain=red\nwarren_remove_domain=true\n\n", "errno=0\n\n");
	assert_null(domain_find(&domains, "red"));
	assert_refused("set=1\nwarren_domain=red\nwarren_remove_domain=true\npublic_key=" B "\n\n",
		       "public_key: no domain was named", ENODEV);
	assert_refused("get=1\nwarren_domain=red\n\n", "No such device", ENODEV);
}

/* By another connection, between two lines; its number may be another's by then. */
static void
a_domain_that_goes_within_a_request_comes_again(void **state)
{
	struct wg_domain *other;

	assert_string_equal(say("set=1\nwarren_domain=red\npublic_key=" A "\n"), "");
	assert_int_equal(domain_remove(&domains, "red"), 0);
	assert_int_equal(domain_get(&domains, "blue", &other), 0);
	assert_answer("allowed_ip=10.0.0.1/32\npublic_key=" B "\n\n", "errno=0\n\n");
	assert_null(peer(A));
	assert_string_equal(domain_of(B), "red");
}

static void
names_of_domains_are_plain_and_short(void **state)
{
	static const char *const bad[] = {"", "a b", "a/b", "*", "a=b", "tab\there", "\x7f"};
	char request[200];

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		snprintf(request, sizeof(request), "set=1\nlisten_port=3\nwarren_domain=%s\n\n", bad[i]);
		assert_answer(request, "errno=-22\n\n");
		assert_int_equal(uapi_domain_is_name(bad[i]), 0);
	}
	snprintf(request, sizeof(request), "set=1\nwarren_domain=%0*d\n\n", UAPI_DOMAIN_MAX, 1);
	assert_answer(request, "errno=0\n\n");
	snprintf(request, sizeof(request), "set=1\nlisten_port=3\nwarren_domain=%0*d\n\n",
		 UAPI_DOMAIN_MAX + 1, 1);
	assert_answer(request, "errno=-22\n\n");
	for (unsigned i = 0; i < DOMAINS; i++) {
		snprintf(request, sizeof(request), "set=1\nwarren_domain=d%u\n\n", i);
		say(request);
	}
	assert_string_equal(out, "warren_trouble=No space left on device\nerrno=-28\n\n");
}

static void
a_foreign_connection_sees_its_own_domain_only(void **state)
{
	assert_answer("set=1\npublic_key=" A "\nwarren_domain=red\npublic_key=" B "\n\n", "errno=0\n\n");
	connect_as(UAPI_READ);
	assert_null(strstr(say("get=1\n\n"), B));
	assert_non_null(strstr(say("get=1\nwarren_domain=wg0\n\n"), A));
	assert_refused("get=1\nwarren_domain=red\n\n", "warren_domain: Permission denied", EACCES);
	assert_refused("get=1\nwarren_domain=*\n\n", "warren_domain: Permission denied", EACCES);
	assert_int_equal(domain_remove(&domains, "wg0"), 0);
	assert_string_equal(say("get=1\n\n"), "errno=0\n\n");
	assert_int_equal(domain_get(&domains, "wg0", &own), 0);
}

static void
without_a_domain_of_its_own_it_speaks_of_the_hosts(void **state)
{
	connect_as(UAPI_ALL);
	assert_answer("set=1\npublic_key=" A "\n\n", "errno=0\n\n");
	uapi_free(uapi);
	assert_int_equal(uapi_new(&host, UAPI_CONTROL, "no name", &uapi), -EINVAL);
	assert_int_equal(uapi_new(&host, UAPI_CONTROL, NULL, &uapi), 0);
	assert_non_null(strstr(say("get=1\n\n"), A));
	assert_answer("set=1\nreplace_peers=true\npublic_key=" B "\n\n", "errno=0\n\n");
	assert_null(peer(A));
	assert_string_equal(domain_of(B), "wg0");
	host.domain = NULL;
	assert_answer("set=1\npublic_key=" A "\n\n", "errno=-19\n\n");
	assert_string_equal(say("get=1\n\n"), "errno=0\n\n");
	assert_answer("set=1\nwarren_domain=red\npublic_key=" A "\n\n", "errno=0\n\n");
	assert_string_equal(domain_of(A), "red");
}

static void
a_watch_names_the_domain_of_each_peer(void **state)
{
	assert_answer("set=1\npublic_key=" A "\nwarren_domain=red\npublic_key=" B "\n\n", "errno=0\n\n");
	assert_answer("set=1\nwarren_watch=true\n\n", "errno=0\n\n");
	uapi_changed(uapi, view(B).id);
	out_len = 0;
	output_take();
	assert_string_equal(out, "public_key=" B "\nwarren_domain=red\nlast_handshake_time_sec=0\n"
				 "last_handshake_time_nsec=0\n\n");
	for (unsigned i = 0; i < 2 * UAPI_WATCH_QUEUE; i++)
		uapi_changed(uapi, view(A).id);
	out_len = 0;
	output_take();
	assert_non_null(strstr(out, "public_key=" A "\nwarren_domain=wg0\n"));
	assert_non_null(strstr(out, "public_key=" B "\nwarren_domain=red\n"));
}

/* A key of that name is none of ours to be told words about, and values are never repeated. */
static void
words_name_the_key_and_never_the_value(void **state)
{
	assert_refused("set=1\nwarren_domain=wg0\nprivate_key=5ec2e7\n\n", "private_key: Invalid argument",
		       EINVAL);
	say("set=1\nwarren_a_key_that_is_longer_than_what_is_shown_of_it=5ec2e7\n\n");
	assert_non_null(strstr(
		out, "warren_trouble=warren_a_key_that_is_longer_than: Invalid argument\nerrno=-22\n\n"));
	assert_answer("set=1\nprivate_key=00\nwarren_domain=wg0\n\n", "errno=-22\n\n");
}

static void
initiate_shakes_hands_now(void **state)
{
	const struct wg_event up = {.type = WG_EVENT_UP, .domain = own};

	assert_answer("set=1\nprivate_key=" PRIVATE "\n\n", "errno=0\n\n");
	wg_step(device, &up, now, &effects);
	assert_answer("set=1\npublic_key=" A "\nwarren_initiate=true\nendpoint=192.0.2.1:1\n\n",
		      "errno=0\n\n");
	assert_int_equal(initiations, 1);
}

static int
setup(void **state)
{
	const struct wg_device_config config = {.random.fill = fill, .workers = 1};

	port = 0;
	mark = 0;
	port_answer = 0;
	orders = initiations = 0;
	assert_int_equal(wg_device_new(&config, &device), 0);
	host = (struct uapi_host){.device = device,
				  .ctx = &domains,
				  .effects = &effects,
				  .now = now_get,
				  .port_get = port_get,
				  .port_set = port_set,
				  .mark_get = mark_get,
				  .mark_set = mark_set,
				  .more = more,
				  .domain_find = domain_find,
				  .domain_get = domain_get,
				  .domain_remove = domain_remove,
				  .domain_at = domain_at,
				  .domain_name = domain_name};
	uapi = NULL;
	domains = (struct domains){.device = device, .effects = &effects};
	assert_int_equal(domain_get(&domains, "wg0", &own), 0);
	host.domain = own;
	return uapi_new(&host, UAPI_ALL, "wg0", &uapi);
}

static int
teardown(void **state)
{
	uapi_free(uapi);
	wg_device_free(device);
	return 0;
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(an_empty_device_says_nothing_but_errno),
		TEST(what_was_set_is_got_whatever_the_pieces),
		TEST(several_requests_on_one_connection_are_answered_in_turn),
		TEST(bad_lines_are_answered_by_errno_and_what_came_before_stays),
		TEST(a_line_that_is_too_long_is_a_protocol_error),
		TEST(what_is_no_request_ends_the_connection),
		TEST(a_busy_port_is_said),
		TEST(peers_are_updated_removed_and_replaced),
		TEST(an_allowed_ip_moves_and_goes),
		TEST(our_own_key_is_no_peer),
		TEST(setting_the_same_again_gives_no_order),
		TEST(a_full_answer_has_what_is_ours),
		TEST(an_end_and_a_state_are_kept_apart),
		TEST(a_new_peer_is_cut_off_until_its_request_is_through),
		TEST(a_new_peer_whose_lines_fail_stays_cut_off),
		TEST(a_new_peer_goes_with_a_connection_that_ends_within),
		TEST(a_sibling_changes_peers_but_not_the_device),
		TEST(everybody_else_changes_nothing),
		TEST(a_large_answer_is_made_while_it_is_read),
		TEST(a_watch_tells_what_is_true_when_it_is_read),
		TEST(a_slow_watcher_learns_of_all_peers_in_the_end),
		TEST(limits_are_set_shown_and_bounded),
		TEST(a_domain_comes_with_its_first_mention_and_has_its_own_peers),
		TEST(all_domains_are_shown_one_after_the_other),
		TEST(replacing_peers_touches_one_domain),
		TEST(a_key_is_in_one_domain_only),
		TEST(a_domain_is_removed_with_its_peers_and_only_by_name),
		TEST(a_domain_that_goes_within_a_request_comes_again),
		TEST(names_of_domains_are_plain_and_short),
		TEST(a_foreign_connection_sees_its_own_domain_only),
		TEST(without_a_domain_of_its_own_it_speaks_of_the_hosts),
		TEST(a_watch_names_the_domain_of_each_peer),
		TEST(words_name_the_key_and_never_the_value),
		TEST(initiate_shakes_hands_now),
	};

	rnd_begin();
	return cmocka_run_group_tests_name("uapi", tests, NULL, NULL);
}
