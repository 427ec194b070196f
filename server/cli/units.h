/*
 * Numbers in words: bytes, spans of time, points in time; and what people write for an end of access.
 */
#ifndef SERVER_CLI_UNITS_H
#define SERVER_CLI_UNITS_H

#include <stdint.h>
#include <time.h>

#include "base/cleanup.h"

#define UNITS_LEN 48

/* "0 B", "1023 B", "1.21 MiB": three digits at least count. */
void bytes_words(char out[UNITS_LEN], uint64_t n);

/* The two largest units that count: "45s", "3m 20s", "30d 12h"; negative ones as 0. */
void span_words(char out[UNITS_LEN], int64_t seconds);

/* "2027-01-31 18:00:00Z (in 30d 2h)", "… (3m 20s ago)". */
void time_words(char out[UNITS_LEN], time_t t, time_t now);

/* The API's form alone: 2027-01-31T18:00:00Z.  -EINVAL: anything else. */
int time_parse(time_t *ret, const char *text) _must_check_;

/*
 * An end of access as people write it:
 *	30d  12h  90m  2w  1d12h  "1d 12h"	from @now on
 *	2027-01-31				through that day, local time
 *	2027-01-31 18:00  2027-01-31T18:00:00	local time
 *	2027-01-31T18:00:00Z  …+02:00		as it says
 *	never					END_NEVER
 * -EINVAL: none of these.  -ERANGE: not after @now, or more than END_YEARS_MAX years away.
 */
#define END_NEVER     0
#define END_YEARS_MAX 100
int end_parse(time_t *ret, const char *text, time_t now) _must_check_;

#endif
