/* The commands about peers that make no key: list, show, disable, enable, renew, remove. */
#include "server/cli/peer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <string.h>

#include "base/clock.h"
#include "server/cli/body.h"
#include "server/cli/call.h"
#include "server/cli/fields.h"
#include "server/cli/table.h"

const char *
peer_state(const json_t *peer, enum style *style)
{
	const char *state = field_text(peer, "state");
	const bool active = strcmp(state, "active") == 0;

	*style = !active ? strcmp(state, "expired") == 0 ? STYLE_BAD : STYLE_WARN : STYLE_PLAIN;
	if (active && field_true(peer, "online")) {
		*style = STYLE_GOOD;
		return "online";
	}
	return state;
}

void
peer_end(char out[UNITS_LEN], const json_t *peer, time_t now)
{
	const json_t *end = json_object_get(peer, "expires_at");
	time_t t;

	if (json_is_null(end))
		snprintf(out, UNITS_LEN, "no end");
	else if (json_is_string(end) && time_parse(&t, json_string_value(end)) == 0)
		time_words(out, t, now);
	else
		snprintf(out, UNITS_LEN, "?");
}

void
peer_handshake(char out[UNITS_LEN], const json_t *peer)
{
	const int64_t age = field_number(peer, "last_handshake_age", -1);
	char span[UNITS_LEN];

	if (age < 0) {
		snprintf(out, UNITS_LEN, "never");
		return;
	}
	span_words(span, age);
	snprintf(out, UNITS_LEN, "%.30s ago", span);
}

static void
bytes_cell(struct table *table, const json_t *peer, const char *name)
{
	char words[UNITS_LEN];

	bytes_words(words, (uint64_t)MAX(field_number(peer, name, 0), 0));
	table_cell(table, STYLE_PLAIN, "%s", words);
}

int
peers_print(const json_t *peers, time_t now, bool traffic, size_t indent, bool colour)
{
	static const char *const with[] = {"NAME",     "ADDRESS", "STATE", "HANDSHAKE",
					   "RECEIVED", "SENT",    "END"};
	static const char *const without[] = {"ID",        "NAME",     "ADDRESS", "STATE",
					      "HANDSHAKE", "ENDPOINT", "END"};
	_cleanup_(table_freep) struct table *table =
		table_new(traffic ? with : without, ARRAY_LEN(with), traffic ? BIT(4) | BIT(5) : BIT(0));
	size_t i;
	json_t *peer;

	if (!table)
		return no_memory();
	json_array_foreach(peers, i, peer)
	{
		_cleanup_(freep) char *addresses = field_list(peer, "addresses", true);
		const char *endpoint = field_text(peer, "endpoint");
		char end[UNITS_LEN], handshake[UNITS_LEN];
		enum style style;
		const char *state = peer_state(peer, &style);

		peer_end(end, peer, now);
		peer_handshake(handshake, peer);
		if (!traffic)
			table_cell(table, STYLE_DIM, "%" PRId64, field_number(peer, "id", 0));
		table_cell(table, STYLE_PLAIN, "%s", field_text(peer, "name"));
		table_cell(table, STYLE_PLAIN, "%s", addresses ? addresses : "?");
		table_cell(table, style, "%s", state);
		table_cell(table, STYLE_PLAIN, "%s", handshake);
		if (traffic) {
			bytes_cell(table, peer, "rx_bytes");
			bytes_cell(table, peer, "tx_bytes");
		} else {
			table_cell(table, STYLE_PLAIN, "%s", *endpoint ? endpoint : "-");
		}
		table_cell(table, style == STYLE_BAD ? style : STYLE_PLAIN, "%s", end);
	}
	return table_print(table, stdout, indent, colour) == 0 ? STATUS_OK : no_memory();
}

int
run_peer_list(struct cli *cli)
{
	_cleanup_(json_decrefp) json_t *peers = NULL;
	_cleanup_(json_decrefp) json_t *whole = NULL;
	int r;

	r = call_pages(cli, "/peers", "peers", SIZE_MAX, &peers);
	if (r != STATUS_OK)
		return r;
	if (cli->json) {
		whole = json_pack("{s:O, s:n}", "peers", peers, "next");
		return json_out(whole);
	}
	if (json_array_size(peers) == 0) {
		note(cli, STYLE_PLAIN, "there are no peers yet; `warren peer add NAME` lets one in");
		return STATUS_OK;
	}
	return peers_print(peers, cli->now, false, 0, cli->colour);
}

static void
time_row(struct table *table, const char *label, const json_t *peer, const char *name, time_t now)
{
	char words[UNITS_LEN];
	time_t t;

	if (time_parse(&t, field_text(peer, name)) < 0)
		return;
	time_words(words, t, now);
	table_cell(table, STYLE_DIM, "%s", label);
	table_cell(table, STYLE_PLAIN, "%s", words);
}

static void
list_row(struct table *table, const char *label, const json_t *peer, const char *name, bool bare)
{
	_cleanup_(freep) char *text = field_list(peer, name, bare);

	table_cell(table, STYLE_DIM, "%s", label);
	table_cell(table, STYLE_PLAIN, "%s", text && *text ? text : "none");
}

