/*
 * A file for a configuration with a private key: mode 0600, opened before anything is changed at the
 * gateway, so that no key is made that has nowhere to go; gone again unless it is kept.
 */
#ifndef SERVER_CLI_SECRETFILE_H
#define SERVER_CLI_SECRETFILE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"

struct secretfile;

/*
 * @path is lent until the end.  -EEXIST: something is there (a link too), unless @force: then it is replaced
 * at secretfile_keep(), in one step.
 */
int secretfile_open(struct secretfile **ret, const char *path, bool force) _must_check_;

/* Writes @text, syncs it, and puts it in place. */
int secretfile_keep(struct secretfile *file, const char *text, size_t len) _must_check_;

/* Removes what was not kept. */
void secretfile_free(struct secretfile *file);

static inline void
secretfile_freep(struct secretfile **file)
{
	secretfile_free(*file);
}

#endif
