/*
 * The command line as one table: parsing, help, completions and the manual are made from it.
 */
#ifndef SERVER_CLI_COMMANDS_H
#define SERVER_CLI_COMMANDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>

struct client;
struct cli;

/* id, long name, letter (0: none), what its value is ("": it has none), words */
#define CLI_OPTIONS(X)                                                                                       \
	X(EXPIRES, "expires", 0, "WHEN",                                                                     \
	  "when access ends: a span (30d, 12h, 90m, 1d12h), a date (2027-01-31: through that day; "          \
	  "2027-01-31T18:00:00Z) or never")                                                                  \
	X(ROUTES, "routes", 0, "CIDR,...", "networks behind the peer, which the gateway then routes to it")  \
	X(QR, "qr", 0, "", "draw the configuration as a QR code for the phone's app")                        \
	X(OUT, "out", 0, "FILE",                                                                             \
	  "write the configuration to a new file of mode 0600 instead of printing it")                       \
	X(FORCE, "force", 0, "", "replace the file of --out if it is there")                                 \
	X(WAIT, "wait", 0, "", "wait for the peer's first handshake; Ctrl-C ends the waiting only")          \
	X(YES, "yes", 'y', "", "do not ask")                                                                 \
	X(MEET, "peers-may-meet", 0, "yes|no", "whether the tenant's peers reach each other")                \
	X(REST, "rest", 0, "SPAN",                                                                           \
	  "how long a freed address rests before another peer gets it (24h, 7d, 0)")                         \
	X(LIMIT, "limit", 0, "N", "at most that many, the newest (50)")                                      \
	X(OUTPUT, "output", 'o', "table|json", "for people (table), or what the API answers (json)")         \
	X(HELP, "help", 'h', "", "what this command does")

enum cli_option {
#define X(id, ...) OPTION_##id,
	CLI_OPTIONS(X)
#undef X
		OPTION_COUNT
};

struct cli_option_row {
	const char *name, *value, *words;
	char letter;
};
extern const struct cli_option_row cli_options[OPTION_COUNT];

/* What stands behind the command: id, how it is written, may it be left out */
#define CLI_ARGUMENTS(X)                                                                                     \
	X(NONE, "", true)                                                                                    \
	X(NAME, "NAME", false)                                                                               \
	X(PEER, "PEER", false)                                                                               \
	X(SHELL, "SHELL", false)                                                                             \
	X(COMMAND, "[COMMAND]", true)

enum cli_argument {
#define X(id, ...) ARGUMENT_##id,
	CLI_ARGUMENTS(X)
#undef X
		ARGUMENT_COUNT
};

struct cli_argument_row {
	const char *written;
	bool optional;
};
extern const struct cli_argument_row cli_arguments[ARGUMENT_COUNT];

struct command {
	const char *noun, *verb; /* verb NULL: the noun is the whole command */
	enum cli_argument argument;
	unsigned options; /* bits of enum cli_option */
	int (*run)(struct cli *cli);
	const char *summary; /* a line */
	const char *words;   /* more, in paragraphs parted by '\n'; or NULL */
	const char *example; /* or NULL */
};
extern const struct command commands[];
extern const size_t commands_n;

/* Words for a noun that has verbs; NULL: none such. */
const char *noun_words(const char *noun);

/* Whether @command is the first of its noun in the table. */
bool command_is_first(const struct command *command);

/* The command; NULL: none such.  @verb NULL: the noun alone. */
const struct command *command_find(const char *noun, const char *verb);
bool noun_has_verbs(const char *noun);

enum exit_status { STATUS_OK = 0, STATUS_FAILED = 1, STATUS_USAGE = 2, STATUS_UNREACHABLE = 3 };

/* One call of the program. */
struct cli {
	const struct command *command;
	const char *value[OPTION_COUNT]; /* NULL: not given; "" for those without value */
	const char *argument;            /* NULL: not given */
	const char *verb;                /* of `help NOUN VERB` */
	bool json;
	bool colour, err_colour;
	time_t now;
	struct client *client; /* NULL for commands that do not call */
};

static inline bool
cli_has(const struct cli *cli, enum cli_option option)
{
	return cli->value[option] != NULL;
}

/* The commands; each returns an exit status. */
int run_status(struct cli *cli);
int run_peer_add(struct cli *cli);
int run_peer_list(struct cli *cli);
int run_peer_show(struct cli *cli);
int run_peer_disable(struct cli *cli);
int run_peer_enable(struct cli *cli);
int run_peer_renew(struct cli *cli);
int run_peer_rekey(struct cli *cli);
int run_peer_remove(struct cli *cli);
int run_tenant_show(struct cli *cli);
int run_tenant_set(struct cli *cli);
int run_pool_list(struct cli *cli);
int run_audit_list(struct cli *cli);
int run_metrics(struct cli *cli);
int run_wg_show(struct cli *cli);
int run_completion(struct cli *cli);
int run_help(struct cli *cli);

#endif
