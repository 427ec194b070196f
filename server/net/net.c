/*
 * The role "net": all that is privileged inside, by one capability.  It holds nothing that outlives it: the
 * devices are kept by warrend, the rest by the kernel, and so a plan goes on in force while there is no net.
 * A new one finds all as it was, and touches it when a plan comes that differs.
 *
 *	start ─► rights given up ─► closed rules ─► TUN handed up ─► READY
 *	NET_PLAN on "control" ─► reconcile ─► NET_STATE
 *	netlink event ─► settles for a moment ─► reconcile ─► NET_STATE if it says something else
 *	STOP ─► ends; forwarding and rules stay
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/rtnetlink.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/errors.h"
#include "base/log.h"
#include "server/net/reconcile.h"
#include "server/net/removal.h"
#include "server/proc/child.h"
#include "server/proc/loop.h"
#include "server/proc/roles.h"

#define SETTLE MILLISECONDS(50) /* events come in bursts */
#define RETRY  SECONDS(5)       /* what failed for reasons that may pass */

#define CONTROL    "control"
#define TUN_PREFIX "tun:"

struct net {
	struct child child;
	struct loop *loop;
	struct reconcile rc;
	int events, control; /* -1: not there */
	struct loop_io *parent_io, *events_io, *control_io;
	struct loop_timer *settle, *retry;
	pid_t remover; /* 0: none */
	int remover_fd;
	struct loop_io *remover_io;
	bool settling;
	bool owes;                   /* a state that the channel had no room for */
	struct net_plan *plan;       /* in force; NULL: none came yet */
	struct net_plan *next;       /* room for one that is being read */
	char refused[NET_ERROR_LEN]; /* why the newest plan is not in force; empty: it is */
	char *told;                  /* the last state, without its counts; NULL: none */
	struct message message;
};

/* -- rights ------------------------------------------------------------------------------------- */

