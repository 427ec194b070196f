#include "server/tunnel/backends.h"

#include <errno.h>
#include <string.h>

#include "base/errors.h"

static int
sodium_init_checked(struct aead *aead)
{
	aead_sodium_init(aead);
	aead->name = "sodium"; /* as docs/uapi.md has it */
	return 0;
}

static const struct aead_backend all[] = {
	{"ipsec-mb", aead_ipsecmb_init},
	{"evp", aead_evp_init},
	{"sodium", sodium_init_checked},
};

int
aead_init_by_name(struct aead *aead, const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (strcmp(all[i].name, name) == 0)
			return all[i].init(aead);
	return -EINVAL;
}

int
aead_choose_among(const struct aead_backend *backends, size_t n, struct aead *aead, const char *wish,
		  struct ladder *ladder)
{
	bool failed = false;

	for (size_t i = 0; i < n; i++) {
		if (wish && strcmp(wish, backends[i].name) != 0)
			continue;
		memset(aead, 0, sizeof(*aead));
		if (backends[i].init(aead) < 0)
			continue;
		if (aead_self_test(aead) == 0) {
			ladder_probed(ladder, RUNG_AEAD, i == 0 || failed, 0);
			if (failed)
				ladder_lost(ladder, RUNG_AEAD, ERR_SELF_TEST);
			return 0;
		}
		failed = true;
		aead_done(aead);
	}
	return -ERR_SELF_TEST;
}

int
aead_choose(struct aead *aead, const char *wish, struct ladder *ladder)
{
	return aead_choose_among(all, ARRAY_LEN(all), aead, wish, ladder);
}
