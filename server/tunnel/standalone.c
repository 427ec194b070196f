#include "server/tunnel/standalone.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/errors.h"
#include "base/log.h"
#include "base/secrets.h"
#include "server/proc/loop.h"
#include "server/proc/trouble.h"
#include "server/tunnel/netlink.h"
#include "server/tunnel/tunnel.h"
#include "server/wg/constants.h"

static const char usage[] =
	"usage: warren-tunnel [-f|--foreground] INTERFACE\n"
	"\n"
	"Makes the network interface INTERFACE and runs WireGuard on it, in the background unless told\n"
	"otherwise.  It is configured with wg(8) or wg-quick(8); removing " UAPI_DIRECTORY "/INTERFACE.sock\n"
	"or the interface ends it.\n"
	"\n"
	"  -f, --foreground  stay in the foreground\n"
	"      --help        print this\n"
	"      --version     print the version\n"
	"\n"
	"Environment:\n"
	"  LOG_LEVEL              silent, error (default), info, or debug (also: verbose)\n"
	"  WG_PROCESS_FOREGROUND  1: as -f\n"
	"  WG_TUN_FD              descriptor of an open TUN device to use\n"
	"  WG_UAPI_FD             descriptor of a listening Unix socket to take requests on\n"
	"  WARREN_AEAD            ipsec-mb, evp or sodium instead of the fastest\n"
	"  WARREN_WORKERS         threads that carry packets; 0 (default): one for each CPU\n"
	"For diagnosis:\n"
	"  WARREN_QUEUES          queues of the TUN device; 0 (default): one for each worker\n"
	"  WARREN_STEERING        off: the kernel's hash picks the worker of a datagram\n";

struct standalone {
	const char *name;
	bool foreground;
	int tun_fd, uapi_fd; /* from the environment; -1: none */
	int ready_fd;        /* the waiting parent; -1: none */
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	bool path_ours;
	struct tunnel_config config;
	unsigned n_tuns, queues; /* there are; to be opened at most */
	struct tun tuns[WG_WORKERS_MAX];
	struct loop *loop;
	struct tunnel *tunnel;
	int watch_fd;
	struct loop_io *watch_io;
};

static enum log_level
log_level(void)
{
	static const struct {
		const char *word;
		enum log_level level;
	} words[] = {
		{"silent", LOG_LEVEL_SILENT}, {"error", LOG_LEVEL_ERROR},   {"info", LOG_LEVEL_INFO},
		{"debug", LOG_LEVEL_DEBUG},   {"verbose", LOG_LEVEL_DEBUG},
	};
	const char *wish = getenv("LOG_LEVEL");

	for (size_t i = 0; wish && i < ARRAY_LEN(words); i++)
		if (strcmp(wish, words[i].word) == 0)
			return words[i].level;
	return LOG_LEVEL_ERROR;
}

/* -1: not given. */
static int
descriptor(const char *variable, struct trouble *t, int *ret)
{
	const char *text = getenv(variable);
	char *end;
	long n;

	*ret = -1;
	if (!text || !*text)
		return 0;
	errno = 0;
	n = strtol(text, &end, 10);
	if (errno || *end || n < 0 || n > INT_MAX || fcntl((int)n, F_GETFD) < 0)
		return trouble(t, -EBADF, "%s=%s is not the number of an open descriptor", variable, text);
	*ret = (int)n;
	return 0;
}

/* A file that nobody listens on was left behind by a process that was killed. */
static bool
stale(const struct sockaddr_un *sa)
{
	_cleanup_(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd >= 0 && connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) < 0 && errno == ECONNREFUSED;
}

static int
bind_path(int fd, const struct sockaddr_un *sa)
{
	const mode_t mask = umask(0177);
	int r = bind(fd, (const struct sockaddr *)sa, sizeof(*sa)) < 0 ? -errno : 0;

	if (r == -EADDRINUSE && stale(sa) && unlink(sa->sun_path) == 0)
		r = bind(fd, (const struct sockaddr *)sa, sizeof(*sa)) < 0 ? -errno : 0;
	umask(mask);
	return r;
}

