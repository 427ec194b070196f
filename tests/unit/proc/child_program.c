/*
 * A child of warrend for tests: executed by the supervisor as its own are, it lives as its first argument
 *says.
 *
 *	good      says what it was given on its log, is READY, ends at STOP
 *	device    hands a pipe up as the queue of a device (name: second argument) before READY
 *	flood     the same, a thousand times
 *	fleeting  the same, and says that it is gone
 *	brief     READY, and gone
 *	mute      never says HELLO
 *	wrong     says HELLO as somebody else
 *	garbage   sends what is no message
 *	impostor  sends what is not for a child to send
 *	deaf      READY; never reads what it is sent
 *	stubborn  READY; does not end at STOP
 *	parent    READY; leaves a grandchild in its group and one in a session of its own, both asleep
 *	silent    speaks nothing; ends at SIGTERM with a line in the log
 *
 * The log is the file named by CHILD_LOG: appended lines "ROLE what".
 */
#include "server/proc/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>

#include "base/errors.h"
#include "base/secrets.h"

static const char *role;

static void say(const char *format, ...) _printf_(1, 2);

static void
say(const char *format, ...)
{
	_cleanup_(closep) int fd = open(getenv("CHILD_LOG"), O_WRONLY | O_APPEND | O_CLOEXEC);
	char what[256], line[300];
	va_list ap;
	int n;

	va_start(ap, format);
	vsnprintf(what, sizeof(what), format, ap);
	va_end(ap);
	n = snprintf(line, sizeof(line), "%s %s\n", role, what);
	if (write(fd, line, (size_t)n) != n)
		_exit(99);
}

/* Whether the two ends lead to each other cannot be seen from one: the name is written through it. */
static void
greet(const struct handed *channel)
{
	if (send(channel->fd, role, strlen(role), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		say("cannot greet %s", channel->name);
}

static void
listen_to(struct handed *channel)
{
	char text[64];
	const ssize_t n = recv(channel->fd, text, sizeof(text) - 1, MSG_DONTWAIT);

	if (n > 0) {
		text[n] = '\0';
		say("hears %s on %s", text, channel->name);
	} else if (n == 0 || errno != EAGAIN) {
		closep(&channel->fd);
	}
}

static void
say_what_came(const struct child *child)
{
	say("port %u", child->config.listen_port);
	for (size_t i = 0; i < child->n_sockets; i++)
		say("socket %s", child->sockets[i].name);
	for (size_t i = 0; i < child->n_channels; i++)
		say("channel %s", child->channels[i].name);
	if (child->identity)
		say("identity %u", child->identity->b[0]);
}

static int
device_send(struct child *child, const char *name, int times)
{
	int fds[2], r = 0;

	if (pipe(fds) < 0 || write(fds[1], "x", 1) != 1)
		return -errno;
	while (times && r >= 0) {
		r = child_send_tun(child, name, fds, 1);
		if (r == -EAGAIN)
			r = poll(&(struct pollfd){.fd = child->parent, .events = POLLOUT}, 1, -1);
		else
			times--;
	}
	return r;
}

static void
grandchildren_leave(void)
{
	for (int own_session = 0; own_session < 2; own_session++)
		if (fork() == 0) {
			if (own_session)
				setsid();
			close(CHILD_PARENT_FD);
			say("grandchild %d", (int)getpid());
			for (;;)
				pause();
		}
}

#define CHANNELS_MAX 8

/* Until STOP; new channels replace those of the same name. */
static int
serve(struct child *child, bool stubborn)
{
	for (;;) {
		struct pollfd polls[CHANNELS_MAX + 1] = {{.fd = child->parent, .events = POLLIN}};
		struct child_event event;
		int r;

		for (size_t i = 0; i < child->n_channels; i++)
			polls[i + 1] = (struct pollfd){.fd = child->channels[i].fd, .events = POLLIN};
		if (poll(polls, child->n_channels + 1, -1) < 0)
			return -errno;
		for (size_t i = 0; i < child->n_channels; i++)
			if (polls[i + 1].revents)
				listen_to(&child->channels[i]);
		if (!polls[0].revents)
			continue;
		r = child_next(child, &event);
		if (r < 0)
			return r;
		if (event.type == MESSAGE_STOP) {
			say("STOP");
			if (!stubborn)
				return 0;
			continue;
		}
		say("later %s %s", message_name(event.type), event.handed.name);
		if (event.type == MESSAGE_CHANNEL)
			greet(&event.handed);
		for (size_t i = 0; i < child->n_channels; i++)
			if (event.type == MESSAGE_CHANNEL &&
			    strcmp(child->channels[i].name, event.handed.name) == 0) {
				closep(&child->channels[i].fd);
				child->channels[i].fd = take_fd(&event.handed.fd);
			}
	}
}

static int
speak(const char *way, const char *more)
{
	struct child child;
	int r;

	r = child_start(&child, strcmp(way, "wrong") == 0 ? "somebody" : role);
	if (r < 0)
		return r;
	say_what_came(&child);
	for (size_t i = 0; i < child.n_channels; i++)
		greet(&child.channels[i]);
	if (strcmp(way, "device") == 0 || strcmp(way, "flood") == 0 || strcmp(way, "fleeting") == 0) {
		r = device_send(&child, more, strcmp(way, "flood") == 0 ? 1000 : 1);
		if (r == 0 && strcmp(way, "fleeting") == 0)
			r = child_send_tun_gone(&child, more);
		if (r < 0)
			return r;
	}
	if (strcmp(way, "parent") == 0)
		grandchildren_leave();
	r = child_ready(&child);
	if (r < 0)
		return r;
	say("ready");
	if (strcmp(way, "brief") == 0)
		return 0;
	if (strcmp(way, "deaf") == 0)
		for (;;)
			pause();
	r = serve(&child, strcmp(way, "stubborn") == 0);
	child_done(&child);
	return r;
}

static int
silent(void)
{
	sigset_t set;
	int sig;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	say("executed");
	sigwait(&set, &sig);
	say("signal %d", sig);
	return 0;
}

/* role, way, more */
int
main(int argc, char *argv[])
{
	const char *way = argc > 2 ? argv[2] : "good";

	role = argv[1];
	if (process_harden() < 0)
		return 98;
	if (strcmp(way, "silent") == 0)
		return silent();
	if (strcmp(way, "mute") == 0) {
		say("mute");
		for (;;)
			pause();
	}
	if (strcmp(way, "garbage") == 0)
		return send(CHILD_PARENT_FD, "garbage", 7, 0) == 7 && pause();
	if (strcmp(way, "impostor") == 0)
		return channel_send(CHILD_PARENT_FD, MESSAGE_STOP, NULL, 0, NULL, 0) == 0 && pause();
	return speak(way, argc > 3 ? argv[3] : "") < 0;
}
