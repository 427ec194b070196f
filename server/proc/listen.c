#include "server/proc/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/errors.h"
#include "server/proc/config.h"
#include "server/proc/datadir.h"

#define BACKLOG       128
#define INHERITED_MAX 32

static int
socket_of(int family, int type, const struct sockaddr *sa, socklen_t len, int *ret)
{
	_cleanup_(closep) int fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	const int one = 1;

	if (fd < 0)
		return -errno;
	if (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) < 0)
		return -errno;
	if (type == SOCK_STREAM && family != AF_UNIX &&
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0)
		return -errno;
	if (bind(fd, sa, len) < 0)
		return -errno;
	if (type == SOCK_STREAM && listen(fd, BACKLOG) < 0)
		return -errno;
	*ret = take_fd(&fd);
	return 0;
}

int
listen_udp(sa_family_t family, uint16_t port, int *ret, struct trouble *t)
{
	const struct endpoint any = {.ip = {.family = (uint8_t)family}, .port = port};
	struct sockaddr_storage sa;
	const socklen_t len = endpoint_to_sockaddr(&sa, &any);
	int r;

	r = socket_of(family, SOCK_DGRAM, (struct sockaddr *)&sa, len, ret);
	if (r == -EADDRINUSE)
		return trouble(t, r,
			       "WARREN_LISTEN_PORT: UDP port %u is in use by another program (a WireGuard "
			       "interface?); stop "
			       "that one (ss -ulpn names it), or choose another port",
			       port);
	if (r == -EACCES)
		return trouble(t, r,
			       "WARREN_LISTEN_PORT: UDP port %u is for privileged programs; choose one above "
			       "1023, or as root: "
			       "sysctl -w net.ipv4.ip_unprivileged_port_start=%u",
			       port, port);
	return r < 0 ? trouble(t, r, "WARREN_LISTEN_PORT: UDP port %u: %s", port, error_words(r)) : 0;
}

int
listen_udp_more(int first, int *ret)
{
	struct sockaddr_storage sa = {0};
	socklen_t len = sizeof(sa);
	_cleanup_(closep) int fd = -1;
	const int one = 1;

	if (getsockname(first, (struct sockaddr *)&sa, &len) < 0)
		return -errno;
	fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 ||
	    (sa.ss_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) < 0))
		return -errno;
	if (setsockopt(first, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) < 0)
		return -errno;
	if (bind(fd, (const struct sockaddr *)&sa, len) < 0)
		return -errno;
	*ret = take_fd(&fd);
	return 0;
}

int
listen_http(const char *option, const struct endpoint *endpoint, int *ret, struct trouble *t)
{
	struct sockaddr_storage sa;
	const socklen_t len = endpoint_to_sockaddr(&sa, endpoint);
	char text[ENDPOINT_TEXT_LEN];
	int r;

	endpoint_text(text, endpoint);
	r = socket_of(sa.ss_family, SOCK_STREAM, (struct sockaddr *)&sa, len, ret);
	if (r == -EADDRINUSE)
		return trouble(t, r,
			       "%s: %s is in use by another program; stop that one (ss -tlpn "
			       "names it), or "
			       "choose another port",
			       option, text);
	if (r == -EADDRNOTAVAIL)
		return trouble(t, r,
			       "%s: %s is no address of this host; choose one that `ip "
			       "address` shows",
			       option, text);
	if (r == -EACCES)
		return trouble(t, r, "%s: %s is for privileged programs; choose a port above 1023", option,
			       text);
	return r < 0 ? trouble(t, r, "%s: %s: %s", option, text, error_words(r)) : 0;
}

/* 1: somebody answers there; 0: nobody, and it is gone or never was. */
static int
stale_remove(const char *path, const struct sockaddr_un *sun)
{
	_cleanup_(closep) int fd = -1;
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) == 0 || errno == EAGAIN)
		return 1;
	if (errno != ECONNREFUSED)
		return -errno;
	return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

static int
parent_make(const char *path)
{
	char dir[CONFIG_PATH_LEN];
	const char *slash = strrchr(path, '/');

	if (!slash || (size_t)(slash - path) >= sizeof(dir))
		return -EINVAL;
	memcpy(dir, path, (size_t)(slash - path));
	dir[slash - path] = '\0';
	return directory_make(dir);
}

int
listen_unix(const char *option, const char *path, int *ret, struct trouble *t)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	mode_t mask;
	int r;

	if (strlen(path) >= sizeof(sun.sun_path))
		return trouble(t, -ENAMETOOLONG,
			       "%s: %.300s is longer than a socket's path may be (107 bytes)", option, path);
	memcpy(sun.sun_path, path, strlen(path) + 1);
	r = parent_make(path);
	if (r < 0)
		return trouble(t, r, "%s: the directory of %.300s cannot be made: %s", option, path,
			       error_words(r));
	r = stale_remove(path, &sun);
	if (r == 1)
		return trouble(t, -EADDRINUSE,
			       "%s: another program answers on %.300s; stop that one, or name another path",
			       option, path);
	if (r < 0)
		return trouble(t, r, "%s: what is at %.300s cannot be replaced: %s", option, path,
			       error_words(r));
	mask = umask(0117);
	r = socket_of(AF_UNIX, SOCK_STREAM, (struct sockaddr *)&sun, sizeof(sun), ret);
	umask(mask);
	return r < 0 ? trouble(t, r, "%s: %.300s: %s", option, path, error_words(r)) : 0;
}

