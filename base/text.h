/*
 * Text into an array of ours.
 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <assert.h>
#include <string.h>

/* @text, whole, into @out of @len bytes.  Whether it fits was looked at before: that it does not is our
 * mistake. */
static inline void
text_copy(char *out, size_t len, const char *text)
{
	const size_t n = strlen(text) + 1;

	assert(n <= len);
	memcpy(out, text, n);
}

#endif
