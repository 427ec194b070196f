/*
 * Theory of operation.  Every child is its own small machine (the drawing is in the header).  A child's
 * parent channel is non-blocking here: one that does not read what it is sent is stuck, and killed.
 * Death is seen by SIGCHLD alone; an end of file on the channel of a living child is nonsense, and it
 * is killed too.  So there is one way back to DOWN, child_ended().
 *
 * A link between two siblings has at most one end in our hands: the one whose owner has not said
 * HELLO yet.  Who says HELLO gets the end that waits for it, if its sibling got the other one in
 * this life, else an end of a new pair, whose other end goes to the sibling (or waits for it).
 */
#include "server/proc/supervise.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/bytes.h"
#include "base/errors.h"
#include "base/log.h"
#include "server/proc/kept.h"
#include "server/proc/spawn.h"

#define CHILD_STATES(X) /* state, words, may become */                                                       \
	X(DOWN, "down", BIT(CHILD_UP) | BIT(CHILD_READY))                                                    \
	X(UP, "starting", BIT(CHILD_BEGUN) | BIT(CHILD_READY) | BIT(CHILD_STOPPING) | BIT(CHILD_DOWN))       \
	X(BEGUN, "beginning", BIT(CHILD_READY) | BIT(CHILD_STOPPING) | BIT(CHILD_DOWN))                      \
	X(READY, "ready", BIT(CHILD_STOPPING) | BIT(CHILD_DOWN))                                             \
	X(STOPPING, "stopping", BIT(CHILD_DOWN))

enum child_state {
#define X(name, words, next) CHILD_##name,
	CHILD_STATES(X)
#undef X
};

static const struct {
	const char *words;
	unsigned next;
} states[] = {
#define X(name, words, next) [CHILD_##name] = {words, next},
	CHILD_STATES(X)
#undef X
};

struct instance {
	struct supervisor *s;
	const struct role *role;
	enum child_state state;
	pid_t pid;
	int channel;
	struct loop_io *io;
	struct loop_timer *timer; /* DOWN: start again; UP: HELLO is late, or probe; STOPPING: kill */
	nsec_t backoff, ready_at;
	bool proven; /* was READY once */
};

struct line { /* a link, and the end of it that waits */
	const struct link *link;
	struct instance *end[2];
	int waiting[2];
};

struct supervisor {
	struct loop *loop;
	const struct namespaces *ns;
	struct supervisor_events events;
	const struct private_key *identity;
	struct kept kept;
	size_t n_instances, n_lines;
	struct instance instances[ROLES_MAX];
	struct line lines[LINKS_MAX];
	struct loop_timer *last;
	nsec_t started_at;
	bool started, announced, stopping, hurried, lingering, ended;
	struct message message; /* the one being served */
};

static void child_start_now(struct instance *child, nsec_t now);

static void
child_move(struct instance *child, enum child_state next)
{
	assert(states[child->state].next & BIT(next));
	log_debug("child=%s pid=%d state=%s", child->role->name, (int)child->pid, states[next].words);
	child->state = next;
}

static bool
child_has_begun(const struct instance *child)
{
	return child->state == CHILD_BEGUN || child->state == CHILD_READY;
}

static void
child_kill(struct instance *child, int r, const char *why)
{
	assert(child->pid > 0);
	log_error("child=%s pid=%d is killed: %s: %s", child->role->name, (int)child->pid, why,
		  error_words(r));
	kill(child->pid, SIGKILL);
	loop_io_free(child->io);
	child->io = NULL;
}

static int
child_send(struct instance *child, enum message_type type, const void *body, size_t len, int fd)
{
	return channel_send(child->channel, type, body, len, &fd, fd >= 0 ? 1 : 0);
}

/* A channel for @end of @line, named as @end knows its sibling. */
static int
line_give(const struct line *line, int end, int fd)
{
	const char *name = end ? line->link->name_at_b : line->link->name_at_a;

	return child_send(line->end[end], MESSAGE_CHANNEL, name, strlen(name), fd);
}

