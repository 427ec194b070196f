/*
 * An answer as a value: status, type, body; and its head, the same set of fields on all.
 */
#ifndef WEB_ANSWER_H
#define WEB_ANSWER_H

#include <jansson.h>
#include <stddef.h>

#include "base/cleanup.h"
#include "server/control/problem.h"
#include "web/refusal.h"

struct answer {
	int status;
	const char *type;  /* Content-Type */
	const char *extra; /* one more field with its CRLF, or "" */
	char *body;        /* owned */
	size_t len;
};

#define ANSWER_HEAD_MAX 1024

/* Into @out, with the empty line; its length. */
size_t answer_head(const struct answer *answer, char out[ANSWER_HEAD_MAX]);

/* Take @json (may be NULL: no memory). */
void answer_json(struct answer *answer, int status, json_t *json);

/* problem+json. */
void answer_refusal(struct answer *answer, enum refusal refusal);
void answer_problem(struct answer *answer, const struct problem *problem);
/* With a sentence of its own; @field and @remedy may be NULL. */
void answer_words(struct answer *answer, enum refusal refusal, const char *field, const char *detail,
		  const char *remedy);

/* Text that was built elsewhere; takes @body. */
void answer_text(struct answer *answer, const char *type, char *body, size_t len);
void answer_done(struct answer *answer);

#endif
