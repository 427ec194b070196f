/* The guard: what is HTTP as it should be, and each way of not being so. */
#include "web/guard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"

#define LINE "GET /a HTTP/1.1\r\n"
#define HOST "Host: x\r\n"

static enum refusal
head(const char *text)
{
	struct head ret;
	enum refusal refusal;
	const size_t len = guard_length(text, strlen(text), &refusal);

	if (refusal != REFUSAL_NONE || len == 0)
		return refusal != REFUSAL_NONE ? refusal : REFUSAL_COUNT;
	return guard_head(&ret, text, len);
}

static void
a_plain_head_is_read(void **state)
{
	static const char text[] = "PATCH /api/v1/peers/a?x=1 HTTP/1.1\r\nhOST: localhost:5\r\nContent-Type: "
				   " application/json \r\n"
				   "Content-Length: 65536\r\nX: \r\nOrigin: http://x\r\n\r\nrest";
	struct head ret;
	enum refusal refusal;
	const size_t len = guard_length(text, strlen(text), &refusal);

	assert_int_equal(len, strlen(text) - 4);
	assert_int_equal(guard_head(&ret, text, len), REFUSAL_NONE);
	assert_string_equal(ret.method, "PATCH");
	assert_string_equal(ret.target, "/api/v1/peers/a?x=1");
	assert_string_equal(ret.host, "localhost:5");
	assert_string_equal(ret.content_type, "application/json");
	assert_int_equal(ret.content_length, 65536);
	assert_true(ret.from_browser);
	assert_int_equal(ret.n_fields, 5);
}

static void
what_is_not_complete_is_waited_for(void **state)
{
	static const char text[] = LINE HOST "\r\n";

	for (size_t len = 0; len < strlen(text); len++) {
		enum refusal refusal;

		assert_int_equal(guard_length(text, len, &refusal), 0);
		assert_int_equal(refusal, REFUSAL_NONE);
	}
}

static void
each_oddity_has_its_refusal(void **state)
{
	static const struct {
		const char *text;
		enum refusal refusal;
	} odd[] = {
		{LINE HOST "\r\n", REFUSAL_NONE},
		{"GET /a HTTP/1.0\r\n" HOST "\r\n", REFUSAL_NONE},
		{"get /a HTTP/1.1\r\n" HOST "\r\n", REFUSAL_MALFORMED},
		{"\r\n" LINE HOST "\r\n", REFUSAL_MALFORMED},
		{"GET /a\r\n" HOST "\r\n", REFUSAL_MALFORMED},
		{"GET  /a HTTP/1.1\r\n" HOST "\r\n", REFUSAL_MALFORMED},
		{"GET /a  HTTP/1.1\r\n" HOST "\r\n", REFUSAL_MALFORMED},
		{"GET /a HTTP/1.1 \r\n" HOST "\r\n", REFUSAL_VERSION},
		{"GET /a HTTP/1.2\r\n" HOST "\r\n", REFUSAL_VERSION},
		{"GET /a http/1.1\r\n" HOST "\r\n", REFUSAL_MALFORMED},
		{"GETTINGXX /a HTTP/1.1\r\n" HOST "\r\n", REFUSAL_MALFORMED},
		{"G(T /a HTTP/1.1\r\n" HOST "\r\n", REFUSAL_MALFORMED},
		{"GET a HTTP/1.1\r\n" HOST "\r\n", REFUSAL_TARGET},
		{"GET * HTTP/1.1\r\n" HOST "\r\n", REFUSAL_TARGET},
		{"GET //a HTTP/1.1\r\n" HOST "\r\n", REFUSAL_TARGET},
		{"GET http://x/a HTTP/1.1\r\n" HOST "\r\n", REFUSAL_TARGET},
		{"GET /%00 HTTP/1.1\r\n" HOST "\r\n", REFUSAL_TARGET},
		{"GET /a\x7f HTTP/1.1\r\n" HOST "\r\n", REFUSAL_TARGET},
		{"GET /\xc3\xa4 HTTP/1.1\r\n" HOST "\r\n", REFUSAL_TARGET},
		{"GET /a#b HTTP/1.1\r\n" HOST "\r\n", REFUSAL_TARGET},
		{LINE "\r\n", REFUSAL_HOST},
		{LINE HOST HOST "\r\n", REFUSAL_HOST},
		{LINE HOST "Host: y\r\n\r\n", REFUSAL_HOST},
		{LINE "Host:\r\n\r\n", REFUSAL_HOST},
		{LINE "Host : x\r\n\r\n", REFUSAL_MALFORMED},
		{LINE HOST " folded: x\r\n\r\n", REFUSAL_MALFORMED},
		{LINE HOST "\tfolded\r\n\r\n", REFUSAL_MALFORMED},
		{LINE HOST "no colon\r\n\r\n", REFUSAL_MALFORMED},
		{LINE HOST ": x\r\n\r\n", REFUSAL_MALFORMED},
		{LINE HOST "A: b\nc: d\r\n\r\n", REFUSAL_MALFORMED},
		{LINE HOST "A: b\rc\r\n\r\n", REFUSAL_MALFORMED},
		{LINE HOST "A: \x01\r\n\r\n", REFUSAL_MALFORMED},
		{LINE HOST "Transfer-Encoding: chunked\r\n\r\n", REFUSAL_NO_LENGTH},
		{LINE HOST "transfer-encoding: identity\r\nContent-Length: 1\r\n\r\n", REFUSAL_NO_LENGTH},
		{LINE HOST "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", REFUSAL_LENGTH},
		{LINE HOST "Content-Length: 1, 1\r\n\r\n", REFUSAL_LENGTH},
		{LINE HOST "Content-Length: +1\r\n\r\n", REFUSAL_LENGTH},
		{LINE HOST "Content-Length: -0\r\n\r\n", REFUSAL_LENGTH},
		{LINE HOST "Content-Length: 0x1\r\n\r\n", REFUSAL_LENGTH},
		{LINE HOST "Content-Length: 1 1\r\n\r\n", REFUSAL_LENGTH},
		{LINE HOST "Content-Length:\r\n\r\n", REFUSAL_LENGTH},
		{LINE HOST "Content-Length: 18446744073709551617\r\n\r\n", REFUSAL_LENGTH},
		{LINE HOST "Content-Length: 65537\r\n\r\n", REFUSAL_TOO_LARGE},
		{LINE HOST "Content-Type: a\r\nContent-Type: a\r\n\r\n", REFUSAL_MALFORMED},
		{LINE HOST "Expect: 100-continue\r\n\r\n", REFUSAL_EXPECTATION},
	};

	for (size_t i = 0; i < ARRAY_LEN(odd); i++)
		if (head(odd[i].text) != odd[i].refusal)
			fail_msg("%zu: %s -> %d", i, odd[i].text, (int)head(odd[i].text));
}