static int
uapi_open(struct standalone *s, struct trouble *t)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	_cleanup_(closep) int fd = -1;
	int r;

	if (mkdir(UAPI_DIRECTORY, 0755) < 0 && errno != EEXIST)
		return trouble(t, -errno,
			       "%s cannot be made: %s; wg(8) looks for the socket there, so start as a user "
			       "who may write to it",
			       UAPI_DIRECTORY, strerror(errno));
	snprintf(s->path, sizeof(s->path), "%s/%s.sock", UAPI_DIRECTORY, s->tuns[0].name);
	memcpy(sa.sun_path, s->path, sizeof(s->path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	r = fd < 0 ? -errno : bind_path(fd, &sa);
	if (r == -EADDRINUSE)
		return trouble(
			t, r,
			"%s is in use: another program serves that interface; end it, or choose another name",
			s->path);
	if (r == 0) {
		s->path_ours = true;
		r = listen(fd, SOMAXCONN) < 0 ? -errno : 0;
	}
	if (r < 0)
		return trouble(t, r, "%s cannot be listened on: %s", s->path, strerror(-r));
	return take_fd(&fd);
}

/* Removal of the file ends the program. */
static void
file_changed(void *arg, int fd, uint32_t events, nsec_t now)
{
	_Alignas(struct inotify_event) char buffer[4096];
	struct standalone *s = arg;

	while (read(fd, buffer, sizeof(buffer)) > 0)
		continue;
	if (access(s->path, F_OK) < 0 && errno == ENOENT) {
		s->path_ours = false;
		loop_stop(s->loop, 0);
	}
}

static int
file_watch(struct standalone *s)
{
	s->watch_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (s->watch_fd < 0 || inotify_add_watch(s->watch_fd, UAPI_DIRECTORY, IN_DELETE | IN_MOVED_FROM) < 0)
		return -errno;
	return loop_io_add(s->loop, s->watch_fd, EPOLLIN, file_changed, s, &s->watch_io);
}

static int
interface_adopt(struct standalone *s, struct trouble *t)
{
	const int r = tun_adopt(&s->tuns[0], s->tun_fd, t);

	if (r == 0)
		s->n_tuns = tun_more(s->tuns, s->queues);
	return r;
}

static int
interface_open(struct standalone *s, struct trouble *t)
{
	int r;

	if (s->tun_fd >= 0)
		return interface_adopt(s, t);
	r = tun_open(s->tuns, s->queues, s->name, t);
	if (r < 0)
		return r;
	s->n_tuns = (unsigned)r;
	r = tun_mtu_set(&s->tuns[0], TUN_MTU);
	if (r < 0 && r != -EPERM) /* a device of root's that was lent to us keeps its own */
		return trouble(t, r, "the MTU of interface %s cannot be set: %s", s->tuns[0].name,
			       error_words(r));
	if (tun_queue_set(&s->tuns[0], TUN_QUEUE) < 0)
		log_info("the queue of interface %s is as short as it was", s->tuns[0].name);
	return 0;
}

/* The parent leaves when the child serves.  Returns 0 in the child, 1 in the parent with @status. */
static int
daemonise(struct standalone *s, int *status)
{
	int pipe_fds[2], null;
	char ready = 0;
	pid_t pid;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid > 0) {
		close(pipe_fds[1]);
		*status = read(pipe_fds[0], &ready, 1) == 1 ? EXIT_SUCCESS : EXIT_FAILURE;
		return 1;
	}
	close(pipe_fds[0]);
	s->ready_fd = pipe_fds[1];
	setsid();
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (chdir("/") < 0 || null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
		return -errno;
	close(null);
	return 0;
}

/* The parent is told, and the terminal is let go unless somebody asked for a log. */
static int
ready_tell(struct standalone *s)
{
	if (s->ready_fd < 0)
		return 0;
	if (!getenv("LOG_LEVEL") && dup2(STDOUT_FILENO, STDERR_FILENO) < 0)
		return -errno;
	if (write(s->ready_fd, "", 1) != 1)
		return -errno;
	closep(&s->ready_fd);
	return 0;
}

static void
interface_gone(void *ctx)
{
	struct standalone *s = ctx;

	log_info("interface %s was deleted", s->tuns[0].name);
	loop_stop(s->loop, 0);
}

static void
signalled(void *arg, const struct signalfd_siginfo *info, nsec_t now)
{
	struct standalone *s = arg;

	loop_stop(s->loop, 0);
}

static int
signals_take(struct standalone *s)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	return loop_signals(s->loop, &set, signalled, s);
}

/* An interface may have a name that is none for a domain; nobody asks for it here. */
static const char *
domain_of(const struct standalone *s)
{
	return uapi_domain_is_name(s->name) ? s->name : "interface";
}