/* -EPERM: this one right is not there. */
static int
rights_shed(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	const struct __user_cap_data_struct data[2] = {
		{BIT(CAP_NET_ADMIN), BIT(CAP_NET_ADMIN), BIT(CAP_NET_ADMIN)}};

	for (int cap = 0; cap < 64; cap++)
		if (cap != CAP_NET_ADMIN)
			prctl(PR_CAPBSET_DROP, cap, 0, 0,
			      0); /* where it may not be dropped, no_new_privs bars the way */
	return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

/* -- telling ------------------------------------------------------------------------------------ */

static void
control_close(struct net *net)
{
	loop_io_free(net->control_io);
	net->control_io = NULL;
	closep(&net->control);
	net->owes = false;
}

static int
state_text(const struct net *net, bool counted, char **ret)
{
	const struct net_view view = {.plan = net->plan,
				      .ruled = &net->rc.ruled,
				      .present = &net->rc.present,
				      .counters = net->rc.rules.counters,
				      .problems = &net->rc.problems};

	return state_make(&view, counted, ret);
}

/* What finds no room is owed: told when there is some, as it is then. */
static int
state_tell(struct net *net)
{
	_cleanup_(freep) char *text = NULL;
	int r;

	r = state_text(net, true, &text);
	if (r < 0)
		return r;
	r = channel_send(net->control, MESSAGE_NET_STATE, text, strlen(text), NULL, 0);
	net->owes = r == -EAGAIN;
	if (net->owes) /* and until then nothing more is read */
		return loop_io_events(net->control_io, EPOLLOUT);
	if (r == -ERR_CLOSED) {
		control_close(net);
		return 0;
	}
	if (r < 0)
		return r;
	free(take_ptr(net->told));
	return state_text(net, false, &net->told);
}

static int
state_tell_news(struct net *net)
{
	_cleanup_(freep) char *text = NULL;
	int r;

	if (net->control < 0 || net->owes)
		return 0;
	r = state_text(net, false, &text);
	if (r < 0 || (net->told && strcmp(text, net->told) == 0))
		return r;
	return state_tell(net);
}

/* -- devices that no plan has any more -------------------------------------------------------------- */

static bool
device_is_planned(const struct net *net, const char *ifname)
{
	for (size_t i = 0; i < net->plan->n_domains; i++)
		if (strcmp(net->plan->domains[i].ifname, ifname) == 0)
			return true;
	return false;
}

/* Those that are still there into @ret; those that are not, warrend is told of. */
static int
devices_condemn(struct net *net, struct removal *ret)
{
	struct net_devices *kept = &net->rc.kept;
	size_t n = 0;
	int r = 0;

	for (size_t i = 0; i < kept->n; i++) {
		const bool planned = device_is_planned(net, kept->v[i]);
		const bool there = present_link(&net->rc.present, kept->v[i]);

		if (r == 0 && !planned && there)
			r = removal_add(ret, kept->v[i]);
		if (r == 0 && !planned && !there) {
			log_info("%s: gone", kept->v[i]);
			r = child_send_tun_gone(&net->child, kept->v[i]);
			if (r == 0)
				continue;
		}
		memmove(kept->v[n++], kept->v[i], IFNAMSIZ);
	}
	kept->n = n;
	return r == -EAGAIN ? 0 : r; /* told after the next look */
}

static void on_removed(void *arg, int fd, uint32_t events, nsec_t now);

static void
devices_remove(struct net *net)
{
	struct removal removal = {0};
	int r;

	if (!net->plan || net->remover)
		return;
	r = devices_condemn(net, &removal);
	if (r == 0 && removal.n) {
		r = removal_start(&removal, &net->remover_fd);
		net->remover = r > 0 ? r : 0;
	}
	if (r > 0)
		r = loop_io_add(net->loop, net->remover_fd, EPOLLIN, on_removed, net, &net->remover_io);
	if (r < 0)
		log_error("devices that nobody wants stay, down: %s", error_words(r));
	removal_done(&removal);
}

/* -- plans -------------------------------------------------------------------------------------- */

static void
run(struct net *net, bool afresh, nsec_t now)
{
	struct net_problems *problems = &net->rc.problems;

	if (net->plan)
		reconcile_run(&net->rc, net->plan, afresh);
	else
		reconcile_look(&net->rc);
	loop_timer_set(net->retry, reconcile_unfinished(&net->rc) ? now + RETRY : NSEC_NEVER);
	if (*net->refused)
		net_problem_add(problems, NET_PROBLEM_PLAN_REFUSED, "%s", net->refused);
	devices_remove(net);
}

static void
on_removed(void *arg, int fd, uint32_t events, nsec_t now)
{
	struct net *net = arg;
	int status = 0;

	loop_io_free(net->remover_io);
	net->remover_io = NULL;
	closep(&net->remover_fd);
	(void)waitpid(net->remover, &status, 0);
	if (status) { /* and only then: so soon it would fail again */
		log_error("devices that nobody wants could not be deleted; next try in 5 s");
		loop_timer_set(net->retry, now + RETRY);
	}
	net->remover = 0;
	if (!status)
		run(net, false, now);
}

static void
problems_log(const struct net_problems *problems)
{
	for (size_t i = 0; i < problems->n; i++)
		log_error("%s: %s", net_problem_code(problems->v[i].problem), problems->v[i].words);
}

static int
plan_put(struct net *net)
{
	struct net_plan *former = net->plan;

	net->plan = net->next;
	net->next = former ? former : calloc(1, sizeof(*net->next));
	return net->next ? 0 : -ENOMEM;
}

static int
plan_take(struct net *net, nsec_t now)
{
	int r;

	r = net_plan_parse(net->next, net->message.body, net->message.len, net->refused);
	if (r == 0)
		r = plan_put(net);
	if (r < 0 && r != -ERR_INVALID)
		return r;
	run(net, true, now);
	problems_log(&net->rc.problems);
	return state_tell(net);
}

/* -- control ------------------------------------------------------------------------------------ */

static int
control_pay(struct net *net)
{
	int r = state_tell(net);

	if (r == 0 && net->control_io && !net->owes)
		r = loop_io_events(net->control_io, EPOLLIN);
	return r;
}

static int
control_read(struct net *net, nsec_t now)
{
	int r = channel_recv(net->control, MESSAGE_FROM_CONTROL, &net->message);

	if (r == -EAGAIN)
		return 0;
	if (r == -ERR_CLOSED) {
		control_close(net);
		return 0;
	}
	if (r == 0)
		r = plan_take(net, now);
	message_done(&net->message);
	return r;
}

/* Nonsense from control ends this process: the new one gets a new channel, and so does control. */
static void
on_control(void *arg, int fd, uint32_t events, nsec_t now)
{
	struct net *net = arg;
	int r = 0;

	if (net->owes && (events & EPOLLOUT))
		r = control_pay(net);
	else if (net->owes && (events & (EPOLLHUP | EPOLLERR)))
		control_close(net);
	else
		r = control_read(net, now);
	if (r < 0)
		loop_stop(net->loop, r);
}

/* Takes @fd.  The one before is dead. */
static int
control_set(struct net *net, int fd)
{
	int r;

	control_close(net);
	net->control = fd;
	free(take_ptr(net->told));
	r = fcntl(fd, F_GETFL);
	if (r < 0 || fcntl(fd, F_SETFL, r | O_NONBLOCK) < 0)
		return -errno;
	return loop_io_add(net->loop, fd, EPOLLIN, on_control, net, &net->control_io);
}

/* -- events ------------------------------------------------------------------------------------- */

static int
events_open(void)
{
	const struct sockaddr_nl sa = {.nl_family = AF_NETLINK,
				       .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR |
						    RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE};
	_cleanup_(closep) int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

	if (fd < 0 || bind(fd, (const struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -errno;
	return take_fd(&fd);
}

/* What happened is looked up afterwards, so it does not matter whether it was read, cut or lost (ENOBUFS). */
static void
on_events(void *arg, int fd, uint32_t events, nsec_t now)
{
	struct net *net = arg;
	char dropped[256];

	while (recv(fd, dropped, sizeof(dropped), MSG_TRUNC) >= 0 || errno == ENOBUFS || errno == EINTR)
		;
	if (!net->settling)
		loop_timer_set(net->settle, now + SETTLE);
	net->settling = true;
}

static void
on_settled(void *arg, nsec_t now)
{
	struct net *net = arg;
	int r;

	net->settling = false;
	if (!net->plan)
		return;
	run(net, false, now);
	r = state_tell_news(net);
	if (r < 0)
		loop_stop(net->loop, r);
}

static void
on_retry(void *arg, nsec_t now)
{
	struct net *net = arg;
	int r;

	run(net, true, now);
	r = state_tell_news(net);
	if (r < 0)
		loop_stop(net->loop, r);
}

/* -- warrend ------------------------------------------------------------------------------------ */

static void
on_parent(void *arg, int fd, uint32_t events, nsec_t now)
{
	struct net *net = arg;
	struct child_event event;
	int r = child_next(&net->child, &event);

	if (r == -EAGAIN)
		return;
	if (r == 0 && event.type == MESSAGE_STOP) {
		loop_stop(net->loop, 0);
		return;
	}
	if (r == 0 && event.type == MESSAGE_CHANNEL && strcmp(event.handed.name, CONTROL) == 0)
		r = control_set(net, take_fd(&event.handed.fd));
	else if (r == 0)
		closep(&event.handed.fd);
	if (r < 0)
		loop_stop(net->loop, r);
}

static int
keep_tun(void *arg, const char *ifname, const int *queues, size_t n)
{
	struct net *net = arg;

	return child_send_tun(&net->child, ifname, queues, n);
}

/* The devices that warrend keeps; the descriptors are the tunnel's business. */
static void
kept_take(struct net *net)
{
	struct net_devices *kept = &net->rc.kept;

	for (size_t i = 0; i < net->child.n_sockets; i++) {
		struct handed *handed = &net->child.sockets[i];
		const char *ifname = handed->name + strlen(TUN_PREFIX);

		closep(&handed->fd);
		if (strncmp(handed->name, TUN_PREFIX, strlen(TUN_PREFIX)) == 0 && strlen(ifname) < IFNAMSIZ &&
		    kept->n < ARRAY_LEN(kept->v) && !net_devices_have(kept, ifname))
			snprintf(kept->v[kept->n++], IFNAMSIZ, "%.15s", ifname);
	}
}

static int
net_watch(struct net *net)
{
	int r;

	net->events = events_open();
	if (net->events < 0)
		return net->events;
	r = loop_io_add(net->loop, net->events, EPOLLIN, on_events, net, &net->events_io);
	if (r == 0)
		r = loop_timer_new(net->loop, on_settled, net, &net->settle);
	if (r == 0)
		r = loop_timer_new(net->loop, on_retry, net, &net->retry);
	if (r == 0)
		r = loop_io_add(net->loop, net->child.parent, EPOLLIN, on_parent, net, &net->parent_io);
	return r;
}

static int
net_start(struct net *net)
{
	int r;

	r = child_start(&net->child, "net");
	if (r < 0)
		return r;
	log_init("net", net->child.config.log_level);
	r = rights_shed();
	if (r < 0) {
		log_error("CAP_NET_ADMIN is not there: %s", error_words(r));
		return r;
	}
	net->next = calloc(1, sizeof(*net->next));
	if (!net->next)
		return -ENOMEM;
	r = loop_new(&net->loop);
	if (r < 0)
		return r;
	r = reconcile_init(&net->rc, config_workers(&net->child.config), keep_tun, net);
	if (r < 0)
		return r;
	kept_take(net);
	r = net_watch(net);
	if (r < 0)
		return r;
	return reconcile_begin(&net->rc);
}

static int
net_run(struct net *net)
{
	int r = net_start(net);

	if (r < 0)
		return r;
	r = child_take_channel(&net->child, CONTROL);
	if (r >= 0)
		r = control_set(net, r);
	if (r < 0 && r != -ENOENT)
		return r;
	r = child_ready(&net->child);
	if (r < 0)
		return r;
	return loop_run(net->loop);
}

static void
net_free(struct net *net)
{
	control_close(net);
	loop_free(net->loop);
	closep(&net->events);
	closep(&net->remover_fd);
	reconcile_done(&net->rc);
	child_done(&net->child);
	free(net->plan);
	free(net->next);
	free(net->told);
	free(net);
}

int
net_main(void)
{
	struct net *net = calloc(1, sizeof(*net));
	int r;

	log_init("net", LOG_LEVEL_INFO);
	if (!net || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return 1;
	net->events = net->control = net->remover_fd = -1;
	r = net_run(net);
	if (r < 0)
		log_error("net ends: %s", error_words(r));
	net_free(net);
	return r < 0;
}
