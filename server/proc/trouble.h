/*
 * What keeps a server from starting, for the one who started it: what, why, and what to do about it.
 */
#ifndef SERVER_PROC_TROUBLE_H
#define SERVER_PROC_TROUBLE_H

#include "base/cleanup.h"

struct trouble {
	char text[1024];
};

/* Writes the words and returns @r, so that `return trouble(t, -errno, …)` says both. */
int trouble(struct trouble *t, int r, const char *format, ...) _printf_(3, 4);

#endif
