/*
 * Theory of operation.  Every child is its own small machine (the drawing is in supervise.h).  A child's
 * parent channel is non-blocking here: one that does not read what it is sent is stuck, and killed.
 * Death is seen by SIGCHLD alone; an end of file on the channel of a living child is nonsense, and it
 * is killed too.  So there is one way back to DOWN, instance_ended().
 */
#include "server/proc/instance.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/bytes.h"
#include "base/errors.h"
#include "base/log.h"
#include "server/proc/handover.h"
#include "server/proc/spawn.h"

static const struct {
	const char *words;
	unsigned next;
} states[] = {
#define X(name, words, next) [CHILD_##name] = {words, next},
	CHILD_STATES(X)
#undef X
};

static void
child_move(struct instance *child, enum child_state next)
{
	assert(states[child->state].next & BIT(next));
	log_debug("child=%s pid=%d state=%s", child->role->name, (int)child->pid, states[next].words);
	child->state = next;
}

bool
instance_has_begun(const struct instance *child)
{
	return child->state == CHILD_BEGUN || child->state == CHILD_READY;
}

void
instance_kill(struct instance *child, int r, const char *why)
{
	assert(child->pid > 0);
	log_error("child=%s pid=%d is killed: %s: %s", child->role->name, (int)child->pid, why,
		  error_words(r));
	kill(child->pid, SIGKILL);
	loop_io_free(child->io);
	child->io = NULL;
}

/* -- what it is sent ------------------------------------------------------------------------------ */

static void
outgoing_free(struct outgoing *message)
{
	closep(&message->fd);
	bytes_wipe(message->body, message->len);
	free(message);
}

void
instance_outgoing_drop(struct instance *child)
{
	while (child->first) {
		struct outgoing *message = child->first;

		child->first = message->next;
		outgoing_free(message);
	}
	child->last = &child->first;
	child->n_outgoing = 0;
}

static int
outgoing_add(struct instance *child, enum message_type type, const void *body, size_t len, int fd)
{
	struct outgoing *message;

	if (child->n_outgoing == OUTGOING_MAX)
		return -EAGAIN;
	message = malloc(sizeof(*message) + len);
	if (!message)
		return -ENOMEM;
	*message = (struct outgoing){.type = type, .fd = -1, .len = len};
	if (len)
		memcpy(message->body, body, len);
	if (fd >= 0)
		message->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (fd >= 0 && message->fd < 0) {
		const int r = -errno;

		outgoing_free(message);
		return r;
	}
	*child->last = message;
	child->last = &message->next;
	child->n_outgoing++;
	return 0;
}

static int
message_send(const struct instance *child, enum message_type type, const void *body, size_t len, int fd)
{
	return channel_send(child->channel, type, body, len, &fd, fd >= 0 ? 1 : 0);
}

/* The timer is the child's that does not read; while it stops there is a limit already. */
static void
outgoing_wait(struct instance *child)
{
	if (child->state != CHILD_STOPPING)
		loop_timer_set(child->timer,
			       child->first ? loop_now(child->s->loop) + HURRY_LIMIT : NSEC_NEVER);
}

int
instance_send(struct instance *child, enum message_type type, const void *body, size_t len, int fd)
{
	int r = child->first ? -EAGAIN : message_send(child, type, body, len, fd);

	if (r != -EAGAIN)
		return r;
	r = outgoing_add(child, type, body, len, fd);
	if (r < 0 || child->n_outgoing > 1)
		return r;
	outgoing_wait(child);
	return child->io ? loop_io_events(child->io, EPOLLIN | EPOLLOUT) : -ERR_CLOSED;
}

static int
outgoing_flush(struct instance *child)
{
	int r = 0;

	while (child->first) {
		struct outgoing *message = child->first;

		r = message_send(child, message->type, message->body, message->len, message->fd);
		if (r < 0)
			break;
		child->first = message->next;
		if (!child->first)
			child->last = &child->first;
		child->n_outgoing--;
		outgoing_free(message);
	}
	outgoing_wait(child);
	if (r == -EAGAIN)
		return 0;
	return r < 0 ? r : loop_io_events(child->io, EPOLLIN);
}

/* -- what it says --------------------------------------------------------------------------------- */

