#include "web/answer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/errors.h"
#include "base/log.h"

#define STATUSES(X)                                                                                          \
	X(200, "OK")                                                                                         \
	X(201, "Created")                                                                                    \
	X(400, "Bad Request")                                                                                \
	X(401, "Unauthorized")                                                                               \
	X(403, "Forbidden")                                                                                  \
	X(404, "Not Found")                                                                                  \
	X(405, "Method Not Allowed")                                                                         \
	X(408, "Request Timeout")                                                                            \
	X(409, "Conflict")                                                                                   \
	X(411, "Length Required")                                                                            \
	X(413, "Content Too Large")                                                                          \
	X(415, "Unsupported Media Type")                                                                     \
	X(417, "Expectation Failed")                                                                         \
	X(421, "Misdirected Request")                                                                        \
	X(422, "Unprocessable Content")                                                                      \
	X(429, "Too Many Requests")                                                                          \
	X(431, "Request Header Fields Too Large")                                                            \
	X(500, "Internal Server Error")                                                                      \
	X(503, "Service Unavailable")                                                                        \
	X(505, "HTTP Version Not Supported")

static const char *
status_words(int status)
{
	static const struct {
		int status;
		const char *words;
	} lines[] = {
#define X(status, words) {status, words},
		STATUSES(X)
#undef X
	};

	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		if (lines[i].status == status)
			return lines[i].words;
	return "Other";
}

size_t
answer_head(const struct answer *answer, char out[ANSWER_HEAD_MAX])
{
	const int n = snprintf(
		out, ANSWER_HEAD_MAX,
		"HTTP/1.1 %d %s\r\n"
		"Content-Type: %s\r\n"
		"Content-Length: %zu\r\n"
		"Connection: close\r\n"
		"Cache-Control: no-store\r\n"
		"Strict-Transport-Security: max-age=31536000; includeSubDomains\r\n"
		"Content-Security-Policy: default-src 'none'; frame-ancestors 'none'; object-src 'none'; "
		"base-uri 'none'; form-action 'none'\r\n"
		"X-Content-Type-Options: nosniff\r\n"
		"Referrer-Policy: no-referrer\r\n"
		"Cross-Origin-Opener-Policy: same-origin\r\n"
		"Cross-Origin-Resource-Policy: same-origin\r\n"
		"%s\r\n",
		answer->status, status_words(answer->status), answer->type, answer->len,
		answer->extra ? answer->extra : "");

	return n > 0 && n < ANSWER_HEAD_MAX ? (size_t)n : 0;
}

void
answer_text(struct answer *answer, const char *type, char *body, size_t len)
{
	*answer = (struct answer){.status = 200, .type = type, .extra = "", .body = body, .len = len};
}

static void
answer_dump(struct answer *answer, int status, const char *type, json_t *json)
{
	char *body = json ? json_dumps(json, JSON_COMPACT) : NULL;

	json_decref(json);
	if (!body)
		log_error("answer=lost: no memory");
	answer_text(answer, type, body, body ? strlen(body) : 0);
	answer->status = body ? status : 500;
}

void
answer_json(struct answer *answer, int status, json_t *json)
{
	answer_dump(answer, status, "application/json; charset=utf-8", json);
}

static void
answer_all(struct answer *answer, int status, const char *code, const char *title, const char *detail,
	   const char *remedy, const char *field)
{
	char type[96];

	snprintf(type, sizeof(type), "urn:warren:problem:%s", code);
	answer_dump(answer, status, "application/problem+json; charset=utf-8",
		    json_pack("{s:s, s:s, s:i, s:s, s:s, s:s?, s:s?}", "type", type, "title", title, "status",
			      status, "detail", detail, "code", code, "remedy", remedy, "field", field));
}

void
answer_words(struct answer *answer, enum refusal refusal, const char *field, const char *detail,
	     const char *remedy)
{
	const int status = web_refusal_status(refusal);

	answer_all(answer, status, web_refusal_code(refusal), status_words(status), detail, remedy, field);
	if (status == 401)
		answer->extra = "WWW-Authenticate: Bearer realm=\"warren\"\r\n";
}

void
answer_refusal(struct answer *answer, enum refusal refusal)
{
	answer_words(answer, refusal, NULL, web_refusal_words(refusal), NULL);
}

/* Errors of the table have a code and a status of their own; what is not ours is nobody's business. */
void
answer_problem(struct answer *answer, const struct problem *problem)
{
	const int r = problem->error;
	const char *field = problem->field[0] ? problem->field : NULL;

	if (r == -EBUSY) {
		answer_words(answer, REFUSAL_BUSY, field, problem->detail, NULL);
		return;
	}
	if (-r <= ERR_FIRST || -r >= ERR_END) {
		log_error("request=failed: %s", error_words(r));
		answer_refusal(answer, REFUSAL_INTERNAL);
		return;
	}
	answer_all(answer, error_status(r), error_code(r), error_words(r),
		   problem->detail[0] ? problem->detail : error_words(r),
		   problem->remedy[0] ? problem->remedy : NULL, field);
}

void
answer_done(struct answer *answer)
{
	free(answer->body);
	*answer = (struct answer){0};
}
