/*
 * What can go wrong between the command line and the gateway, in words: what, why, what to do.
 * Each function fills @trouble in and returns how the call ended.
 */
#ifndef SERVER_CLI_TROUBLE_H
#define SERVER_CLI_TROUBLE_H

#include "server/cli/client.h"

/* connect(2) failed with @error. */
enum call_end trouble_silent(struct call_trouble *trouble, const char *socket, int error);

/* It was reached, and then no answer came. */
enum call_end trouble_broken_off(struct call_trouble *trouble, const char *socket, const char *format, ...)
	_printf_(3, 4);

/* What answers does not speak this API. */
enum call_end trouble_foreign(struct call_trouble *trouble, const char *socket, const char *format, ...)
	_printf_(3, 4);

/* This side failed. */
enum call_end trouble_failed(struct call_trouble *trouble, const char *why);

/* The gateway's problem+json. */
void trouble_problem(struct call_trouble *trouble, const json_t *problem, long status);

/* Prints it: what, why, field, what to do. */
void trouble_print(const struct call_trouble *trouble, FILE *out, bool colour);

#endif
