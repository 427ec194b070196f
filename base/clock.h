/*
 * Time.  nsec_t is ours: nanoseconds of CLOCK_BOOTTIME, which counts suspend, so that keys age
 * while a machine sleeps.  What others date (an end of access, a lease) is time_t of the wall.
 * Only loops and mains read a clock; below them `now` is an argument.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

typedef int64_t nsec_t;

#define NSEC_NEVER INT64_MAX
#define MICROSECONDS(n) ((nsec_t)(n) * 1000)
#define MILLISECONDS(n) ((nsec_t)(n) * 1000000)
#define SECONDS(n) ((nsec_t)(n) * 1000000000)

nsec_t clock_boottime(void);

/* Nanoseconds since the epoch, wall clock. */
nsec_t clock_wall(void);

/* RFC 3339 in UTC, seconds: "2026-11-24T16:00:00Z", into @out of CLOCK_TEXT_LEN. */
#define CLOCK_TEXT_LEN 21
void clock_text(char out[CLOCK_TEXT_LEN], time_t t);

#endif
