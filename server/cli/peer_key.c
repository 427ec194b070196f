/*
 * The commands that make a key: add and rekey.  The order is what matters: first the file is opened, then
 * the key is made, then the gateway is asked; so no peer stands there whose key has nowhere to go.  The
 * private key and the text with it live in guarded memory and are wiped before any waiting.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/errors.h"
#include "base/key.h"
#include "base/secrets.h"
#include "server/cli/body.h"
#include "server/cli/call.h"
#include "server/cli/conf.h"
#include "server/cli/fields.h"
#include "server/cli/peer.h"
#include "server/cli/qr.h"
#include "server/cli/secretfile.h"
#include "server/cli/trouble.h"
#include "server/cli/wait.h"

struct secrets {
	struct private_key key;
	char text[CONF_TEXT_LEN];
	size_t len;
};

static void
secrets_freep(struct secrets **secrets)
{
	if (*secrets)
		secret_free(*secrets);
	*secrets = NULL;
}

/* What cannot be had together. */
static int
options_check(const struct cli *cli)
{
	if (cli_has(cli, OPTION_FORCE) && !cli_has(cli, OPTION_OUT)) {
		note(cli, STYLE_BAD, "--force is about the file of --out, and there is no --out");
		return STATUS_USAGE;
	}
	if (cli_has(cli, OPTION_QR) && cli->json) {
		note(cli, STYLE_BAD, "--qr is for people: not together with -o json");
		return STATUS_USAGE;
	}
	return STATUS_OK;
}

static int
file_open(const struct cli *cli, struct secretfile **ret)
{
	const char *path = cli->value[OPTION_OUT];
	int r;

	if (!path)
		return STATUS_OK;
	r = secretfile_open(ret, path, cli_has(cli, OPTION_FORCE));
	if (r == -EEXIST)
		note(cli, STYLE_BAD,
		     "%s is there already, and nothing was changed; another name, or --force to replace it",
		     path);
	else if (r < 0)
		note(cli, STYLE_BAD, "%s cannot be written: %s; nothing was changed", path, strerror(-r));
	return r < 0 ? STATUS_FAILED : STATUS_OK;
}

/* The change is made and its key is lost. */
static void
rekey_note(const struct cli *cli)
{
	note(cli, STYLE_WARN,
	     "the peer is there, its configuration is not: `warren peer rekey %s` makes a new one",
	     cli->argument);
}

/* Asks the gateway; a request whose answer is lost may have been carried out. */
static int
ask(struct cli *cli, const char *path, json_t *body, const struct private_key *key, struct answer *ret)
{
	char base64[KEY_BASE64_LEN];
	struct public_key public;
	int r;

	public_key_derive(&public, key);
	key_to_base64(base64, public.b);
	if (json_object_set_new(body, "public_key", json_string(base64)) < 0)
		return no_memory();
	r = call_send(cli, "POST", path, body, ret);
	if (r == STATUS_UNREACHABLE && client_trouble(cli->client)->broken_off)
		note(cli, STYLE_WARN, "if it was done, `warren peer rekey %s` makes a configuration",
		     cli->argument);
	return r;
}

static void
width_hint(const struct cli *cli, int wanted)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_col < wanted)
		note(cli, STYLE_WARN,
		     "the code takes %d columns and the terminal has %d: make it wider or its letters "
		     "smaller, then "
		     "`warren peer rekey %s --qr`",
		     wanted, size.ws_col, cli->argument);
}

/* Straight to the descriptor: no buffer of stdio keeps a copy. */
static int
text_out(const char *text, size_t len)
{
	fflush(stdout);
	while (len > 0) {
		const ssize_t n = write(STDOUT_FILENO, text, len);

		if (n < 0 && errno != EINTR)
			return -errno;
		text += MAX(n, 0);
		len -= (size_t)MAX(n, 0);
	}
	return 0;
}

/* The API's answer, with the text beside it unless it went into a file.  The copies are wiped: main(). */
static int
answer_out(const struct cli *cli, json_t *answer, const struct secrets *secrets)
{
	const char *path = cli->value[OPTION_OUT];
	int r;

	if (path)
		r = json_object_set_new(answer, "client_config_file", json_string(path));
	else
		r = json_object_set_new(answer, "client_config", json_stringn(secrets->text, secrets->len));
	if (r == 0) {
		fflush(stdout);
		r = json_dumpfd(answer, STDOUT_FILENO, JSON_INDENT(2) | JSON_ENSURE_ASCII);
	}
	json_object_del(answer, "client_config");
	return r < 0 ? -EIO : text_out("\n", 1);
}

