/* Configuration: precedence, what is refused and in which words, kinds of values, and that print and parse
 * agree. */
#include "server/proc/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/errors.h"

struct fixture {
	char path[64], secret_path[64], secret_env[160], text[CONFIG_TEXT_LEN], error[CONFIG_ERROR_LEN];
	struct config config, other;
};

static void
file_put(const char *path, const char *text)
{
	_cleanup_(fclosep) FILE *file = fopen(path, "we");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
}

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int fd;

	strcpy(f->path, "/tmp/config-test.XXXXXX");
	strcpy(f->secret_path, "/tmp/config-test.XXXXXX");
	fd = mkstemp(f->path);
	assert_true(fd >= 0);
	close(fd);
	fd = mkstemp(f->secret_path);
	assert_true(fd >= 0);
	close(fd);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	unlink(f->path);
	unlink(f->secret_path);
	free(f);
	return 0;
}

static int
load(struct fixture *f, const char *path, ...)
{
	char *env[8] = {NULL};
	va_list ap;
	size_t n = 0;

	va_start(ap, path);
	while (n < ARRAY_LEN(env) - 1 && (env[n] = va_arg(ap, char *)))
		n++;
	va_end(ap);
	return config_load(&f->config, env, path, f->error);
}

static void
defaults_hold_where_nothing_is_given(void **state)
{
	struct fixture *f = *state;
	char pool[CIDR_TEXT_LEN], http[ENDPOINT_TEXT_LEN];

	assert_int_equal(load(f, NULL, "HOME=/home/alice", NULL), 0);
	cidr_text(pool, &f->config.pool);
	endpoint_text(http, &f->config.http_listen);
	assert_string_equal(f->config.data_dir, "/home/alice/.local/share/warren");
	assert_int_equal(f->config.listen_port, 51820);
	assert_string_equal(pool, "10.82.0.0/16");
	assert_string_equal(http, "127.0.0.1:51821");
	assert_string_equal(f->config.uplink, "pasta");
	assert_string_equal(f->config.endpoint, "");
	assert_string_equal(f->config.database_url, "");
	assert_string_equal(f->config.admin_socket, "/home/alice/.local/share/warren/run/admin.sock");
	assert_int_equal(f->config.log_level, LOG_LEVEL_INFO);
}

static void
directories_follow_the_user(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(
		load(f, NULL, "HOME=/home/a", "XDG_DATA_HOME=/srv/a", "XDG_RUNTIME_DIR=/run/user/7", NULL),
		0);
	assert_string_equal(f->config.data_dir, "/srv/a/warren");
	assert_string_equal(f->config.admin_socket, "/run/user/7/warren/admin.sock");
	assert_int_equal(load(f, NULL, "HOME=" CONFIG_SERVICE_HOME, "XDG_DATA_HOME=/srv/a", NULL), 0);
	assert_string_equal(f->config.data_dir, CONFIG_SERVICE_HOME);
	assert_int_equal(load(f, NULL, NULL), -ERR_CONFIG);
	assert_non_null(strstr(f->error, "WARREN_DATA_DIR"));
}

static void
the_environment_comes_before_the_file_and_the_file_before_the_default(void **state)
{
	struct fixture *f = *state;

	file_put(f->path, "# two of them\n\n  WARREN_LISTEN_PORT=4000  \r\nWARREN_UPLINK=eth1");
	assert_int_equal(load(f, f->path, "HOME=/h", "WARREN_LISTEN_PORT=5000", NULL), 0);
	assert_int_equal(f->config.listen_port, 5000);
	assert_string_equal(f->config.uplink, "eth1");
	assert_int_equal(load(f, f->path, "HOME=/h", NULL), 0);
	assert_int_equal(f->config.listen_port, 4000);
}

static void
an_empty_value_is_one_not_given(void **state)
{
	struct fixture *f = *state;

	file_put(f->path, "WARREN_LISTEN_PORT=\nWARREN_UPLINK=eth1\n");
	assert_int_equal(load(f, f->path, "HOME=/h", "WARREN_UPLINK=", NULL), 0);
	assert_int_equal(f->config.listen_port, 51820);
	assert_string_equal(f->config.uplink, "eth1");
}

