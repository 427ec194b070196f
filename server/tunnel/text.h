/*
 * Text that grows at its end and is taken away from its start: answers on their way to a connection.
 */
#ifndef SERVER_TUNNEL_TEXT_H
#define SERVER_TUNNEL_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

/* Zeroes are empty.  @failed: no memory; what is there is not whole. */
struct text {
	char *data;
	size_t start, end, size;
	bool failed;
};

void text_add(struct text *text, const char *format, ...) _printf_(2, 3);

/* "NAME=VALUE" and a newline: a value as it is, a number, bytes in hexadecimal.  Much faster than text_add().
 */
void text_add_word(struct text *text, const char *name, const char *value);
void text_add_number(struct text *text, const char *name, uint64_t value);
void text_add_hex(struct text *text, const char *name, const unsigned char *bytes, size_t len);

static inline size_t
text_len(const struct text *text)
{
	return text->end - text->start;
}

/* @len bytes have gone.  They are wiped (there may be keys in them); the memory stays for what comes next. */
void text_take(struct text *text, size_t len);

/* Wipes and frees. */
void text_done(struct text *text);

#endif
