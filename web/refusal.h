/*
 * Why a request is not even looked at: name, code, status, words.  A closed set.
 */
#ifndef WEB_REFUSAL_H
#define WEB_REFUSAL_H

#define REFUSALS(X)                                                                                          \
	X(MALFORMED, "malformed", 400, "The request is not well-formed HTTP/1.1.")                           \
	X(TARGET, "target", 400, "The request target is not a plain path.")                                  \
	X(HOST, "host", 400, "There must be exactly one Host field.")                                        \
	X(LENGTH, "length", 400, "Content-Length must come once and be plain digits.")                       \
	X(UNAUTHORIZED, "unauthorized", 401, "Nobody can sign in here yet: use the admin socket.")           \
	X(FORBIDDEN, "forbidden", 403, "Only root, the server's own user and group warren are let in.")      \
	X(BROWSER, "browser", 403, "Browsers are not let in at the admin socket.")                           \
	X(NOT_FOUND, "not_found", 404, "There is no such path.")                                             \
	X(METHOD, "method_not_allowed", 405, "This path does not take that method.")                         \
	X(TIMEOUT, "timeout", 408, "The request came too slowly.")                                           \
	X(NO_LENGTH, "length_required", 411, "Bodies need Content-Length; Transfer-Encoding is not taken.")  \
	X(TOO_LARGE, "too_large", 413, "The body is larger than 64 KiB.")                                    \
	X(MEDIA_TYPE, "media_type", 415, "Bodies are application/json.")                                     \
	X(EXPECTATION, "expectation", 417, "Expect is not taken.")                                           \
	X(MISDIRECTED, "misdirected", 421, "The Host field names another server.")                           \
	X(BUSY, "busy", 429, "Too many of these are under way.")                                             \
	X(HEAD_TOO_LARGE, "head_too_large", 431, "The head is too long or has too many fields.")             \
	X(INTERNAL, "internal", 500, "Something failed here; the log says what.")                            \
	X(VERSION, "version", 505, "Only HTTP/1.0 and HTTP/1.1 are spoken.")

enum refusal {
	REFUSAL_NONE,
#define X(name, ...) REFUSAL_##name,
	REFUSALS(X)
#undef X
		REFUSAL_COUNT
};

const char *web_refusal_code(enum refusal refusal);
int web_refusal_status(enum refusal refusal);
const char *web_refusal_words(enum refusal refusal);

#endif