int
listen_routes(int *ret, struct trouble *t)
{
	const struct sockaddr_nl sa = {
		.nl_family = AF_NETLINK,
		.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE |
			     RTMGRP_IPV6_ROUTE,
	};
	_cleanup_(closep) int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

	if (fd < 0 || bind(fd, (const struct sockaddr *)&sa, sizeof(sa)) < 0)
		return trouble(t, -errno, "the kernel's route changes cannot be watched: %s",
			       strerror(errno));
	*ret = take_fd(&fd);
	return 0;
}

/* -- socket activation (sd_listen_fds(3)) ------------------------------------------------------- */

static const char *
env_get(char *const env[], const char *name)
{
	const size_t len = strlen(name);

	for (; env && *env; env++)
		if (strncmp(*env, name, len) == 0 && (*env)[len] == '=')
			return *env + len + 1;
	return NULL;
}

static long
env_number(char *const env[], const char *name)
{
	const char *text = env_get(env, name);
	char *end;
	long n;

	if (!text || !*text)
		return -1;
	errno = 0;
	n = strtol(text, &end, 10);
	return errno || *end || n < 0 ? -1 : n;
}

/* What a socket is good for, by what it is; NULL: nothing. */
static const char *
socket_use(int fd)
{
	int family = 0, type = 0, accepts = 0;
	socklen_t len = sizeof(int);

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &len) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &accepts, &len) < 0)
		return NULL;
	if (type == SOCK_DGRAM)
		return family == AF_INET ? "udp4" : family == AF_INET6 ? "udp6" : NULL;
	if (type != SOCK_STREAM || !accepts)
		return NULL;
	return family == AF_INET || family == AF_INET6 ? "http" : family == AF_UNIX ? "admin" : NULL;
}

/* The @i-th of LISTEN_FDNAMES, or "". */
static void
name_copy(const char *names, long i, char out[32])
{
	for (; i && names; i--) {
		names = strchr(names, ':');
		names = names ? names + 1 : NULL;
	}
	snprintf(out, 32, "%.*s", names ? (int)MIN(strcspn(names, ":"), (size_t)31) : 0, names ? names : "");
}

/* Names that say a use must agree with it; others (a unit's own name) are the administrator's. */
static bool
name_agrees(const char *name, const char *use)
{
	if (strcmp(name, "wg") == 0 || strcmp(name, "udp") == 0)
		return strncmp(use, "udp", 3) == 0;
	if (strcmp(name, "udp4") == 0 || strcmp(name, "udp6") == 0 || strcmp(name, "http") == 0 ||
	    strcmp(name, "admin") == 0)
		return strcmp(name, use) == 0;
	return true;
}

static int
inherited_take(int fd, long i, const char *names, struct kept *ret, struct trouble *t)
{
	const char *use = socket_use(fd);
	char name[32];
	int flags;

	name_copy(names, i, name);
	flags = fcntl(fd, F_GETFL);
	if (flags < 0)
		return trouble(t, -EINVAL, "LISTEN_FDS: descriptor %d (%s) is not open", fd, name);
	if (!use || !name_agrees(name, use)) {
		close(fd);
		return trouble(t, -EINVAL,
			       "LISTEN_FDS: descriptor %d (%s) is %s%s; allowed: UDP sockets "
			       "(FileDescriptorName=wg), a listening TCP "
			       "socket (http), a listening Unix socket (admin)",
			       fd, name, use ? "fit for " : "no socket of use", use ? use : "");
	}
	if (fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return trouble(t, -errno, "LISTEN_FDS: descriptor %d: %s", fd, strerror(errno));
	return kept_add(ret, use, fd);
}

int
listen_inherited(char *const env[], int first, struct kept *ret, struct trouble *t)
{
	const long n = env_number(env, "LISTEN_FDS");
	int r = 0;

	if (n <= 0 || env_number(env, "LISTEN_PID") != (long)getpid())
		return 0;
	if (n > INHERITED_MAX)
		return trouble(t, -EINVAL, "LISTEN_FDS: %ld descriptors; allowed: at most %d", n,
			       INHERITED_MAX);
	for (long i = 0; i < n; i++)
		if (r == 0)
			r = inherited_take(first + (int)i, i, env_get(env, "LISTEN_FDNAMES"), ret, t);
		else
			close(first + (int)i);
	if (r < 0) {
		kept_done(ret);
		return r;
	}
	return (int)n;
}
