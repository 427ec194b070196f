/*
 * The guard before everything: a request head is of the strict form below, or is refused.
 *
 *	METHOD SP /path[?query] SP HTTP/1.(0|1) CRLF  (Name: value CRLF)…  CRLF
 *
 * The parser behind it is generous (it takes two lengths, `+5`, a missing Host, bare LF, folded lines,
 * drops fields after the 64th), and generous parsers in a row are how requests are smuggled.  So the
 * relay reads every head by this one first, and the same rules hold again for what the other parser
 * made of it.  Pure.
 */
#ifndef WEB_GUARD_H
#define WEB_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "web/refusal.h"

#define HEAD_MAX        8192 /* bytes, with the empty line */
#define HEAD_FIELDS_MAX 48
#define TARGET_MAX      1024
#define BODY_MAX        65536
#define METHOD_MAX      8

struct head {
	char method[METHOD_MAX];
	char target[TARGET_MAX + 1];
	char host[256];
	char content_type[128];
	char visit[64]; /* our own field, between relay and handler */
	size_t content_length;
	bool has_length;
	bool from_browser; /* Origin or Sec-Fetch-Site is there */
	size_t n_fields, n_hosts, n_visits;
};

/* Our own field: refused from outside, added by the relay. */
#define VISIT_FIELD "Warren-Visit"

/* Field by field: the line, each field, then what only the whole tells. */
enum refusal guard_line(struct head *head, const char *method, const char *target, const char *version);
enum refusal guard_field(struct head *head, const char *name, const char *value);
enum refusal guard_end(const struct head *head);

/*
 * How long the head at the start of @text is, with its empty line; 0: not complete yet.  @refusal: it
 * cannot become one.
 */
size_t guard_length(const char *text, size_t len, enum refusal *refusal);

/* All of a complete head of @len bytes. */
enum refusal guard_head(struct head *ret, const char *text, size_t len);

/*
 * Whether @host names us: an address literal, localhost, or the host of @origin ("" if none is configured). A
 * page elsewhere whose name was made to resolve here has another.
 */
bool guard_host(const char *host, const char *origin);

#endif
