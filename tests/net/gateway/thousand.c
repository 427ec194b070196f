/*
 * A supervisor as warrend has it, with a net that makes far more devices than its rules could hold, and the
 * tunnel as it is.  thousand TUNNEL-PROGRAM DEVICES QUEUES prints how long each part takes, a line "WHAT
 * MILLISECONDS" each. Executed by the supervisor as "net" it is that one.
 */
#include <errno.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/errors.h"
#include "base/log.h"
#include "server/net/devices.h"
#include "server/net/removal.h"
#include "server/proc/child.h"
#include "server/proc/supervise.h"

#define PATIENCE SECONDS(120)

struct rig {
	struct loop *loop;
	struct supervisor *s;
	struct namespaces ns;
	size_t devices;
	bool stopped;
};

static const char *queues_text;

/* -- net ---------------------------------------------------------------------------------------- */

static int
device_send(struct child *child, size_t i, size_t n_queues)
{
	char ifname[IFNAMSIZ + 8];
	int queues[MESSAGE_FDS_MAX], r;

	snprintf(ifname, sizeof(ifname), "wg%u", (unsigned)i);
	r = tun_open_queues(ifname, queues, n_queues);
	if (r < 0)
		return r;
	while ((r = child_send_tun(child, ifname, queues, n_queues)) == -EAGAIN || r == -ETOOMANYREFS)
		(void)poll(&(struct pollfd){.fd = child->parent, .events = POLLOUT}, 1, 10);
	for (size_t k = 0; k < n_queues; k++)
		closep(&queues[k]);
	return r;
}

static int
net(size_t n, size_t n_queues)
{
	struct child child;
	struct child_event event;
	int r = child_start(&child, "net");

	for (size_t i = 0; r == 0 && i < n; i++)
		r = device_send(&child, i, n_queues);
	if (r == 0)
		r = child_ready(&child);
	while (r == 0 && poll(&(struct pollfd){.fd = child.parent, .events = POLLIN}, 1, -1) == 1) {
		r = child_next(&child, &event);
		if (r == 0 && event.type == MESSAGE_STOP)
			break;
		if (r == 0)
			closep(&event.handed.fd);
	}
	child_done(&child);
	return r < 0;
}

/* -- the rest ----------------------------------------------------------------------------------- */

static int
on_config(void *arg, const char *role, char *out, size_t len)
{
	return snprintf(out, len, "WARREN_LOG_LEVEL=error\nWARREN_WORKERS=%s\n", queues_text);
}

static void
on_device(void *arg, const char *ifname, bool there)
{
	((struct rig *)arg)->devices++;
}

static void
on_ready(void *arg, nsec_t now)
{
}

static void
on_stopped(void *arg, nsec_t now)
{
	((struct rig *)arg)->stopped = true;
}

static void
on_signal(void *arg, const struct signalfd_siginfo *info, nsec_t now)
{
	supervisor_reap(((struct rig *)arg)->s, now);
}

static bool
tunnel_ready(const struct rig *rig)
{
	return supervisor_is_ready(rig->s, "tunnel") && supervisor_is_ready(rig->s, "net");
}

static bool
all_over(const struct rig *rig)
{
	return rig->stopped;
}

/* How long it took, in words. */
static void
until(struct rig *rig, bool (*done)(const struct rig *rig), const char *what, nsec_t began)
{
	while (!done(rig)) {
		if (loop_turn(rig->loop, clock_boottime() + SECONDS(1)) < 0 ||
		    clock_boottime() - began > PATIENCE) {
			fprintf(stderr, "waited in vain for %s\n", what);
			exit(1);
		}
	}
	printf("%s %lld\n", what, (long long)((clock_boottime() - began) / MILLISECONDS(1)));
	fflush(stdout);
}

