/*
 * Whether we are under load: judged by the backlog of handshake datagrams, never by a count of
 * handshakes (one attacker could then push everybody into cookies), and sticky for a second.
 */
#ifndef SERVER_WG_LOAD_H
#define SERVER_WG_LOAD_H

#include <stdbool.h>

#include "server/wg/constants.h"

/* Zeroes: not loaded. */
struct wg_load {
	nsec_t until;
};

/* @backlog: handshake datagrams that wait, of at most WG_HANDSHAKE_QUEUE.  For wg_event.loaded. */
static inline bool
wg_load_judge(struct wg_load *load, unsigned backlog, nsec_t now)
{
	if (backlog >= WG_HANDSHAKE_LOADED)
		load->until = now + WG_LOAD_STICKY;
	return now < load->until;
}

#endif
