#include "server/cli/client.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/text.h"
#include "server/cli/trouble.h"

volatile sig_atomic_t client_interrupt;

struct client {
	CURL *curl;
	char socket[CLIENT_SOCKET_LEN];
	struct call_trouble trouble;
	char curl_words[CURL_ERROR_SIZE];
	const struct call *call;
	/* The answer as it comes in. */
	char *in;
	size_t in_len, in_room;
	bool too_long;
	time_t ticked;
};

static size_t
receive(char *bytes, size_t one, size_t n, void *arg)
{
	struct client *client = arg;
	const size_t max = client->call->text ? CLIENT_TEXT_MAX : CLIENT_JSON_MAX;

	if (n > max - client->in_len) {
		client->too_long = true;
		return 0;
	}
	if (client->in_len + n + 1 > client->in_room) {
		const size_t room = MAX(client->in_len + n + 1, client->in_room * 2);
		char *in = realloc(client->in, room);

		if (!in)
			return 0;
		client->in = in;
		client->in_room = room;
	}
	memcpy(client->in + client->in_len, bytes, n);
	client->in_len += n;
	client->in[client->in_len] = '\0';
	return n;
}

static int
progress(void *arg, curl_off_t down, curl_off_t down_now, curl_off_t up, curl_off_t up_now)
{
	struct client *client = arg;
	const time_t now = time(NULL);

	if (client_interrupt)
		return 1;
	if (client->call->tick && now != client->ticked) {
		client->ticked = now;
		client->call->tick(client->call->tick_arg);
	}
	return 0;
}

int
client_new(struct client **ret, const char *socket)
{
	struct client *client;

	if (strlen(socket) >= CLIENT_SOCKET_LEN)
		return -ENAMETOOLONG;
	client = calloc(1, sizeof(*client));
	if (!client)
		return -ENOMEM;
	text_copy(client->socket, sizeof(client->socket), socket);
	client->curl = curl_easy_init();
	if (!client->curl) {
		free(client);
		return -ENOMEM;
	}
	*ret = client;
	return 0;
}

void
client_free(struct client *client)
{
	if (!client)
		return;
	curl_easy_cleanup(client->curl);
	free(client->in);
	free(client);
}

const struct call_trouble *
client_trouble(const struct client *client)
{
	return &client->trouble;
}

int
call_end_status(enum call_end end)
{
	static const int status[] = {
#define X(name, code) [CALL_##name] = (code),
		CALL_ENDS(X)
#undef X
	};

	return status[end];
}

void
client_answer_done(struct answer *answer)
{
	json_decref(answer->json);
	free(answer->text);
	*answer = (struct answer){0};
}

/* What curl does not send or follow by itself: nothing but this one request over this one socket. */
static CURLcode
options_set(struct client *client, const char *url, const char *body, struct curl_slist *headers)
{
	const long seconds = client->call->seconds ? (long)client->call->seconds : CLIENT_ANSWER_SECONDS;
	CURL *curl = client->curl;
	CURLcode r = CURLE_OK;

#define SET(option, value) r = r == CURLE_OK ? curl_easy_setopt(curl, option, value) : r
	curl_easy_reset(curl);
	SET(CURLOPT_ERRORBUFFER, client->curl_words);
	SET(CURLOPT_UNIX_SOCKET_PATH, client->socket);
	SET(CURLOPT_URL, url);
	SET(CURLOPT_PROTOCOLS_STR, "http");
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_FORBID_REUSE, 1L);
	SET(CURLOPT_FRESH_CONNECT, 1L);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_CONNECTTIMEOUT, (long)CLIENT_CONNECT_SECONDS);
	SET(CURLOPT_TIMEOUT, seconds);
	SET(CURLOPT_USERAGENT, "warren/" WARREN_VERSION);
	SET(CURLOPT_HTTPHEADER, headers);
	SET(CURLOPT_WRITEFUNCTION, receive);
	SET(CURLOPT_WRITEDATA, client);
	SET(CURLOPT_NOPROGRESS, 0L);
	SET(CURLOPT_XFERINFOFUNCTION, progress);
	SET(CURLOPT_XFERINFODATA, client);
	/* A POST without a body says so, by a length of 0. */
	if (body || strcmp(client->call->method, "POST") == 0) {
		SET(CURLOPT_POSTFIELDS, body ? body : "");
		SET(CURLOPT_POSTFIELDSIZE, body ? (long)strlen(body) : 0L);
	}
	SET(CURLOPT_CUSTOMREQUEST, client->call->method);
#undef SET
	return r;
}

/* The media type of the answer is @type, with parameters or without. */
static bool
type_is(const char *header, const char *type)
{
	const size_t len = strlen(type);

	return header && strncasecmp(header, type, len) == 0 && (!header[len] || strchr("; \t", header[len]));
}

