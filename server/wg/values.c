#include "server/wg/values.h"

#include <assert.h>

static const char *const access_words[] = {
#define X(name, words) [WG_##name] = words,
	WG_ACCESS(X)
#undef X
};

const char *
wg_access_words(enum wg_access access)
{
	assert(access < ARRAY_LEN(access_words));
	return access_words[access];
}

struct wg_end
wg_end_at(time_t at, struct wg_now now)
{
	struct wg_end end = {0};

	if (at == 0)
		return end;
	if (at >= NSEC_NEVER / SECONDS(1)) /* beyond what we can count: the year 2262 */
		at = NSEC_NEVER / SECONDS(1) - 1;
	if (at < 1)
		at = 1;
	end.wall = SECONDS(at);
	if (end.wall <= now.wall)
		end.boot = now.boot;
	else if (__builtin_add_overflow(now.boot, end.wall - now.wall, &end.boot))
		end.boot = NSEC_NEVER;
	return end;
}
