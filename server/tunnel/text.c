#include "server/tunnel/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"

#define TEXT_STEP  4096
#define NUMBER_MAX 20 /* digits of 2^64 */

/* Where @need bytes can be written, or NULL.  A copy, not realloc(): what is left behind is wiped. */
static char *
room(struct text *text, size_t need)
{
	const size_t len = text_len(text);
	size_t size = MAX(text->size, (size_t)TEXT_STEP);
	char *data;

	if (text->size - text->end >= need)
		return text->data + text->end;
	while (size - len < need)
		size *= 2;
	data = malloc(size);
	if (!data) {
		text->failed = true;
		return NULL;
	}
	if (text->data) {
		memcpy(data, text->data + text->start, len);
		bytes_wipe(text->data, text->end);
		free(text->data);
	}
	*text = (struct text){.data = data, .end = len, .size = size, .failed = text->failed};
	return data + len;
}

void
text_add(struct text *text, const char *format, ...)
{
	va_list ap;
	char *to;
	int n;

	va_start(ap, format);
	n = vsnprintf(NULL, 0, format, ap);
	va_end(ap);
	if (n < 0)
		return;
	to = room(text, (size_t)n + 1);
	if (!to)
		return;
	va_start(ap, format);
	vsnprintf(to, (size_t)n + 1, format, ap);
	va_end(ap);
	text->end += (size_t)n;
}

/* "NAME=", and @len more bytes of room; where they begin, or NULL. */
static char *
line_begin(struct text *text, const char *name, size_t len)
{
	const size_t name_len = strlen(name);
	char *to = room(text, name_len + 1 + len);

	if (!to)
		return NULL;
	to = mempcpy(to, name, name_len);
	*to = '=';
	return to + 1;
}

static void
line_end(struct text *text, char *end)
{
	*end++ = '\n';
	text->end = (size_t)(end - text->data);
}

void
text_add_word(struct text *text, const char *name, const char *value)
{
	const size_t len = strlen(value);
	char *to = line_begin(text, name, len + 1);

	if (to)
		line_end(text, mempcpy(to, value, len));
}

void
text_add_number(struct text *text, const char *name, uint64_t value)
{
	char digits[NUMBER_MAX], *to = line_begin(text, name, NUMBER_MAX + 1);
	size_t n = 0;

	if (!to)
		return;
	do
		digits[n++] = (char)('0' + value % 10);
	while (value /= 10);
	while (n > 0)
		*to++ = digits[--n];
	line_end(text, to);
}

void
text_add_hex(struct text *text, const char *name, const unsigned char *bytes, size_t len)
{
	char *to = line_begin(text, name, 2 * len + 1);

	if (!to)
		return;
	hex_encode(to, bytes, len); /* its NUL becomes the newline */
	line_end(text, to + 2 * len);
}

void
text_take(struct text *text, size_t len)
{
	bytes_wipe(text->data + text->start, len);
	text->start += len;
	if (text->start == text->end)
		text->start = text->end = 0;
}

void
text_done(struct text *text)
{
	if (text->data)
		bytes_wipe(text->data, text->end);
	free(text->data);
	*text = (struct text){0};
}
