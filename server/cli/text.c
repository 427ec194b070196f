#include "server/cli/text.h"

#include <locale.h>
#include <string.h>
#include <wchar.h>

#define REPLACEMENT "\xef\xbf\xbd"

void
text_init(void)
{
	if (!setlocale(LC_CTYPE, "C.UTF-8"))
		setlocale(LC_CTYPE, "");
}

/* Separators, marks and overrides that move or hide what stands around them. */
static bool
is_steering(wchar_t c)
{
	return c == 0x61c || (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
	       (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xe0000 && c <= 0xe007f);
}

/* The next character's length in bytes and width in columns; 0: the end.  *@shown: it may be shown. */
static size_t
next(const char *text, mbstate_t *state, int *width, bool *shown)
{
	wchar_t c = 0;
	const size_t n = mbrtowc(&c, text, strlen(text), state);

	if (!*text)
		return 0;
	*width = 1;
	*shown = false;
	if (n == (size_t)-1 || n == (size_t)-2 || n == 0) {
		memset(state, 0, sizeof(*state));
		return 1;
	}
	if (c >= 0x20 && !is_steering(c) && wcwidth(c) >= 0) {
		*width = wcwidth(c);
		*shown = true;
	}
	return n;
}

size_t
text_width(const char *text)
{
	mbstate_t state = {0};
	size_t sum = 0, n;
	bool shown;
	int width;

	for (; (n = next(text, &state, &width, &shown)) > 0; text += n)
		sum += (size_t)width;
	return sum;
}

void
text_put(FILE *out, const char *text)
{
	mbstate_t state = {0};
	size_t n;
	bool shown;
	int width;

	for (; (n = next(text, &state, &width, &shown)) > 0; text += n)
		if (shown)
			fwrite(text, 1, n, out);
		else
			fputs(REPLACEMENT, out);
}

bool
text_is_name(const char *text)
{
	static const char alnum[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
	const size_t len = strlen(text);

	return len > 0 && len <= NAME_TEXT_MAX && strspn(text, alnum) == len && !strchr("._-", text[0]);
}

/* Levenshtein's, one row kept. */
unsigned
text_distance(const char *a, const char *b, unsigned max)
{
	unsigned row[32];
	const size_t a_len = strlen(a), b_len = strlen(b);

	if (b_len >= ARRAY_LEN(row) || a_len >= ARRAY_LEN(row))
		return max;
	for (unsigned j = 0; j <= b_len; j++)
		row[j] = j;
	for (unsigned i = 1; i <= a_len; i++) {
		unsigned diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= b_len; j++) {
			const unsigned change = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			row[j] = MIN(change, MIN(row[j], row[j - 1]) + 1);
		}
	}
	return MIN(row[b_len], max);
}

bool
style_wanted(FILE *out)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(fileno(out)) && !(no && *no) && term && *term && strcmp(term, "dumb") != 0;
}

const char *
style_begin(enum style style, bool colour)
{
	static const char *const begin[STYLE_COUNT] = {"",         "\033[1m",  "\033[32m",
						       "\033[33m", "\033[31m", "\033[2m"};

	return colour ? begin[style] : "";
}

const char *
style_end(enum style style, bool colour)
{
	return colour && style != STYLE_PLAIN ? "\033[0m" : "";
}
