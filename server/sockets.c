#include "server/sockets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/clock.h"
#include "base/errors.h"
#include "base/log.h"
#include "base/text.h"
#include "server/proc/listen.h"

#define INHERITED_FIRST 3 /* SD_LISTEN_FDS_START */
#define BUSY_STEP       MILLISECONDS(50)
#define BUSY_TRIES      20

static int
keep(struct kept *kept, const char *name, int fd, struct trouble *t)
{
	const int r = kept_add(kept, name, fd);

	return r < 0 ? trouble(t, r, "too many sockets") : 0;
}

/*
 * A warrend that was killed a moment ago leaves children that are still ending, with its sockets in their
 * hands.  Who is there for longer is somebody else.
 */
static bool
busy_wait(int r, unsigned *tries)
{
	const struct timespec step = {.tv_nsec = BUSY_STEP};

	if (r != -EADDRINUSE || ++*tries > BUSY_TRIES)
		return false;
	(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &step, NULL);
	return true;
}

/* Either family may be missing on this host, not both. */
static int
udp_open(uint16_t port, struct kept *ret, struct trouble *t)
{
	static const struct {
		const char *name;
		sa_family_t family;
	} families[] = {{"udp4", AF_INET}, {"udp6", AF_INET6}};
	unsigned tries = 0;
	int found = 0;

	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		int fd, r;

		do
			r = listen_udp(families[i].family, port, &fd, t);
		while (busy_wait(r, &tries));
		if (r == -EAFNOSUPPORT)
			continue;
		if (r == 0)
			r = keep(ret, families[i].name, fd, t);
		if (r < 0)
			return r;
		found++;
	}
	return found ? 0 : -EAFNOSUPPORT;
}

/*
 * The group of a port, in the order of the workers.  One that the kernel does not let grow (inherited, and
 * another user's) is as good, only slower: workers without a socket get theirs from the others.
 */
static int
udp_group(const char *name, unsigned workers, struct kept *ret, struct trouble *t)
{
	size_t n = kept_count(ret, name);

	for (size_t i = 0; n && i < ret->n; i++) {
		if (strcmp(ret->v[i].name, name) != 0)
			continue;
		for (; n < workers; n++) {
			int fd, r = listen_udp_more(ret->v[i].fd, &fd);

			if (r < 0) {
				log_error("%s: %zu of %u sockets: the port cannot be shared among more: %s",
					  name, n, workers, error_words(r));
				return 0;
			}
			r = keep(ret, name, fd, t);
			if (r < 0)
				return r;
		}
		break;
	}
	return 0;
}

static int
udp_groups(struct config *config, struct kept *ret, struct trouble *t)
{
	const size_t most = MAX(kept_count(ret, "udp4"), kept_count(ret, "udp6"));
	int r;

	if (most > CONFIG_WORKERS_MAX)
		return trouble(t, -EINVAL, "LISTEN_FDS: %zu UDP sockets of a family; allowed: at most %d",
			       most, CONFIG_WORKERS_MAX);
	config->workers = (uint16_t)MAX(config_workers(config), most);
	r = udp_group("udp4", config->workers, ret, t);
	return r < 0 ? r : udp_group("udp6", config->workers, ret, t);
}

static int
http_open(const char *option, const char *name, const struct endpoint *endpoint, struct kept *ret,
	  struct trouble *t)
{
	unsigned tries = 0;
	int fd, r;

	do
		r = listen_http(option, endpoint, &fd, t);
	while (busy_wait(r, &tries));
	return r < 0 ? r : keep(ret, name, fd, t);
}

int
sockets_open(struct config *config, char *const env[], struct kept *ret, struct trouble *t)
{
	int fd, r;

	r = listen_inherited(env, INHERITED_FIRST, ret, t);
	if (r < 0)
		return r;
	if (!kept_has(ret, "udp4") && !kept_has(ret, "udp6")) {
		r = udp_open(config->listen_port, ret, t);
		if (r < 0)
			return r;
	}
	r = udp_groups(config, ret, t);
	if (r < 0)
		return r;
	if (!kept_has(ret, "http"))
		r = http_open("WARREN_HTTP_LISTEN", "http", &config->http_listen, ret, t);
	if (r == 0 && config->metrics_listen.ip.family)
		r = http_open("WARREN_METRICS_LISTEN", "metrics", &config->metrics_listen, ret, t);
	if (r < 0)
		return r;
	r = listen_routes(&fd, t);
	return r < 0 ? r : keep(ret, "routes", fd, t);
}

