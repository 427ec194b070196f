#include "server/wg/ratelimit.h"

#include <errno.h>
#include <sodium.h>

#include "base/bytes.h"

#define TOKEN      (SECONDS(1) / WG_RATE_PER_SECOND) /* tokens are time that has passed */
#define TOKENS_MAX (WG_RATE_BURST * TOKEN)

_Static_assert(WG_RATE_IDLE >= TOKENS_MAX, "who was forgotten would have had all its tokens again");

struct source {
	uint64_t prefix;
	nsec_t seen; /* 0: never used */
	nsec_t tokens;
	uint8_t family;
};

struct ratelimit {
	uint8_t key[crypto_shorthash_KEYBYTES];
	struct source sets[WG_RATE_SETS][WG_RATE_WAYS];
};

int
ratelimit_new(const struct wg_random *random, struct ratelimit **ret)
{
	/* Pages become resident when a first source falls into them. */
	struct ratelimit *ratelimit = calloc(1, sizeof(*ratelimit));

	if (!ratelimit)
		return -ENOMEM;
	random->fill(random->ctx, ratelimit->key, sizeof(ratelimit->key));
	*ret = ratelimit;
	return 0;
}

void
ratelimit_free(struct ratelimit *ratelimit)
{
	free(ratelimit);
}

static struct source *
source_set(struct ratelimit *ratelimit, uint64_t prefix, uint8_t family)
{
	uint8_t in[9], out[crypto_shorthash_BYTES];

	le64_store(in, prefix);
	in[8] = family;
	crypto_shorthash(out, in, sizeof(in), ratelimit->key);
	return ratelimit->sets[le64_load(out) % WG_RATE_SETS];
}

static bool
token_take(struct source *source, nsec_t now)
{
	source->tokens = MIN(source->tokens + (now - source->seen), TOKENS_MAX);
	source->seen = now;
	if (source->tokens < TOKEN)
		return false;
	source->tokens -= TOKEN;
	return true;
}

bool
ratelimit_allow(struct ratelimit *ratelimit, const struct ip *ip, nsec_t now)
{
	const uint64_t prefix = ip->family == AF_INET ? be32_load(ip->addr) : be64_load(ip->addr);
	struct source *set = source_set(ratelimit, prefix, ip->family), *place = NULL;

	for (size_t i = 0; i < WG_RATE_WAYS; i++) {
		if (set[i].seen != 0 && set[i].prefix == prefix && set[i].family == ip->family)
			return token_take(&set[i], now);
		if (!place && (set[i].seen == 0 || now - set[i].seen > WG_RATE_IDLE))
			place = &set[i];
	}
	if (!place)
		return false;
	*place = (struct source){
		.prefix = prefix,
		.family = ip->family,
		.seen = now,
		.tokens = TOKENS_MAX - TOKEN,
	};
	return true;
}
