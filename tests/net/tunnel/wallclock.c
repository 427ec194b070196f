/*
 * A library to be preloaded: CLOCK_REALTIME moved by the seconds (int64) at the start of the file that
 * WALLCLOCK names, CLOCK_BOOTTIME by those that follow, as the test moves them.  Other clocks are the
 * machine's.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { WALL, BOOT, CLOCKS };

static int64_t
moved(unsigned clock)
{
	static volatile int64_t *at;

	if (!at) {
		const char *path = getenv("WALLCLOCK");
		const int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
		void *map =
			fd >= 0 ? mmap(NULL, CLOCKS * sizeof(*at), PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;

		if (fd >= 0)
			close(fd);
		if (map == MAP_FAILED)
			abort();
		at = map;
	}
	return at[clock];
}

int
clock_gettime(clockid_t id, struct timespec *ts)
{
	const int r = (int)syscall(SYS_clock_gettime, id, ts);

	if (r == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
		ts->tv_sec += moved(WALL);
	if (r == 0 && id == CLOCK_BOOTTIME)
		ts->tv_sec += moved(BOOT);
	return r;
}

/* Every timer here is of that clock.  One that is armed does not hear that it was moved. */
int
timerfd_settime(int fd, int flags, const struct itimerspec *new, struct itimerspec *old)
{
	struct itimerspec real = *new;

	if (flags & TFD_TIMER_ABSTIME && (real.it_value.tv_sec || real.it_value.tv_nsec)) {
		real.it_value.tv_sec -= moved(BOOT);
		if (real.it_value.tv_sec < 0)
			real.it_value = (struct timespec){.tv_nsec = 1};
	}
	return (int)syscall(SYS_timerfd_settime, fd, flags, &real, old);
}

time_t
time(time_t *ret)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	if (ret)
		*ret = ts.tv_sec;
	return ts.tv_sec;
}

int
gettimeofday(struct timeval *tv, void *tz)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	tv->tv_sec = ts.tv_sec;
	tv->tv_usec = ts.tv_nsec / 1000;
	return 0;
}