static int
on_hello(struct instance *child)
{
	int r;

	if (child->state != CHILD_UP || strcmp(child->s->message.body, child->role->name) != 0)
		return -ERR_MESSAGE;
	loop_timer_set(child->timer, NSEC_NEVER);
	r = handover(child);
	if (r < 0)
		return r;
	child_move(child, CHILD_BEGUN);
	return 0;
}

static void
announce(struct supervisor *s, nsec_t now)
{
	if (s->announced || s->stopping)
		return;
	for (size_t i = 0; i < s->n_instances; i++) {
		const struct instance *child = &s->instances[i];

		if (child->state != CHILD_READY && !(child->role->optional && child->backoff))
			return;
	}
	s->announced = true;
	s->events.all_ready(s->events.arg, now);
}

static bool
child_is_due(const struct instance *child, nsec_t now)
{
	const struct role *role = child->role;

	if (role->needs && !kept_has(&child->s->kept, role->needs))
		return false;
	for (size_t i = 0; role->after && i < child->s->n_instances; i++) {
		const struct instance *other = &child->s->instances[i];

		if (strcmp(other->role->name, role->after) == 0)
			return other->proven || other->backoff || now - child->s->started_at >= AFTER_LIMIT;
	}
	return true;
}

/* Those that waited for something else, not for their own back-off. */
static void
waiting_start(struct supervisor *s, nsec_t now)
{
	for (size_t i = 0; i < s->n_instances; i++) {
		struct instance *child = &s->instances[i];

		if (child->state == CHILD_DOWN && !child->backoff &&
		    (child->role->needs || child->role->after))
			instance_start(child, now);
	}
}

static void
child_is_ready(struct instance *child, nsec_t now)
{
	child_move(child, CHILD_READY);
	child->ready_at = now;
	child->proven = true;
	waiting_start(child->s, now);
	announce(child->s, now);
}

static int
on_ready(struct instance *child, nsec_t now)
{
	if (child->state != CHILD_BEGUN)
		return -ERR_MESSAGE;
	child_is_ready(child, now);
	return 0;
}

static int
on_message(struct instance *child, nsec_t now)
{
	switch (child->s->message.type) {
	case MESSAGE_HELLO:
		return on_hello(child);
	case MESSAGE_READY:
		return on_ready(child, now);
	case MESSAGE_TUN:
		return handover_tun(child, now);
	case MESSAGE_TUN_GONE:
		return handover_tun_gone(child);
	default:
		return -ERR_MESSAGE;
	}
}

static void
on_channel(void *arg, int fd, uint32_t events, nsec_t now)
{
	struct instance *child = arg;
	struct message *message = &child->s->message;
	int r;

	if (events & EPOLLOUT) {
		r = outgoing_flush(child);
		if (r < 0 && child->state != CHILD_STOPPING) {
			instance_kill(child, r, "it does not take what is its");
			return;
		}
	}
	r = channel_recv(fd, MESSAGE_FROM_CHILD, message);
	if (r == -EAGAIN)
		return;
	if (child->state == CHILD_STOPPING) { /* what it still says does not matter; SIGCHLD is next */
		message_done(message);
		if (r < 0) {
			loop_io_free(child->io);
			child->io = NULL;
		}
		return;
	}
	if (r == 0)
		r = on_message(child, now);
	message_done(message);
	if (r == -ERR_CLOSED) { /* it is ending: SIGCHLD is next; if it is not, it is stuck */
		loop_io_free(child->io);
		child->io = NULL;
		loop_timer_set(child->timer, now + HURRY_LIMIT);
	} else if (r < 0) {
		instance_kill(child, r, "nonsense on its channel");
	}
}

