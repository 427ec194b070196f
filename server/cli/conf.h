/*
 * A client's configuration, as wg-quick(8) and the phone apps take it.  What the gateway says is
 * checked value by value: nothing it sends can become a line of its own (wg-quick runs PostUp lines
 * as root).
 */
#ifndef SERVER_CLI_CONF_H
#define SERVER_CLI_CONF_H

#include <jansson.h>
#include <stddef.h>

#include "base/cleanup.h"
#include "base/key.h"

#define CONF_TEXT_LEN    (16 * 1024)
#define CONF_ERROR_LEN   256
#define CONF_MTU_DEFAULT 1420 /* what clients take without being told */

/*
 * The text for @key and the API's answer @peer (PeerWithConfig) into @out of CONF_TEXT_LEN bytes, which
 * is the caller's to wipe.  Returns its length.  -ERR_INVALID: @error says which value is not
 * fit for a configuration; @out is wiped.
 */
int conf_compose(char *out, const struct private_key *key, const json_t *peer,
		 char error[CONF_ERROR_LEN]) _must_check_;

#endif
