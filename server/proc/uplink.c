/*
 * The role "uplink": pasta, joined to the inner namespaces.  Pasta finds these by the number of a
 * process inside that lets itself be looked at, and all of ours are non-dumpable.  So a witness is
 * forked: without a capability it enters, watches the inner routes, tells when pasta has configured
 * the link (a default route is there), and is gone.  It lives for moments, because another
 * process of this uid could enter the namespaces through it.
 *
 *	child_start() ─► witness inside ─► pasta executed ─► default route: READY ─► STOP or pasta's end
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/errors.h"
#include "base/log.h"
#include "server/proc/child.h"
#include "server/proc/isolation.h"
#include "server/proc/loop.h"
#include "server/proc/pasta.h"
#include "server/proc/roles.h"
#include "server/proc/spawn.h"

struct uplink {
	struct child child;
	struct namespaces ns;
	struct loop *loop;
	pid_t witness, pasta;
	bool stopping;
};

/* -- the witness -------------------------------------------------------------------------------- */

static int
routes_watch(void)
{
	const struct sockaddr_nl sa = {.nl_family = AF_NETLINK,
				       .nl_groups = RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE};
	_cleanup_(closep) int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0 || bind(fd, (const struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -errno;
	return take_fd(&fd);
}

static bool
is_default_route(const struct nlmsghdr *head)
{
	const struct rtmsg *route = NLMSG_DATA(head);

	return head->nlmsg_type == RTM_NEWROUTE && head->nlmsg_len >= NLMSG_LENGTH(sizeof(*route)) &&
	       route->rtm_dst_len == 0 && route->rtm_type == RTN_UNICAST;
}

static int
default_route_await(int fd)
{
	_Alignas(struct nlmsghdr) char buffer[16384];

	for (;;) {
		const ssize_t n = recv(fd, buffer, sizeof(buffer), 0);
		unsigned left = n < 0 ? 0 : (unsigned)n;

		if (n < 0 && errno != EINTR && errno != ENOBUFS)
			return -errno;
		for (struct nlmsghdr *head = (struct nlmsghdr *)buffer; NLMSG_OK(head, left);
		     head = NLMSG_NEXT(head, left))
			if (is_default_route(head))
				return 0;
	}
}

/* In the forked process; one byte on @ready says that it is inside. */
static _noreturn_ void
witness_main(const struct namespaces *ns, int ready, pid_t parent)
{
	int fd;

	/* it stays in our session: a kill of the group ends it too */
	close(CHILD_PARENT_FD);
	if (namespaces_enter(ns, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(2);
	fd = routes_watch();
	if (fd < 0 || prctl(PR_SET_DUMPABLE, 1) < 0 || write(ready, "", 1) != 1)
		_exit(2);
	_exit(default_route_await(fd) < 0 ? 1 : 0);
}

static int
witness_start(struct uplink *uplink)
{
	const pid_t parent = getpid();
	_cleanup_(closep) int in = -1;
	_cleanup_(closep) int out = -1;
	int fds[2];
	char byte;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	in = fds[0];
	out = fds[1];
	uplink->witness = fork();
	if (uplink->witness < 0)
		return -errno;
	if (uplink->witness == 0)
		witness_main(&uplink->ns, out, parent);
	closep(&out);
	return read(in, &byte, 1) == 1 ? 0 : -EPROTO;
}

/* -- pasta -------------------------------------------------------------------------------------- */

const char *
pasta_path(void)
{
	static const char *const paths[] = {"/usr/bin/pasta", "/usr/local/bin/pasta", "/bin/pasta"};

	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		if (access(paths[i], X_OK) == 0)
			return paths[i];
	return NULL;
}

static int
pasta_start(struct uplink *uplink)
{
	static const char *const env[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", NULL};
	const char *path = pasta_path();
	char pid[16];
	/*
	 * No port is forwarded either way; the gateway's address is not this host's loopback; the witness's
	 * end means nothing; the link does not take the name of the host's, which may be a name of ours
	 * (wg0).
	 */
	const char *const argv[] = {"pasta", "-q",     "-f", "--config-net", "--no-map-gw", "--no-netns-quit",
				    "-I",    "pasta0", "-t", "none",         "-u",          "none",
				    "-T",    "none",   "-U", "none",         pid,           NULL};
	const struct spawn spawn = {.path = path,
				    .argv = argv,
				    .env = env,
				    .parent_fd = -1,
				    .death_signal = SIGKILL,
				    .same_session = true};

	if (!path)
		return -ENOENT;
	snprintf(pid, sizeof(pid), "%d", (int)uplink->witness);
	return spawn_program(&spawn, &uplink->pasta);
}

static void
pasta_ended(struct uplink *uplink, int status)
{
	uplink->pasta = 0;
	if (uplink->stopping) {
		loop_stop(uplink->loop, 0);
		return;
	}
	log_error("pasta ended: %s %d; it needs a default route on this host and /dev/net/tun",
		  WIFSIGNALED(status) ? "signal" : "status",
		  WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	loop_stop(uplink->loop, -ECHILD);
}

static void
on_sigchld(void *arg, const struct signalfd_siginfo *info, nsec_t now)
{
	struct uplink *uplink = arg;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == uplink->pasta) {
			pasta_ended(uplink, status);
		} else if (pid == uplink->witness) {
			uplink->witness = 0;
			if (status != 0 || child_ready(&uplink->child) < 0)
				loop_stop(uplink->loop, -ECHILD);
		}
	}
}

static void
on_parent(void *arg, int fd, uint32_t events, nsec_t now)
{
	struct uplink *uplink = arg;
	struct child_event event;
	const int r = child_next(&uplink->child, &event);

	if (r == -EAGAIN)
		return;
	if (r == 0)
		closep(&event.handed.fd);
	if (r < 0 || !uplink->pasta) {
		loop_stop(uplink->loop, r);
	} else if (event.type == MESSAGE_STOP) {
		uplink->stopping = true;
		kill(uplink->pasta, SIGTERM);
	}
}

static int
uplink_run(struct uplink *uplink)
{
	struct loop_io *io;
	sigset_t set;
	int r;

	r = child_start(&uplink->child, "uplink");
	if (r < 0)
		return r;
	log_init("uplink", uplink->child.config.log_level);
	uplink->ns.user = child_take_socket(&uplink->child, NAMESPACE_USER);
	uplink->ns.net = child_take_socket(&uplink->child, NAMESPACE_NET);
	if (uplink->ns.user < 0 || uplink->ns.net < 0)
		return -ERR_MESSAGE;
	r = loop_new(&uplink->loop);
	if (r < 0)
		return r;
	r = loop_io_add(uplink->loop, uplink->child.parent, EPOLLIN, on_parent, uplink, &io);
	if (r < 0)
		return r;
	r = witness_start(uplink);
	if (r < 0)
		return r;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	r = loop_signals(uplink->loop, &set, on_sigchld, uplink);
	if (r < 0)
		return r;
	r = pasta_start(uplink);
	if (r < 0)
		return r;
	return loop_run(uplink->loop);
}

int
uplink_main(void)
{
	struct uplink *uplink = calloc(1, sizeof(*uplink));
	int r;

	log_init("uplink", LOG_LEVEL_INFO);
	if (!uplink)
		return 1;
	uplink->ns = (struct namespaces)NAMESPACES_NONE;
	r = uplink_run(uplink);
	if (r < 0)
		log_error("the uplink ends: %s", error_words(r));
	if (uplink->pasta > 0)
		kill(uplink->pasta, SIGTERM);
	if (uplink->witness > 0)
		kill(uplink->witness, SIGKILL);
	loop_free(uplink->loop);
	namespaces_done(&uplink->ns);
	child_done(&uplink->child);
	free(uplink);
	return r < 0;
}
