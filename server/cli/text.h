/*
 * Text for a terminal.  What comes from the gateway may hold anything; what is shown holds no
 * control character, nothing that turns the direction of writing, and no broken UTF-8.
 */
#ifndef SERVER_CLI_TEXT_H
#define SERVER_CLI_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/cleanup.h"

/* To be called first: characters are UTF-8 whatever the user's locale says. */
void text_init(void);

/* Columns that text_put() of @text takes. */
size_t text_width(const char *text);

/* Writes @text; each character that may not be shown becomes U+FFFD. */
void text_put(FILE *out, const char *text);

/* A name of a peer or its id, as the API takes it: [A-Za-z0-9][A-Za-z0-9._-]{0,62}. */
#define NAME_TEXT_MAX 63
bool text_is_name(const char *text);

/* The number of single changes that make @b of @a, or @max if more; for "did you mean". */
unsigned text_distance(const char *a, const char *b, unsigned max);

enum style { STYLE_PLAIN, STYLE_HEAD, STYLE_GOOD, STYLE_WARN, STYLE_BAD, STYLE_DIM, STYLE_COUNT };

/* Whether colours are wanted on @out: a terminal that knows them, and no NO_COLOR. */
bool style_wanted(FILE *out);

/* The escape sequence that begins @style and the one that ends it; empty unless @colour. */
const char *style_begin(enum style style, bool colour);
const char *style_end(enum style style, bool colour);

#endif
