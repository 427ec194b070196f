/*
 * Who there is, what is kept, how all end.  The life of one child is in instance.c, what it is given in
 * handover.c.
 */
#include "server/proc/supervise.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "base/log.h"
#include "server/proc/instance.h"

/* -- the end of all ------------------------------------------------------------------------------- */

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
			instance_end(child, 0, child->role->stop_limit, now);
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
				instance_end(child, sig ? sig : SIGKILL, HURRY_LIMIT, now);
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
			instance_ended(child, status, now);
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
	child->last = &child->first;
	r = loop_timer_new(s->loop, instance_timer, child, &child->timer);
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

void
supervisor_drop(struct supervisor *s, const char *name)
{
	kept_drop(&s->kept, name);
}

int
supervisor_release(struct supervisor *s, const char *patterns, struct kept *ret)
{
	size_t n = 0;
	int r = 0;

	for (size_t i = 0; i < s->kept.n; i++)
		if (r == 0 && kept_matches(s->kept.v[i].name, patterns))
			r = kept_add(ret, s->kept.v[i].name, s->kept.v[i].fd);
		else
			s->kept.v[n++] = s->kept.v[i];
	s->kept.n = n;
	return r;
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
		instance_start(&s->instances[i], loop_now(s->loop));
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
		instance_outgoing_drop(child);
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
