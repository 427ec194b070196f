/* Targets, queries, times and bodies: taken as the API says, or refused with the field at fault. */
#include "web/request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/errors.h"
#include "web/answer.h"
#include "web/routes.h"

#define KEY "Ag8AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

static int
read_add(const char *text, struct problem *p)
{
	const struct request request = {.body = text, .body_len = strlen(text)};
	struct body_add body;
	json_t *object = NULL;
	int r;

	*p = (struct problem){0};
	r = body_object(&request, false, &object, p);
	if (r == 0)
		r = body_add_read(object, &body, p);
	json_decref(object);
	return r;
}

static void
bodies_are_strict(void **state)
{
	static const struct {
		const char *text, *field;
	} bad[] = {
		{"", ""},
		{"null", ""},
		{"[]", ""},
		{"{\"name\":\"a\",\"public_key\":\"" KEY "\"} x", ""},
		{"{\"name\":\"a\",\"name\":\"a\",\"public_key\":\"" KEY "\"}", ""},
		{"{\"name\":\"a\",\"public_key\":\"" KEY "\",\"Name\":1}", ""},
		{"{\"name\":\"a\\u0000\",\"public_key\":\"" KEY "\"}", ""},
		{"{\"public_key\":\"" KEY "\"}", "name"},
		{"{\"name\":null,\"public_key\":\"" KEY "\"}", "name"},
		{"{\"name\":\"12\",\"public_key\":\"" KEY "\"}", "name"},
		{"{\"name\":\"\\u00e4\",\"public_key\":\"" KEY "\"}", "name"},
		{"{\"name\":\"a\",\"public_key\":\"x\"}", "public_key"},
		{"{\"name\":\"a\",\"public_key\":\"" KEY "\",\"expires_at\":\"2099-01-01\"}", "expires_at"},
		{"{\"name\":\"a\",\"public_key\":\"" KEY "\",\"routes\":{}}", "routes"},
		{"{\"name\":\"a\",\"public_key\":\"" KEY "\",\"routes\":[1]}", "routes[0]"},
		{"{\"name\":\"a\",\"public_key\":\"" KEY "\",\"routes\":[\"fd00::/64\",\"10.0.0.0\"]}",
		 "routes[1]"},
	};
	struct problem p;

	assert_int_equal(read_add("{\"name\":\"a\",\"public_key\":\"" KEY "\"}", &p), 0);
	assert_int_equal(read_add("{\"name\":\"a\",\"public_key\":\"" KEY
				  "\",\"expires_at\":null,\"routes\":null}",
				  &p),
			 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(read_add(bad[i].text, &p), -ERR_INVALID);
		assert_string_equal(p.field, bad[i].field);
		assert_true(p.detail[0]);
	}
}

static void
a_body_that_may_be_left_out_is_an_empty_object(void **state)
{
	const struct request none = {0}, some = {.body = "{\"a\":1}", .body_len = 7};
	struct problem p;
	json_t *object;

	assert_int_equal(body_object(&none, true, &object, &p), 0);
	assert_int_equal(body_empty_read(object, &p), 0);
	json_decref(object);
	assert_int_equal(body_object(&none, false, &object, &p), -ERR_INVALID);
	assert_int_equal(body_object(&some, true, &object, &p), 0);
	assert_int_equal(body_empty_read(object, &p), -ERR_INVALID);
	json_decref(object);
}

static void
a_body_is_not_nested_deeply(void **state)
{
	static char deep[BODY_MAX + 1];
	struct problem p;

	memset(deep, '[', BODY_MAX);
	assert_int_equal(read_add(deep, &p), -ERR_INVALID);
	assert_non_null(strstr(p.detail, "deep"));
	assert_int_equal(read_add("{\"[[[[[[[[[[[[[[[[\\\"[[[[[[[[[\":1}", &p),
			 -ERR_INVALID); /* within text it is text */
	assert_null(strstr(p.detail, "deep"));
}

