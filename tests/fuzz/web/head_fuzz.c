/* A request head: what the guard lets through has one meaning, within its limits. */
#include "web/guard.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "web/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Written anew from what was understood, it is understood the same. */
static void
again(const struct head *head)
{
	char text[HEAD_MAX];
	struct head other;
	int n = snprintf(text, sizeof(text), "%s %s HTTP/1.1\r\nHost: %s\r\n", head->method, head->target,
			 head->host);

	if (head->has_length)
		n += snprintf(text + n, sizeof(text) - (size_t)n, "Content-Length: %zu\r\n",
			      head->content_length);
	n += snprintf(text + n, sizeof(text) - (size_t)n, "\r\n");
	assert(guard_head(&other, text, (size_t)n) == REFUSAL_NONE);
	assert(strcmp(other.target, head->target) == 0 && other.content_length == head->content_length);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *text = malloc(len ? len : 1); /* exactly as long, so that a byte too far is seen */
	enum refusal refusal;
	struct request request = {0};
	struct problem p;
	struct head head;
	size_t head_len;

	memcpy(text, data, len);
	head_len = guard_length(text, len, &refusal);
	assert(head_len <= len && head_len <= HEAD_MAX);
	if (head_len && guard_head(&head, text, head_len) == REFUSAL_NONE) {
		assert(head.n_hosts == 1 && head.content_length <= BODY_MAX &&
		       head.n_fields <= HEAD_FIELDS_MAX);
		assert(head.target[0] == '/' && !memchr(text, '\0', head_len) && !strchr(head.target, '%'));
		guard_host(head.host, "https://warren.example.org");
		again(&head);
		if (request_target(&request, head.target, &p) == 0)
			assert(request.n_query <= QUERY_MAX && request.path[0] == '/');
	}
	free(text);
	return 0;
}
