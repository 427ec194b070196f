/*
 * Executing a program as a child that inherits nothing but what is named here: standard error, one
 * descriptor as number 3, the environment given; a session of its own, signals at their defaults, a
 * death signal for when this process ends.
 */
#ifndef SERVER_PROC_SPAWN_H
#define SERVER_PROC_SPAWN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"

#define SPAWN_PARENT_FD 3

struct namespaces;

struct spawn {
	const char *path;
	const char *const *argv;
	const char *const *env;
	int parent_fd;                   /* becomes descriptor 3; -1: none; stays the caller's */
	const struct namespaces *inside; /* NULL: where the caller is */
	uint64_t caps;                   /* kept there; bits by number */
	int death_signal;
	bool same_session; /* stays in the caller's session and process group */
};

/* Returns when the program is executed, or with the error that kept it from being so. */
int spawn_program(const struct spawn *spawn, pid_t *ret) _must_check_;

#endif
