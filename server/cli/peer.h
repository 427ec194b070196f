/*
 * A peer in words, for the commands that show one.
 */
#ifndef SERVER_CLI_PEER_H
#define SERVER_CLI_PEER_H

#include <jansson.h>
#include <time.h>

#include "base/cleanup.h"
#include "server/cli/text.h"
#include "server/cli/units.h"

/* "online", "active", "disabled", "expired", and how it is shown. */
const char *peer_state(const json_t *peer, enum style *style);

/* "2027-01-31 18:00:00Z (in 30d)", or "no end". */
void peer_end(char out[UNITS_LEN], const json_t *peer, time_t now);

/* "3m 20s ago", or "never". */
void peer_handshake(char out[UNITS_LEN], const json_t *peer);

/*
 * The table of @peers to standard output; with @traffic bytes as well, else where they connect from.
 * Returns an exit status.
 */
int peers_print(const json_t *peers, time_t now, bool traffic, size_t indent, bool colour) _must_check_;

#endif
