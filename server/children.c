#include "server/children.h"

#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "server/proc/pasta.h"
#include "server/sockets.h"
#include "server/store/cluster.h"

#define SELF   "/proc/self/exe" /* the same program as ours, even if the file was replaced since */
#define TUNNEL "warren-tunnel"

/* Control ends first, so that nobody asks those who end after it; the tunnel last. */
enum stop_step { STOP_CONTROL, STOP_POSTGRES, STOP_NET, STOP_TUNNEL };

static const struct link links[] = {
	{"control", "tunnel", "tunnel", "control", SOCK_STREAM},
	{"control", "tunnel-watch", "tunnel", "control-watch", SOCK_STREAM},
	{"control", "net", "net", "control", SOCK_SEQPACKET},
};

int
program_directory(char *out, size_t len)
{
	const ssize_t n = readlink("/proc/self/exe", out, len);
	char *slash;

	if (n < 0)
		return -errno;
	if ((size_t)n >= len)
		return -ENAMETOOLONG;
	out[n] = '\0';
	slash = strrchr(out, '/');
	if (!slash)
		return -ENOENT;
	*slash = '\0';
	return 0;
}

/* Beside us where we are installed, in its folder's own where we were built. */
static int
tunnel_find(char out[CONFIG_PATH_LEN], struct trouble *t)
{
	static const char *const places[] = {"", "tunnel/"};
	char dir[CONFIG_PATH_LEN];
	int r;

	r = program_directory(dir, sizeof(dir));
	if (r < 0)
		return trouble(t, r, "the directory of this program is not known: %s", strerror(-r));
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		const int n = snprintf(out, CONFIG_PATH_LEN, "%s/%s" TUNNEL, dir, places[i]);

		if (n > 0 && n < CONFIG_PATH_LEN && access(out, X_OK) == 0)
			return 0;
	}
	return trouble(t, -ENOENT, TUNNEL " is not in %.300s; build it, or install the whole (make install)",
		       dir);
}

static int
postgres_probe(const void *cluster)
{
	return cluster_ready(cluster);
}

/* Nothing of the caller's environment but what a child can need. */
static void
environment_make(struct children *children, char *const env[])
{
	static const char *const passed[] = {
		"HOME=", /* libpq looks there for certificates */
#ifdef WARREN_SANITIZED
		"ASAN_OPTIONS=",
		"UBSAN_OPTIONS=",
		"LSAN_OPTIONS=",
#endif
	};
	size_t n = 0;

	children->env[n++] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
	children->env[n++] = "LC_ALL=C.UTF-8";
	for (; env && *env; env++)
		for (size_t i = 0; i < ARRAY_LEN(passed); i++)
			if (n < CHILDREN_ENV_MAX && strncmp(*env, passed[i], strlen(passed[i])) == 0)
				children->env[n++] = *env;
	children->env[n] = NULL;
}

static void
roles_fill(struct children *c)
{
	static const char *const net[] = {"warrend", "net", NULL};
	static const char *const uplink[] = {"warrend", "uplink", NULL};
	static const char *const control[] = {"warrend", "control", NULL};
	static const char *const tunnel[] = {TUNNEL, "--managed", NULL};

	c->net = (struct role){.name = "net",
			       .path = SELF,
			       .argv = net,
			       .env = c->env,
			       .inside = true,
			       .caps = 1ULL << CAP_NET_ADMIN,
			       .sockets = "tun:*", /* that there are devices, when it starts again */
			       .sends_tun = true,
			       .stop_step = STOP_NET,
			       .stop_limit = SECONDS(5)};
	c->tunnel = (struct role){.name = "tunnel",
				  .path = c->tunnel_path,
				  .argv = tunnel,
				  .env = c->env,
				  .inside = true,
				  .identity = true,
				  .sockets = "udp4 udp6 uapi:* tun:* routes",
				  .needs = "tun:" DEVICE,
				  .stop_step = STOP_TUNNEL,
				  .stop_limit = SECONDS(5)};
	c->uplink = (struct role){.name = "uplink",
				  .path = SELF,
				  .argv = uplink,
				  .env = c->env,
				  .sockets = "ns:*",
				  .optional = true,
				  .stop_step = STOP_NET,
				  .stop_limit = SECONDS(5)};
	c->control = (struct role){.name = "control",
				   .path = SELF,
				   .argv = control,
				   .env = c->env,
				   .sockets = "http admin metrics",
				   .stop_step = STOP_CONTROL,
				   .stop_limit = SECONDS(10),
				   .after = "postgres"};
}

int
children_init(struct children *ret, const struct config *config, const struct cluster *cluster,
	      char *const env[], struct trouble *t)
{
	int r;

	memset(ret, 0, sizeof(*ret));
	environment_make(ret, env);
	r = tunnel_find(ret->tunnel_path, t);
	if (r < 0)
		return r;
	roles_fill(ret);
	if (strcmp(config->uplink, "pasta") != 0)
		ret->uplink = (struct role){0};
	else if (!pasta_path())
		return trouble(
			t, -ENOENT,
			"WARREN_UPLINK: pasta is not installed; as root: apt-get install passt; or set "
			"WARREN_UPLINK to an interface that root moves in (see warrend(8))");
	if (cluster) /* if warrend dies, it still ends in order */
		ret->postgres = (struct role){.name = "postgres",
					      .path = cluster_path(cluster),
					      .argv = cluster_argv(cluster),
					      .env = cluster_env(cluster),
					      .silent = true,
					      .probe = postgres_probe,
					      .probe_arg = cluster,
					      .stop_signal = CLUSTER_STOP_SIGNAL,
					      .hurry_signal = CLUSTER_HURRY_SIGNAL,
					      .death_signal = CLUSTER_STOP_SIGNAL,
					      .stop_step = STOP_POSTGRES,
					      .stop_limit = SECONDS(30)};
	return 0;
}

int
children_add(const struct children *children, struct supervisor *s)
{
	const struct role *const all[] = {&children->postgres, &children->net, &children->uplink,
					  &children->control, &children->tunnel};

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		const int r = all[i]->name ? supervisor_add(s, all[i]) : 0;

		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < ARRAY_LEN(links); i++) {
		const int r = supervisor_link(s, &links[i]);

		if (r < 0)
			return r;
	}
	return 0;
}

int
children_config(const struct config *config, const struct cluster *cluster, const char *role, char *out,
		size_t len)
{
	struct config theirs = *config;
	int r = 0;

	if (strcmp(role, "control") != 0)
		bytes_wipe(theirs.database_url, sizeof(theirs.database_url));
	else if (cluster)
		r = cluster_conninfo(cluster, theirs.database_url, sizeof(theirs.database_url));
	if (r >= 0)
		r = config_print(&theirs, true, out, len);
	config_done(&theirs);
	return r;
}
