/* The tenant's settings. */
#include <inttypes.h>
#include <string.h>

#include "server/cli/call.h"
#include "server/cli/fields.h"
#include "server/cli/table.h"
#include "server/cli/units.h"

static int
tenant_print(const struct cli *cli, const json_t *tenant)
{
	_cleanup_(table_freep) struct table *table = table_new(NULL, 2, 0);
	char rest[UNITS_LEN];

	if (!table)
		return no_memory();
	span_words(rest, field_number(tenant, "rest_seconds", 0));
	table_cell(table, STYLE_DIM, "tenant");
	table_cell(table, STYLE_PLAIN, "%s", field_text(tenant, "name"));
	table_cell(table, STYLE_DIM, "peers may meet");
	table_cell(table, STYLE_PLAIN, "%s",
		   field_true(tenant, "peers_may_meet") ? "yes: they reach each other"
							: "no: none reaches another");
	table_cell(table, STYLE_DIM, "freed addresses rest");
	table_cell(table, STYLE_PLAIN, "%s", rest);
	return table_print(table, stdout, 0, cli->colour) == 0 ? STATUS_OK : no_memory();
}

int
run_tenant_show(struct cli *cli)
{
	_cleanup_(answer_donep) struct answer answer = {0};
	const int r = call_get(cli, "/tenant", &answer);

	if (r != STATUS_OK)
		return r;
	return cli->json ? json_out(answer.json) : tenant_print(cli, answer.json);
}

static int
body_meet(const struct cli *cli, json_t *body)
{
	const char *text = cli->value[OPTION_MEET];

	if (!text)
		return STATUS_OK;
	if (strcmp(text, "yes") != 0 && strcmp(text, "no") != 0) {
		note(cli, STYLE_BAD, "--peers-may-meet takes yes or no, not \"%s\"", text);
		return STATUS_USAGE;
	}
	return json_object_set_new(body, "peers_may_meet", json_boolean(*text == 'y')) < 0 ? no_memory()
											   : STATUS_OK;
}

/* A span as --expires takes it, from now on; 0 is none. */
static int
body_rest(const struct cli *cli, json_t *body)
{
	const char *text = cli->value[OPTION_REST];
	time_t end = cli->now;

	if (!text)
		return STATUS_OK;
	if (strcmp(text, "0") != 0 && (!strchr("0123456789", *text) || strpbrk(text, "-:TZ") || !*text ||
				       end_parse(&end, text, cli->now) < 0)) {
		note(cli, STYLE_BAD, "--rest takes a span as 24h, 7d or 0, not \"%s\"", text);
		return STATUS_USAGE;
	}
	return json_object_set_new(body, "rest_seconds", json_integer(end - cli->now)) < 0 ? no_memory()
											   : STATUS_OK;
}

int
run_tenant_set(struct cli *cli)
{
	_cleanup_(answer_donep) struct answer answer = {0};
	_cleanup_(json_decrefp) json_t *body = json_object();
	int r;

	r = body ? body_meet(cli, body) : no_memory();
	if (r == STATUS_OK)
		r = body_rest(cli, body);
	if (r != STATUS_OK)
		return r;
	if (json_object_size(body) == 0) {
		note(cli, STYLE_BAD, "nothing to set: name --peers-may-meet or --rest");
		return STATUS_USAGE;
	}
	r = call_send(cli, "PATCH", "/tenant", body, &answer);
	if (r != STATUS_OK)
		return r;
	note_applied(cli, answer.json);
	return cli->json ? json_out(answer.json) : tenant_print(cli, answer.json);
}
