#include "web/http.h"

#include <civetweb.h>
#include <errno.h>
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/log.h"
#include "base/text.h"
#include "web/guard.h"
#include "web/relay.h"
#include "web/routes.h"

#define WORKERS       "64" /* 16 of them may wait for handshakes */
#define HANDLER_STACK (2U * 1024 * 1024)

struct http {
	struct control *control;
	struct mg_context *library;
	struct relay *relay;
};

static void
answer_write(struct mg_connection *conn, const struct answer *answer, bool with_body)
{
	char head[ANSWER_HEAD_MAX];
	const size_t len = answer_head(answer, head);

	if (mg_write(conn, head, len) > 0 && with_body && answer->len)
		mg_write(conn, answer->body, answer->len);
}

static int
refuse(struct mg_connection *conn, enum refusal refusal)
{
	struct answer answer;

	answer_refusal(&answer, refusal);
	answer_write(conn, &answer, true);
	answer_done(&answer);
	return web_refusal_status(refusal);
}

/* The guard again, on what the library made of the head. */
static enum refusal
guard_info(struct head *head, const struct mg_request_info *info)
{
	char target[TARGET_MAX + 2];
	enum refusal refusal;
	const int n = snprintf(target, sizeof(target), "%s%s%s", info->request_uri ? info->request_uri : "",
			       info->query_string ? "?" : "", info->query_string ? info->query_string : "");

	if (n < 0 || (size_t)n >= sizeof(target))
		return REFUSAL_HEAD_TOO_LARGE;
	refusal = guard_line(head, info->request_method ? info->request_method : "", target,
			     info->http_version ? info->http_version : "");
	for (int i = 0; i < info->num_headers && refusal == REFUSAL_NONE; i++)
		refusal = guard_field(head, info->http_headers[i].name ? info->http_headers[i].name : "",
				      info->http_headers[i].value ? info->http_headers[i].value : "");
	return refusal == REFUSAL_NONE ? guard_end(head) : refusal;
}

/* Whoever does not come through the relay does not come in. */
static bool
visitor_of(struct http *http, const struct mg_request_info *info, const struct head *head,
	   struct visitor *ret)
{
	return strcmp(info->remote_addr, "127.0.0.1") == 0 && info->remote_port > 0 &&
	       info->remote_port < 65536 && head->n_visits == 1 &&
	       relay_who(http->relay, (uint16_t)info->remote_port, head->visit, ret);
}

static enum refusal
body_read(struct mg_connection *conn, size_t len, char **ret)
{
	_cleanup_(freep) char *body = malloc(len + 1);
	size_t got = 0;

	if (!body)
		return REFUSAL_INTERNAL;
	while (got < len) {
		const int n = mg_read(conn, body + got, len - got);

		if (n <= 0)
			return REFUSAL_TIMEOUT;
		got += (size_t)n;
	}
	body[len] = '\0';
	*ret = take_ptr(body);
	return REFUSAL_NONE;
}

static enum refusal
place(struct http *http, const struct request *request, const struct head *head)
{
	if (request->who.admin)
		return head->from_browser ? REFUSAL_BROWSER : REFUSAL_NONE;
	return guard_host(head->host, control_config(http->control)->public_origin) ? REFUSAL_NONE
										    : REFUSAL_MISDIRECTED;
}

static void
name_request(struct request *request)
{
	uint8_t bytes[(sizeof(request->id) - 1) / 2];

	randombytes_buf(bytes, sizeof(bytes));
	hex_encode(request->id, bytes, sizeof(bytes));
}

/*
 * The library's threads have stacks of 100 KiB: too little for a handler that opens a connection to the
 * database (names, TLS).  So each request is answered on a stack of its own.
 */
struct handling {
	struct control *control;
	struct request *request;
	struct answer *answer;
};

static void *
handle(void *arg)
{
	const struct handling *handling = arg;

	route_answer(handling->control, handling->request, handling->answer);
	return NULL;
}

static void
handle_on_own_stack(struct http *http, struct request *request, struct answer *answer)
{
	struct handling handling = {http->control, request, answer};
	pthread_attr_t attr;
	pthread_t thread;
	int r;

	pthread_attr_init(&attr);
	r = pthread_attr_setstacksize(&attr, HANDLER_STACK);
	if (r == 0)
		r = pthread_create(&thread, &attr, handle, &handling);
	pthread_attr_destroy(&attr);
	if (r) {
		log_error("request=%s cannot be handled: %s", request->id, strerrorname_np(r));
		answer_refusal(answer, REFUSAL_INTERNAL);
		return;
	}
	pthread_join(thread, NULL);
}

