/*
 * The role "control": joins server/control, which knows no HTTP, and web, which knows control.
 *
 * In order: what warrend hands over; the loop and its signals, before any thread; control with the feed's
 * thread; the web with its workers; READY when the database was read, so that whoever is told can add a peer,
 * or when it took too long: the status then says what is wrong.  At STOP in reverse: no new requests, who
 * waits is woken, what was seen is written down, handlers end, the rest is freed.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/errors.h"
#include "base/log.h"
#include "server/control/control.h"
#include "server/proc/child.h"
#include "server/proc/loop.h"
#include "server/proc/roles.h"
#include "server/tunnel/rungs.h"
#include "server/wg/drops.h"
#include "web/http.h"

#define SERVING_LIMIT SECONDS(5) /* how long READY waits for the database */

struct role_control {
	struct child child;
	struct loop *loop;
	struct control *control;
	struct http *http;
	struct loop_io *parent;
	struct loop_timer *late;
	bool ready, stopping;
};

static const char *
drop_words(const char *name)
{
	for (int i = 1; i < WG_DROP_COUNT; i++)
		if (strcmp(name, wg_drop_name((enum wg_drop)i)) == 0)
			return wg_drop_words((enum wg_drop)i);
	return "a reason that this version does not know";
}

static void
rung_words_of(const char *name, const char **cost, const char **remedy)
{
	const struct rung_words *words = rung_by_name(name);

	*cost = words ? words->cost : "this version does not know it";
	*remedy = words ? words->remedy : "";
}

static void
on_broken(void *arg, const char *what)
{
	struct role_control *role = arg;

	loop_stop(role->loop, EXIT_FAILURE); /* warrend starts us anew, with new channels */
}

static void
ready(struct role_control *role)
{
	int r;

	if (role->ready)
		return;
	role->ready = true;
	loop_timer_set(role->late, NSEC_NEVER);
	r = child_ready(&role->child);
	if (r < 0) {
		log_error("parent=lost: %s", error_words(r));
		loop_stop(role->loop, EXIT_FAILURE);
	}
}

static void
on_serving(void *arg, nsec_t now)
{
	ready(arg);
}

static void
on_late(void *arg, nsec_t now)
{
	log_error("database=late: going on without it; `warren status` says why");
	ready(arg);
}

static void
on_stopped(void *arg, bool written)
{
	struct role_control *role = arg;

	loop_stop(role->loop, written ? EXIT_SUCCESS : EXIT_FAILURE);
}

static void
stop(struct role_control *role, nsec_t now)
{
	if (role->stopping)
		return;
	role->stopping = true;
	http_close(role->http);
	control_stop(role->control, now);
}

static void
on_parent(void *arg, int fd, uint32_t events, nsec_t now)
{
	struct role_control *role = arg;
	struct child_event event;
	int r;

	while ((r = child_next(&role->child, &event)) == 0) {
		if (event.type == MESSAGE_CHANNEL)
			control_channel(role->control, event.handed.name, event.handed.fd, now);
		else if (event.type == MESSAGE_STOP)
			stop(role, now);
		else
			closep(&event.handed.fd);
	}
	if (r == -EAGAIN)
		return;
	log_error("parent=lost: %s", error_words(r));
	loop_stop(role->loop, EXIT_FAILURE);
}

static void
on_signal(void *arg, const struct signalfd_siginfo *info, nsec_t now)
{
	stop(arg, now);
}

static int
signals(struct role_control *role)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	return loop_signals(role->loop, &set, on_signal, role);
}

static int
listen_on(struct role_control *role, const char *name, enum door_kind kind)
{
	int fd, n = 0;

	while ((fd = child_take_socket(&role->child, name)) >= 0) {
		const int r = http_listen(role->http, fd, kind);

		if (r < 0)
			return r;
		n++;
	}
	log_debug("listens on=%s sockets=%d", name, n);
	return 0;
}

static void
take_channels(struct role_control *role)
{
	static const char *const names[] = {"tunnel", "tunnel-watch", "net"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const int fd = child_take_channel(&role->child, names[i]);

		if (fd >= 0)
			control_channel(role->control, names[i], fd, loop_now(role->loop));
	}
}

static int
begin(struct role_control *role)
{
	struct control_setup setup = {
		.config = &role->child.config,
		.words = {drop_words, rung_words_of},
		.broken = on_broken,
		.serving = on_serving,
		.stopped = on_stopped,
		.arg = role,
	};
	int r;

	r = loop_new(&role->loop);
	if (r == 0)
		r = signals(role);
	if (r < 0)
		return r;
	setup.loop = role->loop;
	r = loop_timer_new(role->loop, on_late, role, &role->late);
	if (r == 0)
		r = control_new(&role->control, &setup);
	if (r == 0)
		r = http_new(&role->http, role->control, role->loop);
	if (r == 0)
		r = listen_on(role, "http", DOOR_WEB);
	if (r == 0)
		r = listen_on(role, "admin", DOOR_ADMIN);
	if (r == 0)
		r = listen_on(role, "metrics", DOOR_METRICS);
	if (r == 0)
		r = loop_io_add(role->loop, role->child.parent, EPOLLIN, on_parent, role, &role->parent);
	if (r < 0)
		return r;
	take_channels(role);
	if (role->child.config.database_url[0])
		loop_timer_set(role->late, loop_now(role->loop) + SERVING_LIMIT);
	else
		ready(role); /* there is nothing to wait for */
	return 0;
}

/*
 * After a failure the other threads may be anywhere: only an orderly stop takes everything apart, else
 * the end of the process does.
 */
static void
end(struct role_control *role)
{
	http_free(role->http);
	loop_io_free(role->parent);
	loop_timer_free(role->late);
	control_free(role->control);
	loop_free(role->loop);
}

int
control_main(void)
{
	static struct role_control role;
	int r;

	r = child_start(&role.child, "control");
	if (r == 0)
		log_init("control", role.child.config.log_level);
	if (r == 0)
		r = begin(&role);
	if (r < 0) {
		log_error("control=cannot begin: %s", error_words(r));
		_exit(EXIT_FAILURE);
	}
	r = loop_run(role.loop);
	if (r != EXIT_SUCCESS)
		_exit(EXIT_FAILURE);
	end(&role);
	child_done(&role.child);
	return EXIT_SUCCESS;
}
