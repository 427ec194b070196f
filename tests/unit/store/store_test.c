/* What the store reads and takes apart, without a database. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/errors.h"
#include "server/store/allocate.h"
#include "server/store/audit.h"
#include "server/store/migrations.h"
#include "server/store/postgres_bin.h"
#include "server/store/queries.h"
#include "server/store/text.h"

static void
a_migration_is_taken_apart_into_its_statements(void **state)
{
	static const char text[] = "-- first; a comment\n"
				   "SELECT ';', \"a;b\", 'it''s;';\n"
				   "/* block; /* nested; */ still; */ ;;\n"
				   "CREATE FUNCTION f() AS $$ BEGIN; END; $$;\n"
				   "DO $tag$ x; $$ y; $tag$ -- end;\n;"
				   "SELECT $1 - 2;\n"
				   "SELECT 'unfinished;";
	static const char *const expected[] = {
		"SELECT ';', \"a;b\", 'it''s;'", "CREATE FUNCTION f() AS $$ BEGIN; END; $$",
		"DO $tag$ x; $$ y; $tag$ -- end;\n", "SELECT $1 - 2", "SELECT 'unfinished;"};
	const char *start, *next = text;
	size_t len, n = 0;

	while ((len = sql_statement(next, &start, &next)) > 0) {
		assert_true(n < ARRAY_LEN(expected));
		assert_int_equal(len, strlen(expected[n]));
		assert_memory_equal(start, expected[n], len);
		n++;
	}
	assert_int_equal(n, ARRAY_LEN(expected));
	assert_int_equal(sql_statement("", &start, &next), 0);
	assert_int_equal(sql_statement("  -- only;\n/* a; comment", &start, &next), 0);
}

static void
embedded_migrations_are_numbered_without_a_gap_and_differ(void **state)
{
	uint8_t last[MIGRATION_HASH_LEN] = {0}, hash[MIGRATION_HASH_LEN];

	assert_true(n_migrations >= 4);
	for (size_t i = 0; i < n_migrations; i++) {
		assert_int_equal(migrations[i].number, i + 1);
		migration_hash(&migrations[i], hash);
		assert_memory_not_equal(hash, last, sizeof(hash));
		memcpy(last, hash, sizeof(last));
	}
}

/* The value was computed from the words in audit.h by another program (Python's hashlib). */
static void
the_hash_of_an_audit_row_is_as_documented(void **state)
{
	const struct audit_row row = {.seq = 2,
				      .at = 1796000000123456,
				      .previous = {[0] = 1, [31] = 0xff},
				      .actor = "uid:1000",
				      .source = "unix",
				      .action = "peer.add",
				      .object = "peer:12 laptop",
				      .before = "",
				      .after = "{\"n\":\"\xc3\xa4\"}",
				      .request = "r1"};
	uint8_t hash[AUDIT_HASH_LEN];
	char text[2 * AUDIT_HASH_LEN + 1];

	audit_digest((struct tenant_id){7}, &row, hash);
	hex_encode(text, hash, sizeof(hash));
	assert_string_equal(text, "47b3f10fae7e47d079e937a63b659af34dac47b1bfc44a98c52fa26985821824");
}

static void
texts_are_checked_to_the_byte(void **state)
{
	static const char *const bad[] = {"\x80",
					  "\xc3",
					  "\xc3(",
					  "\xc0\xaf",
					  "\xe0\x80\xaf",
					  "\xf0\x80\x80\xaf",
					  "\xed\xa0\x80",
					  "\xf4\x90\x80\x80",
					  "\xf8\x88\x80\x80\x80",
					  "\xff"};
	static const char *const good[] = {"",
					   "a",
					   "\xc2\x80",
					   "\xdf\xbf",
					   "\xe0\xa0\x80",
					   "\xef\xbf\xbf",
					   "\xf0\x90\x80\x80",
					   "\xf4\x8f\xbf\xbf",
					   "\n\x7f"};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(text_valid(bad[i], 10));
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_true(text_valid(good[i], 10));
	assert_true(text_valid("abc", 3));
	assert_false(text_valid("abcd", 3));
	assert_true(text_is_name("J\xc3\xbcrgen", 10));
	assert_false(text_is_name("", 10));
	assert_false(text_is_name("a\x1f", 10));
	assert_false(text_is_name("\xc2\x9f", 10));
	assert_true(text_is_name("\xc2\xa0", 10));
	assert_true(text_is_label("a") && text_is_label("a-1"));
	assert_false(text_is_label("") || text_is_label("-a") || text_is_label("a-") || text_is_label("A"));
}