static void
times_are_real_ones_in_utc(void **state)
{
	static const char *const bad[] = {"",
					  "2027-01-31",
					  "2027-01-31T18:00:00",
					  "2027-01-31T18:00:00z",
					  "2027-01-31 18:00:00Z",
					  "2027-02-30T18:00:00Z",
					  "2027-13-01T18:00:00Z",
					  "2027-01-31T24:00:00Z",
					  "2027-01-31T18:60:00Z",
					  "2027-01-31T18:00:60Z",
					  "2027-01-31T18:00:00.0Z",
					  "+027-01-31T18:00:00Z",
					  "1969-12-31T23:59:59Z",
					  "2027-01-31T18:00:00Z "};
	time_t t;

	assert_int_equal(time_parse(&t, "2028-02-29T12:34:56Z"), 0);
	assert_int_equal(t, 1835440496);
	assert_int_equal(time_parse(&t, "9999-12-31T23:59:59Z"), 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(time_parse(&t, bad[i]), -EINVAL);
}

static void
queries_are_strict(void **state)
{
	static const char *const bad[] = {"/a?x",
					  "/a?=1",
					  "/a?x=1&x=2",
					  "/a?x=1&",
					  "/a?&x=1",
					  "/a?x=a+b",
					  "/a?x=1;y=2",
					  "/a?x=1=2",
					  "/a?a=1&b=1&c=1&d=1&e=1&f=1&g=1&h=1&i=1",
					  "/a?aaaaaaaaaaaaaaaa=1"};
	struct request request = {0};
	struct problem p;
	int64_t n;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(request_target(&request, bad[i], &p), -ERR_INVALID);
	assert_int_equal(request_target(&request, "/a", &p), 0);
	assert_int_equal(request.n_query, 0);
	assert_int_equal(request_target(&request, "/a?limit=5&after=x", &p), 0);
	assert_string_equal(request.path, "/a");
	assert_int_equal(query_number(&request, "limit", 1, 500, 50, &n, &p), 0);
	assert_int_equal(n, 5);
	assert_int_equal(query_number(&request, "other", 1, 500, 50, &n, &p), 0);
	assert_int_equal(n, 50);
	assert_int_equal(query_number(&request, "after", 1, 500, 50, &n, &p), -ERR_INVALID);
	assert_int_equal(query_number(&request, "limit", 6, 500, 50, &n, &p), -ERR_INVALID);
	assert_int_equal(query_end(&request, &p), 0);
	assert_int_equal(request_target(&request, "/a?x=1", &p), 0);
	assert_int_equal(query_end(&request, &p), -ERR_INVALID);
	assert_string_equal(p.field, "x");
}

static const struct route *
find(const char *method, const char *path, bool admin, enum refusal *refusal)
{
	static struct request request;

	memset(&request, 0, sizeof(request));
	snprintf(request.method, sizeof(request.method), "%s", method);
	snprintf(request.path, sizeof(request.path), "%s", path);
	request.who.admin = admin;
	return route_find(&request, refusal);
}

static void
routes_are_found_by_method_and_path(void **state)
{
	static const char *const none[] = {"/api/v1",           "/api/v1/",
					   "/api/v1/peers/",    "/api/v1/peers//enable",
					   "/api/v1/peers/a/b", "/api/v1/peers/a/enable/",
					   "/API/v1/peers",     "/api/v1/peersx",
					   "/healthx"};
	enum refusal refusal;

	assert_string_equal(find("GET", "/api/v1/peers", true, &refusal)->name, "peers");
	assert_string_equal(find("HEAD", "/api/v1/peers", true, &refusal)->name, "peers");
	assert_string_equal(find("POST", "/api/v1/peers", true, &refusal)->name, "peer_add");
	assert_string_equal(find("DELETE", "/api/v1/peers/7", true, &refusal)->name, "peer_remove");
	assert_string_equal(find("POST", "/api/v1/peers/a.b-c/rekey", true, &refusal)->name, "peer_rekey");
	assert_null(find("PUT", "/api/v1/peers", true, &refusal));
	assert_int_equal(refusal, REFUSAL_METHOD);
	for (size_t i = 0; i < ARRAY_LEN(none); i++) {
		assert_null(find("GET", none[i], true, &refusal));
		assert_int_equal(refusal, REFUSAL_NOT_FOUND);
	}
}

static void
to_a_stranger_all_but_the_open_routes_look_alike(void **state)
{
	static const char *const open_ones[] = {"/", "/health", "/version", "/api/v1/health"};
	static const char *const others[] = {"/api/v1/status", "/api/v1/peers", "/api/v1/peers/a", "/nothing",
					     "/api/v1/peers/a/b"};
	enum refusal refusal;

	for (size_t i = 0; i < ARRAY_LEN(open_ones); i++)
		assert_non_null(find("GET", open_ones[i], false, &refusal));
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		assert_null(find("GET", others[i], false, &refusal));
		assert_int_equal(refusal, REFUSAL_UNAUTHORIZED);
	}
	assert_null(find("POST", "/", false, &refusal));
	assert_int_equal(refusal, REFUSAL_UNAUTHORIZED);
}

static void
every_refusal_is_a_problem_with_the_fields_of_all_answers(void **state)
{
	for (enum refusal refusal = REFUSAL_NONE + 1; refusal < REFUSAL_COUNT; refusal++) {
		char text[ANSWER_HEAD_MAX];
		struct answer answer;
		json_t *json;

		answer_refusal(&answer, refusal);
		assert_true(answer_head(&answer, text) > 0);
		assert_non_null(strstr(text, "\r\nX-Content-Type-Options: nosniff\r\n"));
		assert_non_null(strstr(text, "\r\nConnection: close\r\n"));
		assert_non_null(strstr(text, "application/problem+json"));
		assert_null(strstr(text, " Other\r\n"));
		json = json_loadb(answer.body, answer.len, 0, NULL);
		assert_int_equal(json_object_size(json), 7);
		assert_int_equal(json_integer_value(json_object_get(json, "status")), answer.status);
		json_decref(json);
		answer_done(&answer);
	}
}

static void
what_fails_inside_is_nobodys_business(void **state)
{
	struct problem p = {.error = -EIO, .detail = "secret detail"};
	struct answer answer;

	answer_problem(&answer, &p);
	assert_int_equal(answer.status, 500);
	assert_null(strstr(answer.body, "secret"));
	answer_done(&answer);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bodies_are_strict),
		cmocka_unit_test(a_body_that_may_be_left_out_is_an_empty_object),
		cmocka_unit_test(a_body_is_not_nested_deeply),
		cmocka_unit_test(times_are_real_ones_in_utc),
		cmocka_unit_test(queries_are_strict),
		cmocka_unit_test(routes_are_found_by_method_and_path),
		cmocka_unit_test(to_a_stranger_all_but_the_open_routes_look_alike),
		cmocka_unit_test(every_refusal_is_a_problem_with_the_fields_of_all_answers),
		cmocka_unit_test(what_fails_inside_is_nobodys_business),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