static int
unix_open(const char *option, const char *name, const char *path, char kept_path[CONFIG_PATH_LEN],
	  struct kept *ret, struct trouble *t)
{
	int fd, r;

	r = listen_unix(option, path, &fd, t);
	if (r < 0)
		return r;
	snprintf(kept_path, CONFIG_PATH_LEN, "%s", path);
	return keep(ret, name, fd, t);
}

int
sockets_open_unix(const struct config *config, const char *runtime_dir, struct kept *ret,
		  struct socket_paths *paths, struct trouble *t)
{
	char name[MESSAGE_NAME_MAX + 1];
	int fd = -1, r;

	if (!kept_has(ret, "admin")) {
		r = unix_open("WARREN_ADMIN_SOCKET", "admin", config->admin_socket, paths->admin, ret, t);
		if (r < 0)
			return r;
	}
	if (snprintf(paths->uapi, sizeof(paths->uapi), "%s/wg", runtime_dir) >= (int)sizeof(paths->uapi))
		return trouble(t, -ENAMETOOLONG, "XDG_RUNTIME_DIR: its path is too long");
	r = sockets_domain(paths, DEVICE, name, &fd, t);
	return r < 0 ? r : keep(ret, name, fd, t);
}

/* The place of @ifname, or n_domains. */
static size_t
domain_place(const struct socket_paths *paths, const char *ifname)
{
	size_t i = 0;

	while (i < paths->n_domains && strcmp(paths->domains[i], ifname) != 0)
		i++;
	return i;
}

static void
domain_path(const struct socket_paths *paths, const char *ifname, char out[CONFIG_PATH_LEN + 32])
{
	snprintf(out, CONFIG_PATH_LEN + 32, "%s/%s.sock", paths->uapi, ifname);
}

int
sockets_domain(struct socket_paths *paths, const char *ifname, char name[MESSAGE_NAME_MAX + 1], int *fd,
	       struct trouble *t)
{
	char path[CONFIG_PATH_LEN + 32];
	char(*domains)[IFNAMSIZ];
	int r;

	if (domain_place(paths, ifname) < paths->n_domains)
		return -EEXIST;
	domains = reallocarray(paths->domains, paths->n_domains + 1, sizeof(*domains));
	if (!domains)
		return trouble(t, -ENOMEM, "no memory");
	paths->domains = domains;
	domain_path(paths, ifname, path);
	r = listen_unix("XDG_RUNTIME_DIR", path, fd, t);
	if (r < 0)
		return r;
	text_copy(domains[paths->n_domains++], IFNAMSIZ, ifname);
	snprintf(name, MESSAGE_NAME_MAX + 1, "uapi:%s", ifname);
	return 0;
}

void
sockets_domain_remove(struct socket_paths *paths, const char *ifname, char name[MESSAGE_NAME_MAX + 1])
{
	const size_t i = domain_place(paths, ifname);
	char path[CONFIG_PATH_LEN + 32];

	snprintf(name, MESSAGE_NAME_MAX + 1, "uapi:%.15s", ifname);
	if (i == paths->n_domains)
		return;
	domain_path(paths, ifname, path);
	unlink(path);
	memmove(paths->domains[i], paths->domains[paths->n_domains - 1], IFNAMSIZ);
	paths->n_domains--;
}

void
sockets_remove(struct socket_paths *paths)
{
	char name[MESSAGE_NAME_MAX + 1];

	while (paths->n_domains)
		sockets_domain_remove(paths, paths->domains[paths->n_domains - 1], name);
	free(paths->domains);
	if (*paths->admin)
		unlink(paths->admin);
	*paths = (struct socket_paths){0};
}