static enum call_end
json_take(struct client *client, json_t **ret)
{
	json_error_t error;

	*ret = json_loadb(client->in ? client->in : "", client->in_len, JSON_REJECT_DUPLICATES, &error);
	if (json_is_object(*ret))
		return CALL_OK;
	json_decref(*ret);
	*ret = NULL;
	return trouble_foreign(&client->trouble, client->socket, "the answer is not a JSON object");
}

static enum call_end
problem_take(struct client *client, long status, const char *type)
{
	json_t *problem = NULL;
	enum call_end end;

	if (!type_is(type, "application/problem+json"))
		return trouble_foreign(&client->trouble, client->socket,
				       "HTTP status %ld with content of type %.100s", status,
				       type ? type : "(none)");
	end = json_take(client, &problem);
	if (end != CALL_OK)
		return end;
	trouble_problem(&client->trouble, problem, status);
	json_decref(problem);
	return CALL_REFUSED;
}

static enum call_end
answer_take(struct client *client, struct answer *ret)
{
	const char *const wanted = client->call->text ? "text/plain" : "application/json";
	const char *type = NULL;
	long status = 0;
	struct answer answer = {0};

	curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(client->curl, CURLINFO_CONTENT_TYPE, &type);
	client->trouble.http = status;
	if (status >= 400)
		return problem_take(client, status, type);
	if (status < 200 || status > 299 || !type_is(type, wanted))
		return trouble_foreign(&client->trouble, client->socket,
				       "HTTP status %ld with content of type %.100s, expected %s", status,
				       type ? type : "(none)", wanted);
	answer.status = status;
	if (client->call->text) {
		if (!client->in || strlen(client->in) != client->in_len)
			return trouble_foreign(&client->trouble, client->socket,
					       "the text is empty or has NUL in it");
		answer.text_len = client->in_len;
		answer.text = take_ptr(client->in);
		client->in_room = client->in_len = 0;
	} else {
		const enum call_end end = json_take(client, &answer.json);

		if (end != CALL_OK)
			return end;
	}
	*ret = answer;
	return CALL_OK;
}

static enum call_end
curl_failed(struct client *client, CURLcode r)
{
	const long seconds = client->call->seconds ? (long)client->call->seconds : CLIENT_ANSWER_SECONDS;
	curl_off_t connected = 0;
	long os = 0;

	curl_easy_getinfo(client->curl, CURLINFO_OS_ERRNO, &os);
	curl_easy_getinfo(client->curl, CURLINFO_CONNECT_TIME_T, &connected);
	if (client->too_long)
		return trouble_foreign(&client->trouble, client->socket, "the answer is longer than %d MiB",
				       (client->call->text ? CLIENT_TEXT_MAX : CLIENT_JSON_MAX) >> 20);
	if (client_interrupt)
		return CALL_INTERRUPTED;
	switch (r) {
	case CURLE_COULDNT_CONNECT:
		return trouble_silent(&client->trouble, client->socket, os ? (int)os : ECONNREFUSED);
	case CURLE_OPERATION_TIMEDOUT:
		if (connected == 0)
			return trouble_silent(&client->trouble, client->socket, ETIMEDOUT);
		return trouble_broken_off(&client->trouble, client->socket, "no answer within %ld s",
					  seconds);
	case CURLE_GOT_NOTHING:
	case CURLE_RECV_ERROR:
	case CURLE_SEND_ERROR:
	case CURLE_PARTIAL_FILE:
		return trouble_broken_off(&client->trouble, client->socket,
					  "the connection was closed before the answer "
					  "was complete");
	case CURLE_WEIRD_SERVER_REPLY:
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_HTTP2:
		return trouble_foreign(&client->trouble, client->socket, "the answer is not HTTP");
	default:
		return trouble_failed(&client->trouble,
				      client->curl_words[0] ? client->curl_words : curl_easy_strerror(r));
	}
}

enum call_end
client_call(struct client *client, const struct call *call, struct answer *ret)
{
	_cleanup_(freep) char *body = call->body ? json_dumps(call->body, JSON_COMPACT) : NULL;
	struct curl_slist *headers;
	char url[512];
	CURLcode r;

	client->call = call;
	client->in_len = 0;
	client->too_long = false;
	client->curl_words[0] = '\0';
	client->trouble = (struct call_trouble){0};
	if (call->body && !body)
		return trouble_failed(&client->trouble, strerror(ENOMEM));
	/* The host's name is not looked up: the socket's path decides. */
	if ((size_t)snprintf(url, sizeof(url), "http://localhost" CLIENT_PATH "%s", call->path) >=
	    sizeof(url))
		return trouble_failed(&client->trouble, strerror(ENAMETOOLONG));
	/* Without a value curl leaves the header out. */
	headers = curl_slist_append(NULL, body ? "Content-Type: application/json" : "Content-Type:");
	if (!headers)
		return trouble_failed(&client->trouble, strerror(ENOMEM));
	r = options_set(client, url, body, headers);
	if (r == CURLE_OK)
		r = curl_easy_perform(client->curl);
	curl_slist_free_all(headers);
	return r == CURLE_OK ? answer_take(client, ret) : curl_failed(client, r);
}
