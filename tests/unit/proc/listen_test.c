/* Sockets that are opened or inherited: which are taken, which refused, and in which words. */
#include "server/proc/listen.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define FIRST 40 /* where the inherited ones of these tests begin; the service manager's begin at 3 */

struct fixture {
	char dir[64], path[128];
	struct trouble t;
	struct kept kept;
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->dir, "/tmp/listen-test.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/run/admin.sock", f->dir);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;
	char dir[128];

	unlink(f->path);
	snprintf(dir, sizeof(dir), "%s/run", f->dir);
	rmdir(dir);
	rmdir(f->dir);
	kept_done(&f->kept);
	free(f);
	return 0;
}

static uint16_t
port_of(int fd)
{
	struct sockaddr_in sin;
	socklen_t len = sizeof(sin);

	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	return ntohs(sin.sin_port);
}

/* Datagrams of many ports reach both; a port that one socket alone was bound to becomes a group's. */
static void
a_port_is_shared_by_several_sockets_and_by_nobody_else(void **state)
{
	struct fixture *f = *state;
	const struct sockaddr_in any = {.sin_family = AF_INET};
	bool got[2] = {false, false};
	int fds[2], other, r;

	fds[0] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(fds[0], (const struct sockaddr *)&any, sizeof(any)), 0);
	assert_int_equal(listen_udp_more(fds[0], &fds[1]), 0);
	assert_int_equal(port_of(fds[0]), port_of(fds[1]));
	assert_int_equal(listen_udp(AF_INET, port_of(fds[0]), &other, &f->t), -EADDRINUSE);
	for (int i = 0; i < 200 && !(got[0] && got[1]); i++) {
		const struct sockaddr_in to = {.sin_family = AF_INET,
					       .sin_port = htons(port_of(fds[0])),
					       .sin_addr = {htonl(INADDR_LOOPBACK)}};
		char byte;

		r = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		assert_int_equal(sendto(r, "x", 1, 0, (const struct sockaddr *)&to, sizeof(to)), 1);
		close(r);
		for (int k = 0; k < 2; k++)
			got[k] |= recv(fds[k], &byte, 1, 0) == 1;
	}
	assert_true(got[0] && got[1]);
	close(fds[0]);
	close(fds[1]);
}

static int
bound(int type)
{
	const struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&sin, sizeof(sin)), 0);
	return fd;
}

static void
a_udp_port_that_is_taken_is_named(void **state)
{
	struct fixture *f = *state;
	_cleanup_(closep) int other = bound(SOCK_DGRAM);
	char port[16];
	int fd;

	snprintf(port, sizeof(port), "%u", port_of(other));
	assert_int_equal(listen_udp(AF_INET, port_of(other), &fd, &f->t), -EADDRINUSE);
	assert_non_null(strstr(f->t.text, "WARREN_LISTEN_PORT"));
	assert_non_null(strstr(f->t.text, port));
}

static void
both_families_have_the_same_port(void **state)
{
	struct fixture *f = *state;
	int v4 = -1, v6 = -1, flags;
	uint16_t port;

	assert_int_equal(listen_udp(AF_INET, 0, &v4, &f->t), 0);
	port = port_of(v4);
	assert_int_equal(listen_udp(AF_INET6, port, &v6, &f->t),
			 0); /* for IPv6 alone, else the port is taken */
	flags = fcntl(v4, F_GETFL);
	assert_true(flags & O_NONBLOCK);
	assert_true(fcntl(v6, F_GETFD) & FD_CLOEXEC);
	close(v4);
	close(v6);
}

static void
a_web_address_that_is_not_ours_is_named(void **state)
{
	struct fixture *f = *state;
	struct endpoint endpoint;
	int fd;

	assert_int_equal(endpoint_parse(&endpoint, "203.0.113.77:8080"), 0);
	assert_int_equal(listen_http("WARREN_HTTP_LISTEN", &endpoint, &fd, &f->t), -EADDRNOTAVAIL);
	assert_non_null(strstr(f->t.text, "203.0.113.77:8080"));
}

