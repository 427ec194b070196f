/*
 * warren-tunnel-null: the tunnel's own objects, linked with an AEAD that copies and authenticates nothing,
 * so that the bench can tell what the data path costs without its cipher.  What would be the choice
 * between back ends (server/tunnel/backends.c) is the one below.  Never installed, and it starts only
 * when told to by its environment: whatever goes through it is in the clear.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/tunnel/backends.h"
#include "server/tunnel/standalone.h"

#define CONSENT "WARREN_BENCH_NULL_CIPHER"

static void
null_seal(void *ctx, struct aead_job *jobs, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if (jobs[i].dst != jobs[i].src)
			memcpy(jobs[i].dst, jobs[i].src, jobs[i].len);
		memset(jobs[i].dst + jobs[i].len, 0, AEAD_TAG_LEN);
	}
}

static void
null_open(void *ctx, struct aead_job *jobs, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if (jobs[i].dst != jobs[i].src)
			memcpy(jobs[i].dst, jobs[i].src, jobs[i].len - AEAD_TAG_LEN);
		jobs[i].ok = 1;
	}
}

int
aead_init_by_name(struct aead *aead, const char *name)
{
	*aead = (struct aead){.name = "null", .seal = null_seal, .open = null_open};
	return 0;
}

int
aead_choose(struct aead *aead, const char *wish, struct ladder *ladder)
{
	ladder_probed(ladder, RUNG_AEAD, true, 0);
	return aead_init_by_name(aead, wish);
}

int
main(int argc, char *argv[])
{
	const char *consent = getenv(CONSENT);

	if (!consent || strcmp(consent, "1") != 0) {
		fputs("warren-tunnel-null: it encrypts nothing and is for the bench alone; to start it all "
		      "the same: " CONSENT "=1\n",
		      stderr);
		return 2;
	}
	fputs("warren-tunnel-null: NOTHING IS PROTECTED: every packet leaves in the clear\n", stderr);
	return standalone_main(argc, argv);
}
