/* The audit log: what is in it, and that it tells when it is not. */
#include "server/store/audit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/errors.h"
#include "tests/store/fixture.h"

static struct home a, b;

static int
up(void **state)
{
	struct peer peer;

	fixture_up(state);
	home_new(&a, 24);
	home_new(&b, 24);
	for (unsigned i = 0; i < 5; i++) {
		char name[16];

		snprintf(name, sizeof(name), "p%u", i);
		assert_int_equal(add(&a, name, &peer), 0);
		assert_int_equal(add(&b, name, &peer), 0);
	}
	return 0;
}

static int
verify(const struct home *home, int64_t *rows, int64_t *bad)
{
	struct tx *tx = begin(home);
	const int r = audit_verify(tx, rows, bad);

	tx_free(tx);
	return r;
}

static void
assert_sound(const struct home *home)
{
	int64_t rows, bad;

	assert_int_equal(verify(home, &rows, &bad), 0);
	assert_int_equal(bad, 0);
	assert_true(rows > 5);
}

static void
assert_bad(const struct home *home, int64_t expected)
{
	int64_t rows, bad;

	assert_int_equal(verify(home, &rows, &bad), -EBADMSG);
	assert_int_equal(bad, expected);
}

static void
every_change_has_its_row(void **state)
{
	const struct actor somebody = {"uid:1000", "unix", "r-17"};
	struct audit_rows rows;
	struct peer peer;
	struct tx *tx;

	assert_int_equal(add(&a, "written", &peer), 0);
	tx = begin(&a);
	assert_int_equal(tx_actor(tx, &somebody), 0);
	assert_int_equal(peer_set_expiry(tx, peer.id, 1900000000, &peer), 0);
	assert_int_equal(peer_remove(tx, peer.id), 0);
	assert_int_equal(audit_append(tx, &(struct audit_event){"backup.make", "backup:1", "", "{\"n\":1}"}),
			 0);
	assert_int_equal(audit_list(tx, INT64_MAX, 4, &rows), 0); /* the own rows too, before the commit */
	commit(&tx);
	assert_int_equal(rows.n, 4);
	assert_string_equal(rows.v[0].action, "backup.make");
	assert_string_equal(rows.v[0].object, "backup:1");
	assert_string_equal(rows.v[0].after, "{\"n\":1}");
	assert_string_equal(rows.v[1].action, "peer.remove");
	assert_string_equal(rows.v[1].actor, "uid:1000");
	assert_string_equal(rows.v[1].source, "unix");
	assert_string_equal(rows.v[1].request, "r-17");
	assert_string_equal(rows.v[1].after, "");
	assert_non_null(strstr(rows.v[1].before, "\"expires_at\":\"2030-03-17T17:46:40Z\""));
	assert_string_equal(rows.v[2].action, "peer.renew");
	assert_non_null(strstr(rows.v[2].before, "\"expires_at\":null"));
	assert_non_null(strstr(rows.v[2].after, "\"addresses\":[\"10."));
	assert_string_equal(rows.v[3].action, "peer.add");
	assert_string_equal(rows.v[3].actor, "system");
	assert_string_equal(rows.v[3].before, "");
	assert_non_null(strstr(rows.v[3].object, " written"));
	for (size_t i = 0; i + 1 < rows.n; i++) {
		assert_int_equal(rows.v[i].seq, rows.v[i + 1].seq + 1);
		assert_memory_equal(rows.v[i].previous, rows.v[i + 1].hash, AUDIT_HASH_LEN);
		assert_true(rows.v[i].at >= rows.v[i + 1].at);
	}
	audit_rows_done(&rows);
	assert_sound(&a);
	assert_sound(&b);
}

static void
what_is_rolled_back_is_not_in_the_log(void **state)
{
	const char *const head = sql("SELECT seq FROM audit_head WHERE tenant_id = %" PRId64, a.tenant.id.v);
	const long before = strtol(head, NULL, 10);
	struct tx *tx = begin(&a);
	struct audit_rows rows;
	struct user user;

	assert_int_equal(user_ensure(tx, "uid:4711", &user), 0);
	assert_int_equal(audit_list(tx, INT64_MAX, 1, &rows), 0);
	assert_int_equal(rows.v[0].seq, before + 1);
	audit_rows_done(&rows);
	tx_free(tx);
	assert_int_equal(
		strtol(sql("SELECT seq FROM audit_head WHERE tenant_id = %" PRId64, a.tenant.id.v), NULL, 10),
		before);
	assert_sound(&a);
}

