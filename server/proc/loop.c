/*
 * A turn: arm the timerfd for the earliest deadline, wait, read the clock, then serve what was
 * posted, the timers that are due, and the descriptors.  Callbacks may free and add anything: what
 * is freed during a turn is unlinked at once and released when the turn is over, since the list of
 * events in hand may still point to it.  A timer set during a turn fires in the next one at the
 * earliest, so that a turn always ends.  The timers are a list: a process has a dozen, not a million.
 */
#include "server/proc/loop.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

#define LOOP_EVENTS 32

struct loop_io {
	struct loop *loop;
	struct loop_io *next;
	int fd;
	bool dead;
	loop_io_fn *fn;
	void *arg;
};

struct loop_timer {
	struct loop *loop;
	struct loop_timer *next;
	nsec_t deadline;
	uint64_t set_in; /* the turn */
	loop_timer_fn *fn;
	void *arg;
};

struct posted {
	struct posted *next;
	loop_post_fn *fn;
	void *arg;
};

struct loop {
	int epoll_fd, timer_fd, event_fd, signal_fd;
	nsec_t now, armed;
	uint64_t turn;
	bool serving;
	struct loop_io *ios, *graves;
	struct loop_timer *timers;
	loop_signal_fn *signal_fn;
	void *signal_arg;
	struct loop_io *signal_io;

	pthread_mutex_t lock; /* posted */
	struct posted *posted, **posted_tail;
	atomic_bool stopped;
	atomic_int result;
};

static int
epoll_add(struct loop *loop, int fd, uint32_t events, struct loop_io *io)
{
	struct epoll_event event = {.events = events, .data.ptr = io};

	return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

/* The loop's own descriptors: what they wake up for is served elsewhere. */
static void
drain(void *arg, int fd, uint32_t events, nsec_t now)
{
	uint64_t count;

	if (read(fd, &count, sizeof(count)) < 0)
		assert(errno == EAGAIN || errno == EINTR);
}

static int wake(struct loop *loop);

/* A call that was posted by one of this turn's posted calls has been announced already: say it again. */
static void
posts_drain(void *arg, int fd, uint32_t events, nsec_t now)
{
	struct loop *loop = arg;
	bool more;

	drain(arg, fd, events, now);
	pthread_mutex_lock(&loop->lock);
	more = loop->posted != NULL;
	pthread_mutex_unlock(&loop->lock);
	if (more)
		(void)wake(loop);
}

int
loop_new(struct loop **ret)
{
	struct loop_io *io;
	_cleanup_(loop_freep) struct loop *loop = calloc(1, sizeof(*loop));
	int r;

	if (!loop)
		return -ENOMEM;
	pthread_mutex_init(&loop->lock, NULL);
	loop->posted_tail = &loop->posted;
	loop->now = clock_boottime();
	loop->armed = NSEC_NEVER;
	loop->timer_fd = loop->event_fd = loop->signal_fd = -1;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0)
		return -errno;
	loop->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (loop->timer_fd < 0)
		return -errno;
	loop->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->event_fd < 0)
		return -errno;
	r = loop_io_add(loop, loop->timer_fd, EPOLLIN, drain, loop, &io);
	if (r < 0)
		return r;
	r = loop_io_add(loop, loop->event_fd, EPOLLIN, posts_drain, loop, &io);
	if (r < 0)
		return r;
	*ret = take_ptr(loop);
	return 0;
}

static void
graves_clear(struct loop *loop)
{
	while (loop->graves) {
		struct loop_io *io = loop->graves;

		loop->graves = io->next;
		free(io);
	}
}

void
loop_free(struct loop *loop)
{
	if (!loop)
		return;
	while (loop->ios)
		loop_io_free(loop->ios);
	while (loop->timers)
		loop_timer_free(loop->timers);
	graves_clear(loop);
	while (loop->posted) {
		struct posted *posted = loop->posted;

		loop->posted = posted->next;
		free(posted);
	}
	closep(&loop->signal_fd);
	closep(&loop->event_fd);
	closep(&loop->timer_fd);
	closep(&loop->epoll_fd);
	pthread_mutex_destroy(&loop->lock);
	free(loop);
}

void
loop_freep(struct loop **loop)
{
	loop_free(*loop);
}

nsec_t
loop_now(const struct loop *loop)
{
	return loop->now;
}

int
loop_io_add(struct loop *loop, int fd, uint32_t events, loop_io_fn *fn, void *arg, struct loop_io **ret)
{
	struct loop_io *io = calloc(1, sizeof(*io));
	int r;

	if (!io)
		return -ENOMEM;
	*io = (struct loop_io){.loop = loop, .fd = fd, .fn = fn, .arg = arg};
	r = epoll_add(loop, fd, events, io);
	if (r < 0) {
		free(io);
		return r;
	}
	io->next = loop->ios;
	loop->ios = io;
	*ret = io;
	return 0;
}

int
loop_io_events(struct loop_io *io, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = io};

	return epoll_ctl(io->loop->epoll_fd, EPOLL_CTL_MOD, io->fd, &event) < 0 ? -errno : 0;
}

void
loop_io_free(struct loop_io *io)
{
	struct loop *loop;

	if (!io)
		return;
	loop = io->loop;
	for (struct loop_io **p = &loop->ios; *p; p = &(*p)->next)
		if (*p == io) {
			*p = io->next;
			break;
		}
	(void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, io->fd, NULL);
	if (!loop->serving) {
		free(io);
		return;
	}
	io->dead = true;
	io->next = loop->graves;
	loop->graves = io;
}

