#include "server/cli/run.h"

#include <stdint.h>
#include <string.h>

#include "server/cli/args.h"
#include "server/cli/call.h"
#include "server/cli/help.h"

extern char **environ;

static int
usage(const struct cli *cli, const char *error)
{
	const struct command *command = cli->command;

	note(cli, STYLE_BAD, "%s", error);
	if (command) {
		fputs("usage: ", stderr);
		help_synopsis(stderr, command);
		fputc('\n', stderr);
	} else if (cli->argument && noun_has_verbs(cli->argument)) {
		help_noun(stderr, cli->argument, cli->err_colour);
	} else {
		fputs("`warren help` lists the commands.\n", stderr);
	}
	return STATUS_USAGE;
}

static int
help(const struct cli *cli)
{
	if (cli->command)
		help_command(stdout, cli->command, cli->colour);
	else if (cli->argument)
		help_noun(stdout, cli->argument, cli->colour);
	else
		help_all(stdout, cli->colour);
	return STATUS_OK;
}

int
run_help(struct cli *cli)
{
	const char *noun = cli->argument;

	cli->command = noun ? command_find(noun, cli->verb) : NULL;
	if (!noun || cli->command || (!cli->verb && noun_has_verbs(noun)))
		return help(cli);
	cli->argument = NULL;
	return usage(cli, "there is no such command");
}

/* Names alone are printed: what a gateway says besides would be read by a shell. */
static int
names_print(struct cli *cli)
{
	_cleanup_(json_decrefp) json_t *peers = NULL;
	size_t i;
	json_t *peer;
	int r;

	r = call_pages(cli, "/peers", "peers", SIZE_MAX, &peers);
	if (r != STATUS_OK)
		return r;
	json_array_foreach(peers, i, peer)
	{
		const char *name = json_string_value(json_object_get(peer, "name"));

		if (name && text_is_name(name))
			puts(name);
	}
	return STATUS_OK;
}

/* Opens the client of the admin socket; 0 or an exit status. */
static int
connect_ready(struct cli *cli)
{
	char socket[CLIENT_SOCKET_LEN], error[CLIENT_ERROR_LEN];
	int r;

	r = client_socket(socket, environ, error);
	if (r < 0) {
		note(cli, STYLE_BAD, "%s", error);
		return STATUS_USAGE;
	}
	r = client_new(&cli->client, socket);
	return r < 0 ? no_memory() : STATUS_OK;
}

int
run_completion(struct cli *cli)
{
	int r;

	if (strcmp(cli->argument, "peers") == 0) {
		r = connect_ready(cli);
		return r == STATUS_OK ? names_print(cli) : r;
	}
	if (completion_write(stdout, cli->argument))
		return STATUS_OK;
	return usage(cli, "there are completions for bash, zsh and fish");
}

static bool
calls(const struct command *command)
{
	return command->run != run_help && command->run != run_completion;
}

int
cli_run(struct cli *cli, char *const argv[])
{
	char error[ARGS_ERROR_LEN];
	int r;

	switch (args_parse(cli, argv, error)) {
	case ARGS_HELP:
		return help(cli);
	case ARGS_VERSION:
		puts("warren " WARREN_VERSION);
		return STATUS_OK;
	case ARGS_WRONG:
		return usage(cli, error);
	default:
		break;
	}
	r = calls(cli->command) ? connect_ready(cli) : STATUS_OK;
	return r == STATUS_OK ? cli->command->run(cli) : r;
}
