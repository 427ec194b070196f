/*
 * Who warrend's children are: programs, places, rights, what each is given, and the order of their stop.
 */
#ifndef SERVER_CHILDREN_H
#define SERVER_CHILDREN_H

#include <stdbool.h>

#include "base/cleanup.h"
#include "server/proc/config.h"
#include "server/proc/supervise.h"
#include "server/proc/trouble.h"

struct cluster;

#define CHILDREN_ENV_MAX 8

struct children {
	char tunnel_path[CONFIG_PATH_LEN];
	char home[CONFIG_PATH_LEN + 8];
	const char *env[CHILDREN_ENV_MAX + 1];
	struct role net, tunnel, uplink, control, postgres;
};

/*
 * Finds the programs.  @cluster: NULL when the database is somebody else's; lent, as @env's strings are.
 * -ENOENT: one is missing; @t says which.
 */
int children_init(struct children *ret, const struct config *config, const struct cluster *cluster,
		  char *const env[], struct trouble *t) _must_check_;

/* @children must outlive @s. */
int children_add(const struct children *children, struct supervisor *s) _must_check_;

/*
 * The CONFIG text for @role into @out: only control gets the way into the database.  Its length or a negated
 * errno.
 */
int children_config(const struct config *config, const struct cluster *cluster, const char *role, char *out,
		    size_t len) _must_check_;

/* The directory of the running program, without a slash at its end. */
int program_directory(char *out, size_t len) _must_check_;

#endif
