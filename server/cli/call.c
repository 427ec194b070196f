#include "server/cli/call.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "base/text.h"
#include "server/cli/fields.h"
#include "server/cli/trouble.h"

#define PAGE_MAX 500 /* the API's */

int
call_any(struct cli *cli, const struct call *call, struct answer *ret)
{
	const enum call_end end = client_call(cli->client, call, ret);

	if (end == CALL_OK)
		return STATUS_OK;
	if (end != CALL_INTERRUPTED)
		trouble_print(client_trouble(cli->client), stderr, cli->err_colour);
	return call_end_status(end);
}

int
call_get(struct cli *cli, const char *path, struct answer *ret)
{
	return call_any(cli, &(struct call){.method = "GET", .path = path}, ret);
}

int
call_send(struct cli *cli, const char *method, const char *path, const json_t *body, struct answer *ret)
{
	return call_any(cli, &(struct call){.method = method, .path = path, .body = body}, ret);
}

/* The address of the next page; false: there is none, or it is not one we can ask for. */
static bool
next_path(char out[PATH_LEN], const char *path, size_t limit, const json_t *page)
{
	const json_t *next = json_object_get(page, "next");

	if (!page)
		snprintf(out, PATH_LEN, "%s?limit=%zu", path, limit);
	else if (json_is_integer(next) && json_integer_value(next) > 0)
		snprintf(out, PATH_LEN, "%s?limit=%zu&after=%" PRId64, path, limit,
			 (int64_t)json_integer_value(next));
	else if (json_is_string(next) && text_is_name(json_string_value(next)))
		snprintf(out, PATH_LEN, "%s?limit=%zu&after=%s", path, limit, json_string_value(next));
	else
		return false;
	return true;
}

int
call_pages(struct cli *cli, const char *path, const char *list, size_t max, json_t **ret)
{
	_cleanup_(json_decrefp) json_t *all = json_array();
	_cleanup_(answer_donep) struct answer page = {0};
	char at[PATH_LEN], before[PATH_LEN] = "";

	if (!all)
		return no_memory();
	while (json_array_size(all) < max &&
	       next_path(at, path, MIN(max - json_array_size(all), PAGE_MAX), page.json)) {
		int r;

		/* A page that names itself as the next would never end. */
		if (strcmp(at, before) == 0)
			break;
		text_copy(before, sizeof(before), at);
		client_answer_done(&page);
		r = call_get(cli, at, &page);
		if (r != STATUS_OK)
			return r;
		if (json_array_size(json_object_get(page.json, list)) == 0)
			break;
		if (json_array_extend(all, json_object_get(page.json, list)) < 0)
			return no_memory();
	}
	*ret = take_ptr(all);
	return STATUS_OK;
}

void
peer_path(char out[PATH_LEN], const char *peer, const char *behind)
{
	/* args_parse() let only names through: nothing in it means anything in a URL. */
	snprintf(out, PATH_LEN, "/peers/%s%s", peer, behind);
}

int
json_out(const json_t *json)
{
	/* ASCII alone, so that nothing in it steers a terminal. */
	if (!json || json_dumpf(json, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII) < 0)
		return no_memory();
	putchar('\n');
	return STATUS_OK;
}

void
note(const struct cli *cli, enum style style, const char *format, ...)
{
	_cleanup_(freep) char *text = NULL;
	va_list ap;
	int n;

	va_start(ap, format);
	n = vasprintf(&text, format, ap);
	va_end(ap);
	if (n < 0) {
		text = NULL;
		return;
	}
	fprintf(stderr, "%swarren: ", style_begin(style, cli->err_colour));
	text_put(stderr, text);
	fprintf(stderr, "%s\n", style_end(style, cli->err_colour));
}

int
no_memory(void)
{
	fprintf(stderr, "warren: %s\n", strerror(ENOMEM));
	return STATUS_FAILED;
}

void
note_applied(const struct cli *cli, const json_t *answer)
{
	const char *why = field_text(answer, "applied_note");

	if (!json_is_false(json_object_get(answer, "applied")))
		return;
	note(cli, STYLE_WARN, "the tunnel does not have it yet%s%s; it will as soon as it is there",
	     *why ? ": " : "", why);
}
