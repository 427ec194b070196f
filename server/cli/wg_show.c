#include "server/cli/wg_show.h"

#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/errors.h"
#include "base/key.h"
#include "server/cli/call.h"
#include "server/cli/fields.h"
#include "server/cli/units.h"

#define INTERFACE "wg0" /* the tunnel's first device */

/* How a value is read. */
enum kind { KIND_KEY, KIND_NUMBER, KIND_TEXT, KIND_LIST };

static const struct row {
	const char *key; /* the UAPI's */
	const char *name;
	enum kind kind;
	bool of_peer;
} rows[] = {
	{"warren_public_key", "public_key", KIND_KEY, false},
	{"listen_port", "listen_port", KIND_NUMBER, false},
	{"fwmark", "fwmark", KIND_NUMBER, false},
	{"endpoint", "endpoint", KIND_TEXT, true},
	{"allowed_ip", "allowed_ips", KIND_LIST, true},
	{"last_handshake_time_sec", "last_handshake_at", KIND_NUMBER, true},
	{"rx_bytes", "rx_bytes", KIND_NUMBER, true},
	{"tx_bytes", "tx_bytes", KIND_NUMBER, true},
	{"persistent_keepalive_interval", "persistent_keepalive", KIND_NUMBER, true},
	{"warren_state", "state", KIND_TEXT, true},
	{"warren_end", "end", KIND_NUMBER, true},
};

static json_t *
key_read(const char *hex)
{
	char base64[KEY_BASE64_LEN];
	uint8_t key[KEY_LEN];

	if (hex_decode(key, KEY_LEN, hex) < 0)
		return NULL;
	key_to_base64(base64, key);
	return json_string(base64);
}

static json_t *
number_read(const char *text)
{
	char *end;
	int64_t n;

	errno = 0;
	n = strtoll(text, &end, 10);
	return errno || end == text || *end ? NULL : json_integer(n);
}

static int
value_take(json_t *object, const struct row *row, const char *value)
{
	json_t *list;
	int r;

	switch (row->kind) {
	case KIND_KEY:
		r = json_object_set_new(object, row->name, key_read(value));
		break;
	case KIND_NUMBER:
		r = json_object_set_new(object, row->name, number_read(value));
		break;
	case KIND_TEXT:
		r = json_object_set_new(object, row->name, json_string(value));
		break;
	case KIND_LIST:
		list = json_object_get(object, row->name);
		if (!list && json_object_set_new(object, row->name, list = json_array()) < 0)
			return -ENOMEM;
		r = json_array_append_new(list, json_string(value));
		break;
	default:
		return 0;
	}
	return r < 0 ? -ERR_INVALID : 0;
}

/* What is not in the table is not for this page. */
static int
line_take(json_t *device, json_t **peer, const char *key, const char *value)
{
	if (strcmp(key, "public_key") == 0) {
		json_t *peers = json_object_get(device, "peers");

		*peer = json_object();
		if (json_array_append_new(peers, *peer) < 0)
			return -ENOMEM;
		return json_object_set_new(*peer, "public_key", key_read(value)) < 0 ? -ERR_INVALID : 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].of_peer == (*peer != NULL) && strcmp(rows[i].key, key) == 0)
			return value_take(*peer ? *peer : device, &rows[i], value);
	return 0;
}

static int
by_handshake(const void *a, const void *b)
{
	const int64_t of_a = field_number(*(json_t *const *)a, "last_handshake_at", 0);
	const int64_t of_b = field_number(*(json_t *const *)b, "last_handshake_at", 0);

	return of_a < of_b ? 1 : of_a > of_b ? -1 : 0;
}

static int
peers_sort(json_t *peers)
{
	const size_t n = json_array_size(peers);
	_cleanup_(freep) json_t **all = calloc(n + 1, sizeof(*all));

	if (!all)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		all[i] = json_incref(json_array_get(peers, i));
	qsort(all, n, sizeof(*all), by_handshake);
	for (size_t i = 0; i < n; i++)
		json_array_set_new(peers, i, all[i]);
	return 0;
}

int
wg_read(json_t **ret, const char *text)
{
	_cleanup_(json_decrefp) json_t *device = json_pack("{s:[]}", "peers");
	_cleanup_(freep) char *copy = strdup(text);
	char *at = copy, *line;
	json_t *peer = NULL;
	bool ended = false;
	int r;

	if (!device || !copy)
		return -ENOMEM;
	while (!ended && (line = strsep(&at, "\n")) && *line) {
		char *value = strchr(line, '=');

		if (!value)
			return -ERR_INVALID;
		*value++ = '\0';
		if (strcmp(line, "errno") == 0) {
			if (strcmp(value, "0") != 0)
				return -EREMOTEIO;
			ended = true;
			continue;
		}
		r = line_take(device, &peer, line, value);
		if (r < 0)
			return r;
	}
	if (!ended)
		return -ERR_INVALID;
	r = peers_sort(json_object_get(device, "peers"));
	if (r < 0)
		return r;
	*ret = take_ptr(device);
	return 0;
}