static int
bury(struct rig *rig)
{
	struct kept devices = {0};
	struct removal removal = {0};
	const nsec_t began = clock_boottime();
	int status;
	pid_t pid;

	if (supervisor_release(rig->s, "tun:*", &devices) < 0)
		return 1;
	for (size_t i = 0; i < devices.n; i++)
		if ((i == 0 || strcmp(devices.v[i].name, devices.v[i - 1].name) != 0) &&
		    removal_add(&removal, devices.v[i].name + 4) < 0)
			return 1;
	pid = fork();
	if (pid == 0)
		_exit(namespaces_enter(&rig->ns, 1ULL << CAP_NET_ADMIN) < 0 || removal_run(&removal) < 0);
	kept_done(&devices);
	printf("closed %lld\n", (long long)((clock_boottime() - began) / MILLISECONDS(1)));
	if (waitpid(pid, &status, 0) != pid || status)
		return 1;
	printf("deleted %lld\n", (long long)((clock_boottime() - began) / MILLISECONDS(1)));
	removal_done(&removal);
	return 0;
}

static int
rig_make(struct rig *rig, const struct role roles[2])
{
	const struct supervisor_events events = {.arg = rig,
						 .config = on_config,
						 .device = on_device,
						 .all_ready = on_ready,
						 .stopped = on_stopped};
	static struct private_key identity = {{42}};
	struct trouble t;
	sigset_t set;
	int r;

	r = namespaces_make(&rig->ns, &t);
	if (r < 0) {
		fprintf(stderr, "%s\n", t.text);
		return r;
	}
	r = loop_new(&rig->loop);
	if (r == 0)
		r = supervisor_new(&rig->s, rig->loop, &rig->ns, &events);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	if (r == 0)
		r = loop_signals(rig->loop, &set, on_signal, rig);
	if (r < 0)
		return r;
	supervisor_identity(rig->s, &identity);
	for (size_t i = 0; r == 0 && i < 2; i++)
		r = supervisor_add(rig->s, &roles[i]);
	return r;
}

int
main(int argc, char *argv[])
{
	const struct rlimit files = {1U << 17, 1U << 17};
	struct rig rig = {.ns = NAMESPACES_NONE};
	nsec_t began;

	log_init("thousand", LOG_LEVEL_ERROR);
	if (argc == 2 && strcmp(argv[1], "holder") == 0)
		return holder_main();
	if (argc == 4 && strcmp(argv[1], "net") == 0)
		return net((size_t)atoi(argv[2]), (size_t)atoi(argv[3]));
	if (argc != 4)
		return 2;
	(void)setrlimit(RLIMIT_NOFILE, &files);
	queues_text = argv[3];
	const char *const net_argv[] = {"thousand", "net", argv[2], argv[3], NULL};
	const char *const tunnel_argv[] = {"warren-tunnel", "--managed", NULL};
	const char *const env[] = {NULL};
	const struct role roles[2] = {{.name = "net",
				       .path = "/proc/self/exe",
				       .argv = net_argv,
				       .env = env,
				       .inside = true,
				       .caps = 1ULL << CAP_NET_ADMIN,
				       .sends_tun = true,
				       .stop_limit = SECONDS(20)},
				      {.name = "tunnel",
				       .path = argv[1],
				       .argv = tunnel_argv,
				       .env = env,
				       .inside = true,
				       .identity = true,
				       .sockets = "tun:*",
				       .after = "net",
				       .stop_step = 1,
				       .stop_limit = SECONDS(60)}};
	if (rig_make(&rig, roles) < 0)
		return 1;
	began = clock_boottime();
	supervisor_start(rig.s);
	until(&rig, tunnel_ready, "ready", began);
	began = clock_boottime();
	kill(supervisor_pid(rig.s, "tunnel"), SIGKILL);
	while (supervisor_is_ready(rig.s, "tunnel"))
		if (loop_turn(rig.loop, clock_boottime() + SECONDS(1)) < 0)
			return 1;
	until(&rig, tunnel_ready, "restart", began);
	began = clock_boottime();
	supervisor_stop(rig.s, began);
	until(&rig, all_over, "stop", began);
	if (rig.devices != (size_t)atoi(argv[2]) || bury(&rig))
		return 1;
	supervisor_free(rig.s);
	loop_free(rig.loop);
	namespaces_done(&rig.ns);
	return 0;
}
