/*
 * The API of docs/api/openapi.yaml over the admin socket.  The gateway's answers are hostile until
 * checked: every one has a time limit, a ceiling and a type.
 */
#ifndef SERVER_CLI_CLIENT_H
#define SERVER_CLI_CLIENT_H

#include <jansson.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/cleanup.h"

#define CLIENT_PATH            "/api/v1"
#define CLIENT_CONNECT_SECONDS 5
#define CLIENT_ANSWER_SECONDS  15
#define CLIENT_JSON_MAX        (4 << 20)  /* 500 peers with 32 routes each take 1 MiB */
#define CLIENT_TEXT_MAX        (64 << 20) /* 65,536 peers of /wg at 1 KiB */
#define CLIENT_SOCKET_ENV      "WARREN_ADMIN_SOCKET"

/* How a call ends; its exit status and what the caller may conclude. */
#define CALL_ENDS(X)                                                                                         \
	X(OK, 0)          /* the answer is there */                                                          \
	X(REFUSED, 1)     /* a problem: nothing was changed */                                               \
	X(SILENT, 3)      /* no connection: nothing was changed */                                           \
	X(BROKEN_OFF, 3)  /* no answer: it may have been done or not */                                      \
	X(FOREIGN, 1)     /* an answer that is not of this API */                                            \
	X(FAILED, 1)      /* this side failed */                                                             \
	X(INTERRUPTED, 0) /* client_interrupt: the caller ended it */

enum call_end {
#define X(name, status) CALL_##name,
	CALL_ENDS(X)
#undef X
};

/* What went wrong; empty strings where there is nothing to say. */
struct call_trouble {
	char what[512];
	char why[1024];
	char remedy[1024];
	char field[128];
	char code[64];
	long http;       /* status, 0: no answer */
	bool broken_off; /* what was asked may have been done */
};

struct client;

/* One call: what is asked. */
struct call {
	const char *method;
	const char *path;     /* below CLIENT_PATH */
	const json_t *body;   /* or NULL */
	unsigned seconds;     /* 0: CLIENT_ANSWER_SECONDS */
	bool text;            /* the answer is text/plain, not JSON */
	void (*tick)(void *); /* about once a second while waiting, or NULL */
	void *tick_arg;
};

/* One answer, the caller's: client_answer_done(). */
struct answer {
	long status;
	json_t *json;
	char *text; /* NUL-terminated, no NUL within */
	size_t text_len;
};

void client_answer_done(struct answer *answer);

/*
 * Where the gateway listens: $WARREN_ADMIN_SOCKET, else /run/warren/admin.sock if it is there, else where
 * warrend of this user puts it.  Negated errno: @error says why.
 */
#define CLIENT_ERROR_LEN  1024
#define CLIENT_SOCKET_LEN 108
int client_socket(char out[CLIENT_SOCKET_LEN], char *const env[], char error[CLIENT_ERROR_LEN]) _must_check_;

/* @socket is copied; nothing is connected yet.  -ENOMEM. */
int client_new(struct client **ret, const char *socket) _must_check_;
void client_free(struct client *client);

/* @ret is written on CALL_OK only; otherwise client_trouble() says what happened. */
enum call_end client_call(struct client *client, const struct call *call, struct answer *ret) _must_check_;
const struct call_trouble *client_trouble(const struct client *client);
int call_end_status(enum call_end end);

/* Set (by a signal's handler): the call under way ends with CALL_INTERRUPTED. */
extern volatile sig_atomic_t client_interrupt;

#endif
