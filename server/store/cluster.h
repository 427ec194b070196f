/*
 * The private Postgres cluster below the data directory, for warrend: it prepares the cluster,
 * executes postgres as a child, and hands control a way in.
 *
 *	DATA_DIR/postgres/            the cluster: UTF-8, C locale, checksums, scram-sha-256, no TCP
 *	DATA_DIR/postgres.password    its superuser's password, 0600; the owner's is derived from it
 *	DATA_DIR/run/                 its socket; or RUNTIME_DIR/postgres if that path is too long
 *
 * The caller holds the lock of DATA_DIR, so whatever postgres still runs there was left behind.
 */
#ifndef SERVER_STORE_CLUSTER_H
#define SERVER_STORE_CLUSTER_H

#include <signal.h>
#include <stddef.h>

#include "base/cleanup.h"

#define CLUSTER_ERROR_LEN 1024
#define CLUSTER_CONNINFO_LEN 1024
#define CLUSTER_STOP_SIGNAL SIGINT   /* orderly and without waiting for clients */
#define CLUSTER_HURRY_SIGNAL SIGQUIT /* at once; the next start recovers */

struct cluster;

/*
 * Makes the cluster if there is none (about a second; under a temporary name until it is complete, so that an
 * interrupted one is simply made again), stops or waits for what a killed warrend left running, and takes a
 * stale lock away.  Not as root: initdb refuses.  @runtime_dir may be NULL.
 * -ENOENT: no Postgres >= 14 is installed; -ERR_DATABASE: it was made by another major version, or
 * initdb failed; -EPERM: root; others: errno.  @error then is a sentence of what, why and what to do.
 */
int cluster_prepare(const char *data_dir, const char *runtime_dir, struct cluster **ret,
		    char error[CLUSTER_ERROR_LEN]) _must_check_;
void cluster_free(struct cluster *cluster);
void cluster_freep(struct cluster **cluster);

/* What to execute; lent until cluster_free().  No secret is in it. */
const char *cluster_path(const struct cluster *cluster);
const char *const *cluster_argv(const struct cluster *cluster);
const char *const *cluster_env(const struct cluster *cluster);

/* 0: it takes connections; -EAGAIN: not yet. */
int cluster_ready(const struct cluster *cluster) _must_check_;

/*
 * What control connects with, as the database's owner: holds a password.  Its length; -ENOSPC.
 */
int cluster_conninfo(const struct cluster *cluster, char *out, size_t len) _must_check_;

#endif
