/*
 * Why a request cannot be done, for the one who asked: an error of the table, the field at fault, what
 * is wrong in a sentence, and what to do about it.
 */
#ifndef SERVER_CONTROL_PROBLEM_H
#define SERVER_CONTROL_PROBLEM_H

#include "base/cleanup.h"

struct problem {
	int error;        /* negative */
	char field[48];   /* empty: none */
	char detail[384]; /* empty: the error's own words */
	char remedy[384]; /* empty: none */
};

/* Writes the words and returns @error, so that `return problem(p, -ERR_INVALID, …)` says both.  @field may be
 * NULL. */
int problem(struct problem *p, int error, const char *field, const char *format, ...) _printf_(4, 5);

#endif
