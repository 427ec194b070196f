#include "web/page.h"

#include <stdio.h>

/* Configuration is the operator's own, but a page is a page. */
static void
escaped(FILE *out, const char *text)
{
	for (; *text; text++)
		switch (*text) {
		case '&':
			fputs("&amp;", out);
			break;
		case '<':
			fputs("&lt;", out);
			break;
		case '>':
			fputs("&gt;", out);
			break;
		case '"':
			fputs("&quot;", out);
			break;
		default:
			fputc(*text, out);
		}
}

static void
fast_path(FILE *out, const struct control_health *health)
{
	if (!health->rungs)
		fputs("not known", out);
	else if (!health->missing)
		fputs("all on", out);
	else
		fprintf(out, "%zu of %zu helps missing; <code>warren status</code> says which",
			health->missing, health->rungs);
}

char *
page_make(const struct control_health *health, const struct reach *reach, size_t *ret_len)
{
	char *body = NULL;
	FILE *out = open_memstream(&body, ret_len);

	if (!out)
		return NULL;
	fprintf(out,
		"<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta "
		"charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">"
		"<title>Warren</title></head>\n<body>\n"
		"<h1>Warren</h1>\n<p>%s</p>\n<dl>\n<dt>Version</dt><dd>" WARREN_VERSION
		"</dd>\n<dt>Endpoint</dt><dd>",
		health->database && health->tunnel ? "The gateway is up."
						   : "The gateway runs, but a part of it is not there; "
						     "<code>warren status</code> on the server says more.");
	escaped(out, reach->address[0] ? reach->address : "not known: set WARREN_ENDPOINT");
	fputs("</dd>\n<dt>Fast path</dt><dd>", out);
	fast_path(out, health);
	fputs("</dd>\n</dl>\n<h2>Adding a peer</h2>\n<p>On the server, as root or as the server's user:</p>\n"
	      "<pre>warren peer add phone --qr\nwarren peer add laptop --out laptop.conf</pre>\n"
	      "<p>Then scan the code with the WireGuard app, or take over the file with "
	      "<code>wg-quick</code>.</p>\n"
	      "</body>\n</html>\n",
	      out);
	return fclose(out) == 0 ? body : NULL;
}
