/* How the gateway stands: the good in a few lines, the bad with what to do about it. */
#include <inttypes.h>
#include <stdint.h>
#include <string.h>

#include "server/cli/call.h"
#include "server/cli/fields.h"
#include "server/cli/peer.h"
#include "server/cli/table.h"

#define LABEL_COLUMNS 12

struct page {
	const struct cli *cli;
	FILE *out;
};

static void
label(const struct page *page, const char *text)
{
	fprintf(page->out, "%s%-*s%s", style_begin(STYLE_DIM, page->cli->colour), LABEL_COLUMNS, text,
		style_end(STYLE_DIM, page->cli->colour));
}

static void
styled(const struct page *page, enum style style, const char *text)
{
	fputs(style_begin(style, page->cli->colour), page->out);
	text_put(page->out, text);
	fputs(style_end(style, page->cli->colour), page->out);
}

static void
section(const struct page *page, const char *text)
{
	fputc('\n', page->out);
	styled(page, STYLE_HEAD, text);
	fputc('\n', page->out);
}

/* A line of its own below a label. */
static void
below(const struct page *page, enum style style, const char *text)
{
	if (!*text)
		return;
	label(page, "");
	styled(page, style, text);
	fputc('\n', page->out);
}

static void
gateway_print(const struct page *page, const json_t *status)
{
	char since[UNITS_LEN];
	time_t t;

	label(page, "gateway");
	fputs("Warren ", page->out);
	text_put(page->out, field_text(status, "version"));
	if (time_parse(&t, field_text(status, "started_at")) == 0) {
		time_words(since, t, page->cli->now);
		fprintf(page->out, ", up since %s", since);
	}
	fputc('\n', page->out);
	label(page, "data");
	text_put(page->out, field_text(status, "data_dir"));
	fputc('\n', page->out);
	label(page, "public key");
	text_put(page->out, *field_text(status, "public_key") ? field_text(status, "public_key")
							      : "not known: the tunnel has never answered");
	fputc('\n', page->out);
}

static void
endpoint_print(const struct page *page, const json_t *status)
{
	const json_t *endpoint = json_object_get(status, "endpoint");
	const char *address = field_text(endpoint, "address"), *origin = field_text(endpoint, "origin");
	const bool private = field_true(endpoint, "private");

	label(page, "endpoint");
	styled(page, *address ? private ? STYLE_WARN : STYLE_PLAIN : STYLE_BAD,
	       *address ? address : "none known");
	if (strcmp(origin, "configured") == 0)
		fputs(", as configured", page->out);
	else if (strcmp(origin, "route") == 0)
		fputs(", found by the default route", page->out);
	if (private)
		fputs(", private: not reachable from the Internet as it is", page->out);
	fprintf(page->out, "; UDP port %" PRId64 "\n", field_number(status, "listen_port", 0));
	below(page, STYLE_WARN, field_text(endpoint, "note"));
}

static void
uplink_print(const struct page *page, const json_t *status)
{
	const json_t *uplink = json_object_get(status, "uplink");
	const char *ifname = field_text(uplink, "ifname"), *sees = field_text(uplink, "world_sees");
	const char *words = field_text(uplink, "words");
	const bool up = field_true(uplink, "up");

	label(page, "uplink");
	text_put(page->out, field_text(uplink, "kind"));
	if (*ifname) {
		fputs(" (", page->out);
		text_put(page->out, ifname);
		fputc(')', page->out);
	}
	fputs(": ", page->out);
	styled(page, up ? STYLE_PLAIN : STYLE_BAD, *words ? words : up ? "up" : "down");
	/* The API's words say it; this is for a gateway that has none. */
	if (!*words && *sees)
		fprintf(page->out, "; the world sees %s",
			strcmp(sees, "peer") == 0 ? "each peer's own address"
						  : "this host's address for every peer");
	fputc('\n', page->out);
}

