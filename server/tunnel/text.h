/*
 * Text that grows at its end and is taken away from its start: answers on their way to a connection.
 */
#ifndef SERVER_TUNNEL_TEXT_H
#define SERVER_TUNNEL_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"

/* Zeroes are empty.  @failed: no memory; what is there is not whole. */
struct text {
	char *data;
	size_t start, end, size;
	bool failed;
};

void text_add(struct text *text, const char *format, ...) _printf_(2, 3);

/* "NAME=" and the bytes in hexadecimal. */
void text_add_hex(struct text *text, const char *name, const unsigned char *bytes, size_t len);

static inline size_t
text_len(const struct text *text)
{
	return text->end - text->start;
}

/* @len bytes have gone. */
void text_take(struct text *text, size_t len);

/* Wipes (there may be keys in it) and frees. */
void text_done(struct text *text);

#endif
