/*
 * From the words on the line to a command that runs, or to the help that is wanted instead.
 */
#ifndef SERVER_CLI_RUN_H
#define SERVER_CLI_RUN_H

#include "base/cleanup.h"
#include "server/cli/commands.h"

/* @cli has its time and colours; its client, if one is made, is the caller's.  Returns an exit status. */
int cli_run(struct cli *cli, char *const argv[]) _must_check_;

#endif
