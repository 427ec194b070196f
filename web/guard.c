#include "web/guard.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/ip.h"
#include "base/text.h"

static bool
is_token(const char *text)
{
	static const char symbols[] = "!#$%&'*+-.^_`|~";

	if (!*text)
		return false;
	for (; *text; text++)
		if (!isalnum((unsigned char)*text) && !strchr(symbols, *text))
			return false;
	return true;
}

/* Graphic ASCII that a path or a query may hold as it is; no percent-encoding: nothing of ours needs it. */
static bool
is_target(const char *text)
{
	if (*text != '/' || text[1] == '/')
		return false;
	for (; *text; text++)
		if (*text <= ' ' || *text > '~' || strchr("\"#<>\\^`{|}%", *text))
			return false;
	return true;
}

static bool
is_value(const char *text)
{
	for (; *text; text++)
		if (((unsigned char)*text < ' ' && *text != '\t') || *text == 0x7f)
			return false;
	return true;
}

enum refusal
guard_line(struct head *head, const char *method, const char *target, const char *version)
{
	*head = (struct head){0};
	if (!*method || strspn(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") < strlen(method) ||
	    strlen(method) >= sizeof(head->method))
		return REFUSAL_MALFORMED;
	if (strcmp(version, "1.1") != 0 && strcmp(version, "1.0") != 0)
		return REFUSAL_VERSION;
	if (strlen(target) > TARGET_MAX)
		return REFUSAL_HEAD_TOO_LARGE;
	if (!is_target(target))
		return REFUSAL_TARGET;
	text_copy(head->method, sizeof(head->method), method);
	text_copy(head->target, sizeof(head->target), target);
	return REFUSAL_NONE;
}

static enum refusal
length_field(struct head *head, const char *value)
{
	const size_t digits = strspn(value, "0123456789");

	if (head->has_length || digits == 0 || value[digits] || digits > 18)
		return REFUSAL_LENGTH;
	head->has_length = true;
	for (; *value; value++)
		head->content_length = head->content_length * 10 + (size_t)(*value - '0');
	return head->content_length > BODY_MAX ? REFUSAL_TOO_LARGE : REFUSAL_NONE;
}

static enum refusal
keep(char *out, size_t len, const char *value)
{
	if (*out || strlen(value) >= len) /* twice, or too long */
		return REFUSAL_MALFORMED;
	text_copy(out, len, value);
	return REFUSAL_NONE;
}

enum refusal
guard_field(struct head *head, const char *name, const char *value)
{
	if (++head->n_fields > HEAD_FIELDS_MAX)
		return REFUSAL_HEAD_TOO_LARGE;
	if (!is_token(name) || !is_value(value))
		return REFUSAL_MALFORMED;
	if (strcasecmp(name, "Transfer-Encoding") == 0)
		return REFUSAL_NO_LENGTH;
	if (strcasecmp(name, "Expect") == 0)
		return REFUSAL_EXPECTATION;
	if (strcasecmp(name, "Content-Length") == 0)
		return length_field(head, value);
	if (strcasecmp(name, "Content-Type") == 0)
		return keep(head->content_type, sizeof(head->content_type), value);
	if (strcasecmp(name, "Origin") == 0 || strcasecmp(name, "Sec-Fetch-Site") == 0)
		head->from_browser = true;
	if (strcasecmp(name, VISIT_FIELD) == 0) {
		head->n_visits++;
		return keep(head->visit, sizeof(head->visit), value);
	}
	if (strcasecmp(name, "Host") == 0) {
		if (head->n_hosts++ || !*value)
			return REFUSAL_HOST;
		return keep(head->host, sizeof(head->host), value);
	}
	return REFUSAL_NONE;
}

enum refusal
guard_end(const struct head *head)
{
	return head->n_hosts == 1 ? REFUSAL_NONE : REFUSAL_HOST;
}

size_t
guard_length(const char *text, size_t len, enum refusal *refusal)
{
	const char *end = memmem(text, MIN(len, (size_t)HEAD_MAX), "\r\n\r\n", 4);

	*refusal = REFUSAL_NONE;
	if (end)
		return (size_t)(end - text) + 4;
	if (len >= HEAD_MAX)
		*refusal = REFUSAL_HEAD_TOO_LARGE;
	else if (len && !isupper((unsigned char)text[0])) /* TLS, or junk: it need not go on */
		*refusal = REFUSAL_MALFORMED;
	return 0;
}

/* The next line up to its CRLF, as text of its own; false: CR, LF or NUL elsewhere. */
static bool
line_take(const char **at, const char *end, char *out, size_t out_len)
{
	const char *newline = memmem(*at, (size_t)(end - *at), "\r\n", 2);
	const size_t len = newline ? (size_t)(newline - *at) : 0;

	if (!newline || len >= out_len)
		return false;
	memcpy(out, *at, len);
	out[len] = '\0';
	*at = newline + 2;
	return strlen(out) == len && !strpbrk(out, "\r\n");
}

static enum refusal
request_line(struct head *head, char *line)
{
	char *target = strchr(line, ' ');
	char *version = target ? strchr(target + 1, ' ') : NULL;

	if (!version || strncmp(version + 1, "HTTP/", 5) != 0)
		return REFUSAL_MALFORMED;
	*target++ = '\0';
	*version++ = '\0';
	return guard_line(head, line, target, version + 5);
}

static enum refusal
field_line(struct head *head, char *line)
{
	char *value = strchr(line, ':');
	size_t len;

	if (!value)
		return REFUSAL_MALFORMED;
	*value++ = '\0';
	value += strspn(value, " \t");
	len = strlen(value);
	while (len && (value[len - 1] == ' ' || value[len - 1] == '\t'))
		value[--len] = '\0';
	return guard_field(head, line, value);
}

enum refusal
guard_head(struct head *ret, const char *text, size_t len)
{
	char line[HEAD_MAX];
	const char *at = text, *end = text + len;
	enum refusal refusal;

	*ret = (struct head){0};
	if (!line_take(&at, end, line, sizeof(line)))
		return REFUSAL_MALFORMED;
	refusal = request_line(ret, line);
	while (refusal == REFUSAL_NONE) {
		if (!line_take(&at, end, line, sizeof(line)))
			return REFUSAL_MALFORMED;
		if (!line[0])
			return at == end ? guard_end(ret) : REFUSAL_MALFORMED;
		refusal = field_line(ret, line);
	}
	return refusal;
}

bool
guard_host(const char *host, const char *origin)
{
	const char *authority = strstr(origin, "://");
	char name[256], *colon;
	struct ip ip;

	if (authority && strcasecmp(host, authority + 3) == 0)
		return true;
	snprintf(name, sizeof(name), "%s", host);
	if (name[0] == '[') {
		char *close_bracket = strchr(name, ']');

		if (!close_bracket || (close_bracket[1] && close_bracket[1] != ':'))
			return false;
		*close_bracket = '\0';
		return ip_parse(&ip, name + 1) == 0 && ip.family == AF_INET6;
	}
	colon = strchr(name, ':');
	if (colon)
		*colon = '\0';
	return strcasecmp(name, "localhost") == 0 || (ip_parse(&ip, name) == 0 && ip.family == AF_INET);
}