static void
a_file_that_is_wrong_is_taken_in_no_part_and_the_line_is_named(void **state)
{
	static const char *const bad[][3] = {
		{"WARREN_UPLINK=eth1\nWARREN_LISTEN_PORT=0\n", "line 2", "WARREN_LISTEN_PORT"},
		{"\n\nWARREN_COLOUR=red\n", "line 3", "no such option"},
		{"WARREN_UPLINK eth1\n", "line 1", "not NAME=value"},
		{"WARREN_UPLINK=a\nWARREN_UPLINK=b\n", "line 2", "given twice"},
		{"WARREN_DATABASE_URL=a\nWARREN_DATABASE_URL_FILE=/b\n", "line 2", "given twice"},
		{"WARREN_UPLINK_FILE=/etc/hosts\n", "line 1", "no such option"},
		{"warren_uplink=eth1\n", "line 1", "no such option"},
	};
	struct fixture *f = *state;
	static const struct config empty;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		file_put(f->path, bad[i][0]);
		if (load(f, f->path, "HOME=/h", NULL) != -ERR_CONFIG)
			fail_msg("taken: %s", bad[i][0]);
		if (!strstr(f->error, bad[i][1]) || !strstr(f->error, bad[i][2]) ||
		    !strstr(f->error, f->path))
			fail_msg("%s: %s", bad[i][0], f->error);
		assert_memory_equal(&f->config, &empty, sizeof(empty));
	}
	assert_int_equal(load(f, "/nonexistent", "HOME=/h", NULL), -ERR_CONFIG);
	assert_non_null(strstr(f->error, "/nonexistent"));
}

static void
a_bad_value_names_the_option_the_value_and_what_is_allowed(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(load(f, NULL, "HOME=/h", "WARREN_POOL=10.82.0.1/16", NULL), -ERR_CONFIG);
	assert_string_equal(f->error,
			    "WARREN_POOL: \"10.82.0.1/16\" is not valid; allowed: an IPv4 prefix of /8 to "
			    "/29 whose host bits are zero, such as 10.82.0.0/16");
}

static void
a_secret_comes_from_a_file_and_is_never_said(void **state)
{
	struct fixture *f = *state;

	file_put(f->secret_path, "postgresql://u:geheim@h/d\n");
	snprintf(f->secret_env, sizeof(f->secret_env), "WARREN_DATABASE_URL_FILE=%s", f->secret_path);
	assert_int_equal(load(f, NULL, "HOME=/h", f->secret_env, NULL), 0);
	assert_string_equal(f->config.database_url, "postgresql://u:geheim@h/d");
	assert_true(config_print(&f->config, false, f->text, sizeof(f->text)) > 0);
	assert_null(strstr(f->text, "geheim"));
	assert_non_null(strstr(f->text, "WARREN_DATABASE_URL=***\n"));
	assert_true(config_print(&f->config, true, f->text, sizeof(f->text)) > 0);
	assert_non_null(strstr(f->text, "geheim"));
	assert_int_equal(load(f, NULL, "HOME=/h", "WARREN_DATABASE_URL=geheim\x01", NULL), -ERR_CONFIG);
	assert_null(strstr(f->error, "geheim"));
	file_put(f->secret_path, "");
	assert_int_equal(load(f, NULL, "HOME=/h", f->secret_env, NULL), -ERR_CONFIG);
	assert_non_null(strstr(f->error, "is empty"));
	assert_int_equal(load(f, NULL, "HOME=/h", "WARREN_DATABASE_URL_FILE=/nonexistent", NULL),
			 -ERR_CONFIG);
	assert_non_null(strstr(f->error, "WARREN_DATABASE_URL_FILE: /nonexistent"));
}

