#include "base/errors.h"

#include <string.h>

#include "base/cleanup.h"

struct line {
	const char *code;
	int status;
	const char *words;
};

static const struct line lines[] = {
#define X(name, status, words) [ERR_##name - ERR_FIRST] = {#name, status, words},
	ERRORS(X)
#undef X
};

static char codes[ARRAY_LEN(lines)][32];

/* Lower case once, before main: the table's names are the source's constants. */
static void __attribute__((constructor))
codes_init(void)
{
	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		for (size_t k = 0; lines[i].code && lines[i].code[k] && k < sizeof(codes[0]) - 1; k++) {
			const char c = lines[i].code[k];

			codes[i][k] = (c >= 'A' && c <= 'Z') ? (char)(c - 'A' + 'a') : c;
		}
}

static int
line_of(int r)
{
	return (-r > ERR_FIRST && -r < ERR_END) ? -r - ERR_FIRST : -1;
}

const char *
error_words(int r)
{
	const int i = line_of(r);

	if (r >= 0)
		return "success";
	return i >= 0 ? lines[i].words : strerror(-r);
}

const char *
error_code(int r)
{
	const int i = line_of(r);
	const char *name;

	if (i >= 0)
		return codes[i];
	name = strerrorname_np(-r);
	return name ? name : "unknown";
}

int
error_status(int r)
{
	const int i = line_of(r);

	return i >= 0 ? lines[i].status : 500;
}