int
loop_timer_new(struct loop *loop, loop_timer_fn *fn, void *arg, struct loop_timer **ret)
{
	struct loop_timer *timer = calloc(1, sizeof(*timer));

	if (!timer)
		return -ENOMEM;
	*timer = (struct loop_timer){
		.loop = loop, .next = loop->timers, .deadline = NSEC_NEVER, .fn = fn, .arg = arg};
	loop->timers = timer;
	*ret = timer;
	return 0;
}

void
loop_timer_set(struct loop_timer *timer, nsec_t deadline)
{
	timer->deadline = deadline;
	timer->set_in = timer->loop->turn;
}

void
loop_timer_free(struct loop_timer *timer)
{
	if (!timer)
		return;
	for (struct loop_timer **p = &timer->loop->timers; *p; p = &(*p)->next)
		if (*p == timer) {
			*p = timer->next;
			break;
		}
	free(timer);
}

/* The earliest timer that is due and was not set in this turn; NULL: none. */
static struct loop_timer *
timer_due(struct loop *loop)
{
	struct loop_timer *due = NULL;

	for (struct loop_timer *t = loop->timers; t; t = t->next)
		if (t->deadline <= loop->now && t->set_in != loop->turn &&
		    (!due || t->deadline < due->deadline))
			due = t;
	return due;
}

static void
timers_serve(struct loop *loop)
{
	struct loop_timer *timer;

	while ((timer = timer_due(loop))) {
		timer->deadline = NSEC_NEVER;
		timer->fn(timer->arg, loop->now);
	}
}

static void
posted_serve(struct loop *loop)
{
	struct posted *list;

	pthread_mutex_lock(&loop->lock);
	list = loop->posted;
	loop->posted = NULL;
	loop->posted_tail = &loop->posted;
	pthread_mutex_unlock(&loop->lock);
	while (list) {
		struct posted *posted = list;

		list = posted->next;
		posted->fn(posted->arg, loop->now);
		free(posted);
	}
}

static int
wake(struct loop *loop)
{
	const uint64_t one = 1;

	/* EAGAIN: the counter is full of wake-ups already */
	return write(loop->event_fd, &one, sizeof(one)) < 0 && errno != EAGAIN ? -errno : 0;
}

int
loop_post(struct loop *loop, loop_post_fn *fn, void *arg)
{
	struct posted *posted = calloc(1, sizeof(*posted));

	if (!posted)
		return -ENOMEM;
	posted->fn = fn;
	posted->arg = arg;
	pthread_mutex_lock(&loop->lock);
	*loop->posted_tail = posted;
	loop->posted_tail = &posted->next;
	pthread_mutex_unlock(&loop->lock);
	return wake(loop);
}

void
loop_stop(struct loop *loop, int result)
{
	atomic_store(&loop->result, result);
	atomic_store(&loop->stopped, true);
	(void)wake(loop);
}

/* The timerfd counts suspend; an epoll timeout would not. */
static int
timer_arm(struct loop *loop, nsec_t limit)
{
	nsec_t deadline = limit;
	struct itimerspec spec = {0};

	for (struct loop_timer *t = loop->timers; t; t = t->next)
		deadline = MIN(deadline, t->deadline);
	if (deadline == loop->armed && deadline == NSEC_NEVER)
		return 0;
	if (deadline != NSEC_NEVER) {
		deadline = MAX(deadline, 1); /* 0 would disarm it */
		spec.it_value.tv_sec = deadline / SECONDS(1);
		spec.it_value.tv_nsec = deadline % SECONDS(1);
	}
	if (timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL) < 0)
		return -errno;
	loop->armed = deadline;
	return 0;
}

int
loop_turn(struct loop *loop, nsec_t limit)
{
	struct epoll_event events[LOOP_EVENTS];
	int n, r;

	r = timer_arm(loop, limit);
	if (r < 0)
		return r;
	n = epoll_wait(loop->epoll_fd, events, LOOP_EVENTS, -1);
	if (n < 0 && errno != EINTR)
		return -errno;
	loop->now = clock_boottime();
	loop->turn++;
	loop->serving = true;
	posted_serve(loop);
	timers_serve(loop);
	for (int i = 0; i < n; i++) {
		struct loop_io *io = events[i].data.ptr;

		if (!io->dead)
			io->fn(io->arg, io->fd, events[i].events, loop->now);
	}
	loop->serving = false;
	graves_clear(loop);
	return 0;
}

int
loop_run(struct loop *loop)
{
	while (!atomic_load(&loop->stopped)) {
		const int r = loop_turn(loop, NSEC_NEVER);

		if (r < 0)
			return r;
	}
	atomic_store(&loop->stopped, false);
	return atomic_load(&loop->result);
}

static void
signals_serve(void *arg, int fd, uint32_t events, nsec_t now)
{
	struct loop *loop = arg;
	struct signalfd_siginfo info;

	while (read(fd, &info, sizeof(info)) == sizeof(info))
		loop->signal_fn(loop->signal_arg, &info, now);
}

int
loop_signals(struct loop *loop, const sigset_t *set, loop_signal_fn *fn, void *arg)
{
	int r;

	assert(loop->signal_fd < 0);
	r = pthread_sigmask(SIG_BLOCK, set, NULL);
	if (r != 0)
		return -r;
	loop->signal_fd = signalfd(-1, set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (loop->signal_fd < 0)
		return -errno;
	loop->signal_fn = fn;
	loop->signal_arg = arg;
	return loop_io_add(loop, loop->signal_fd, EPOLLIN, signals_serve, loop, &loop->signal_io);
}