static void
pages_go_from_the_newest_to_the_first(void **state)
{
	struct audit_rows rows;
	struct tx *tx = begin(&b);
	int64_t next = INT64_MAX, last = 0;

	for (;;) {
		assert_int_equal(audit_list(tx, next, 3, &rows), 0);
		for (size_t i = 0; i < rows.n; i++) {
			assert_true(last == 0 || rows.v[i].seq == last - 1);
			last = rows.v[i].seq;
		}
		if (rows.n == 0)
			break;
		next = last;
		audit_rows_done(&rows);
	}
	assert_int_equal(last, 1);
	assert_int_equal(audit_list(tx, 1, 0, &rows), -EINVAL);
	assert_int_equal(audit_list(tx, 1, 1001, &rows), -EINVAL);
	tx_free(tx);
}

static void
texts_that_do_not_fit_are_refused(void **state)
{
	static char longest[AUDIT_VALUE_MAX + 2];
	struct tx *tx = begin(&a);

	memset(longest, 'x', sizeof(longest) - 1);
	assert_int_equal(tx_actor(tx, &(struct actor){"", "", ""}), -EINVAL);
	assert_int_equal(tx_actor(tx, &(struct actor){"\xff", "", ""}), -EINVAL);
	assert_int_equal(
		tx_actor(tx, &(struct actor){"a", "", longest + sizeof(longest) - 2 - AUDIT_TEXT_MAX}),
		-EINVAL);
	assert_int_equal(audit_append(tx, &(struct audit_event){"a", "b", longest + 1, longest + 1}), 0);
	assert_int_equal(audit_append(tx, &(struct audit_event){"a", "b", longest, ""}), -EINVAL);
	assert_int_equal(tx_commit(tx), -EINVAL); /* a change that could not be written down */
	tx_free(tx);
	assert_int_equal(tx_begin(fixture.store, a.tenant.id, &tx), 0);
	assert_int_equal(audit_append(tx, &(struct audit_event){"a", "b", "", ""}), -EINVAL); /* nobody */
	tx_free(tx);
	assert_sound(&a);
}

/* The superuser takes the fence down, changes something, and puts it up again. */
static void
forge(const char *text)
{
	sql("ALTER TABLE audit DISABLE TRIGGER audit_stays");
	sql("%s", text);
	sql("ALTER TABLE audit ENABLE TRIGGER audit_stays");
}

static void
every_altered_value_is_found(void **state)
{
	static const char *const changes[] = {
		"at = at + 1",
		"actor = actor || ' '",
		"source = 'x'",
		"action = 'peer.remove'",
		"object = object || 'x'",
		"before = '{}'",
		"after = ''",
		"request = 'x'",
		"previous = hash",
		"hash = previous",
		"actor = '', source = source || actor",
	};
	char text[512], undo[512];

	for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
		sql("DROP TABLE IF EXISTS saved");
		sql("CREATE TABLE saved AS SELECT * FROM audit WHERE tenant_id = %" PRId64 " AND seq = 5",
		    a.tenant.id.v);
		snprintf(text, sizeof(text), "UPDATE audit SET %s WHERE tenant_id = %" PRId64 " AND seq = 5",
			 changes[i], a.tenant.id.v);
		forge(text);
		assert_bad(&a, 5);
		assert_sound(&b);
		snprintf(undo, sizeof(undo),
			 "DELETE FROM audit WHERE tenant_id = %" PRId64
			 " AND seq = 5; INSERT INTO audit SELECT * FROM saved",
			 a.tenant.id.v);
		forge(undo);
		assert_sound(&a);
	}
	sql("DROP TABLE saved");
}

