/*
 * Waiting for a peer's first handshake, with a word about what may keep it away.
 */
#ifndef SERVER_CLI_WAIT_H
#define SERVER_CLI_WAIT_H

#include "base/cleanup.h"
#include "server/cli/commands.h"

/*
 * Returns when cli->argument has shaken hands with its present key, or the person pressed Ctrl-C (which
 * ends nothing else): an exit status.  A gateway that goes away meanwhile is waited for.
 */
int wait_handshake(struct cli *cli) _must_check_;

#endif
