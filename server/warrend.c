/*
 * warrend: starts a gateway, watches its processes, and stops them in order.
 *
 * Started as a role (first argument, with descriptor 3 connected to the warrend that executed it) it is that
 * role; otherwise it is the parent.  The order of a start: nothing can read our memory; options; data
 * directory and its lock; the pool against the host's networks; identity; UDP and HTTP sockets; what the
 * kernel must allow; the inner namespaces; the database cluster; Unix sockets; children.  What can be refused
 * is refused before anything is made, in one sentence: the option's name, the reason, what to do.  It holds
 * no file but the lock, the sockets and the namespaces, and parses nothing that comes from outside.
 *
 * SIGTERM and SIGINT stop everything in order; a second one hurries.  SIGHUP changes nothing: options are
 * read at the start alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/errors.h"
#include "base/log.h"
#include "base/secrets.h"
#include "server/arguments.h"
#include "server/banner.h"
#include "server/children.h"
#include "server/clash.h"
#include "server/net/removal.h"
#include "server/owner.h"
#include "server/proc/child.h"
#include "server/proc/datadir.h"
#include "server/proc/identity.h"
#include "server/proc/notify.h"
#include "server/proc/roles.h"
#include "server/proc/supervise.h"
#include "server/sockets.h"
#include "server/store/cluster.h"

#define DEVICES_PREFIX "tun:"

enum { EXIT_REFUSED = 1, EXIT_USAGE = 2 };

struct warrend {
	struct config config;
	char runtime_dir[CONFIG_PATH_LEN];
	int lock, nothing;            /* nothing: /dev/null */
	struct private_key *identity; /* of secret_alloc() */
	struct kept sockets;          /* until the supervisor keeps them */
	struct socket_paths paths;
	struct namespaces ns;
	struct cluster *cluster;
	struct children children;
	struct loop *loop;
	struct supervisor *supervisor;
};

/* -- before the loop: each step is done, or @t says why not ------------------------------------- */

static bool
identity_is_there(const char *data_dir)
{
	char path[CONFIG_PATH_LEN + 16];

	snprintf(path, sizeof(path), "%s/" IDENTITY_NAME, data_dir);
	return access(path, F_OK) == 0;
}

/* The pool of the first start is the one that stays; later a clash can only be told. */
static int
pool_check(struct warrend *w, struct trouble *t)
{
	char words[CLASH_LEN];

	if (!clash_find(&w->config.pool, words))
		return 0;
	if (!identity_is_there(w->config.data_dir))
		return trouble(t, -EADDRINUSE, "%s", words);
	log_error("%s; until then peers and that network do not reach each other", words);
	return 0;
}

static int
data_open(struct warrend *w, struct trouble *t)
{
	int r;

	r = datadir_open(w->config.data_dir, &w->lock, t);
	if (r < 0)
		return r;
	r = config_runtime_dir(w->runtime_dir, w->config.data_dir, environ);
	if (r < 0)
		return trouble(t, r, "XDG_RUNTIME_DIR: %s", error_words(r));
	r = pool_check(w, t);
	if (r < 0)
		return r;
	w->identity = secret_alloc(sizeof(*w->identity));
	if (!w->identity)
		return trouble(t, -ENOMEM, "no memory");
	return identity_load(w->config.data_dir, w->identity, t);
}

static int
cluster_open(struct warrend *w, struct trouble *t)
{
	_Static_assert(sizeof(t->text) >= CLUSTER_ERROR_LEN, "its sentence fits");

	if (*w->config.database_url)
		return 0;
	return cluster_prepare(w->config.data_dir, w->runtime_dir, &w->cluster, t->text);
}

static int
prepare(struct warrend *w, struct trouble *t)
{
	int r;

	r = data_open(w, t);
	if (r < 0)
		return r;
	r = sockets_open(&w->config, environ, &w->sockets, t);
	if (r < 0)
		return r;
	r = tun_check("/dev/net/tun", t);
	if (r < 0)
		return r;
	r = namespaces_make(&w->ns, t);
	if (r < 0)
		return r;
	r = cluster_open(w, t);
	if (r < 0)
		return r;
	r = children_init(&w->children, &w->config, w->cluster, environ, t);
	if (r < 0)
		return r;
	return sockets_open_unix(&w->config, w->runtime_dir, &w->sockets, &w->paths, t);
}

/* -- the loop's events -------------------------------------------------------------------------- */

static int
on_config(void *arg, const char *role, char *out, size_t len)
{
	const struct warrend *w = arg;

	return children_config(&w->config, w->cluster, role, out, len);
}

static void
manager_tell(const char *state)
{
	const int r = notify_manager(getenv("NOTIFY_SOCKET"), state);

	if (r < 0)
		log_error("the service manager cannot be told %s: %s", state, error_words(r));
}

