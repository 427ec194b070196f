/*
 * Bodies of requests from options.
 */
#ifndef SERVER_CLI_BODY_H
#define SERVER_CLI_BODY_H

#include <jansson.h>

#include "base/cleanup.h"
#include "server/cli/commands.h"

/* Each sets its member of @body if the option is given.  0, or an exit status, and it is said why. */
int body_end(const struct cli *cli, json_t *body) _must_check_;
int body_routes(const struct cli *cli, json_t *body) _must_check_;

#endif
