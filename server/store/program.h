/*
 * Running one of Postgres' programs to its end, for the files of this folder.
 */
#ifndef SERVER_STORE_PROGRAM_H
#define SERVER_STORE_PROGRAM_H

#include "base/cleanup.h"

#define PROGRAM_WORDS 640

/*
 * Executes @path with @argv, a fixed small environment and @input (NULL: nothing) as its standard input,
 * waits for it, and keeps the end of what it printed on either output as one line in @words.  0: it
 * succeeded; -ERR_DATABASE: it failed; others: errno.  It dies when the caller does.
 */
int program_run(const char *path, const char *const *argv, const char *input,
		char words[PROGRAM_WORDS]) _must_check_;

/* What a program of Postgres' needs of an environment. */
extern const char *const program_env[];

#endif