static void
missing_rows_and_a_false_head_are_found(void **state)
{
	const int64_t id = b.tenant.id.v;
	const long head = strtol(sql("SELECT seq FROM audit_head WHERE tenant_id = %" PRId64, id), NULL, 10);
	char text[512];

	sql("CREATE TABLE saved AS SELECT * FROM audit WHERE tenant_id = %" PRId64, id);
	sql("CREATE TABLE saved_head AS SELECT * FROM audit_head WHERE tenant_id = %" PRId64, id);

	snprintf(text, sizeof(text), "DELETE FROM audit WHERE tenant_id = %" PRId64 " AND seq = 3", id);
	forge(text);
	assert_bad(&b, 3);
	snprintf(text, sizeof(text),
		 "DELETE FROM audit WHERE tenant_id = %" PRId64 "; INSERT INTO audit SELECT * FROM saved",
		 id);
	forge(text);
	assert_sound(&b);

	snprintf(text, sizeof(text), "DELETE FROM audit WHERE tenant_id = %" PRId64 " AND seq = %ld", id,
		 head);
	forge(text);
	assert_bad(&b, head); /* the end is missing */
	snprintf(text, sizeof(text), "INSERT INTO audit SELECT * FROM saved WHERE seq = %ld", head);
	forge(text);
	assert_sound(&b);

	sql("UPDATE audit_head AS h SET seq = h.seq - 1, hash = s.previous FROM saved AS s WHERE h.tenant_id "
	    "= %" PRId64 " AND s.seq = h.seq",
	    id);
	assert_bad(&b, head); /* beyond the head */
	sql("UPDATE audit_head SET seq = %ld, hash = decode(repeat('11', 32), 'hex') WHERE tenant_id = "
	    "%" PRId64,
	    head, id);
	assert_bad(&b, head);
	sql("DELETE FROM audit_head WHERE tenant_id = %" PRId64, id);
	assert_bad(&b, 1);
	sql("INSERT INTO audit_head SELECT * FROM saved_head");
	assert_sound(&b);
	forge("DELETE FROM audit");
	assert_bad(&b, 1);
	assert_bad(&a, 1);
	sql("DROP TABLE saved, saved_head");
}

static atomic_int finished;

static void *
append_many(void *arg)
{
	struct peer peer;
	char name[32];

	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "t%d-%d", *(int *)arg, i);
		if (add(&a, name, &peer) != 0)
			*(int *)arg = -1;
	}
	atomic_fetch_add(&finished, 1);
	return NULL;
}

static void
many_at_once_make_one_chain_that_is_sound_at_any_time(void **state)
{
	pthread_t threads[4];
	int results[4];
	int64_t rows, bad;

	home_new(&a, 24);
	home_new(&b, 24);
	for (int i = 0; i < 4; i++) {
		results[i] = i;
		assert_int_equal(pthread_create(&threads[i], NULL, append_many, &results[i]), 0);
	}
	while (atomic_load(&finished) < 4)
		assert_int_equal(verify(&a, &rows, &bad), 0);
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		assert_int_not_equal(results[i], -1);
	}
	assert_int_equal(verify(&a, &rows, &bad), 0);
	assert_int_equal(rows, 4 + 80); /* tenant, two pools, user */
	assert_int_equal(verify(&b, &rows, &bad), 0);
	assert_int_equal(rows, 4);
}

static void
a_chain_longer_than_a_page_is_followed(void **state)
{
	struct tx *tx;
	int64_t rows, bad;

	for (int i = 0; i < 3; i++) {
		tx = begin(&b);
		for (int k = 0; k < 500; k++)
			assert_int_equal(audit_append(tx, &(struct audit_event){"x", "y", "", ""}), 0);
		commit(&tx);
	}
	assert_int_equal(verify(&b, &rows, &bad), 0);
	assert_int_equal(rows, 1504);
	sql("ALTER TABLE audit DISABLE TRIGGER audit_stays");
	sql("UPDATE audit SET object = 'z' WHERE tenant_id = %" PRId64 " AND seq = 1203", b.tenant.id.v);
	assert_bad(&b, 1203);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_change_has_its_row),
		cmocka_unit_test(what_is_rolled_back_is_not_in_the_log),
		cmocka_unit_test(pages_go_from_the_newest_to_the_first),
		cmocka_unit_test(texts_that_do_not_fit_are_refused),
		cmocka_unit_test(every_altered_value_is_found),
		cmocka_unit_test(missing_rows_and_a_false_head_are_found),
		cmocka_unit_test(many_at_once_make_one_chain_that_is_sound_at_any_time),
		cmocka_unit_test(a_chain_longer_than_a_page_is_followed),
	};

	return cmocka_run_group_tests_name("audit", tests, up, fixture_down);
}
