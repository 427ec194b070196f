/* Each AEAD back end against libsodium, called directly. */
#include "server/tunnel/backends.h"

#include "tests/unit/tunnel/packets.h"

#include <errno.h>
#include <sodium.h>

#include "base/bytes.h"
#include "base/errors.h"
#include "base/log.h"

#define JOBS    64
#define LEN_MAX 9000

static struct aead aead;
static uint8_t keys[JOBS][AEAD_KEY_LEN];
static uint8_t plain[JOBS][LEN_MAX], buffer[JOBS][LEN_MAX + 64], sealed[JOBS][LEN_MAX + 64];
static struct aead_job jobs[JOBS];

static void
nonce_of(uint64_t counter, uint8_t nonce[12])
{
	memset(nonce, 0, 4);
	le64_store(nonce + 4, counter);
}

static uint32_t
some_len(void)
{
	return rnd(3) ? rnd(1500) : rnd(4) ? 16 * rnd(90) : rnd(LEN_MAX);
}

/* Jobs of random keys, lengths and places; in place or not, with a session or without. */
static void
jobs_make(bool with_sessions)
{
	for (unsigned i = 0; i < JOBS; i++) {
		const uint32_t len = some_len(), at = rnd(48);

		rnd_fill(keys[i], AEAD_KEY_LEN);
		rnd_fill(plain[i], len);
		memset(buffer[i], 0x5a, sizeof(buffer[i]));
		jobs[i] = (struct aead_job){
			.key = keys[i],
			.session = with_sessions && aead.session_new ? aead.session_new(aead.ctx, keys[i])
								     : NULL,
			.counter = (uint64_t)rnd(UINT32_MAX) << rnd(33),
			.src = plain[i],
			.dst = buffer[i] + at,
			.len = len,
		};
		if (rnd(2)) {
			memcpy(jobs[i].dst, plain[i], len);
			jobs[i].src = jobs[i].dst;
		}
	}
}

static void
jobs_end(void)
{
	for (unsigned i = 0; i < JOBS; i++)
		if (jobs[i].session)
			aead.session_free(aead.ctx, jobs[i].session);
}

static void
what_it_seals_is_what_libsodium_seals(void **state)
{
	for (unsigned round = 0; round < 30; round++) {
		jobs_make(round % 2);
		aead.seal(aead.ctx, jobs, JOBS);
		for (unsigned i = 0; i < JOBS; i++) {
			uint8_t nonce[12];

			nonce_of(jobs[i].counter, nonce);
			crypto_aead_chacha20poly1305_ietf_encrypt(sealed[i], NULL, plain[i], jobs[i].len,
								  NULL, 0, NULL, nonce, keys[i]);
			assert_memory_equal(jobs[i].dst, sealed[i], jobs[i].len + AEAD_TAG_LEN);
			assert_int_equal(jobs[i].dst[jobs[i].len + AEAD_TAG_LEN], 0x5a);
		}
		jobs_end();
	}
}

static void
it_opens_what_libsodium_sealed_and_nothing_else(void **state)
{
	for (unsigned round = 0; round < 30; round++) {
		bool broken[JOBS];

		jobs_make(round % 2);
		for (unsigned i = 0; i < JOBS; i++) {
			const uint32_t len = jobs[i].len;
			uint8_t nonce[12];

			nonce_of(jobs[i].counter, nonce);
			crypto_aead_chacha20poly1305_ietf_encrypt(sealed[i], NULL, plain[i], len, NULL, 0,
								  NULL, nonce, keys[i]);
			broken[i] = rnd(3) == 0;
			if (broken[i])
				sealed[i][rnd(len + AEAD_TAG_LEN)] ^= (uint8_t)(1U << rnd(8));
			if (jobs[i].src == jobs[i].dst)
				memcpy(jobs[i].dst, sealed[i], len + AEAD_TAG_LEN);
			else
				jobs[i].src = sealed[i];
			jobs[i].len = len + AEAD_TAG_LEN;
			jobs[i].ok = 77;
		}
		aead.open(aead.ctx, jobs, JOBS);
		for (unsigned i = 0; i < JOBS; i++) {
			assert_int_equal(!!jobs[i].ok, !broken[i]);
			if (!broken[i])
				assert_memory_equal(jobs[i].dst, plain[i], jobs[i].len - AEAD_TAG_LEN);
		}
		jobs_end();
	}
}

/* Two directions of one session take turns: a context keeps its key. */
static void
a_session_seals_and_opens_in_turns(void **state)
{
	uint8_t message[200];
	void *session = NULL;

	rnd_fill(keys[0], AEAD_KEY_LEN);
	if (aead.session_new)
		session = aead.session_new(aead.ctx, keys[0]);
	for (uint64_t counter = 0; counter < 50; counter++) {
		struct aead_job job = {.key = keys[0],
				       .session = session,
				       .counter = counter,
				       .src = plain[0],
				       .dst = message,
				       .len = (uint32_t)counter};

		rnd_fill(plain[0], 100);
		aead.seal(aead.ctx, &job, 1);
		job.src = message;
		job.len += AEAD_TAG_LEN;
		aead.open(aead.ctx, &job, 1);
		assert_true(job.ok);
		assert_memory_equal(message, plain[0], counter);
	}
	if (session)
		aead.session_free(aead.ctx, session);
}

static void
its_self_test_passes(void **state)
{
	assert_int_equal(aead_self_test(&aead), 0);
}

