#include "server/tunnel/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"

#define TEXT_STEP 4096

/* A copy, not realloc(): what is left behind is wiped. */
static bool
grow(struct text *text, size_t need)
{
	const size_t len = text_len(text);
	size_t size = MAX(text->size, (size_t)TEXT_STEP);
	char *data;

	if (text->size - text->end >= need)
		return true;
	while (size - len < need)
		size *= 2;
	data = malloc(size);
	if (!data) {
		text->failed = true;
		return false;
	}
	if (text->data) {
		memcpy(data, text->data + text->start, len);
		bytes_wipe(text->data, text->size);
		free(text->data);
	}
	*text = (struct text){.data = data, .end = len, .size = size};
	return true;
}

void
text_add(struct text *text, const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(NULL, 0, format, ap);
	va_end(ap);
	if (n < 0 || !grow(text, (size_t)n + 1))
		return;
	va_start(ap, format);
	vsnprintf(text->data + text->end, (size_t)n + 1, format, ap);
	va_end(ap);
	text->end += (size_t)n;
}

void
text_add_hex(struct text *text, const char *name, const unsigned char *bytes, size_t len)
{
	text_add(text, "%s=", name);
	if (!grow(text, 2 * len + 2))
		return;
	hex_encode(text->data + text->end, bytes, len);
	text->end += 2 * len;
	text->data[text->end++] = '\n';
}

void
text_take(struct text *text, size_t len)
{
	text->start += len;
	if (text->start == text->end)
		text_done(text);
}

void
text_done(struct text *text)
{
	if (text->data)
		bytes_wipe(text->data, text->size);
	free(text->data);
	*text = (struct text){0};
}
