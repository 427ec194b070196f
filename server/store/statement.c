#include "server/store/migrations.h"

#include <stdbool.h>
#include <string.h>

/* Behind the end of the quotation that @p opens, by doubling or at the end of the text. */
static const char *
quoted(const char *p)
{
	const char quote = *p++;

	for (; *p; p++) {
		if (*p != quote)
			continue;
		if (p[1] != quote)
			return p + 1;
		p++;
	}
	return p;
}

static bool
is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* "$$ … $$" or "$tag$ … $tag$"; a lone dollar is passed over. */
static const char *
dollar_quoted(const char *p)
{
	size_t len = 1;
	const char *end;

	while (is_word(p[len]))
		len++;
	if (p[len] != '$')
		return p + 1;
	len++;
	for (end = p + len; *end; end++)
		if (*end == '$' && strncmp(end, p, len) == 0)
			return end + len;
	return end;
}

static const char *
line_comment(const char *p)
{
	return p + strcspn(p, "\n");
}

/* They nest. */
static const char *
block_comment(const char *p)
{
	unsigned depth = 0;

	for (; *p; p++) {
		if (p[0] == '/' && p[1] == '*') {
			depth++;
			p++;
		} else if (p[0] == '*' && p[1] == '/') {
			p++;
			if (--depth == 0)
				return p + 1;
		}
	}
	return p;
}

static const char *
blank(const char *p)
{
	for (;;) {
		p += strspn(p, " \t\r\n;");
		if (p[0] == '-' && p[1] == '-')
			p = line_comment(p);
		else if (p[0] == '/' && p[1] == '*')
			p = block_comment(p);
		else
			return p;
	}
}

size_t
sql_statement(const char *sql, const char **start, const char **next)
{
	const char *p = blank(sql);

	*start = p;
	while (*p && *p != ';') {
		if (*p == '\'' || *p == '"')
			p = quoted(p);
		else if (*p == '$')
			p = dollar_quoted(p);
		else if (p[0] == '-' && p[1] == '-')
			p = line_comment(p);
		else if (p[0] == '/' && p[1] == '*')
			p = block_comment(p);
		else
			p++;
	}
	*next = *p ? p + 1 : p;
	return (size_t)(p - *start);
}
