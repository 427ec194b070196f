/*
 * The words behind `warren` become a command with its options, by the table of commands.h.
 * Options may stand anywhere; "--" ends them.
 */
#ifndef SERVER_CLI_ARGS_H
#define SERVER_CLI_ARGS_H

#include "base/cleanup.h"
#include "server/cli/commands.h"

#define ARGS_ERROR_LEN 512

enum args_end {
	ARGS_RUN,     /* @cli is whole */
	ARGS_HELP,    /* help is wanted, for cli->command or else for cli->argument, a noun or NULL */
	ARGS_VERSION, /* --version */
	ARGS_WRONG,   /* @error says what */
};

/* @argv is lent as long as @cli.  Fills in what stands on the line; clients and times are the caller's. */
enum args_end args_parse(struct cli *cli, char *const argv[], char error[ARGS_ERROR_LEN]) _must_check_;

#endif