static void
a_unix_socket_is_for_owner_and_group_in_a_directory_for_the_owner(void **state)
{
	struct fixture *f = *state;
	char dir[128];
	struct stat st;
	int fd;

	assert_int_equal(listen_unix("WARREN_ADMIN_SOCKET", f->path, &fd, &f->t), 0);
	assert_int_equal(stat(f->path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0660);
	snprintf(dir, sizeof(dir), "%s/run", f->dir);
	assert_int_equal(stat(dir, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	close(fd);
}

static void
a_socket_that_nobody_answers_on_is_replaced_one_that_is_answered_not(void **state)
{
	struct fixture *f = *state;
	int first, second;

	assert_int_equal(listen_unix("X", f->path, &first, &f->t), 0);
	assert_int_equal(listen_unix("WARREN_ADMIN_SOCKET", f->path, &second, &f->t), -EADDRINUSE);
	assert_non_null(strstr(f->t.text, "WARREN_ADMIN_SOCKET"));
	close(first);
	assert_int_equal(listen_unix("X", f->path, &second, &f->t), 0);
	close(second);
}

static void
what_is_no_socket_is_left_alone(void **state)
{
	struct fixture *f = *state;
	int fd;

	assert_int_equal(listen_unix("X", f->path, &fd, &f->t), 0);
	close(fd);
	unlink(f->path);
	fd = open(f->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(fd);
	assert_int_equal(listen_unix("X", f->path, &fd, &f->t), -EEXIST);
	assert_int_equal(access(f->path, F_OK), 0);
}

static void
a_path_that_is_too_long_for_a_socket_is_said(void **state)
{
	struct fixture *f = *state;
	char path[200];
	int fd;

	memset(path, 'x', sizeof(path));
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(listen_unix("WARREN_ADMIN_SOCKET", path, &fd, &f->t), -ENAMETOOLONG);
}

/* -- socket activation -------------------------------------------------------------------------- */

static int
inherit(struct fixture *f, const int *fds, int n, const char *names, pid_t pid)
{
	char count[32], whose[32], labels[256];
	char *env[] = {count, whose, labels, NULL};

	for (int i = 0; i < n; i++) {
		assert_int_equal(dup2(fds[i], FIRST + i), FIRST + i);
		close(fds[i]);
	}
	snprintf(count, sizeof(count), "LISTEN_FDS=%d", n);
	snprintf(whose, sizeof(whose), "LISTEN_PID=%d", (int)pid);
	snprintf(labels, sizeof(labels), "LISTEN_FDNAMES=%s", names);
	return listen_inherited(env, FIRST, &f->kept, &f->t);
}

static int
listening(void)
{
	const int fd = bound(SOCK_STREAM);

	assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static void
inherited_sockets_are_known_by_what_they_are(void **state)
{
	struct fixture *f = *state;
	const int fds[] = {bound(SOCK_DGRAM), listening(), bound(SOCK_DGRAM)};

	assert_int_equal(inherit(f, fds, 3, "wg:http:warrend.socket", getpid()), 3);
	assert_int_equal(f->kept.n, 3);
	assert_string_equal(f->kept.v[0].name, "udp4");
	assert_string_equal(f->kept.v[1].name, "http");
	assert_string_equal(f->kept.v[2].name, "udp4");
	for (size_t i = 0; i < 3; i++) {
		assert_true(fcntl(f->kept.v[i].fd, F_GETFL) & O_NONBLOCK);
		assert_true(fcntl(f->kept.v[i].fd, F_GETFD) & FD_CLOEXEC);
	}
}

static void
sockets_for_another_process_are_not_ours(void **state)
{
	struct fixture *f = *state;
	const int fds[] = {bound(SOCK_DGRAM)};
	char *const none[] = {NULL};

	assert_int_equal(inherit(f, fds, 1, "wg", getpid() + 1), 0);
	assert_int_equal(f->kept.n, 0);
	assert_true(fcntl(FIRST, F_GETFD) >= 0);
	close(FIRST);
	assert_int_equal(listen_inherited(none, FIRST, &f->kept, &f->t), 0);
}

static void
one_that_is_of_no_use_refuses_them_all(void **state)
{
	struct fixture *f = *state;
	const int file[] = {bound(SOCK_DGRAM), open("/dev/null", O_RDONLY | O_CLOEXEC)};
	const int not_listening[] = {bound(SOCK_STREAM)};
	const int misnamed[] = {listening()};

	assert_int_equal(inherit(f, file, 2, "wg:tun", getpid()), -EINVAL);
	assert_non_null(strstr(f->t.text, "descriptor 41 (tun)"));
	assert_int_equal(f->kept.n, 0);
	assert_true(fcntl(FIRST, F_GETFD) < 0 && fcntl(FIRST + 1, F_GETFD) < 0);
	assert_int_equal(inherit(f, not_listening, 1, "http", getpid()), -EINVAL);
	assert_int_equal(inherit(f, misnamed, 1, "wg", getpid()), -EINVAL);
	assert_non_null(strstr(f->t.text, "fit for http"));
	close(FIRST);
	assert_int_equal(inherit(f, NULL, 0, "", getpid()), 0);
}

static void
a_number_that_is_none_is_none(void **state)
{
	static const char *const counts[] = {"LISTEN_FDS=-1", "LISTEN_FDS=x",
					     "LISTEN_FDS=", "LISTEN_FDS=99999999999999999999"};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
		char count[40], whose[32];
		char *env[] = {count, whose, NULL};

		snprintf(count, sizeof(count), "%s", counts[i]);
		snprintf(whose, sizeof(whose), "LISTEN_PID=%d", (int)getpid());
		assert_int_equal(listen_inherited(env, FIRST, &f->kept, &f->t), 0);
	}
}

static void
routes_are_watched_without_any_right(void **state)
{
	struct fixture *f = *state;
	int fd;

	assert_int_equal(listen_routes(&fd, &f->t), 0);
	close(fd);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_udp_port_that_is_taken_is_named),
		TEST(both_families_have_the_same_port),
		TEST(a_port_is_shared_by_several_sockets_and_by_nobody_else),
		TEST(a_web_address_that_is_not_ours_is_named),
		TEST(a_unix_socket_is_for_owner_and_group_in_a_directory_for_the_owner),
		TEST(a_socket_that_nobody_answers_on_is_replaced_one_that_is_answered_not),
		TEST(what_is_no_socket_is_left_alone),
		TEST(a_path_that_is_too_long_for_a_socket_is_said),
		TEST(inherited_sockets_are_known_by_what_they_are),
		TEST(sockets_for_another_process_are_not_ours),
		TEST(one_that_is_of_no_use_refuses_them_all),
		TEST(a_number_that_is_none_is_none),
		TEST(routes_are_watched_without_any_right),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
