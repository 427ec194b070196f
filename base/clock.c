#include "base/clock.h"

static nsec_t
clock_read(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (nsec_t)ts.tv_sec * SECONDS(1) + ts.tv_nsec;
}

nsec_t
clock_boottime(void)
{
	return clock_read(CLOCK_BOOTTIME);
}

nsec_t
clock_wall(void)
{
	return clock_read(CLOCK_REALTIME);
}

void
clock_text(char out[CLOCK_TEXT_LEN], time_t t)
{
	struct tm tm;

	if (!gmtime_r(&t, &tm) || strftime(out, CLOCK_TEXT_LEN, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		out[0] = '\0';
}
