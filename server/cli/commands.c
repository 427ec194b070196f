#include "server/cli/commands.h"

#include <string.h>

#include "base/cleanup.h"

const struct cli_option_row cli_options[OPTION_COUNT] = {
#define X(id, name, letter, value, words) {name, value, words, letter},
	CLI_OPTIONS(X)
#undef X
};

const struct cli_argument_row cli_arguments[ARGUMENT_COUNT] = {
#define X(id, written, optional) {written, optional},
	CLI_ARGUMENTS(X)
#undef X
};

#define O(id) BIT(OPTION_##id)
#define BOTH  (O(OUTPUT) | O(HELP))

const struct command commands[] = {
	{"status", NULL, ARGUMENT_NONE, BOTH, run_status, "how the gateway stands, and what is wrong",
	 "Which uplink it uses and what the world therefore sees; whether datagrams arrive; each peer's last "
	 "handshake, bytes and end of access; what was dropped and why; every trouble with its remedy.",
	 "warren status"},
	{"peer", "add", ARGUMENT_NAME, O(EXPIRES) | O(ROUTES) | O(QR) | O(OUT) | O(FORCE) | O(WAIT) | BOTH,
	 run_peer_add, "let a device in, at an address of its own",
	 "The key pair is made here and only its public half is sent: the configuration is shown once and "
	 "never again.  It goes to standard output, to a file (--out), or is drawn for a phone (--qr).\n"
	 "Without --expires access has no end, and `warren status` says so.",
	 "warren peer add laptop --expires 30d --out laptop.conf --wait"},
	{"peer", "list", ARGUMENT_NONE, BOTH, run_peer_list, "all peers, by name", NULL,
	 "warren peer list -o json"},
	{"peer", "show", ARGUMENT_PEER, BOTH, run_peer_show, "all that is known of one peer", NULL,
	 "warren peer show laptop"},
	{"peer", "disable", ARGUMENT_PEER, BOTH, run_peer_disable, "cut a peer off until it is enabled",
	 "No packet passes and no handshake succeeds.  Name, address and key stay.",
	 "warren peer disable laptop"},
	{"peer", "enable", ARGUMENT_PEER, BOTH, run_peer_enable, "take a disable back", NULL,
	 "warren peer enable laptop"},
	{"peer", "renew", ARGUMENT_PEER, O(EXPIRES) | BOTH, run_peer_renew,
	 "set a new end of access; same key, same address", "The device notices nothing but that it works.",
	 "warren peer renew laptop --expires 30d"},
	{"peer", "rekey", ARGUMENT_PEER, O(QR) | O(OUT) | O(FORCE) | O(WAIT) | BOTH, run_peer_rekey,
	 "a new configuration for a lost one; same address",
	 "A new key pair is made here; the old key stops at once.", "warren peer rekey phone --qr"},
	{"peer", "remove", ARGUMENT_PEER, O(YES) | BOTH, run_peer_remove,
	 "cut a peer off for good and give its address back",
	 "Asks first; without a terminal it wants --yes.", "warren peer remove laptop"},
	{"tenant", "show", ARGUMENT_NONE, BOTH, run_tenant_show, "the tenant's settings", NULL,
	 "warren tenant show"},
	{"tenant", "set", ARGUMENT_NONE, O(MEET) | O(REST) | BOTH, run_tenant_set,
	 "change the tenant's settings", "What is not named stays as it is.",
	 "warren tenant set --peers-may-meet yes"},
	{"pool", "list", ARGUMENT_NONE, BOTH, run_pool_list, "where peers get their addresses from", NULL,
	 "warren pool list"},
	{"audit", "list", ARGUMENT_NONE, O(LIMIT) | BOTH, run_audit_list,
	 "what was changed and by whom, newest first", NULL, "warren audit list --limit 20"},
	{"wg", "show", ARGUMENT_NONE, BOTH, run_wg_show, "what the tunnel says of itself, as wg(8) shows it",
	 NULL, "warren wg show"},
	{"metrics", NULL, ARGUMENT_NONE, O(HELP), run_metrics, "the figures, as Prometheus reads them",
	 "Counters and gauges of the tunnel and of control; no peer is named.  The same is served at /metrics where "
	 "WARREN_METRICS_LISTEN says (see warrend(8)).",
	 "warren metrics"},
	{"completion", NULL, ARGUMENT_SHELL, O(HELP), run_completion,
	 "the shell's completions: bash, zsh or fish",
	 "Packages install them.  `warren completion peers` prints the names of the peers for them.",
	 "source <(warren completion bash)"},
	{"help", NULL, ARGUMENT_COMMAND, O(HELP), run_help, "how a command is used", NULL,
	 "warren help peer add"},
};
const size_t commands_n = ARRAY_LEN(commands);

const char *
noun_words(const char *noun)
{
	static const struct {
		const char *noun, *words;
	} nouns[] = {
		{"peer", "devices that are let in"},           {"tenant", "what holds for all peers"},
		{"pool", "prefixes that addresses come from"}, {"audit", "the log of changes"},
		{"wg", "the tunnel in the words of wg(8)"},
	};

	for (size_t i = 0; i < ARRAY_LEN(nouns); i++)
		if (strcmp(nouns[i].noun, noun) == 0)
			return nouns[i].words;
	return NULL;
}

bool
command_is_first(const struct command *command)
{
	return command == commands || strcmp(command->noun, command[-1].noun) != 0;
}

bool
noun_has_verbs(const char *noun)
{
	return noun_words(noun) != NULL;
}

const struct command *
command_find(const char *noun, const char *verb)
{
	for (size_t i = 0; i < commands_n; i++) {
		const char *its = commands[i].verb;

		if (strcmp(commands[i].noun, noun) == 0 &&
		    (verb && its ? strcmp(its, verb) == 0 : verb == its))
			return &commands[i];
	}
	return NULL;
}
