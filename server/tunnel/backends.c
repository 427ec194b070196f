#include "server/tunnel/backends.h"

#include <errno.h>
#include <string.h>

#include "base/errors.h"
#include "base/log.h"

static int
sodium_init_checked(struct aead *aead)
{
	aead_sodium_init(aead);
	aead->name = "sodium"; /* as docs/uapi.md has it */
	return 0;
}

static const struct {
	const char *name;
	int (*init)(struct aead *aead);
} backends[] = {
	{"ipsec-mb", aead_ipsecmb_init},
	{"evp", aead_evp_init},
	{"sodium", sodium_init_checked},
};

int
aead_init_by_name(struct aead *aead, const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(backends); i++)
		if (strcmp(backends[i].name, name) == 0)
			return backends[i].init(aead);
	return -EINVAL;
}

int
aead_choose(struct aead *aead, const char *wish)
{
	for (size_t i = 0; i < ARRAY_LEN(backends); i++) {
		if (wish && strcmp(wish, backends[i].name) != 0)
			continue;
		memset(aead, 0, sizeof(*aead));
		if (backends[i].init(aead) < 0)
			continue;
		if (aead_self_test(aead) == 0)
			return 0;
		log_error("cipher %s: its self-test failed, it is not used", backends[i].name);
		aead_done(aead);
	}
	return -ERR_SELF_TEST;
}
