#include "web/refusal.h"

#include <assert.h>

static const struct {
	const char *code;
	int status;
	const char *words;
} refusals[] = {
#define X(name, code, status, words) [REFUSAL_##name] = {code, status, words},
	REFUSALS(X)
#undef X
};

const char *
web_refusal_code(enum refusal refusal)
{
	assert(refusal > REFUSAL_NONE && refusal < REFUSAL_COUNT);
	return refusals[refusal].code;
}

int
web_refusal_status(enum refusal refusal)
{
	assert(refusal > REFUSAL_NONE && refusal < REFUSAL_COUNT);
	return refusals[refusal].status;
}

const char *
web_refusal_words(enum refusal refusal)
{
	assert(refusal > REFUSAL_NONE && refusal < REFUSAL_COUNT);
	return refusals[refusal].words;
}