/* They are the tunnel's then. */
static int
queues_give(struct standalone *s)
{
	int r = 0;

	for (unsigned i = 0; i < s->n_tuns; i++) {
		const int given = tunnel_tun_add(s->tunnel, domain_of(s), LINK_OPEN, &s->tuns[i]);

		r = r < 0 ? r : given;
	}
	s->n_tuns = 0;
	return r;
}

static int
tunnel_make(struct standalone *s, int uapi)
{
	int r, routes;

	s->config.gone = interface_gone;
	s->config.ctx = s;
	r = loop_new(&s->loop);
	if (r == 0)
		r = signals_take(s);
	if (r == 0)
		r = tunnel_new(s->loop, &s->config, &s->tunnel);
	if (r == 0)
		r = tunnel_start(s->tunnel);
	if (r < 0)
		return r;
	routes = netlink_open(false, true);
	r = routes < 0 ? routes : tunnel_routes_set(s->tunnel, routes);
	if (r == 0)
		r = queues_give(s);
	if (r < 0)
		return r;
	r = tunnel_listen(s->tunnel, uapi, domain_of(s));
	if (r == 0 && s->path_ours)
		r = file_watch(s);
	return r;
}

static int
serve(struct standalone *s, struct trouble *t, int *status)
{
	int r, uapi;

	r = interface_open(s, t);
	if (r < 0)
		return r;
	uapi = s->uapi_fd >= 0 ? s->uapi_fd : uapi_open(s, t);
	if (uapi < 0)
		return uapi;
	if (!s->foreground) {
		r = daemonise(s, status);
		if (r > 0) {
			s->path_ours = false;
			return 0;
		}
		if (r < 0)
			return trouble(t, r, "cannot go to the background: %s", error_words(r));
	}
	r = tunnel_make(s, uapi);
	if (r == 0)
		r = ready_tell(s);
	if (r < 0)
		return trouble(t, r, "cannot begin: %s", error_words(r));
	r = loop_run(s->loop);
	return r < 0 ? trouble(t, r, "ends: %s", error_words(r)) : 0;
}

/* -EINVAL: the usage is to be shown.  1: that was all. */
static int
arguments(struct standalone *s, int argc, char *argv[])
{
	const char *foreground = getenv("WG_PROCESS_FOREGROUND");

	s->foreground = foreground && strcmp(foreground, "1") == 0;
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			fputs(usage, stdout);
			return 1;
		}
		if (strcmp(argv[i], "--version") == 0) {
			puts("warren-tunnel " WARREN_VERSION);
			return 1;
		}
		if (strcmp(argv[i], "-f") == 0 || strcmp(argv[i], "--foreground") == 0)
			s->foreground = true;
		else if (argv[i][0] == '-' || s->name)
			return -EINVAL;
		else
			s->name = argv[i];
	}
	return s->name ? 0 : -EINVAL;
}

static void
standalone_done(struct standalone *s)
{
	loop_io_free(s->watch_io);
	tunnel_free(s->tunnel);
	loop_free(s->loop);
	closep(&s->watch_fd);
	for (unsigned i = 0; i < s->n_tuns; i++)
		tun_close(&s->tuns[i]);
	if (s->path_ours)
		unlink(s->path);
}

int
standalone_main(int argc, char *argv[])
{
	static struct standalone s = {.tun_fd = -1, .uapi_fd = -1, .ready_fd = -1, .watch_fd = -1};
	struct trouble t = {0};
	int r, status = EXIT_SUCCESS;

	log_init("warren-tunnel", log_level());
	r = arguments(&s, argc, argv);
	if (r != 0) {
		if (r < 0)
			fputs(usage, stderr);
		return r < 0 ? 2 : EXIT_SUCCESS;
	}
	r = process_harden();
	if (r < 0)
		trouble(&t, r, "secrets cannot be protected: %s", error_words(r));
	if (r == 0)
		r = tunnel_environment(&s.config, &s.queues, &t);
	if (r == 0)
		r = descriptor("WG_TUN_FD", &t, &s.tun_fd);
	if (r == 0)
		r = descriptor("WG_UAPI_FD", &t, &s.uapi_fd);
	if (r == 0)
		r = serve(&s, &t, &status);
	if (r < 0)
		log_error("%s", t.text);
	standalone_done(&s);
	return r < 0 ? EXIT_FAILURE : status;
}
