/*
 * What is printed when the gateway is ready: all that a newcomer needs to go on.
 */
#ifndef SERVER_BANNER_H
#define SERVER_BANNER_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#include "server/proc/config.h"
#include "server/control/reach.h"

struct banner {
	const struct config *config;
	const struct reach *reach;
	const char *runtime_dir;
	pid_t inner;    /* a process of the inner namespaces */
	bool managed;   /* a service manager runs us */
	bool uplink_up; /* false: it is not there yet */
};

void banner_print(FILE *out, const struct banner *banner);

#endif
