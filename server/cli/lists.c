/* Pools and the log of changes. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "server/cli/call.h"
#include "server/cli/fields.h"
#include "server/cli/table.h"
#include "server/cli/units.h"

#define AUDIT_DEFAULT 50
#define AUDIT_MAX     1000000

/* A count, or @none where the API says null. */
static void
count_cell(struct table *table, const json_t *object, const char *name, const char *none)
{
	const int64_t n = field_number(object, name, -1);

	if (n < 0)
		table_cell(table, STYLE_PLAIN, "%s", none);
	else
		table_cell(table, STYLE_PLAIN, "%" PRId64, n);
}

int
run_pool_list(struct cli *cli)
{
	static const char *const heads[] = {"ID", "POOL", "GATEWAY", "SIZE", "USED", "RESTING", "FREE"};
	_cleanup_(table_freep) struct table *table = table_new(heads, ARRAY_LEN(heads), 0x79);
	_cleanup_(answer_donep) struct answer answer = {0};
	size_t i;
	json_t *pool;
	int r;

	r = call_get(cli, "/pools", &answer);
	if (r != STATUS_OK)
		return r;
	if (cli->json)
		return json_out(answer.json);
	if (!table)
		return no_memory();
	json_array_foreach(json_object_get(answer.json, "pools"), i, pool)
	{
		count_cell(table, pool, "id", "?");
		table_cell(table, STYLE_PLAIN, "%s", field_text(pool, "cidr"));
		table_cell(table, STYLE_PLAIN, "%s", field_text(pool, "gateway"));
		count_cell(table, pool, "size", "plenty");
		count_cell(table, pool, "used", "?");
		count_cell(table, pool, "resting", "?");
		if (field_number(pool, "free", -1) == 0)
			table_cell(table, STYLE_BAD, "none");
		else
			count_cell(table, pool, "free", "plenty");
	}
	return table_print(table, stdout, 0, cli->colour) == 0 ? STATUS_OK : no_memory();
}

/* What became of it, in a line: the members of `after`, or that it is gone. */
static char *
change_words(const json_t *event)
{
	const json_t *detail = json_object_get(event, "detail");
	const json_t *after = json_object_get(detail, "after");

	if (json_is_null(after) || !after)
		return strdup("");
	return json_dumps(after, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_ENCODE_ANY);
}

static int
audit_print(const json_t *events, time_t now, bool colour)
{
	static const char *const heads[] = {"ID", "WHEN", "WHO", "WHAT", "WHICH", "NOW"};
	_cleanup_(table_freep) struct table *table = table_new(heads, ARRAY_LEN(heads), BIT(0));
	size_t i;
	json_t *event;

	if (!table)
		return no_memory();
	json_array_foreach(events, i, event)
	{
		_cleanup_(freep) char *change = change_words(event);
		char when[UNITS_LEN];
		time_t t;

		if (time_parse(&t, field_text(event, "at")) == 0)
			time_words(when, t, now);
		else
			snprintf(when, sizeof(when), "?");
		count_cell(table, event, "id", "?");
		table_cell(table, STYLE_PLAIN, "%s", when);
		table_cell(table, STYLE_PLAIN, "%s", field_text(event, "actor"));
		table_cell(table, STYLE_PLAIN, "%s", field_text(event, "action"));
		table_cell(table, STYLE_PLAIN, "%s", field_text(event, "object"));
		table_cell(table, STYLE_DIM, "%s", change ? change : "?");
	}
	return table_print(table, stdout, 0, colour) == 0 ? STATUS_OK : no_memory();
}

/* --limit; 0: it is not a number from 1 on. */
static size_t
limit_of(const struct cli *cli)
{
	const char *text = cli->value[OPTION_LIMIT];
	unsigned long n;
	char *end;

	if (!text)
		return AUDIT_DEFAULT;
	errno = 0;
	n = strtoul(text, &end, 10);
	if (errno || *end || text[strspn(text, "0123456789")] || n > AUDIT_MAX)
		return 0;
	return n;
}

int
run_audit_list(struct cli *cli)
{
	_cleanup_(json_decrefp) json_t *events = NULL;
	_cleanup_(json_decrefp) json_t *whole = NULL;
	const size_t limit = limit_of(cli);
	int r;

	if (limit == 0) {
		note(cli, STYLE_BAD, "--limit takes a number from 1 to %d, not \"%s\"", AUDIT_MAX,
		     cli->value[OPTION_LIMIT]);
		return STATUS_USAGE;
	}
	r = call_pages(cli, "/audit", "events", limit, &events);
	if (r != STATUS_OK)
		return r;
	if (!cli->json)
		return audit_print(events, cli->now, cli->colour);
	whole = json_pack("{s:O}", "events", events);
	return json_out(whole);
}
