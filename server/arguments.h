/*
 * The command line of warrend.
 */
#ifndef SERVER_ARGUMENTS_H
#define SERVER_ARGUMENTS_H

#include <stdbool.h>
#include <stdio.h>

#include "base/cleanup.h"

struct arguments {
	const char *file; /* -c FILE; NULL: none.  Lent from argv, as is @user */
	const char *user; /* --user NAME; NULL: stay who we are */
	bool check;       /* -n */
	bool help, version;
};

/* -EINVAL: it is not understood, and standard error says what. */
int arguments_parse(struct arguments *ret, int argc, char *argv[]) _must_check_;

void arguments_help(FILE *out);

#endif
