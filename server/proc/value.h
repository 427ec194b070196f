/*
 * The kinds of values an option can have: how each is read, printed, and what is allowed, in words.
 */
#ifndef SERVER_PROC_VALUE_H
#define SERVER_PROC_VALUE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"

struct value_kind {
	/* -EINVAL: not allowed; @field may then be half-written. */
	int (*parse)(void *field, const char *text);
	/* Into @out, which is large enough for any value of the kind (CONFIG_URL_LEN). */
	void (*print)(const void *field, char *out, size_t len);
	bool secret;
	const char *allowed;
};

extern const struct value_kind value_PATH, value_SECRET, value_PORT, value_HOST_PORT, value_POOL,
	value_UPLINK, value_CIDRS, value_IPS, value_LISTEN, value_ORIGIN, value_SOCKET_PATH, value_LEVEL,
	value_WORKERS;

#endif
