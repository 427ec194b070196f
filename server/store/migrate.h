/*
 * The schema: migrations/NNNN_name.sql, forward only, embedded at build.  Each is one transaction,
 * recorded with its SHA-256; one migrates at a time.
 */
#ifndef SERVER_STORE_MIGRATE_H
#define SERVER_STORE_MIGRATE_H

#include "base/cleanup.h"
#include "server/store/store.h"

/*
 * Brings the database of @conninfo (its owner's) to this program's version.  Idempotent; killed at
 * any point, it goes on from there.  Number of migrations applied, or -ERR_DATABASE_NEWER,
 * -ERR_MIGRATION_CHANGED, -ERR_DATABASE (@error: which statement, why), -ERR_DATABASE_ROLE (the
 * roles warren_runtime and warren_gateway are missing and cannot be made: @error says what to run).
 */
int store_migrate(const char *conninfo, char error[STORE_ERROR_LEN]) _must_check_;

/* The highest number that this program knows. */
int store_version(void);

#endif