static int
child_execute(struct instance *child)
{
	const struct role *role = child->role;
	_cleanup_(closep) int ours = -1;
	_cleanup_(closep) int theirs = -1;
	int pair[2], r;
	struct spawn spawn = {
		.path = role->path,
		.argv = role->argv,
		.env = role->env,
		.parent_fd = -1,
		.inside = role->inside ? child->s->ns : NULL,
		.caps = role->caps,
		.death_signal = role->death_signal ? role->death_signal : SIGKILL,
	};

	if (role->silent)
		return spawn_program(&spawn, &child->pid);
	r = channel_pair(SOCK_SEQPACKET, pair);
	if (r < 0)
		return r;
	ours = pair[0];
	theirs = pair[1];
	if (fcntl(ours, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	r = loop_io_add(child->s->loop, ours, EPOLLIN, on_channel, child, &child->io);
	if (r < 0)
		return r;
	spawn.parent_fd = theirs;
	r = spawn_program(&spawn, &child->pid);
	if (r < 0) {
		loop_io_free(child->io);
		child->io = NULL;
		return r;
	}
	child->channel = take_fd(&ours);
	return 0;
}

static void
child_retry(struct instance *child, nsec_t now)
{
	child->backoff = child->backoff ? MIN(child->backoff * 2, BACKOFF_MOST) : BACKOFF_FIRST;
	loop_timer_set(child->timer, now + child->backoff);
}

void
instance_start(struct instance *child, nsec_t now)
{
	const struct role *role = child->role;
	int r;

	if (child->s->stopping || child->state != CHILD_DOWN)
		return;
	if (!child_is_due(child, now)) {
		loop_timer_set(child->timer, role->after ? child->s->started_at + AFTER_LIMIT : NSEC_NEVER);
		return;
	}
	loop_timer_set(child->timer, NSEC_NEVER);
	r = child_execute(child);
	if (r < 0) {
		child_retry(child, now);
		log_error("child=%s cannot be executed: program=%s: %s; next try in %lld ms", role->name,
			  role->path, error_words(r), (long long)(child->backoff / MILLISECONDS(1)));
		return;
	}
	if (role->silent && !role->probe) {
		child_is_ready(child, now);
		return;
	}
	child_move(child, CHILD_UP);
	loop_timer_set(child->timer, now + (role->silent ? PROBE_EVERY : HELLO_LIMIT));
}

static void
child_probe(struct instance *child, nsec_t now)
{
	if (child->role->probe(child->role->probe_arg) == 0)
		child_is_ready(child, now);
	else
		loop_timer_set(child->timer, now + PROBE_EVERY);
}

void
instance_timer(void *arg, nsec_t now)
{
	struct instance *child = arg;

	if (child->state == CHILD_DOWN)
		instance_start(child, now);
	else if (child->state == CHILD_UP && child->role->silent)
		child_probe(child, now);
	else
		instance_kill(child, -ETIMEDOUT,
			      child->state == CHILD_STOPPING ? "it does not end" : "it does not speak");
}

/* -- its end -------------------------------------------------------------------------------------- */

void
instance_end(struct instance *child, int sig, nsec_t limit, nsec_t now)
{
	int r = -ERR_CLOSED;

	if (!child->role->silent && child->channel >= 0 && !sig)
		r = instance_send(child, MESSAGE_STOP, NULL, 0, -1);
	if (r < 0)
		kill(child->pid, sig ? sig : child->role->stop_signal ? child->role->stop_signal : SIGTERM);
	if (child->state != CHILD_STOPPING)
		child_move(child, CHILD_STOPPING);
	loop_timer_set(child->timer, now + limit);
}

static void
log_end(const struct instance *child, int status)
{
	const char *name = child->role->name;

	if (WIFSIGNALED(status))
		log_error("child=%s pid=%d ended by signal %d (%s); next start in %lld ms", name,
			  (int)child->pid, WTERMSIG(status), sigabbrev_np(WTERMSIG(status)),
			  (long long)(child->backoff / MILLISECONDS(1)));
	else
		log_error("child=%s pid=%d ended with status %d; next start in %lld ms", name,
			  (int)child->pid, WEXITSTATUS(status),
			  (long long)(child->backoff / MILLISECONDS(1)));
}

void
instance_ended(struct instance *child, int status, nsec_t now)
{
	const bool stopping = child->s->stopping;

	loop_io_free(child->io);
	child->io = NULL;
	closep(&child->channel);
	instance_outgoing_drop(child);
	handover_cut(child);
	if (child->state == CHILD_READY && now - child->ready_at >= BACKOFF_RESET)
		child->backoff = 0;
	child_move(child, CHILD_DOWN);
	if (stopping) {
		loop_timer_set(child->timer, NSEC_NEVER);
	} else {
		child_retry(child, now);
		log_end(child, status);
		waiting_start(child->s, now);
		announce(child->s, now);
	}
	child->pid = 0;
}
