/* At build: the manual and the completions, from the table of commands. */
#include <stdio.h>
#include <string.h>

#include "server/cli/help.h"

int
main(int argc, char *argv[])
{
	if (argc == 2 && strcmp(argv[1], "manual") == 0)
		manual_write(stdout);
	else if (argc != 2 || !completion_write(stdout, argv[1])) {
		fputs("usage: warren-generate manual|bash|zsh|fish\n", stderr);
		return 2;
	}
	return fflush(stdout) == 0 ? 0 : 1;
}