static void
a_nul_anywhere_is_refused(void **state)
{
	static const char text[] = LINE HOST "A: bcd\r\n\r\n";

	for (size_t i = 0; i < strlen(text) - 4; i++) {
		char copy[sizeof(text)];
		struct head ret;

		memcpy(copy, text, sizeof(text));
		copy[i] = '\0';
		assert_int_not_equal(guard_head(&ret, copy, strlen(text)), REFUSAL_NONE);
	}
}

static void
fields_and_length_have_a_limit(void **state)
{
	char text[HEAD_MAX + 64];
	int n = snprintf(text, sizeof(text), LINE HOST);

	for (int i = 1; i < HEAD_FIELDS_MAX; i++)
		n += snprintf(text + n, sizeof(text) - (size_t)n, "A: b\r\n");
	strcpy(text + n, "\r\n");
	assert_int_equal(head(text), REFUSAL_NONE);
	strcpy(text + n, "A: b\r\n\r\n");
	assert_int_equal(head(text), REFUSAL_HEAD_TOO_LARGE);
	memset(text, 'A', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(head(text), REFUSAL_HEAD_TOO_LARGE);
}

static void
only_our_own_names_are_ours(void **state)
{
	static const char origin[] = "https://warren.example.org";
	static const char *const ours[] = {"localhost",         "LOCALHOST:5", "127.0.0.1",
					   "192.0.2.1:80",      "[::1]",       "[2001:db8::1]:80",
					   "Warren.Example.org"};
	static const char *const others[] = {"",
					     "example.org",
					     "warren.example.org:80",
					     "warren.example.org.",
					     "localhost.evil",
					     "1.2.3",
					     "::1",
					     "[::1",
					     "[::1]x",
					     "[127.0.0.1]",
					     "127.1:80"};

	for (size_t i = 0; i < ARRAY_LEN(ours); i++)
		assert_true(guard_host(ours[i], origin));
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		assert_false(guard_host(others[i], origin));
	assert_false(guard_host("warren.example.org", ""));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_plain_head_is_read),
		cmocka_unit_test(what_is_not_complete_is_waited_for),
		cmocka_unit_test(each_oddity_has_its_refusal),
		cmocka_unit_test(a_nul_anywhere_is_refused),
		cmocka_unit_test(fields_and_length_have_a_limit),
		cmocka_unit_test(only_our_own_names_are_ours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