static int
line_connect(struct line *line, int end)
{
	_cleanup_(closep) int ours = -1;
	_cleanup_(closep) int theirs = -1;
	struct instance *sibling = line->end[!end];
	int pair[2], r;

	if (line->waiting[end] >= 0) {
		ours = take_fd(&line->waiting[end]);
		return line_give(line, end, ours);
	}
	r = channel_pair(line->link->type, pair);
	if (r < 0)
		return r;
	ours = pair[0];
	theirs = pair[1];
	closep(&line->waiting[!end]);
	r = line_give(line, end, ours);
	if (r < 0)
		return r;
	if (!child_has_begun(sibling)) {
		line->waiting[!end] = take_fd(&theirs);
		return 0;
	}
	r = line_give(line, !end, theirs);
	if (r < 0) /* the sibling's fault: not ours to report as @end's */
		child_kill(sibling, r, "it does not take its channel");
	return 0;
}

static int
lines_connect(struct instance *child)
{
	for (size_t i = 0; i < child->s->n_lines; i++)
		for (int end = 0; end < 2; end++)
			if (child->s->lines[i].end[end] == child) {
				const int r = line_connect(&child->s->lines[i], end);

				if (r < 0)
					return r;
			}
	return 0;
}

/* What waited for a sibling led to the one that is gone. */
static void
lines_cut(struct instance *child)
{
	for (size_t i = 0; i < child->s->n_lines; i++)
		for (int end = 0; end < 2; end++)
			if (child->s->lines[i].end[end] == child)
				closep(&child->s->lines[i].waiting[!end]);
}

static int
config_send(struct instance *child)
{
	struct supervisor *s = child->s;
	char *text = s->message.body; /* HELLO has been read */
	int len, r;

	len = s->events.config(s->events.arg, child->role->name, text, sizeof(s->message.body));
	if (len < 0)
		return len;
	r = child_send(child, MESSAGE_CONFIG, text, (size_t)len, -1);
	bytes_wipe(text, (size_t)len);
	return r;
}

static int
kept_send(struct instance *child, const char *name)
{
	const struct kept *kept = &child->s->kept;

	for (size_t i = 0; i < kept->n; i++) {
		const struct kept_fd *k = &kept->v[i];
		int r;

		if (name ? strcmp(k->name, name) != 0 : !kept_matches(k->name, child->role->sockets))
			continue;
		r = child_send(child, MESSAGE_SOCKET, k->name, strlen(k->name), k->fd);
		if (r < 0)
			return r;
	}
	return 0;
}

static int
hand_over(struct instance *child)
{
	const struct private_key *identity = child->s->identity;
	int r;

	r = config_send(child);
	if (r < 0)
		return r;
	r = kept_send(child, NULL);
	if (r < 0)
		return r;
	if (child->role->identity && identity) {
		r = child_send(child, MESSAGE_IDENTITY, identity->b, sizeof(identity->b), -1);
		if (r < 0)
			return r;
	}
	r = lines_connect(child);
	if (r < 0)
		return r;
	return child_send(child, MESSAGE_GO, NULL, 0, -1);
}

