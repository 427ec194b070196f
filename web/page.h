/*
 * The plain page at "/": that the gateway is up, and how to go on.  No script, no style, no name of
 * anybody and nothing that a stranger could use.
 */
#ifndef WEB_PAGE_H
#define WEB_PAGE_H

#include <stddef.h>

#include "server/control/control.h"
#include "server/control/reach.h"

/* To be freed; NULL: no memory. */
char *page_make(const struct control_health *health, const struct reach *reach, size_t *ret_len);

#endif