static void
prefixes_go_to_an_array_and_back(void **state)
{
	struct cidr v[3], back[3];
	char text[CIDRS_TEXT_LEN(3)];

	assert_int_equal(cidr_parse(&v[0], "10.0.0.0/8"), 0);
	assert_int_equal(cidr_parse(&v[1], "fd00::/64"), 0);
	assert_int_equal(cidr_parse(&v[2], "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"), 0);
	cidrs_text(text, v, 0);
	assert_string_equal(text, "{}");
	cidrs_text(text, v, 3);
	assert_string_equal(text, "{10.0.0.0/8,fd00::/64,ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128}");
	text[strlen(text) - 1] = '\0';
	assert_int_equal(cidrs_parse(text + 1, back, 3), 3);
	assert_true(ip_equal(&back[2].ip, &v[2].ip));
	assert_int_equal(cidrs_parse(text + 1, back, 2), -ERR_DATABASE);
	assert_int_equal(cidrs_parse("", back, 3), 0);
	assert_int_equal(cidrs_parse("10.0.0.0/8,x", back, 3), -ERR_DATABASE);
}

static void
the_last_number_of_a_pool_is_no_broadcast_address(void **state)
{
	static const struct {
		const char *cidr;
		int64_t last;
	} pools[] = {{"10.0.0.0/30", 2},
		     {"10.0.0.0/24", 254},
		     {"10.0.0.0/8", 16777214},
		     {"fd00::/120", 255},
		     {"fd00::/66", 4611686018427387903},
		     {"fd00::/64", 4611686018427387905},
		     {"fd00::/32", 4611686018427387905}};
	struct cidr cidr;

	for (size_t i = 0; i < ARRAY_LEN(pools); i++) {
		assert_int_equal(cidr_parse(&cidr, pools[i].cidr), 0);
		assert_true(pool_last(&cidr) == pools[i].last);
	}
}

static void
programs_of_postgres_are_found_by_version(void **state)
{
	char dir[] = "/tmp/warren-bin-XXXXXX", path[128], dirs[64], found[64];
	struct postgres_bin bin;

	assert_int_equal(postgres_version_parse("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"), 15);
	assert_int_equal(postgres_version_parse("postgres (PostgreSQL) 18beta1"), 18);
	assert_int_equal(postgres_version_parse("psql (PostgreSQL) 15.18"), -EINVAL);
	assert_int_equal(postgres_version_parse("postgres (PostgreSQL) x"), -EINVAL);

	assert_non_null(mkdtemp(dir));
	for (int major = 9; major <= 17; major += 4) {
		static const char *const names[] = {"initdb", "postgres"};
		FILE *file;

		snprintf(path, sizeof(path), "%s/%d", dir, major);
		assert_int_equal(mkdir(path, 0700), 0);
		for (size_t i = 0; i < 2; i++) {
			snprintf(path, sizeof(path), "%s/%d/%s", dir, major, names[i]);
			file = fopen(path, "we");
			assert_non_null(file);
			fprintf(file, "#!/bin/sh\necho 'postgres (PostgreSQL) %d.1'\n", major);
			assert_int_equal(fchmod(fileno(file), 0700), 0);
			fclose(file);
		}
	}
	snprintf(dirs, sizeof(dirs), "%s/*", dir);
	assert_int_equal(postgres_find(0, dirs, NULL, NULL, &bin), 0);
	assert_int_equal(bin.major, 17);
	assert_int_equal(postgres_find(13, dirs, NULL, NULL, &bin), 0);
	snprintf(path, sizeof(path), "%s/13", dir);
	assert_string_equal(bin.dir, path);
	assert_int_equal(postgres_find(14, dirs, NULL, NULL, &bin), -ENOENT);
	postgres_versions(dirs, path, NULL, found, sizeof(found));
	assert_string_equal(found, "17, 13, 9");
	assert_int_equal(postgres_find(0, "/nonexistent/*", path, NULL, &bin), -ENOENT); /* too old */
	snprintf(dirs, sizeof(dirs), "relative:%s/17:", dir);
	assert_int_equal(postgres_find(0, "/nonexistent/*", NULL, dirs, &bin), 0);
	assert_int_equal(bin.major, 17);
	postgres_versions("/nonexistent/*", NULL, "", found, sizeof(found));
	assert_string_equal(found, "none");
	for (int major = 9; major <= 17; major += 4) {
		snprintf(path, sizeof(path), "%s/%d/initdb", dir, major);
		unlink(path);
		snprintf(path, sizeof(path), "%s/%d/postgres", dir, major);
		unlink(path);
		snprintf(path, sizeof(path), "%s/%d", dir, major);
		rmdir(path);
	}
	rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_migration_is_taken_apart_into_its_statements),
		cmocka_unit_test(embedded_migrations_are_numbered_without_a_gap_and_differ),
		cmocka_unit_test(the_hash_of_an_audit_row_is_as_documented),
		cmocka_unit_test(texts_are_checked_to_the_byte),
		cmocka_unit_test(prefixes_go_to_an_array_and_back),
		cmocka_unit_test(the_last_number_of_a_pool_is_no_broadcast_address),
		cmocka_unit_test(programs_of_postgres_are_found_by_version),
	};

	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
