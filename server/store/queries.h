/*
 * The statements of queries.def by name, and values to and from them.  Parameters and results are text,
 * bytes excepted: those go out binary and come back in hexadecimal.
 */
#ifndef SERVER_STORE_QUERIES_H
#define SERVER_STORE_QUERIES_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/ip.h"

enum query {
	QUERY_NONE,
#define SETUP(name, n, text)   QUERY_##name,
#define QUERY(name, n, text)   QUERY_##name,
#define GATEWAY(name, n, text) QUERY_##name,
#include "server/store/queries.def"
#undef SETUP
#undef QUERY
#undef GATEWAY
	QUERY_END
};

enum query_kind {
	QUERY_SETUP,   /* of the connection itself and of migrations: not prepared */
	QUERY_TENANT,  /* $1 is the tenant */
	QUERY_GATEWAY, /* of a gateway transaction, or of none */
};

struct query_line {
	const char *name, *text;
	enum query_kind kind;
	int n_params;
};

const struct query_line *query_line(enum query query);

#define PARAMS_MAX  16
#define PARAMS_TEXT 1024

struct params {
	int n;
	const char *v[PARAMS_MAX];
	int len[PARAMS_MAX], format[PARAMS_MAX];
	size_t used;
	char text[PARAMS_TEXT];
};

/* In the order of $1, $2, …  Texts and bytes are lent until the query ran; NULL is null. */
void params_text(struct params *params, const char *text);
void params_bytes(struct params *params, const void *bytes, size_t len);
void params_int(struct params *params, int64_t v);
void params_bool(struct params *params, bool v);
void params_time(struct params *params, time_t t); /* seconds since the epoch; 0 is null */
void params_ip(struct params *params, const struct ip *ip);
void params_cidr(struct params *params, const struct cidr *cidr);

/*
 * A row's columns from left to right.  Null is 0, "" or none; what cannot be read is that too, and
 * is remembered in @r: -ERR_DATABASE, -ENOMEM.
 */
struct row {
	const PGresult *result;
	int i, column, r;
};

int64_t row_int(struct row *row);
uint64_t row_uint(struct row *row);
bool row_bool(struct row *row);
void row_text(struct row *row, char *out, size_t len);
char *row_dup(struct row *row); /* NULL: no memory */
size_t row_bytes(struct row *row, uint8_t *out, size_t max);
void row_ip(struct row *row, struct ip *ret);
void row_cidr(struct row *row, struct cidr *ret);
const char *row_lent(struct row *row); /* "" for null; as long as the result */

/* "{10.0.0.0/8,fd00::/8}" into @out of CIDRS_TEXT_LEN(n), and "10.0.0.0/8,fd00::/8" back: their number. */
#define CIDRS_TEXT_LEN(n) ((n)*CIDR_TEXT_LEN + 3)
void cidrs_text(char *out, const struct cidr *v, size_t n);
int cidrs_parse(const char *text, struct cidr *v, size_t max) _must_check_;

void result_clearp(PGresult **result);

#endif
