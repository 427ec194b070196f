/*
 * Help, manual and completions, made from the table of commands.
 */
#ifndef SERVER_CLI_HELP_H
#define SERVER_CLI_HELP_H

#include <stdbool.h>
#include <stdio.h>

#include "server/cli/commands.h"

/* All commands, a line each. */
void help_all(FILE *out, bool colour);

/* The verbs of @noun. */
void help_noun(FILE *out, const char *noun, bool colour);

/* One command. */
void help_command(FILE *out, const struct command *command, bool colour);

/* "warren peer add NAME [--expires WHEN] …", without a line's end. */
void help_synopsis(FILE *out, const struct command *command);

/* warren(1), for man(1). */
void manual_write(FILE *out);

/* The completions of a shell (bash, zsh, fish); false: no such shell. */
bool completion_write(FILE *out, const char *shell);

#endif
