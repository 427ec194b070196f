#include "server/store/queries.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/errors.h"

/* Times go both ways as whole numbers: seconds, or microseconds since the epoch. */
#define SECONDS_OF(x)     "floor(extract(epoch FROM " x "))::bigint"
#define MICROS_OF(x)      "(extract(epoch FROM " x ") * 1000000)::bigint"
#define TIME_OF(x)        "('epoch'::timestamptz + (" x ")::bigint * interval '1 second')"
#define TIME_OF_MICROS(x) "('epoch'::timestamptz + (" x ")::bigint * interval '1 microsecond')"

static const struct query_line lines[] = {
#define SETUP(name, n, text)   [QUERY_##name] = {#name, text, QUERY_SETUP, n},
#define QUERY(name, n, text)   [QUERY_##name] = {#name, text, QUERY_TENANT, n},
#define GATEWAY(name, n, text) [QUERY_##name] = {#name, text, QUERY_GATEWAY, n},
#include "server/store/queries.def"
};

const struct query_line *
query_line(enum query query)
{
	assert(query > QUERY_NONE && query < QUERY_END);
	return &lines[query];
}

static void
push(struct params *params, const char *v, size_t len, int format)
{
	assert(params->n < PARAMS_MAX);
	params->v[params->n] = v;
	params->len[params->n] = (int)len;
	params->format[params->n] = format;
	params->n++;
}

/* A text of our own, kept in the params. */
static void
push_copy(struct params *params, const char *text)
{
	const size_t len = strlen(text) + 1;
	char *at = params->text + params->used;

	assert(len <= sizeof(params->text) - params->used);
	memcpy(at, text, len);
	params->used += len;
	push(params, at, len - 1, 0);
}

void
params_text(struct params *params, const char *text)
{
	push(params, text, text ? strlen(text) : 0, 0);
}

void
params_bytes(struct params *params, const void *bytes, size_t len)
{
	push(params, bytes ? bytes : "", len, 1);
}

void
params_int(struct params *params, int64_t v)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRId64, v);
	push_copy(params, text);
}

void
params_bool(struct params *params, bool v)
{
	push(params, v ? "t" : "f", 1, 0);
}

void
params_time(struct params *params, time_t t)
{
	if (t == 0)
		push(params, NULL, 0, 0);
	else
		params_int(params, t);
}

void
params_ip(struct params *params, const struct ip *ip)
{
	char text[IP_TEXT_LEN];

	if (ip->family == 0) {
		push(params, NULL, 0, 0);
		return;
	}
	ip_text(text, ip);
	push_copy(params, text);
}

void
params_cidr(struct params *params, const struct cidr *cidr)
{
	char text[CIDR_TEXT_LEN];

	cidr_text(text, cidr);
	push_copy(params, text);
}

const char *
row_lent(struct row *row)
{
	const int column = row->column++;

	if (column >= PQnfields(row->result) || row->i >= PQntuples(row->result)) {
		row->r = -ERR_DATABASE;
		return "";
	}
	return PQgetvalue(row->result, row->i, column);
}

int64_t
row_int(struct row *row)
{
	const char *text = row_lent(row);
	char *end;
	long long v;

	if (!*text)
		return 0;
	errno = 0;
	v = strtoll(text, &end, 10);
	if (errno || *end) {
		row->r = -ERR_DATABASE;
		return 0;
	}
	return v;
}

uint64_t
row_uint(struct row *row)
{
	const char *text = row_lent(row);
	char *end;
	unsigned long long v;

	if (!*text)
		return 0;
	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno || *end || *text == '-') {
		row->r = -ERR_DATABASE;
		return 0;
	}
	return v;
}

bool
row_bool(struct row *row)
{
	return strcmp(row_lent(row), "t") == 0;
}

void
row_text(struct row *row, char *out, size_t len)
{
	const char *text = row_lent(row);

	if (strlen(text) >= len) {
		row->r = -ERR_DATABASE;
		text = "";
	}
	memcpy(out, text, strlen(text) + 1);
}

char *
row_dup(struct row *row)
{
	char *text = strdup(row_lent(row));

	if (!text)
		row->r = -ENOMEM;
	return text;
}

size_t
row_bytes(struct row *row, uint8_t *out, size_t max)
{
	const char *text = row_lent(row);
	const size_t len = strlen(text) / 2;

	if (len > max || hex_decode(out, len, text) < 0) {
		row->r = -ERR_DATABASE;
		return 0;
	}
	return len;
}

void
row_ip(struct row *row, struct ip *ret)
{
	const char *text = row_lent(row);

	*ret = (struct ip){0};
	if (*text && ip_parse(ret, text) < 0)
		row->r = -ERR_DATABASE;
}

void
row_cidr(struct row *row, struct cidr *ret)
{
	if (cidr_parse(ret, row_lent(row)) < 0) {
		*ret = (struct cidr){0};
		row->r = -ERR_DATABASE;
	}
}

void
cidrs_text(char *out, const struct cidr *v, size_t n)
{
	*out++ = '{';
	for (size_t i = 0; i < n; i++) {
		if (i)
			*out++ = ',';
		cidr_text(out, &v[i]);
		out += strlen(out);
	}
	memcpy(out, "}", 2);
}

int
cidrs_parse(const char *text, struct cidr *v, size_t max)
{
	char one[CIDR_TEXT_LEN];
	size_t n = 0, len;

	while (*text) {
		len = strcspn(text, ",");
		if (n == max || len >= sizeof(one))
			return -ERR_DATABASE;
		memcpy(one, text, len);
		one[len] = '\0';
		if (cidr_parse(&v[n++], one) < 0)
			return -ERR_DATABASE;
		text += len + (text[len] == ',');
	}
	return (int)n;
}

void
result_clearp(PGresult **result)
{
	PQclear(*result);
}