static void
what_is_printed_reads_back_as_the_same(void **state)
{
	struct fixture *f = *state;
	char again[CONFIG_TEXT_LEN];

	file_put(
		f->path,
		"WARREN_DATA_DIR=/srv/with blank/x\nWARREN_DATABASE_URL=postgresql://u:p=#@h/d\n"
		"WARREN_ENDPOINT=[2001:db8::1]:4\nWARREN_POOL=192.168.7.0/24\nWARREN_UPLINK=eth0.7\n"
		"WARREN_UPLINK_ADDRESS=192.0.2.2/24,2001:db8::2/64\nWARREN_UPLINK_GATEWAY=192.0.2.1,fe80::1\n"
		"WARREN_HTTP_LISTEN=[::]:80\nWARREN_PUBLIC_ORIGIN=https://vpn.example.org:8443\n"
		"WARREN_LOG_LEVEL=debug\nWARREN_DNS=192.0.2.53\n");
	assert_int_equal(load(f, f->path, "HOME=/h", NULL), 0);
	assert_true(config_print(&f->config, true, f->text, sizeof(f->text)) > 0);
	config_init(&f->other);
	assert_int_equal(config_parse(&f->other, f->text, f->error), 0);
	assert_true(config_print(&f->other, true, again, sizeof(again)) > 0);
	assert_string_equal(f->text, again);
}

static void
too_little_room_to_print_is_said(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(load(f, NULL, "HOME=/h", NULL), 0);
	assert_true(config_print(&f->config, false, f->text, 40) < 0);
}

static void
what_else_is_in_the_environment_is_not_ours_to_judge(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(load(f, NULL, "HOME=/h", "WARREN_COLOUR=red", "PATH", "=x", NULL), 0);
}

static void
every_kind_takes_and_refuses_its_values(void **state)
{
	static const struct {
		const char *line;
		bool taken;
	} lines[] = {
		{"WARREN_DATA_DIR=/a b", true},
		{"WARREN_DATA_DIR=a", false},
		{"WARREN_DATA_DIR=~/a", false},
		{"WARREN_DATA_DIR=/a\tb", false},
		{"WARREN_DATA_DIR=/a ", false},
		{"WARREN_WORKERS=1", true},
		{"WARREN_WORKERS=16", true},
		{"WARREN_WORKERS=0", false},
		{"WARREN_WORKERS=17", false},
		{"WARREN_WORKERS=two", false},
		{"WARREN_LISTEN_PORT=1", true},
		{"WARREN_LISTEN_PORT=65535", true},
		{"WARREN_LISTEN_PORT=65536", false},
		{"WARREN_LISTEN_PORT=0", false},
		{"WARREN_LISTEN_PORT=051", false},
		{"WARREN_LISTEN_PORT=+1", false},
		{"WARREN_LISTEN_PORT=1x", false},
		{"WARREN_LISTEN_PORT=4294967297", false},
		{"WARREN_ENDPOINT=vpn.example.org:51820", true},
		{"WARREN_ENDPOINT=localhost:1", true},
		{"WARREN_ENDPOINT=192.0.2.1:51820", true},
		{"WARREN_ENDPOINT=[2001:db8::1]:51820", true},
		{"WARREN_ENDPOINT=2001:db8::1:51820", false},
		{"WARREN_ENDPOINT=vpn.example.org", false},
		{"WARREN_ENDPOINT=vpn.example.org:0", false},
		{"WARREN_ENDPOINT=:51820", false},
		{"WARREN_ENDPOINT=-a:1", false},
		{"WARREN_ENDPOINT=a-:1", false},
		{"WARREN_ENDPOINT=a..b:1", false},
		{"WARREN_ENDPOINT=a b:1", false},
		{"WARREN_ENDPOINT=192.0.2.999:1", false},
		{"WARREN_ENDPOINT=1.2.3:1", false},
		{"WARREN_ENDPOINT=a\nb:1", false},
		{"WARREN_POOL=10.0.0.0/8", true},
		{"WARREN_POOL=10.0.0.0/29", true},
		{"WARREN_POOL=10.0.0.0/30", false},
		{"WARREN_POOL=0.0.0.0/7", false},
		{"WARREN_POOL=10.0.0.0", false},
		{"WARREN_POOL=2001:db8::/64", false},
		{"WARREN_UPLINK=eth0", true},
		{"WARREN_UPLINK=a23456789012345", true},
		{"WARREN_UPLINK=a234567890123456", false},
		{"WARREN_UPLINK=eth0/1", false},
		{"WARREN_UPLINK=eth0 1", false},
		{"WARREN_UPLINK=..", false},
		{"WARREN_UPLINK=eth0;reboot", false},
		{"WARREN_UPLINK_ADDRESS=192.0.2.2/24", true},
		{"WARREN_UPLINK_ADDRESS=1.0.0.1/8,1.0.0.2/8,1.0.0.3/8,1.0.0.4/8", true},
		{"WARREN_UPLINK_ADDRESS=1.0.0.1/8,1.0.0.2/8,1.0.0.3/8,1.0.0.4/8,1.0.0.5/8", false},
		{"WARREN_UPLINK_ADDRESS=192.0.2.2/33", false},
		{"WARREN_UPLINK_ADDRESS=,", false},
		{"WARREN_UPLINK_ADDRESS=1.0.0.1/8,", false},
		{"WARREN_UPLINK_GATEWAY=192.0.2.1,2001:db8::1", true},
		{"WARREN_UPLINK_GATEWAY=192.0.2.1/24", false},
		{"WARREN_HTTP_LISTEN=127.0.0.1:80", true},
		{"WARREN_HTTP_LISTEN=localhost:80", false},
		{"WARREN_HTTP_LISTEN=80", false},
		{"WARREN_PUBLIC_ORIGIN=https://vpn.example.org", true},
		{"WARREN_PUBLIC_ORIGIN=http://[::1]:8080", true},
		{"WARREN_PUBLIC_ORIGIN=https://vpn.example.org/", false},
		{"WARREN_PUBLIC_ORIGIN=ftp://vpn.example.org", false},
		{"WARREN_PUBLIC_ORIGIN=https://", false},
		{"WARREN_PUBLIC_ORIGIN=https://u@vpn.example.org", false},
		{"WARREN_ADMIN_SOCKET=/run/x/admin.sock", true},
		{"WARREN_ADMIN_SOCKET=/run/x/", false},
		{"WARREN_ADMIN_SOCKET=admin.sock", false},
		{"WARREN_LOG_LEVEL=silent", true},
		{"WARREN_LOG_LEVEL=loud", false},
		{"WARREN_DNS=9.9.9.9", true},
		{"WARREN_DNS=dns.example.org", false},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		char line[128];

		snprintf(line, sizeof(line), "%s", lines[i].line);
		if ((load(f, NULL, "HOME=/h", line, NULL) == 0) != lines[i].taken)
			fail_msg("%s was %s", line, lines[i].taken ? "refused" : "taken");
	}
}