static int
serve(struct http *http, struct mg_connection *conn, const struct head *head, struct request *request)
{
	struct answer answer;
	struct problem p;
	int status;

	if (request_target(request, head->target, &p) < 0)
		answer_problem(&answer, &p);
	else
		handle_on_own_stack(http, request, &answer);
	log_debug("request=%s uid=%d method=%s path=%s status=%d", request->id, (int)request->who.uid,
		  request->method, request->path, answer.status);
	answer_write(conn, &answer, strcmp(request->method, "HEAD") != 0);
	status = answer.status;
	answer_done(&answer);
	return status;
}

/* All of a request; the answer is the status, for the library's own book-keeping. */
static int
on_request(struct mg_connection *conn)
{
	const struct mg_request_info *info = mg_get_request_info(conn);
	struct http *http = info->user_data;
	_cleanup_(freep) struct request *request = calloc(1, sizeof(*request));
	_cleanup_(freep) char *body = NULL;
	struct head head;
	enum refusal refusal = guard_info(&head, info);

	if (!request)
		return refuse(conn, REFUSAL_INTERNAL);
	if (refusal == REFUSAL_NONE && !visitor_of(http, info, &head, &request->who))
		refusal = REFUSAL_FORBIDDEN;
	if (refusal == REFUSAL_NONE)
		refusal = place(http, request, &head);
	if (refusal == REFUSAL_NONE)
		refusal = body_read(conn, head.content_length, &body);
	if (refusal != REFUSAL_NONE)
		return refuse(conn, refusal);
	name_request(request);
	text_copy(request->method, sizeof(request->method), head.method);
	request->content_type = head.content_type;
	request->body = body;
	request->body_len = head.content_length;
	return serve(http, conn, &head, request);
}

/* What the library refuses by itself looks like ours. */
static int
on_error(struct mg_connection *conn, int status, const char *words)
{
	refuse(conn, status == 408 ? REFUSAL_TIMEOUT : status >= 500 ? REFUSAL_INTERNAL : REFUSAL_MALFORMED);
	return 0;
}

static int
on_message(const struct mg_connection *conn, const char *words)
{
	log_debug("http=%s", words);
	return 1;
}

static int
library_start(struct http *http, uint16_t *port)
{
	/* What it could do beyond answering is off: files, scripts, listings, sockets kept open, decoding. */
	static const char *const options[] = {
		"listening_ports",
		"127.0.0.1:0",
		"num_threads",
		WORKERS,
		"request_timeout_ms",
		"5000",
		"enable_keep_alive",
		"no",
		"decode_url",
		"no",
		"enable_directory_listing",
		"no",
		"max_request_size",
		"16384",
		"tcp_nodelay",
		"1",
		"cgi_pattern",
		"",
		"ssi_pattern",
		"",
		"access_control_allow_origin",
		"",
		"access_control_allow_methods",
		"",
		"access_control_allow_headers",
		"",
		"access_control_list",
		"-0.0.0.0/0,+127.0.0.1",
		NULL,
	};
	const struct mg_callbacks callbacks = {
		.begin_request = on_request,
		.http_error = on_error,
		.log_message = on_message,
	};
	struct mg_server_port ports[1] = {0};

	mg_init_library(0);
	http->library = mg_start(&callbacks, http, (const char **)(uintptr_t)options);
	if (!http->library || mg_get_server_ports(http->library, 1, ports) != 1)
		return -EADDRNOTAVAIL;
	*port = (uint16_t)ports[0].port;
	return 0;
}

int
http_new(struct http **ret, struct control *control, struct loop *loop)
{
	_cleanup_(http_freep) struct http *http = calloc(1, sizeof(*http));
	uint16_t port = 0;
	int r;

	if (!http)
		return -ENOMEM;
	http->control = control;
	r = relay_new(&http->relay, loop);
	if (r == 0)
		r = library_start(http, &port);
	if (r < 0)
		return r;
	relay_port(http->relay, port);
	*ret = take_ptr(http);
	return 0;
}

int
http_listen(struct http *http, int fd, enum door_kind kind)
{
	return relay_listen(http->relay, fd, kind);
}

void
http_close(struct http *http)
{
	relay_close(http->relay);
}

void
http_free(struct http *http)
{
	if (!http)
		return;
	if (http->library) {
		mg_stop(http->library);
		mg_exit_library();
	}
	relay_free(http->relay);
	free(http);
}

void
http_freep(struct http **http)
{
	http_free(*http);
}