static void
on_all_ready(void *arg, nsec_t now)
{
	struct warrend *w = arg;
	struct reach reach;
	const struct banner banner = {
		.config = &w->config,
		.reach = &reach,
		.runtime_dir = w->runtime_dir,
		.inner = supervisor_pid(w->supervisor, "net"),
		.managed = getenv("INVOCATION_ID") || getenv("NOTIFY_SOCKET"),
		.uplink_up = supervisor_is_ready(w->supervisor, "uplink"),
	};

	reach_find(&w->config, &reach);
	banner_print(stdout, &banner);
	manager_tell("READY=1");
}

/* A domain's device came or went: its UAPI socket with it.  Without one the domain works as well. */
static void
on_device(void *arg, const char *ifname, bool there)
{
	struct warrend *w = arg;
	char name[MESSAGE_NAME_MAX + 1];
	struct trouble t;
	int fd, r;

	if (!there) {
		sockets_domain_remove(&w->paths, ifname, name);
		supervisor_drop(w->supervisor, name);
		return;
	}
	r = sockets_domain(&w->paths, ifname, name, &fd, &t);
	if (r == -EEXIST)
		return;
	if (r == 0)
		r = supervisor_keep(w->supervisor, name, fd);
	if (r < 0)
		log_error("%s has no socket of its own: %s", ifname, *t.text ? t.text : error_words(r));
	else
		supervisor_offer(w->supervisor, name);
}

static void
on_stopped(void *arg, nsec_t now)
{
	struct warrend *w = arg;

	loop_stop(w->loop, 0);
}

static void
on_signal(void *arg, const struct signalfd_siginfo *info, nsec_t now)
{
	struct warrend *w = arg;

	switch (info->ssi_signo) {
	case SIGCHLD:
		supervisor_reap(w->supervisor, now);
		break;
	case SIGINT:
	case SIGTERM:
		log_info("stopping in order; a second signal hurries");
		manager_tell("STOPPING=1");
		supervisor_stop(w->supervisor, now);
		break;
	default: /* SIGHUP */
		log_info("options are read at the start alone; restart to change them");
	}
}

static int
signals_take(struct warrend *w)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	return loop_signals(w->loop, &set, on_signal, w);
}

/* What must outlive every child: the sockets, and the namespaces for the uplink. */
static int
supervisor_fill(struct warrend *w)
{
	const struct {
		const char *name;
		int fd;
	} namespaces[] = {{NAMESPACE_USER, w->ns.user}, {NAMESPACE_NET, w->ns.net}};
	int r;

	for (size_t i = 0; i < w->sockets.n; i++) {
		r = supervisor_keep(w->supervisor, w->sockets.v[i].name, take_fd(&w->sockets.v[i].fd));
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < ARRAY_LEN(namespaces); i++) {
		const int fd = fcntl(namespaces[i].fd, F_DUPFD_CLOEXEC, 0);

		if (fd < 0)
			return -errno;
		r = supervisor_keep(w->supervisor, namespaces[i].name, fd);
		if (r < 0)
			return r;
	}
	supervisor_identity(w->supervisor, w->identity);
	return children_add(&w->children, w->supervisor);
}

static int
serve(struct warrend *w)
{
	const struct supervisor_events events = {.arg = w,
						 .config = on_config,
						 .device = on_device,
						 .all_ready = on_all_ready,
						 .stopped = on_stopped};
	int r;

	r = loop_new(&w->loop);
	if (r < 0)
		return r;
	r = supervisor_new(&w->supervisor, w->loop, &w->ns, &events);
	if (r < 0)
		return r;
	r = supervisor_fill(w);
	if (r < 0)
		return r;
	r = signals_take(w);
	if (r < 0)
		return r;
	log_info("starting; data_dir=%s", w->config.data_dir);
	supervisor_start(w->supervisor);
	return loop_run(w->loop);
}

static int
burial_begin(const struct warrend *w, const struct kept *devices)
{
	struct removal removal = {0};
	int r = 0;

	for (size_t i = 0; r == 0 && i < devices->n; i++)
		if (i == 0 || strcmp(devices->v[i].name, devices->v[i - 1].name) != 0)
			r = removal_add(&removal, devices->v[i].name + strlen(DEVICES_PREFIX));
	if (r == 0)
		r = namespaces_enter(&w->ns, 1ULL << CAP_NET_ADMIN);
	if (r == 0)
		r = removal_run(&removal);
	removal_done(&removal);
	return r;
}

/*
 * The kernel takes its time to close devices, and nobody is to wait for that at our end: a last process holds
 * them open beyond us, deletes them, and is gone.  It has nothing else of ours in its hands.
 */
static void
devices_bury(const struct warrend *w, struct kept *devices)
{
	const pid_t pid = devices->n ? fork() : -1;

	if (pid == 0) {
		setsid();
		for (int fd = 0; fd <= STDERR_FILENO; fd++)
			(void)dup2(w->nothing, fd);
		_exit(burial_begin(w, devices) < 0);
	}
	kept_done(devices);
}

