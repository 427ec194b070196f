/*
 * The migrations as they are embedded (embed.py), and their text taken apart.
 */
#ifndef SERVER_STORE_MIGRATIONS_H
#define SERVER_STORE_MIGRATIONS_H

#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

#define MIGRATION_HASH_LEN 32

struct migration {
	int number; /* from 1, without a gap */
	const char *name;
	const char *sql;
};

extern const struct migration migrations[];
extern const size_t n_migrations;

/* SHA-256 of its text. */
void migration_hash(const struct migration *migration, uint8_t ret[MIGRATION_HASH_LEN]);

/*
 * The statement at the beginning of @sql without what stands around it: where it starts in @start, its
 * length, 0 if there is none any more; @next is where to go on.  Knows quotes, dollar quotes and
 * comments of both kinds.
 */
size_t sql_statement(const char *sql, const char **start, const char **next);

#endif