static void
corrupt_seal(void *ctx, struct aead_job *job, unsigned n)
{
	aead.seal(ctx, job, n);
	job[0].dst[0] ^= job[0].len > 100;
}

static void
a_back_end_that_errs_fails_the_self_test(void **state)
{
	struct aead bad = aead;

	bad.seal = corrupt_seal;
	assert_int_equal(aead_self_test(&bad), -ERR_SELF_TEST);
}

static void
one_is_chosen_and_an_unknown_one_is_not(void **state)
{
	struct ladder ladder = {0};
	struct aead chosen;

	assert_int_equal(aead_choose(&chosen, NULL, &ladder), 0);
	print_message("# the best here is %s\n", chosen.name);
	assert_int_equal(ladder_on(&ladder, RUNG_AEAD), strcmp(chosen.name, "ipsec-mb") == 0);
	aead_done(&chosen);
	assert_int_equal(aead_choose(&chosen, "sodium", &ladder), 0);
	assert_string_equal(chosen.name, "sodium");
	assert_int_equal(ladder_get(&ladder, RUNG_AEAD), RUNG_OFF);
	aead_done(&chosen);
	assert_int_equal(aead_choose(&chosen, "rot13", &ladder), -ERR_SELF_TEST);
	assert_int_equal(aead_init_by_name(&chosen, "rot13"), -EINVAL);
}

static unsigned inits, frees;

static void
bad_free(void *ctx)
{
	frees++;
}

static void
bad_seal(void *ctx, struct aead_job *job, unsigned n)
{
	struct aead sodium;

	aead_sodium_init(&sodium);
	sodium.seal(sodium.ctx, job, n);
	job[0].dst[job[0].len] ^= 1;
}

static int
bad_init(struct aead *ret)
{
	inits++;
	aead_sodium_init(ret);
	ret->seal = bad_seal;
	ret->free = bad_free;
	return 0;
}

static int
absent_init(struct aead *ret)
{
	return -ENOSYS;
}

static int
good_init(struct aead *ret)
{
	aead_sodium_init(ret);
	return 0;
}

/* A spoiled one is used by no worker, and the ladder says once why there is a slower one. */
static void
a_back_end_that_fails_its_self_test_gives_way_to_the_next(void **state)
{
	static const struct aead_backend spoiled[] = {
		{"best", bad_init}, {"better", bad_init}, {"good", good_init}};
	static const struct aead_backend absent[] = {{"best", absent_init}, {"good", good_init}};
	struct ladder ladder = {0};
	struct aead chosen;

	inits = frees = 0;
	for (unsigned worker = 0; worker < 2; worker++) {
		assert_int_equal(aead_choose_among(spoiled, 3, &chosen, NULL, &ladder), 0);
		assert_true(chosen.seal != bad_seal);
		aead_done(&chosen);
	}
	assert_int_equal(inits, 4);
	assert_int_equal(frees, 4);
	assert_int_equal(ladder_get(&ladder, RUNG_AEAD), RUNG_DOWN);
	assert_int_equal(ladder.rungs[RUNG_AEAD].downs, 1);
	assert_int_equal(aead_choose_among(spoiled, 2, &chosen, NULL, &ladder), -ERR_SELF_TEST);

	memset(&ladder, 0, sizeof(ladder));
	assert_int_equal(aead_choose_among(absent, 2, &chosen, NULL, &ladder), 0);
	assert_int_equal(ladder_get(&ladder, RUNG_AEAD), RUNG_OFF);
	aead_done(&chosen);
}

static int
setup(void **state)
{
	return aead_init_by_name(&aead, *state);
}

static int
teardown(void **state)
{
	aead_done(&aead);
	return 0;
}

#define BACKENDS 3

/* Every test with every back end that this CPU runs, as one group. */
int
main(void)
{
	static const char *const backends[BACKENDS] = {"evp", "sodium", "ipsec-mb"};
	static const struct {
		const char *name;
		CMUnitTestFunction run;
	} all[] = {
#define X(name) {#name, name}
		X(what_it_seals_is_what_libsodium_seals),
		X(it_opens_what_libsodium_sealed_and_nothing_else),
		X(a_session_seals_and_opens_in_turns),
		X(its_self_test_passes),
		X(a_back_end_that_errs_fails_the_self_test),
#undef X
	};
	static char names[BACKENDS][ARRAY_LEN(all)][80];
	struct CMUnitTest tests[BACKENDS * ARRAY_LEN(all) + 2] = {
		cmocka_unit_test(one_is_chosen_and_an_unknown_one_is_not),
		cmocka_unit_test(a_back_end_that_fails_its_self_test_gives_way_to_the_next)};
	size_t n = 2;

	log_init("test", LOG_LEVEL_SILENT);
	rnd_begin();
	assert_true(sodium_init() >= 0);
	for (size_t b = 0; b < BACKENDS; b++) {
		if (aead_init_by_name(&aead, backends[b]) < 0)
			continue;
		aead_done(&aead);
		for (size_t i = 0; i < ARRAY_LEN(all); i++) {
			snprintf(names[b][i], sizeof(names[b][i]), "%s: %s", backends[b], all[i].name);
			tests[n++] = (struct CMUnitTest){.name = names[b][i],
							 .test_func = all[i].run,
							 .setup_func = setup,
							 .teardown_func = teardown,
							 .initial_state = (void *)(uintptr_t)backends[b]};
		}
	}
	return _cmocka_run_group_tests("aead", tests, n, NULL, NULL);
}