/* In reverse: nobody is left who uses what goes. */
static void
warrend_done(struct warrend *w)
{
	struct kept devices = {0};

	if (w->supervisor && supervisor_release(w->supervisor, DEVICES_PREFIX "*", &devices) < 0)
		log_error("some devices are closed here, which takes longer");
	supervisor_free(w->supervisor);
	loop_free(w->loop);
	sockets_remove(&w->paths);
	kept_done(&w->sockets);
	cluster_free(w->cluster);
	secret_free(w->identity);
	closep(&w->lock);
	devices_bury(w, &devices);
	closep(&w->nothing);
	namespaces_done(&w->ns);
	config_done(&w->config);
}

/* A queue of every device for each worker, in our hands and in the tunnel's: more than the usual limit. */
static void
files_allow(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int
gateway_main(const struct arguments *arguments, const struct config *config)
{
	struct warrend w = {.config = *config,
			    .lock = -1,
			    .nothing = open("/dev/null", O_RDWR | O_CLOEXEC),
			    .ns = NAMESPACES_NONE};
	struct trouble t = {""};
	int r;

	log_init("warrend", config->log_level);
	files_allow();
	/* Where we were started may be closed to us (root's home): Postgres would not start there. */
	r = chdir("/") < 0 ? -errno : prepare(&w, &t);
	if (r < 0) {
		fprintf(stderr, "warrend: %s\n", *t.text ? t.text : error_words(r));
	} else {
		r = serve(&w);
		if (r < 0)
			log_error("the end: %s", error_words(r));
	}
	warrend_done(&w);
	return r < 0 ? EXIT_REFUSED : EXIT_SUCCESS;
}

/* -- the way in --------------------------------------------------------------------------------- */

static int
config_show(const struct config *config)
{
	char text[CONFIG_TEXT_LEN];

	if (config_print(config, false, text, sizeof(text)) < 0)
		return EXIT_REFUSED;
	fputs(text, stdout);
	return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_REFUSED;
}

static int
parent_main(int argc, char *argv[])
{
	struct arguments arguments;
	char error[CONFIG_ERROR_LEN];
	struct config config;
	struct trouble t;
	int r;

	if (arguments_parse(&arguments, argc, argv) < 0)
		return EXIT_USAGE;
	if (arguments.help) {
		arguments_help(stdout);
		return EXIT_SUCCESS;
	}
	if (arguments.version) {
		puts("warrend " WARREN_VERSION);
		return EXIT_SUCCESS;
	}
	if (arguments.user || !arguments.check) { /* to check needs no right */
		r = owner_become(arguments.user, &t);
		if (r < 0) {
			fprintf(stderr, "warrend: %s\n", t.text);
			return EXIT_REFUSED;
		}
	}
	r = config_load(&config, environ, arguments.file, error);
	if (r < 0) {
		fprintf(stderr, "warrend: %s\n", error);
		return EXIT_REFUSED;
	}
	r = arguments.check ? config_show(&config) : gateway_main(&arguments, &config);
	config_done(&config);
	return r;
}

static const struct {
	const char *name, *process; /* as `ps` shows it */
	int (*main)(void);
} roles[] = {
	{"net", "warrend-net", net_main},
	{"control", "warrend-control", control_main},
	{"uplink", "warrend-uplink", uplink_main},
	{"holder", "warrend-holder", holder_main},
};

static bool
is_socket(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

/* The holder must write its own /proc files, so it stays dumpable; it has no secret and a moment to live. */
static int
role_main(size_t i)
{
	int r;

	if (!is_socket(CHILD_PARENT_FD)) {
		fprintf(stderr, "warrend: \"%s\" is a part that warrend starts itself\n", roles[i].name);
		return EXIT_USAGE;
	}
	(void)prctl(PR_SET_NAME, roles[i].process);
	if (roles[i].main != holder_main) {
		r = process_harden();
		if (r < 0) {
			log_error("%s: the process cannot be hardened: %s", roles[i].name, error_words(r));
			return EXIT_REFUSED;
		}
	}
	return roles[i].main();
}

/* 0, 1 and 2 are there, so that nothing else gets these numbers. */
static int
standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

int
main(int argc, char *argv[])
{
	int r;

	for (size_t i = 0; argc == 2 && i < ARRAY_LEN(roles); i++)
		if (strcmp(argv[1], roles[i].name) == 0)
			return role_main(i);
	r = standard_descriptors();
	if (r == 0)
		r = process_harden();
	if (r < 0) {
		fprintf(stderr, "warrend: the process cannot be hardened: %s\n", error_words(r));
		return EXIT_REFUSED;
	}
	umask(077);
	return parent_main(argc, argv);
}