/* "1 hour, 2 minutes, 3 seconds", every unit that counts, as wg(8) has it. */
static void
ago_print(int64_t seconds)
{
	static const struct {
		int64_t seconds;
		const char *name;
	} units[] = {{31536000, "year"}, {86400, "day"}, {3600, "hour"}, {60, "minute"}, {1, "second"}};
	const char *gap = "";

	if (seconds <= 0) {
		fputs(seconds < 0 ? "in the future (the clock was set back)" : "now", stdout);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		const int64_t n = seconds / units[i].seconds;

		seconds %= units[i].seconds;
		if (n == 0)
			continue;
		printf("%s%" PRId64 " %s%s", gap, n, units[i].name, n == 1 ? "" : "s");
		gap = ", ";
	}
	fputs(" ago", stdout);
}

struct show {
	time_t now;
	bool colour;
};

static void
name_print(const struct show *show, const char *name)
{
	printf("  %s%s%s: ", style_begin(STYLE_HEAD, show->colour), name,
	       style_end(STYLE_HEAD, show->colour));
}

static void
text_row(const struct show *show, const char *name, const char *text)
{
	if (!*text)
		return;
	name_print(show, name);
	text_put(stdout, text);
	putchar('\n');
}

static void
head_print(const struct show *show, enum style style, const char *kind, const char *text)
{
	printf("%s%s: ", style_begin(style, show->colour), kind);
	text_put(stdout, text);
	printf("%s\n", style_end(style, show->colour));
}

static void
peer_print(const struct show *show, const json_t *peer)
{
	const int64_t rx = field_number(peer, "rx_bytes", 0), tx = field_number(peer, "tx_bytes", 0);
	const int64_t handshake = field_number(peer, "last_handshake_at", 0),
		      end = field_number(peer, "end", 0);
	const int64_t keepalive = field_number(peer, "persistent_keepalive", 0);
	_cleanup_(freep) char *allowed = field_list(peer, "allowed_ips", false);
	const char *state = field_text(peer, "state");
	char words[UNITS_LEN], sent[UNITS_LEN];

	putchar('\n');
	head_print(show, STYLE_WARN, "peer", field_text(peer, "public_key"));
	text_row(show, "endpoint", field_text(peer, "endpoint"));
	text_row(show, "allowed ips", allowed && *allowed ? allowed : "(none)");
	if (handshake > 0) {
		name_print(show, "latest handshake");
		ago_print(show->now - handshake);
		putchar('\n');
	}
	if (rx > 0 || tx > 0) {
		bytes_words(words, (uint64_t)MAX(rx, 0));
		bytes_words(sent, (uint64_t)MAX(tx, 0));
		name_print(show, "transfer");
		printf("%s received, %s sent\n", words, sent);
	}
	if (keepalive > 0) {
		name_print(show, "persistent keepalive");
		printf("every %" PRId64 " second%s\n", keepalive, keepalive == 1 ? "" : "s");
	}
	if (*state && strcmp(state, "active") != 0)
		text_row(show, "state", state);
	if (end > 0) {
		time_words(words, end, show->now);
		text_row(show, "end", words);
	}
}

void
wg_print(const json_t *device, time_t now, bool colour)
{
	const struct show show = {now, colour};
	const int64_t port = field_number(device, "listen_port", 0), mark = field_number(device, "fwmark", 0);
	size_t i;
	json_t *peer;

	head_print(&show, STYLE_GOOD, "interface", INTERFACE);
	if (*field_text(device, "public_key")) {
		text_row(&show, "public key", field_text(device, "public_key"));
		text_row(&show, "private key", "(hidden)");
	}
	if (port > 0) {
		name_print(&show, "listening port");
		printf("%" PRId64 "\n", port);
	}
	if (mark > 0) {
		name_print(&show, "fwmark");
		printf("0x%" PRIx64 "\n", mark);
	}
	json_array_foreach(json_object_get(device, "peers"), i, peer) peer_print(&show, peer);
}

int
run_wg_show(struct cli *cli)
{
	_cleanup_(answer_donep) struct answer answer = {0};
	_cleanup_(json_decrefp) json_t *device = NULL;
	const struct call call = {.method = "GET", .path = "/wg", .text = true};
	int r;

	r = call_any(cli, &call, &answer);
	if (r != STATUS_OK)
		return r;
	r = wg_read(&device, answer.text);
	if (r < 0) {
		note(cli, STYLE_BAD, "the tunnel's answer is not understood: %s", error_words(r));
		return STATUS_FAILED;
	}
	if (cli->json)
		return json_out(device);
	wg_print(device, cli->now, cli->colour);
	return STATUS_OK;
}
