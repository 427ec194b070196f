#include "server/cli/units.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "base/clock.h"

#define MINUTE   60
#define HOUR     (60 * MINUTE)
#define DAY      (24 * HOUR)
#define WEEK     (7 * DAY)
#define SPAN_MAX ((int64_t)END_YEARS_MAX * 366 * DAY)

void
bytes_words(char out[UNITS_LEN], uint64_t n)
{
	static const char *const unit[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double v = (double)n;
	size_t i = 0;

	if (n < 1024) {
		snprintf(out, UNITS_LEN, "%" PRIu64 " B", n);
		return;
	}
	/* What would be rounded to 1024 is one of the next. */
	for (v /= 1024; v >= 1023.5 && i + 1 < ARRAY_LEN(unit); i++)
		v /= 1024;
	snprintf(out, UNITS_LEN, "%.*f %s", v < 9.995 ? 2 : v < 99.95 ? 1 : 0, v, unit[i]);
}

void
span_words(char out[UNITS_LEN], int64_t seconds)
{
	static const struct {
		int64_t seconds;
		char unit;
	} units[] = {{DAY, 'd'}, {HOUR, 'h'}, {MINUTE, 'm'}, {1, 's'}};
	const int64_t s = MAX(seconds, 0);
	size_t i = 0;
	int64_t next;

	while (i + 1 < ARRAY_LEN(units) && s < units[i].seconds)
		i++;
	next = i + 1 < ARRAY_LEN(units) ? s % units[i].seconds / units[i + 1].seconds : 0;
	if (next > 0)
		snprintf(out, UNITS_LEN, "%" PRId64 "%c %" PRId64 "%c", s / units[i].seconds, units[i].unit,
			 next, units[i + 1].unit);
	else
		snprintf(out, UNITS_LEN, "%" PRId64 "%c", s / units[i].seconds, units[i].unit);
}

void
time_words(char out[UNITS_LEN], time_t t, time_t now)
{
	char when[CLOCK_TEXT_LEN], span[UNITS_LEN];

	clock_text(when, t);
	if (strlen(when) > 10)
		when[10] = ' ';
	span_words(span, t > now ? t - now : now - t);
	if (t > now)
		snprintf(out, UNITS_LEN, "%s (in %.20s)", when, span);
	else
		snprintf(out, UNITS_LEN, "%s (%.20s ago)", when, span);
}

/* @n digits at *@at, moved on. */
static bool
digits(const char **at, int n, int *ret)
{
	int v = 0;

	for (int i = 0; i < n; i++, (*at)++) {
		if (!isdigit((unsigned char)**at))
			return false;
		v = v * 10 + (**at - '0');
	}
	*ret = v;
	return true;
}

static bool
literal(const char **at, char c)
{
	if (**at != c)
		return false;
	(*at)++;
	return true;
}

/* YYYY-MM-DD; moved on. */
static bool
date_take(const char **at, struct tm *tm)
{
	int year, month, day;

	if (!digits(at, 4, &year) || !literal(at, '-') || !digits(at, 2, &month) || !literal(at, '-') ||
	    !digits(at, 2, &day))
		return false;
	*tm = (struct tm){.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day, .tm_isdst = -1};
	return year >= 1970 && month >= 1 && day >= 1;
}

/* HH:MM or HH:MM:SS; moved on. */
static bool
clock_take(const char **at, struct tm *tm)
{
	if (!digits(at, 2, &tm->tm_hour) || !literal(at, ':') || !digits(at, 2, &tm->tm_min))
		return false;
	if (literal(at, ':') && !digits(at, 2, &tm->tm_sec))
		return false;
	return tm->tm_hour < 24 && tm->tm_min < 60 && tm->tm_sec < 60;
}

/* Z, +HH:MM or -HH:MM; moved on.  *@ret: seconds east. */
static bool
zone_take(const char **at, time_t *ret)
{
	const char sign = **at;
	int hours, minutes;

	*ret = 0;
	if (literal(at, 'Z'))
		return true;
	if ((sign != '+' && sign != '-') || !literal(at, sign) || !digits(at, 2, &hours) ||
	    !literal(at, ':') || !digits(at, 2, &minutes) || hours > 14 || minutes > 59)
		return false;
	*ret = (sign == '-' ? -1 : 1) * (hours * HOUR + minutes * MINUTE);
	return true;
}

/* The point in time, unless the calendar has no such day (31 April) or the clocks skip that hour. */
static int
tm_take(time_t *ret, const struct tm *tm, bool local)
{
	struct tm again = *tm;
	const time_t t = local ? mktime(&again) : timegm(&again);

	if (again.tm_mday != tm->tm_mday || again.tm_mon != tm->tm_mon || again.tm_hour != tm->tm_hour)
		return -EINVAL;
	*ret = t;
	return 0;
}

int
time_parse(time_t *ret, const char *text)
{
	const char *at = text;
	struct tm tm;

	if (strlen(text) != CLOCK_TEXT_LEN - 1 || !date_take(&at, &tm) || !literal(&at, 'T') ||
	    !clock_take(&at, &tm) || !literal(&at, 'Z') || *at)
		return -EINVAL;
	return tm_take(ret, &tm, false);
}

static int
date_parse(time_t *ret, const char *at)
{
	time_t east = 0;
	bool local = true;
	struct tm tm;
	int r;

	if (!date_take(&at, &tm))
		return -EINVAL;
	if (!*at) {
		tm.tm_hour = 23;
		tm.tm_min = tm.tm_sec = 59;
	} else {
		if ((!literal(&at, 'T') && !literal(&at, ' ')) || !clock_take(&at, &tm))
			return -EINVAL;
		local = !*at;
		if (!local && !zone_take(&at, &east))
			return -EINVAL;
	}
	if (*at)
		return -EINVAL;
	r = tm_take(ret, &tm, local);
	if (r == 0)
		*ret -= east;
	return r;
}

static int
span_parse(int64_t *ret, const char *at)
{
	static const char units[] = "smhdw";
	static const int64_t seconds[] = {1, MINUTE, HOUR, DAY, WEEK};
	int64_t sum = 0;
	unsigned seen = 0;

	do {
		const char *unit;
		int64_t n = 0;

		if (!isdigit((unsigned char)*at))
			return -EINVAL;
		for (; isdigit((unsigned char)*at); at++) {
			n = n * 10 + (*at - '0');
			if (n > SPAN_MAX)
				return -ERANGE;
		}
		unit = *at ? strchr(units, *at) : NULL;
		if (!unit || (seen & BIT(unit - units)))
			return -EINVAL;
		seen |= BIT(unit - units);
		if (n > SPAN_MAX / seconds[unit - units])
			return -ERANGE;
		sum += n * seconds[unit - units];
		at++;
		at += *at == ' ' && at[1] ? 1 : 0;
	} while (*at);
	*ret = sum;
	return sum > 0 && sum <= SPAN_MAX ? 0 : -ERANGE;
}

int
end_parse(time_t *ret, const char *text, time_t now)
{
	int64_t span = 0;
	time_t t = 0;
	int r;

	if (strcmp(text, "never") == 0) {
		*ret = END_NEVER;
		return 0;
	}
	r = span_parse(&span, text);
	if (r == 0)
		t = now + span;
	else if (r == -EINVAL)
		r = date_parse(&t, text);
	if (r < 0)
		return r;
	if (t <= now || t - now > SPAN_MAX)
		return -ERANGE;
	*ret = t;
	return 0;
}
