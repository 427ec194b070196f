#include "server/cli/trouble.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "server/cli/text.h"

#define MAY_BE_DONE "a change may have been made or not: see `warren peer list`"

enum call_end
trouble_silent(struct call_trouble *trouble, const char *socket, int error)
{
	static const struct {
		int error;
		const char *why, *remedy;
	} known[] = {
		{ENOENT, "no gateway has made it",
		 "start `warrend` (or `make run`); if it runs as another user or listens elsewhere, "
		 "set " CLIENT_SOCKET_ENV " to its socket"},
		{ECONNREFUSED, "nobody listens there: the gateway that made it has ended",
		 "start `warrend` again"},
		{EACCES, "you are not let in: root, the server's own user and members of group `warren` are",
		 "use sudo, or as root: usermod -aG warren YOU, then sign in again"},
		{EPERM, "you are not let in: root, the server's own user and members of group `warren` are",
		 "use sudo, or as root: usermod -aG warren YOU, then sign in again"},
		{ETIMEDOUT, "it takes no connection: the gateway hangs or is overloaded",
		 "see the log of `warrend`; restart it if it stays so"},
		{EAGAIN, "it takes no connection: the gateway hangs or is overloaded",
		 "see the log of `warrend`; restart it if it stays so"},
	};

	snprintf(trouble->what, sizeof(trouble->what), "the gateway is not reachable at %s", socket);
	snprintf(trouble->why, sizeof(trouble->why), "%s", strerror(error));
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (known[i].error == error) {
			snprintf(trouble->why, sizeof(trouble->why), "%s", known[i].why);
			snprintf(trouble->remedy, sizeof(trouble->remedy), "%s", known[i].remedy);
		}
	return CALL_SILENT;
}

enum call_end
trouble_broken_off(struct call_trouble *trouble, const char *socket, const char *format, ...)
{
	va_list ap;

	snprintf(trouble->what, sizeof(trouble->what), "the gateway at %s did not answer", socket);
	va_start(ap, format);
	vsnprintf(trouble->why, sizeof(trouble->why), format, ap);
	va_end(ap);
	snprintf(trouble->remedy, sizeof(trouble->remedy),
		 "%s; why it did not answer stands in the log of `warrend`", MAY_BE_DONE);
	trouble->broken_off = true;
	return CALL_BROKEN_OFF;
}

enum call_end
trouble_foreign(struct call_trouble *trouble, const char *socket, const char *format, ...)
{
	va_list ap;

	snprintf(trouble->what, sizeof(trouble->what), "what answers at %s is not Warren %s", socket,
		 WARREN_VERSION);
	va_start(ap, format);
	vsnprintf(trouble->why, sizeof(trouble->why), format, ap);
	va_end(ap);
	snprintf(trouble->remedy, sizeof(trouble->remedy),
		 "`warren --version` and `warrend --version` should be the same; " CLIENT_SOCKET_ENV
		 " says where the gateway listens");
	return CALL_FOREIGN;
}

enum call_end
trouble_failed(struct call_trouble *trouble, const char *why)
{
	snprintf(trouble->what, sizeof(trouble->what), "the request could not be made");
	snprintf(trouble->why, sizeof(trouble->why), "%s", why);
	return CALL_FAILED;
}

static void
take(char *out, size_t len, const json_t *problem, const char *name)
{
	const char *text = json_string_value(json_object_get(problem, name));

	snprintf(out, len, "%s", text ? text : "");
}

void
trouble_problem(struct call_trouble *trouble, const json_t *problem, long status)
{
	take(trouble->what, sizeof(trouble->what), problem, "title");
	take(trouble->why, sizeof(trouble->why), problem, "detail");
	take(trouble->remedy, sizeof(trouble->remedy), problem, "remedy");
	take(trouble->field, sizeof(trouble->field), problem, "field");
	take(trouble->code, sizeof(trouble->code), problem, "code");
	if (!*trouble->what)
		snprintf(trouble->what, sizeof(trouble->what), "the gateway refused (HTTP status %ld)",
			 status);
}

static void
line(FILE *out, bool colour, enum style style, const char *label, const char *text)
{
	if (!*text)
		return;
	fprintf(out, "%s%s%s", style_begin(style, colour), label, style_end(style, colour));
	text_put(out, text);
}

void
trouble_print(const struct call_trouble *trouble, FILE *out, bool colour)
{
	line(out, colour, STYLE_BAD, "warren: ", trouble->what);
	line(out, colour, STYLE_PLAIN, ": ", trouble->why);
	line(out, colour, STYLE_PLAIN, " [", trouble->code);
	fputs(*trouble->code ? "]\n" : "\n", out);
	line(out, colour, STYLE_DIM, "  at fault:   ", trouble->field);
	fputs(*trouble->field ? "\n" : "", out);
	line(out, colour, STYLE_DIM, "  what to do: ", trouble->remedy);
	fputs(*trouble->remedy ? "\n" : "", out);
}
