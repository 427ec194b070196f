/*
 * The tunnel's answer in the words of wg(8).
 */
#ifndef SERVER_CLI_WG_SHOW_H
#define SERVER_CLI_WG_SHOW_H

#include <jansson.h>
#include <stdbool.h>
#include <time.h>

#include "base/cleanup.h"

/*
 * @text: lines key=value of the cross-platform UAPI.  A new object with what of it is shown: `public_key`,
 * `listen_port`, `fwmark`, `peers` (public_key, endpoint, allowed_ips, last_handshake_at (seconds since the
 * epoch, 0: none), rx_bytes, tx_bytes, persistent_keepalive, state, end); keys in base64, the peers with the
 * latest handshake first.  -ERR_INVALID: a line is malformed, or the end is missing.  -EREMOTEIO: it says
 * errno.
 */
int wg_read(json_t **ret, const char *text) _must_check_;

/* As `wg show` prints it. */
void wg_print(const json_t *device, time_t now, bool colour);

#endif