static int
peer_print(const json_t *peer, time_t now, bool colour)
{
	_cleanup_(table_freep) struct table *table = table_new(NULL, 2, 0);
	char words[UNITS_LEN];
	enum style style;
	const char *state = peer_state(peer, &style), *endpoint = field_text(peer, "endpoint");

	if (!table)
		return no_memory();
	table_cell(table, STYLE_DIM, "name");
	table_cell(table, STYLE_HEAD, "%s", field_text(peer, "name"));
	table_cell(table, STYLE_DIM, "id");
	table_cell(table, STYLE_PLAIN, "%" PRId64, field_number(peer, "id", 0));
	table_cell(table, STYLE_DIM, "state");
	table_cell(table, style, "%s", state);
	peer_end(words, peer, now);
	table_cell(table, STYLE_DIM, "end");
	table_cell(table, style == STYLE_BAD ? style : STYLE_PLAIN, "%s", words);
	list_row(table, "addresses", peer, "addresses", true);
	list_row(table, "routes", peer, "routes", false);
	table_cell(table, STYLE_DIM, "public key");
	table_cell(table, STYLE_PLAIN, "%s", field_text(peer, "public_key"));
	table_cell(table, STYLE_DIM, "endpoint");
	table_cell(table, STYLE_PLAIN, "%s", *endpoint ? endpoint : "not heard from yet");
	peer_handshake(words, peer);
	table_cell(table, STYLE_DIM, "handshake");
	table_cell(table, STYLE_PLAIN, "%s", words);
	table_cell(table, STYLE_DIM, "received");
	bytes_cell(table, peer, "rx_bytes");
	table_cell(table, STYLE_DIM, "sent");
	bytes_cell(table, peer, "tx_bytes");
	time_row(table, "created", peer, "created_at", now);
	return table_print(table, stdout, 0, colour) == 0 ? STATUS_OK : no_memory();
}

int
run_peer_show(struct cli *cli)
{
	_cleanup_(answer_donep) struct answer answer = {0};
	char path[PATH_LEN];
	int r;

	peer_path(path, cli->argument, "");
	r = call_get(cli, path, &answer);
	if (r != STATUS_OK)
		return r;
	return cli->json ? json_out(answer.json) : peer_print(answer.json, cli->now, cli->colour);
}

/* Sends and says what the peer is now. */
static int
change(struct cli *cli, const char *method, const char *behind, const json_t *body, const char *done)
{
	_cleanup_(answer_donep) struct answer answer = {0};
	char path[PATH_LEN], end[UNITS_LEN];
	int r;

	peer_path(path, cli->argument, behind);
	r = call_send(cli, method, path, body, &answer);
	if (r != STATUS_OK)
		return r;
	note_applied(cli, answer.json);
	if (cli->json)
		return json_out(answer.json);
	fputs("peer ", stdout);
	text_put(stdout, field_text(answer.json, "name"));
	if (json_object_get(answer.json, "expires_at")) {
		peer_end(end, answer.json, cli->now);
		printf(" %s: ", done);
		text_put(stdout, field_text(answer.json, "state"));
		printf(", %s%s\n", json_is_null(json_object_get(answer.json, "expires_at")) ? "" : "ends ",
		       end);
	} else {
		printf(" %s\n", done);
	}
	return STATUS_OK;
}

int
run_peer_disable(struct cli *cli)
{
	return change(cli, "POST", "/disable", NULL, "disabled");
}

int
run_peer_enable(struct cli *cli)
{
	return change(cli, "POST", "/enable", NULL, "enabled");
}

int
run_peer_renew(struct cli *cli)
{
	_cleanup_(json_decrefp) json_t *body = NULL;
	int r;

	if (!cli_has(cli, OPTION_EXPIRES)) {
		note(cli, STYLE_BAD, "peer renew wants --expires: 30d, 2027-01-31 or never");
		return STATUS_USAGE;
	}
	body = json_object();
	r = body_end(cli, body);
	if (r != STATUS_OK)
		return r;
	return change(cli, "POST", "/renew", body, "renewed");
}

/* Whether the person says yes; without a terminal nobody can. */
static bool
confirmed(const struct cli *cli)
{
	char line[16] = "";

	fprintf(stderr, "Remove peer %s?  Its key stops at once and its address is given back. [y/N] ",
		cli->argument);
	fflush(stderr);
	return fgets(line, sizeof(line), stdin) &&
	       (strcasecmp(line, "y\n") == 0 || strcasecmp(line, "yes\n") == 0);
}

int
run_peer_remove(struct cli *cli)
{
	if (!cli_has(cli, OPTION_YES)) {
		if (!isatty(STDIN_FILENO)) {
			note(cli, STYLE_BAD,
			     "peer remove asks first, and there is no terminal to ask at: give --yes");
			return STATUS_USAGE;
		}
		if (!confirmed(cli)) {
			note(cli, STYLE_PLAIN, "nothing was removed");
			return STATUS_FAILED;
		}
	}
	return change(cli, "DELETE", "", NULL, "removed");
}
