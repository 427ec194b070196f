/* A client's configuration: the text to the byte, and every value that may not get into it. */
#include "server/cli/conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/errors.h"

#define GATEWAY "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

static const struct private_key key = {{0x40, 1, 2, 3}};
static char out[CONF_TEXT_LEN], error[CONF_ERROR_LEN];

/* A good answer; a test replaces one member of it. */
static json_t *
answer(void)
{
	return json_pack("{s:[s,s], s:{s:s, s:s, s:n, s:[s], s:i, s:[s,s], s:i}}", "addresses",
			 "10.82.0.2/32", "fd01:2:3:4::2/128", "config", "gateway_public_key", GATEWAY,
			 "endpoint", "vpn.example.org:51820", "endpoint_note", "dns", "10.82.0.1", "mtu",
			 1420, "allowed_ips", "0.0.0.0/0", "::/0", "persistent_keepalive", 25);
}

/* The answer with @member of `config` (or of the peer, if it has that) as the JSON text @value. */
static json_t *
answer_with(const char *member, const char *value)
{
	json_t *whole = answer(), *config = json_object_get(whole, "config");
	json_t *of = json_object_get(whole, member) ? whole : config;

	assert_non_null(json_object_get(of, member));
	assert_int_equal(json_object_set_new(of, member, json_loads(value, JSON_DECODE_ANY, NULL)), 0);
	return whole;
}

static int
compose(json_t *whole)
{
	const int r = conf_compose(out, &key, whole, error);

	json_decref(whole);
	return r;
}

static void
the_text_is_what_clients_take(void **state)
{
	static const char golden[] = "[Interface]\n"
				     "PrivateKey = QAECAwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
				     "Address = 10.82.0.2/32, fd01:2:3:4::2/128\n"
				     "DNS = 10.82.0.1\n"
				     "\n"
				     "[Peer]\n"
				     "PublicKey = " GATEWAY "\n"
				     "AllowedIPs = 0.0.0.0/0, ::/0\n"
				     "Endpoint = vpn.example.org:51820\n"
				     "PersistentKeepalive = 25\n";

	assert_int_equal(compose(answer()), sizeof(golden) - 1);
	assert_string_equal(out, golden);
}

static void
assert_has(json_t *whole, const char *line, bool has)
{
	assert_true(compose(whole) > 0);
	if ((strstr(out, line) != NULL) != has)
		fail_msg("\"%s\" is %sin %s", line, has ? "not " : "", out);
}

static void
what_is_not_needed_is_left_out(void **state)
{
	assert_has(answer_with("mtu", "1420"), "MTU", false);
	assert_has(answer_with("mtu", "1280"), "\nMTU = 1280\n", true);
	assert_has(answer_with("dns", "[]"), "DNS", false);
	assert_has(answer_with("dns", "[\"fd00::1\",\"home.example\"]"), "\nDNS = fd00::1, home.example\n",
		   true);
	assert_has(answer_with("persistent_keepalive", "0"), "Keepalive", false);
	assert_has(answer_with("endpoint", "null"), "Endpoint", false);
	assert_has(answer_with("endpoint", "\"[2001:db8::1]:51820\""), "\nEndpoint = [2001:db8::1]:51820\n",
		   true);
}

static void
a_value_that_is_not_what_it_should_be_is_refused(void **state)
{
	static const char *const wrong[][2] = {
		{"addresses", "[]"},
		{"addresses", "null"},
		{"addresses", "[\"10.0.0.1/32\\nPostUp = x\"]"},
		{"addresses", "[7]"},
		{"gateway_public_key", "null"},
		{"gateway_public_key", "\"short\""},
		{"gateway_public_key", "\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\\n\""},
		{"endpoint", "\"host\""},
		{"endpoint", "\"host:0\""},
		{"endpoint", "\"host:65536\""},
		{"endpoint", "\"host:1\\nPostUp = x\""},
		{"endpoint", "\"ho st:1\""},
		{"endpoint", "\"-host:1\""},
		{"endpoint", "\":1\""},
		{"endpoint", "7"},
		{"dns", "[\"10.0.0.1\\nPostUp = x\"]"},
		{"dns", "[\"10.0.0.1, x = y\"]"},
		{"dns", "[\"\"]"},
		{"dns", "[null]"},
		{"mtu", "575"},
		{"mtu", "65536"},
		{"mtu", "\"1420\\nPostUp = x\""},
		{"allowed_ips", "[]"},
		{"allowed_ips", "[\"0.0.0.0/33\"]"},
		{"allowed_ips", "[\"0.0.0.0/0#\"]"},
		{"persistent_keepalive", "-1"},
		{"persistent_keepalive", "65536"},
		{"persistent_keepalive", "null"},
		{"config", "null"},
	};

	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		if (compose(answer_with(wrong[i][0], wrong[i][1])) != -ERR_INVALID)
			fail_msg("%s %s is taken", wrong[i][0], wrong[i][1]);
		assert_true(*error);
		/* Nothing of the key is left behind. */
		for (size_t b = 0; b < CONF_TEXT_LEN; b++)
			assert_int_equal(out[b], 0);
	}
}

static void
what_is_too_long_is_refused_whole(void **state)
{
	json_t *whole = answer(), *list = json_array();

	for (int i = 0; i < 2000; i++)
		json_array_append_new(list, json_string("2001:db8:1111:2222::/64"));
	json_object_set_new(json_object_get(whole, "config"), "allowed_ips", list);
	assert_int_equal(compose(whole), -ERR_INVALID);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_text_is_what_clients_take),
		cmocka_unit_test(what_is_not_needed_is_left_out),
		cmocka_unit_test(a_value_that_is_not_what_it_should_be_is_refused),
		cmocka_unit_test(what_is_too_long_is_refused_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
