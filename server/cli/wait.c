#include "server/cli/wait.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

#include "server/cli/call.h"
#include "server/cli/fields.h"
#include "server/cli/trouble.h"
#include "server/cli/units.h"

#define WAIT_ROUND_SECONDS  15 /* of the gateway's waiting; it then answers whatever is */
#define WAIT_GRACE_SECONDS  10 /* for the answer to come */
#define WAIT_AGAIN_MS       1000
#define WAIT_CAUSES_SECONDS 30 /* as `status` counts it */

struct waiting {
	struct cli *cli;
	time_t since;
	bool tty, causes_said, away_said;
};

static void
interrupted(int number)
{
	client_interrupt = 1;
}

static void
line_clear(const struct waiting *waiting)
{
	if (waiting->tty)
		fputs("\r\033[K", stderr);
}

static void
tick(void *arg)
{
	const struct waiting *waiting = arg;
	char span[UNITS_LEN];

	span_words(span, time(NULL) - waiting->since);
	line_clear(waiting);
	fprintf(stderr, "waiting for the first handshake of %s: %s (Ctrl-C ends the waiting only)",
		waiting->cli->argument, span);
}

/* Once: what the gateway thinks why nothing comes. */
static void
causes_say(struct waiting *waiting)
{
	_cleanup_(answer_donep) struct answer answer = {0};
	const json_t *datagrams, *causes;
	size_t i;
	json_t *cause;

	if (waiting->causes_said || time(NULL) - waiting->since < WAIT_CAUSES_SECONDS)
		return;
	if (client_call(waiting->cli->client, &(struct call){.method = "GET", .path = "/status"}, &answer) !=
	    CALL_OK)
		return;
	waiting->causes_said = true;
	datagrams = json_object_get(answer.json, "datagrams");
	causes = json_object_get(datagrams, "causes");
	line_clear(waiting);
	if (!field_true(datagrams, "silent")) {
		note(waiting->cli, STYLE_PLAIN,
		     "the gateway is reached by datagrams, but not by this peer yet");
		return;
	}
	note(waiting->cli, STYLE_WARN,
	     "no datagram at all has reached the gateway yet.  Likely, the likeliest first:");
	json_array_foreach(causes, i, cause)
	{
		fputs("  - ", stderr);
		text_put(stderr, json_string_value(cause) ? json_string_value(cause) : "?");
		fputc('\n', stderr);
	}
}

static void
away_say(struct waiting *waiting)
{
	if (waiting->away_said)
		return;
	waiting->away_said = true;
	line_clear(waiting);
	trouble_print(client_trouble(waiting->cli->client), stderr, waiting->cli->err_colour);
	note(waiting->cli, STYLE_PLAIN, "trying again until it is back (Ctrl-C ends the waiting only)");
}

static int
done_say(const struct waiting *waiting, const json_t *peer)
{
	const char *endpoint = field_text(peer, "endpoint");
	char span[UNITS_LEN];

	span_words(span, time(NULL) - waiting->since);
	line_clear(waiting);
	note(waiting->cli, STYLE_GOOD, "%s is connected: first handshake after %s%s%s",
	     field_text(peer, "name"), span, *endpoint ? ", from " : "", endpoint);
	return STATUS_OK;
}

/* One round; *@ret is the exit status when there is no more to wait for. */
static bool
round_done(struct waiting *waiting, const char *path, int *ret)
{
	_cleanup_(answer_donep) struct answer answer = {0};
	const struct call call = {.method = "GET",
				  .path = path,
				  .seconds = WAIT_ROUND_SECONDS + WAIT_GRACE_SECONDS,
				  .tick = waiting->tty ? tick : NULL,
				  .tick_arg = waiting};
	const time_t begun = time(NULL);
	const enum call_end end = client_call(waiting->cli->client, &call, &answer);

	if (end == CALL_OK && json_is_string(json_object_get(answer.json, "last_handshake_at"))) {
		*ret = done_say(waiting, answer.json);
		return true;
	}
	if (end == CALL_OK)
		causes_say(waiting);
	else if (end == CALL_SILENT || end == CALL_BROKEN_OFF)
		away_say(waiting);
	else if (end == CALL_REFUSED && client_trouble(waiting->cli->client)->http != 429 &&
		 client_trouble(waiting->cli->client)->http != 503) {
		line_clear(waiting);
		trouble_print(client_trouble(waiting->cli->client), stderr, waiting->cli->err_colour);
		*ret = STATUS_FAILED;
		return true;
	} else if (end == CALL_FOREIGN || end == CALL_FAILED) {
		line_clear(waiting);
		trouble_print(client_trouble(waiting->cli->client), stderr, waiting->cli->err_colour);
		*ret = STATUS_FAILED;
		return true;
	}
	/* Whatever answered at once is not asked again at once. */
	if (!client_interrupt && time(NULL) - begun <= 1)
		poll(NULL, 0, WAIT_AGAIN_MS);
	return false;
}

int
wait_handshake(struct cli *cli)
{
	const struct sigaction action = {.sa_handler = interrupted};
	struct waiting waiting = {.cli = cli, .since = time(NULL), .tty = isatty(STDERR_FILENO)};
	struct sigaction before;
	char path[PATH_LEN], behind[64];
	int r = STATUS_OK;

	snprintf(behind, sizeof(behind), "?wait=handshake&timeout=%d", WAIT_ROUND_SECONDS);
	peer_path(path, cli->argument, behind);
	if (!waiting.tty)
		note(cli, STYLE_PLAIN, "waiting for the first handshake of %s (Ctrl-C ends the waiting only)",
		     cli->argument);
	fflush(stdout);
	sigaction(SIGINT, &action, &before);
	while (!client_interrupt && !round_done(&waiting, path, &r))
		;
	sigaction(SIGINT, &before, NULL);
	if (client_interrupt) {
		line_clear(&waiting);
		note(cli, STYLE_PLAIN, "no longer waiting; nothing else has changed");
	}
	return r;
}
