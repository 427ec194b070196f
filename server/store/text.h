/*
 * Which texts the store takes.
 */
#ifndef SERVER_STORE_TEXT_H
#define SERVER_STORE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Well-formed UTF-8 (RFC 3629: shortest form, no surrogates) of at most @max bytes. */
bool text_valid(const char *text, size_t max);

/* The same, not empty and without control characters: C0, DEL, C1. */
bool text_is_name(const char *text, size_t max);

/* RFC 1123: a-z, 0-9 and '-', which is neither first nor last; 1 … 63. */
bool text_is_label(const char *text);

#endif
