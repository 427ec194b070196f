#include "base/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static const char *log_who = "warren";
static enum log_level log_max = LOG_LEVEL_INFO;

void
log_init(const char *who, enum log_level level)
{
	log_who = who;
	log_max = level;
}

/*
 * One write a line, so that lines of several processes do not mix.  Under systemd the journal takes
 * the priority from the prefix (sd-daemon(3)).
 */
static void _printf_(2, 0)
log_write(enum log_level level, const char *format, va_list ap)
{
	static const char *const priority[] = {"", "<3>", "<6>", "<7>"};
	static const char *const word[] = {"", "error: ", "", "debug: "};
	const bool journal = getenv("JOURNAL_STREAM") != NULL;
	char line[1024];
	int n, m;

	if (level > log_max)
		return;
	n = snprintf(line, sizeof(line), "%s%s: %s", journal ? priority[level] : "", log_who, word[level]);
	m = vsnprintf(line + n, sizeof(line) - (size_t)n - 1, format, ap);
	if (m < 0)
		return;
	n = MIN(n + m, (int)sizeof(line) - 2);
	for (int i = 0; i < n; i++) { /* what comes from outside neither starts a line nor moves a terminal's cursor */
		const unsigned char c = (unsigned char)line[i], after = (unsigned char)line[i + 1];

		if (c < 0x20 || c == 0x7f || (c == 0xc2 && after >= 0x80 && after < 0xa0))
			line[i] = ' ';
	}
	line[n++] = '\n';
	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		return;
}

#define LOG(name, level)                           \
	void name(const char *format, ...)         \
	{                                          \
		va_list ap;                        \
                                                   \
		va_start(ap, format);              \
		log_write(level, format, ap);      \
		va_end(ap);                        \
	}

LOG(log_error, LOG_LEVEL_ERROR)
LOG(log_info, LOG_LEVEL_INFO)
LOG(log_debug, LOG_LEVEL_DEBUG)