static int
on_hello(struct instance *child)
{
	int r;

	if (child->state != CHILD_UP || strcmp(child->s->message.body, child->role->name) != 0)
		return -ERR_MESSAGE;
	loop_timer_set(child->timer, NSEC_NEVER);
	r = hand_over(child);
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
			child_start_now(child, now);
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

/* A device comes anew: what was kept under its name is replaced, and those who use it are told. */
static int
on_tun(struct instance *child, nsec_t now)
{
	struct supervisor *s = child->s;
	char name[MESSAGE_NAME_MAX + 1];

	if (!child->role->sends_tun || !child_has_begun(child))
		return -ERR_MESSAGE;
	snprintf(name, sizeof(name), "tun:%.15s", s->message.body);
	kept_drop(&s->kept, name);
	for (size_t i = 0; i < s->message.n_fds; i++) {
		const int r = kept_add(&s->kept, name, take_fd(&s->message.fds[i]));

		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < s->n_instances; i++) {
		struct instance *other = &s->instances[i];

		if (other == child || !kept_matches(name, other->role->sockets))
			continue;
		if (child_has_begun(other)) {
			const int r = kept_send(other, name);

			if (r < 0)
				child_kill(other, r, "it does not take its device");
		} else if (other->state == CHILD_DOWN && other->role->needs) {
			child_start_now(other, now);
		}
	}
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
		return on_tun(child, now);
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
		child_kill(child, r, "nonsense on its channel");
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

static void
child_start_now(struct instance *child, nsec_t now)
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

static void
on_timer(void *arg, nsec_t now)
{
	struct instance *child = arg;

	if (child->state == CHILD_DOWN)
		child_start_now(child, now);
	else if (child->state == CHILD_UP && child->role->silent)
		child_probe(child, now);
	else
		child_kill(child, -ETIMEDOUT,
			   child->state == CHILD_STOPPING ? "it does not end" : "it does not speak");
}

/* -- the end of a child, and of all ------------------------------------------------------------- */

static void
child_end(struct instance *child, int sig, nsec_t limit, nsec_t now)
{
	int r = -ERR_CLOSED;

	if (!child->role->silent && child->channel >= 0 && !sig)
		r = child_send(child, MESSAGE_STOP, NULL, 0, -1);
	if (r < 0)
		kill(child->pid, sig ? sig : child->role->stop_signal ? child->role->stop_signal : SIGTERM);
	if (child->state != CHILD_STOPPING)
		child_move(child, CHILD_STOPPING);
	loop_timer_set(child->timer, now + limit);
}

static bool
is_childless(void)
{
	siginfo_t info;

	return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 && errno == ECHILD;
}

static void
stop_end(struct supervisor *s, nsec_t now)
{
	if (s->ended)
		return;
	s->ended = true;
	s->events.stopped(s->events.arg, now);
}

static void
on_last(void *arg, nsec_t now)
{
	log_error("processes that our children left behind do not end; leaving them");
	stop_end(arg, now);
}

/* Stops those of the first step that has somebody left; with nobody left anywhere, says so. */
static void
stop_on(struct supervisor *s, nsec_t now)
{
	unsigned step = ~0U;

	for (size_t i = 0; i < s->n_instances; i++)
		if (s->instances[i].state != CHILD_DOWN)
			step = MIN(step, s->instances[i].role->stop_step);
	if (step == ~0U) {
		if (is_childless())
			stop_end(s, now);
		else if (!s->lingering)
			loop_timer_set(s->last, now + HURRY_LIMIT);
		s->lingering = true;
		return;
	}
	for (size_t i = 0; i < s->n_instances; i++) {
		struct instance *child = &s->instances[i];

		if (child->state != CHILD_DOWN && child->state != CHILD_STOPPING &&
		    child->role->stop_step == step)
			child_end(child, 0, child->role->stop_limit, now);
	}
}

void
supervisor_stop(struct supervisor *s, nsec_t now)
{
	if (s->stopping && !s->hurried) {
		s->hurried = true;
		for (size_t i = 0; i < s->n_instances; i++) {
			struct instance *child = &s->instances[i];
			const int sig = child->role->hurry_signal;

			if (child->state != CHILD_DOWN)
				child_end(child, sig ? sig : SIGKILL, HURRY_LIMIT, now);
		}
		return;
	}
	if (s->stopping)
		return;
	s->stopping = true;
	for (size_t i = 0; i < s->n_instances; i++)
		if (s->instances[i].state == CHILD_DOWN)
			loop_timer_set(s->instances[i].timer, NSEC_NEVER);
	stop_on(s, now);
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

static void
child_ended(struct instance *child, int status, nsec_t now)
{
	const bool stopping = child->s->stopping;

	loop_io_free(child->io);
	child->io = NULL;
	closep(&child->channel);
	lines_cut(child);
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

/*
 * A child leads a process group; what it left in it goes with it.  That is done before it is
 * reaped, while its number cannot belong to anybody else.
 */
void
supervisor_reap(struct supervisor *s, nsec_t now)
{
	siginfo_t info;
	int status;

	for (;;) {
		struct instance *child = NULL;

		info.si_pid = 0;
		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || !info.si_pid)
			break;
		for (size_t i = 0; i < s->n_instances; i++)
			if (s->instances[i].pid == info.si_pid)
				child = &s->instances[i];
		if (child)
			kill(-info.si_pid, SIGKILL);
		if (waitpid(info.si_pid, &status, 0) == info.si_pid && child)
			child_ended(child, status, now);
	}
	if (s->stopping)
		stop_on(s, now);
}

/* -- making and ending the supervisor ----------------------------------------------------------- */

int
supervisor_new(struct supervisor **ret, struct loop *loop, const struct namespaces *ns,
	       const struct supervisor_events *events)
{
	_cleanup_(supervisor_freep) struct supervisor *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->loop = loop;
	s->ns = ns;
	s->events = *events;
	r = loop_timer_new(loop, on_last, s, &s->last);
	if (r < 0)
		return r;
	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		return -errno;
	*ret = take_ptr(s);
	return 0;
}

int
supervisor_add(struct supervisor *s, const struct role *role)
{
	struct instance *child = &s->instances[s->n_instances];
	int r;

	if (s->n_instances == ROLES_MAX)
		return -ENOSPC;
	*child = (struct instance){.s = s, .role = role, .channel = -1};
	r = loop_timer_new(s->loop, on_timer, child, &child->timer);
	if (r < 0)
		return r;
	s->n_instances++;
	return 0;
}

static struct instance *
instance_find(struct supervisor *s, const char *role)
{
	for (size_t i = 0; i < s->n_instances; i++)
		if (strcmp(s->instances[i].role->name, role) == 0)
			return &s->instances[i];
	return NULL;
}

int
supervisor_link(struct supervisor *s, const struct link *link)
{
	struct line *line = &s->lines[s->n_lines];

	if (s->n_lines == LINKS_MAX)
		return -ENOSPC;
	*line = (struct line){
		.link = link,
		.end = {instance_find(s, link->a), instance_find(s, link->b)},
		.waiting = {-1, -1},
	};
	if (!line->end[0] || !line->end[1])
		return -ENOENT;
	s->n_lines++;
	return 0;
}

int
supervisor_keep(struct supervisor *s, const char *name, int fd)
{
	return kept_add(&s->kept, name, fd);
}

bool
supervisor_keeps(const struct supervisor *s, const char *name)
{
	return kept_has(&s->kept, name);
}

void
supervisor_identity(struct supervisor *s, const struct private_key *identity)
{
	s->identity = identity;
}

void
supervisor_start(struct supervisor *s)
{
	assert(!s->started);
	s->started = true;
	s->started_at = loop_now(s->loop);
	for (size_t i = 0; i < s->n_instances; i++)
		child_start_now(&s->instances[i], loop_now(s->loop));
}

pid_t
supervisor_pid(const struct supervisor *s, const char *role)
{
	for (size_t i = 0; i < s->n_instances; i++)
		if (strcmp(s->instances[i].role->name, role) == 0)
			return s->instances[i].pid;
	return 0;
}

bool
supervisor_is_ready(const struct supervisor *s, const char *role)
{
	for (size_t i = 0; i < s->n_instances; i++)
		if (strcmp(s->instances[i].role->name, role) == 0)
			return s->instances[i].state == CHILD_READY;
	return false;
}

void
supervisor_free(struct supervisor *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n_instances; i++) {
		struct instance *child = &s->instances[i];

		if (child->pid) { /* an early way out: nobody outlives us, nor what they started */
			kill(-child->pid, SIGKILL);
			while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR)
				;
		}
		loop_io_free(child->io);
		loop_timer_free(child->timer);
		closep(&child->channel);
	}
	for (size_t i = 0; i < s->n_lines; i++)
		for (int end = 0; end < 2; end++)
			closep(&s->lines[i].waiting[end]);
	loop_timer_free(s->last);
	kept_done(&s->kept);
	free(s);
}

void
supervisor_freep(struct supervisor **s)
{
	supervisor_free(*s);
}
