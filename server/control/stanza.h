/*
 * Text from a non-blocking stream, a stanza at a time: lines up to and with an empty one.
 */
#ifndef SERVER_CONTROL_STANZA_H
#define SERVER_CONTROL_STANZA_H

#include <stddef.h>

#include "base/cleanup.h"

struct stanza {
	size_t max; /* bytes of one; set once */
	char *text;
	size_t len, cap, seen; /* read; room; searched for an end */
	size_t taken;          /* of the one that was handed out */
};

/* What the stream has now, but at most about 1 MiB.  -ERR_CLOSED: its end; a negated errno; else bytes read.
 */
int stanza_fill(struct stanza *stanza, int fd) _must_check_;

/*
 * The next whole one, with its empty line: its length, lent until the next call.  -EAGAIN: not there
 * yet.  -ERR_MESSAGE: it is longer than allowed.
 */
int stanza_next(struct stanza *stanza, const char **ret, size_t *ret_len) _must_check_;

void stanza_clear(struct stanza *stanza);

#endif