static void
processes_print(const struct page *page, const json_t *status)
{
	const char *gap = "";
	size_t i;
	json_t *process;

	label(page, "processes");
	json_array_foreach(json_object_get(status, "processes"), i, process)
	{
		const bool up = strcmp(field_text(process, "state"), "up") == 0;
		const char *words = field_text(process, "words");

		fputs(gap, page->out);
		text_put(page->out, field_text(process, "name"));
		fputc(' ', page->out);
		styled(page, up ? STYLE_GOOD : STYLE_BAD, field_text(process, "state"));
		if (*words) {
			fputs(" (", page->out);
			text_put(page->out, words);
			fputc(')', page->out);
		}
		gap = ", ";
	}
	fputc('\n', page->out);
}

static void
datagrams_print(const struct page *page, const json_t *status)
{
	const json_t *datagrams = json_object_get(status, "datagrams");
	const int64_t received = field_number(datagrams, "received", -1),
		      waited = field_number(datagrams, "waited", 0);
	char span[UNITS_LEN];
	size_t i;
	json_t *cause;

	label(page, "datagrams");
	if (received < 0)
		fputs("not known\n", page->out);
	else
		fprintf(page->out, "%" PRId64 " received since the tunnel started\n", received);
	if (!field_true(datagrams, "silent"))
		return;
	span_words(span, waited);
	label(page, "");
	fputs(style_begin(STYLE_BAD, page->cli->colour), page->out);
	fprintf(page->out, "nothing at all has arrived in %s since the first peer was added.%s  Likely:\n",
		span, style_end(STYLE_BAD, page->cli->colour));
	json_array_foreach(json_object_get(datagrams, "causes"), i, cause)
	{
		label(page, "");
		fprintf(page->out, "%zu. ", i + 1);
		text_put(page->out, json_string_value(cause) ? json_string_value(cause) : "?");
		fputc('\n', page->out);
	}
}

static void
tunnel_print(const struct page *page, const json_t *status)
{
	const json_t *tunnel = json_object_get(status, "tunnel"),
		     *handoffs = json_object_get(tunnel, "handoffs");
	const char *aead = field_text(tunnel, "aead");
	const int64_t workers = field_number(tunnel, "workers", 0);
	const int64_t out = field_number(handoffs, "out", 0) + field_number(handoffs, "in", 0);

	label(page, "packets");
	if (!*aead) {
		fputs("not known\n", page->out);
		return;
	}
	fputs("encrypted by ", page->out);
	text_put(page->out, aead);
	if (workers)
		fprintf(page->out, ", %" PRId64 " worker%s", workers, workers == 1 ? "" : "s");
	if (out)
		fprintf(page->out, ", %" PRId64 " superframes handed from one to another", out);
	fputc('\n', page->out);
}

/* Superframes that are claimed and never engaged show here: one packet a call. */
static void
calls_print(const struct page *page, const json_t *status)
{
	const json_t *calls = json_object_get(json_object_get(status, "tunnel"), "calls");
	const char *gap = "";
	size_t i;
	json_t *call;

	if (json_array_size(calls) == 0)
		return;
	label(page, "");
	fputs("packets a call: ", page->out);
	json_array_foreach(calls, i, call)
	{
		const json_t *mean = json_object_get(call, "mean");

		fputs(gap, page->out);
		text_put(page->out, field_text(call, "name"));
		if (json_is_number(mean))
			fprintf(page->out, " %.1f", json_number_value(mean));
		else
			fputs(" none yet", page->out);
		gap = ", ";
	}
	fputc('\n', page->out);
}

/* All on in a word; what is missing, each with what it costs and what to do. */
static void
ladder_print(const struct page *page, const json_t *status)
{
	const json_t *ladder = json_object_get(json_object_get(status, "tunnel"), "ladder");
	size_t i, missing = 0;
	json_t *rung;

	if (json_array_size(ladder) == 0)
		return;
	label(page, "fast path");
	json_array_foreach(ladder, i, rung)
	{
		const char *state = field_text(rung, "state");

		if (strcmp(state, "on") == 0)
			continue;
		if (missing++)
			label(page, "");
		styled(page, strcmp(state, "down") == 0 ? STYLE_BAD : STYLE_WARN, field_text(rung, "name"));
		fputc(' ', page->out);
		text_put(page->out, state);
		fputs(": ", page->out);
		text_put(page->out, field_text(rung, "cost"));
		fputc('\n', page->out);
		if (*field_text(rung, "remedy")) {
			label(page, "");
			fputs("  what to do: ", page->out);
			text_put(page->out, field_text(rung, "remedy"));
			fputc('\n', page->out);
		}
	}
	if (!missing)
		fputs("all on\n", page->out);
}