static void
values_as_long_as_they_may_be_and_one_longer(void **state)
{
	static const struct {
		const char *name;
		size_t most;
	} options[] = {{"WARREN_DATA_DIR=/", CONFIG_PATH_LEN - 1},
		       {"WARREN_ADMIN_SOCKET=/", CONFIG_SOCKET_LEN - 1},
		       {"WARREN_DATABASE_URL=p", CONFIG_URL_LEN - 1}};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		for (size_t over = 0; over < 2; over++) {
			const size_t value = (size_t)(strchr(options[i].name, '=') - options[i].name) + 1;
			_cleanup_(freep) char *line = calloc(1, value + options[i].most + 2);

			strcpy(line, options[i].name);
			memset(line + value + 1, 'x', options[i].most - 1 + over);
			if ((load(f, NULL, "XDG_DATA_HOME=/h", "XDG_RUNTIME_DIR=/r", line, NULL) == 0) !=
			    (over == 0))
				fail_msg("%.30s, %zu over: %s", line, over, f->error);
		}
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(defaults_hold_where_nothing_is_given),
		TEST(directories_follow_the_user),
		TEST(the_environment_comes_before_the_file_and_the_file_before_the_default),
		TEST(an_empty_value_is_one_not_given),
		TEST(a_file_that_is_wrong_is_taken_in_no_part_and_the_line_is_named),
		TEST(a_bad_value_names_the_option_the_value_and_what_is_allowed),
		TEST(a_secret_comes_from_a_file_and_is_never_said),
		TEST(what_is_printed_reads_back_as_the_same),
		TEST(too_little_room_to_print_is_said),
		TEST(what_else_is_in_the_environment_is_not_ours_to_judge),
		TEST(every_kind_takes_and_refuses_its_values),
		TEST(values_as_long_as_they_may_be_and_one_longer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