/* To where the person wants it; 0 or a negated errno, and then it has been said where it failed. */
static int
deliver(const struct cli *cli, json_t *answer, const struct secrets *secrets, struct secretfile *file)
{
	const char *where = "standard output";
	int r = 0;

	if (file) {
		where = cli->value[OPTION_OUT];
		r = secretfile_keep(file, secrets->text, secrets->len);
	}
	if (r >= 0 && cli_has(cli, OPTION_QR)) {
		where = "the QR code";
		r = qr_draw(STDOUT_FILENO, secrets->text, cli->colour);
		if (r > 0)
			width_hint(cli, r);
	}
	if (r >= 0 && cli->json)
		r = answer_out(cli, answer, secrets);
	else if (r >= 0 && !file && !cli_has(cli, OPTION_QR))
		r = text_out(secrets->text, secrets->len);
	if (r < 0)
		note(cli, STYLE_BAD, "%s could not be written: %s", where,
		     r == -EMSGSIZE ? "the configuration is too long for one" : strerror(-r));
	return MIN(r, 0);
}

static void
notes(const struct cli *cli, const json_t *answer, const char *done)
{
	_cleanup_(freep) char *addresses = field_list(answer, "addresses", true);
	const json_t *config = json_object_get(answer, "config");
	const char *endpoint_note = field_text(config, "endpoint_note");
	const bool endless = json_is_null(json_object_get(answer, "expires_at"));
	char end[UNITS_LEN];

	peer_end(end, answer, cli->now);
	note(cli, STYLE_PLAIN, "peer %s %s: %s, %s%s", field_text(answer, "name"), done,
	     addresses ? addresses : "?", endless ? "" : "ends ", end);
	if (cli_has(cli, OPTION_OUT))
		note(cli, STYLE_PLAIN, "its configuration is in %s", cli->value[OPTION_OUT]);
	if (json_is_null(json_object_get(config, "endpoint")))
		note(cli, STYLE_WARN,
		     "the configuration has no Endpoint: the gateway does not know where clients reach it");
	if (*endpoint_note)
		note(cli, STYLE_WARN, "%s", endpoint_note);
	note_applied(cli, answer);
}

static int
key_give(struct cli *cli, const char *path, json_t *body, const char *done)
{
	_cleanup_(secretfile_freep) struct secretfile *file = NULL;
	_cleanup_(secrets_freep) struct secrets *secrets = secret_alloc(sizeof(*secrets));
	_cleanup_(answer_donep) struct answer answer = {0};
	char error[CONF_ERROR_LEN];
	int r;

	if (!secrets || !body)
		return no_memory();
	r = options_check(cli);
	if (r == STATUS_OK)
		r = file_open(cli, &file);
	if (r != STATUS_OK)
		return r;
	private_key_generate(&secrets->key);
	r = ask(cli, path, body, &secrets->key, &answer);
	if (r != STATUS_OK)
		return r;
	r = conf_compose(secrets->text, &secrets->key, answer.json, error);
	if (r < 0)
		note(cli, STYLE_BAD, "the gateway's answer makes no configuration: %s", error);
	else
		secrets->len = (size_t)r;
	if (r >= 0)
		r = deliver(cli, answer.json, secrets, file);
	secrets_freep(&secrets);
	if (r < 0) {
		rekey_note(cli);
		return STATUS_FAILED;
	}
	notes(cli, answer.json, done);
	return cli_has(cli, OPTION_WAIT) ? wait_handshake(cli) : STATUS_OK;
}

int
run_peer_add(struct cli *cli)
{
	_cleanup_(json_decrefp) json_t *body = json_pack("{s:s}", "name", cli->argument);
	int r;

	r = body ? body_end(cli, body) : no_memory();
	if (r == STATUS_OK)
		r = body_routes(cli, body);
	return r == STATUS_OK ? key_give(cli, "/peers", body, "added") : r;
}

int
run_peer_rekey(struct cli *cli)
{
	_cleanup_(json_decrefp) json_t *body = json_object();
	char path[PATH_LEN];

	peer_path(path, cli->argument, "/rekey");
	return key_give(cli, path, body, "has a new key");
}