static void
counts_print(const struct page *page, const json_t *status)
{
	const json_t *counts = json_object_get(status, "peers");

	label(page, "peers");
	if (!json_is_object(counts)) {
		fputs("not known while the database is not there\n", page->out);
		return;
	}
	fprintf(page->out,
		"%" PRId64 ": %" PRId64 " active (%" PRId64 " online), %" PRId64 " disabled, %" PRId64
		" expired; %" PRId64 " without an end\n",
		field_number(counts, "total", 0), field_number(counts, "active", 0),
		field_number(counts, "online", 0), field_number(counts, "disabled", 0),
		field_number(counts, "expired", 0), field_number(counts, "without_end", 0));
}

static int
drops_print(const struct page *page, const json_t *status)
{
	const json_t *drops = json_object_get(json_object_get(status, "tunnel"), "drops");
	_cleanup_(table_freep) struct table *table = table_new(NULL, 3, BIT(0));
	size_t i;
	json_t *drop;

	if (!table)
		return no_memory();
	if (json_array_size(drops) == 0)
		return STATUS_OK;
	section(page, "Dropped packets");
	json_array_foreach(drops, i, drop)
	{
		table_cell(table, STYLE_PLAIN, "%" PRId64, field_number(drop, "count", 0));
		table_cell(table, STYLE_DIM, "%s", field_text(drop, "name"));
		table_cell(table, STYLE_PLAIN, "%s", field_text(drop, "words"));
	}
	return table_print(table, page->out, 2, page->cli->colour) == 0 ? STATUS_OK : no_memory();
}

static void
trouble_list(const struct page *page, const json_t *status)
{
	const json_t *list = json_object_get(status, "trouble");
	size_t i;
	json_t *trouble;

	if (json_array_size(list) == 0)
		return;
	section(page, "Trouble");
	json_array_foreach(list, i, trouble)
	{
		fputs("  ", page->out);
		styled(page, STYLE_BAD, field_text(trouble, "words"));
		fputs(" [", page->out);
		text_put(page->out, field_text(trouble, "code"));
		fputs("]\n", page->out);
		if (*field_text(trouble, "remedy")) {
			fputs("    what to do: ", page->out);
			text_put(page->out, field_text(trouble, "remedy"));
			fputc('\n', page->out);
		}
	}
}

static int
peers_section(struct cli *cli, const struct page *page, const json_t *status)
{
	_cleanup_(json_decrefp) json_t *peers = NULL;
	int r;

	if (field_number(json_object_get(status, "peers"), "total", 0) == 0)
		return STATUS_OK;
	r = call_pages(cli, "/peers", "peers", SIZE_MAX, &peers);
	if (r != STATUS_OK)
		return r;
	section(page, "Peers");
	return peers_print(peers, cli->now, true, 2, cli->colour);
}

int
run_status(struct cli *cli)
{
	static void (*const parts[])(const struct page *page, const json_t *status) = {
		gateway_print, endpoint_print, uplink_print, processes_print, datagrams_print,
		tunnel_print,  calls_print,    ladder_print, counts_print,
	};
	_cleanup_(answer_donep) struct answer answer = {0};
	const struct page page = {cli, stdout};
	int r, drops;

	r = call_get(cli, "/status", &answer);
	if (r != STATUS_OK)
		return r;
	if (cli->json)
		return json_out(answer.json);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		parts[i](&page, answer.json);
	/* What was said of the gateway stays said when its list of peers fails. */
	r = peers_section(cli, &page, answer.json);
	drops = drops_print(&page, answer.json);
	trouble_list(&page, answer.json);
	return r != STATUS_OK ? r : drops;
}
