/*
 * aead-time SIZE...: what the tunnel's AEAD back end alone takes for packets of these sizes, sealed and
 * opened as the data path does it: a batch at a time, from one buffer into another, with the memory that a
 * superframe has, warm.  Prints JSON: the back end, and nanoseconds of CPU time a packet.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "server/tunnel/backends.h"
#include "server/wg/messages.h"

#define SUPERFRAME 65000U /* bytes of a batch */
#define BATCH_MAX  128U
#define ROUNDS     41 /* the median of them counts */
#define ROUND_TIME MILLISECONDS(4)

typedef void run_fn(void *ctx, struct aead_job *jobs, unsigned n);

static nsec_t
cpu_time(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return SECONDS(ts.tv_sec) + ts.tv_nsec;
}

static int
by_value(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void
counters_advance(struct aead_job *jobs, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		jobs[i].counter += n;
}

/* Nanoseconds a packet. */
static double
measure(const struct aead *aead, run_fn *run, struct aead_job *jobs, unsigned n, bool advance)
{
	double rounds[ROUNDS];

	for (unsigned r = 0; r < ROUNDS; r++) {
		const nsec_t start = cpu_time();
		uint64_t packets = 0;
		nsec_t took;

		do {
			if (advance) /* no nonce twice, as in the path; what is opened keeps its own */
				counters_advance(jobs, n);
			run(aead->ctx, jobs, n);
			packets += n;
			took = cpu_time() - start;
		} while (took < ROUND_TIME);
		rounds[r] = (double)took / (double)packets;
	}
	qsort(rounds, ROUNDS, sizeof(rounds[0]), by_value);
	return rounds[ROUNDS / 2];
}

static void
time_size(const struct aead *aead, uint32_t size, const char *separator)
{
	static uint8_t plain[2 * SUPERFRAME], wire[2 * SUPERFRAME + BATCH_MAX * WG_DATA_OVERHEAD];
	static const uint8_t key[AEAD_KEY_LEN] = {1, 2, 3};
	struct aead_job seal[BATCH_MAX] = {0}, open[BATCH_MAX] = {0};
	const unsigned n = MAX(MIN(SUPERFRAME / (size + WG_DATA_OVERHEAD), BATCH_MAX), 1U);
	void *session = aead->session_new ? aead->session_new(aead->ctx, key) : NULL;
	void *opening = aead->session_new ? aead->session_new(aead->ctx, key) : NULL;
	double sealed, opened;
	bool ok = true;

	for (unsigned i = 0; i < n; i++) {
		uint8_t *message = wire + (size_t)i * (size + WG_DATA_OVERHEAD) + WG_DATA_HEADER;

		seal[i] = (struct aead_job){.key = key,
					    .session = session,
					    .counter = i,
					    .src = plain + (size_t)i * size,
					    .dst = message,
					    .len = size};
		open[i] = (struct aead_job){.key = key,
					    .session = opening,
					    .src = message,
					    .dst = plain + (size_t)i * size,
					    .len = size + AEAD_TAG_LEN};
	}
	sealed = measure(aead, aead->seal, seal, n, true);
	for (unsigned i = 0; i < n; i++)
		open[i].counter = seal[i].counter;
	opened = measure(aead, aead->open, open, n, false);
	for (unsigned i = 0; i < n; i++)
		ok = ok && open[i].ok;
	printf("%s\"%u\": {\"seal\": %.1f, \"open\": %.1f, \"batch\": %u, \"authentic\": %s}", separator,
	       size, sealed, opened, n, ok ? "true" : "false");
	if (aead->session_free) {
		aead->session_free(aead->ctx, session);
		aead->session_free(aead->ctx, opening);
	}
}

int
main(int argc, char *argv[])
{
	static struct ladder ladder;
	struct aead aead = {0};

	if (argc < 2 || aead_choose(&aead, getenv("WARREN_AEAD"), &ladder) < 0) {
		fputs("usage: aead-time SIZE...\n", stderr);
		return 2;
	}
	printf("{\"aead\": \"%s\", \"sizes\": {", aead.name);
	for (int i = 1; i < argc; i++) {
		const unsigned long size = strtoul(argv[i], NULL, 10);

		if (size > 0 && size <= SUPERFRAME)
			time_size(&aead, (uint32_t)size, i == 1 ? "" : ", ");
	}
	puts("}}");
	aead_done(&aead);
	return 0;
}
