#include "server/wg/drops.h"

#include <assert.h>

static const struct {
	const char *name, *words;
} drops[] = {
	[WG_DROP_NONE] = {"none", "not dropped"},
#define X(name, low, words) [WG_DROP_##name] = {#low, words},
	WG_DROPS(X)
#undef X
};

const char *
wg_drop_name(enum wg_drop drop)
{
	assert(drop < WG_DROP_COUNT);
	return drops[drop].name;
}

const char *
wg_drop_words(enum wg_drop drop)
{
	assert(drop < WG_DROP_COUNT);
	return drops[drop].words;
}
