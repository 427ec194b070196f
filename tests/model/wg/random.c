#include "tests/model/wg/random.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"

static uint64_t state;

void
random_begin(void)
{
	const char *text = getenv("WARREN_SEED");
	const uint64_t seed = text ? strtoull(text, NULL, 0) : (uint64_t)clock_wall();

	printf("# WARREN_SEED=%" PRIu64 "\n", seed);
	state = seed * 0x9e3779b97f4a7c15ULL + 1;
}

uint64_t
random_step(uint64_t *s)
{
	*s ^= *s >> 12;
	*s ^= *s << 25;
	*s ^= *s >> 27;
	return *s * 0x2545f4914f6cdd1dULL;
}

uint64_t
random_below(uint64_t n)
{
	return (random_step(&state) >> 11) % n;
}
