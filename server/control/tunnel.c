#include "server/control/tunnel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/errors.h"
#include "server/control/stanza.h"

/* One channel: what comes in, what is still to go out. */
struct stream {
	int fd;
	struct loop_io *io;
	struct stanza in;
	char *out; /* owned */
	size_t out_len, out_sent;
};

struct tunnel {
	struct loop *loop;
	struct tunnel_events events;
	struct stream asked, watched;
	bool waiting; /* for an answer */
	bool late;    /* for too long */
	bool watching;
	struct loop_timer *patience;
	pid_t pid;
};

static void
stream_close(struct stream *stream)
{
	loop_io_free(stream->io);
	stream->io = NULL;
	closep(&stream->fd);
	stanza_clear(&stream->in);
	free(stream->out);
	stream->out = NULL;
	stream->out_len = stream->out_sent = 0;
}

static int
stream_open(struct stream *stream, struct loop *loop, int fd, loop_io_fn *fn, void *arg)
{
	const int on = 1;

	stream->fd = fd;
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)); /* only for tunnel_pid() */
	return loop_io_add(loop, fd, EPOLLIN, fn, arg, &stream->io);
}

static int
stream_flush(struct stream *stream)
{
	while (stream->out_sent < stream->out_len) {
		const ssize_t n = send(stream->fd, stream->out + stream->out_sent,
				       stream->out_len - stream->out_sent, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return loop_io_events(stream->io, EPOLLIN | EPOLLOUT);
		if (n < 0)
			return -ERR_CLOSED;
		stream->out_sent += (size_t)n;
	}
	free(stream->out);
	stream->out = NULL;
	stream->out_len = stream->out_sent = 0;
	return loop_io_events(stream->io, EPOLLIN);
}

/* Takes @text. */
static int
stream_send(struct stream *stream, char *text, size_t len)
{
	stream->out = text;
	stream->out_len = len;
	stream->out_sent = 0;
	return stream_flush(stream);
}

/* Who wrote the next bytes; they stay where they are. */
static pid_t
stream_writer(int fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(struct ucred))];
	} control = {0};
	char byte;
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.bytes,
			     .msg_controllen = sizeof(control.bytes)};
	const struct cmsghdr *cmsg;
	struct ucred cred = {0};

	if (recvmsg(fd, &msg, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC) <= 0)
		return 0;
	cmsg = CMSG_FIRSTHDR(&msg);
	if (cmsg && cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_CREDENTIALS)
		memcpy(&cred, CMSG_DATA(cmsg), sizeof(cred));
	return cred.pid;
}

static void
tunnel_lost(struct tunnel *tunnel, const char *why, nsec_t now)
{
	stream_close(&tunnel->asked);
	tunnel->waiting = tunnel->late = false;
	tunnel->pid = 0;
	loop_timer_set(tunnel->patience, NSEC_NEVER);
	tunnel->events.down(tunnel->events.arg, why, now);
}

static void
answer_came(struct tunnel *tunnel, const char *text, size_t len, nsec_t now)
{
	if (!tunnel->waiting) {
		tunnel->events.nonsense(tunnel->events.arg, "an answer that nobody asked for", now);
		return;
	}
	tunnel->waiting = tunnel->late = false;
	loop_timer_set(tunnel->patience, NSEC_NEVER);
	tunnel->events.answer(tunnel->events.arg, text, len, now);
}

static void
on_asked(void *arg, int fd, uint32_t events, nsec_t now)
{
	struct tunnel *tunnel = arg;
	const char *text;
	size_t len;
	int r = 0;

	if (events & EPOLLOUT)
		r = stream_flush(&tunnel->asked);
	if (!tunnel->pid)
		tunnel->pid = stream_writer(fd);
	if (r == 0)
		r = stanza_fill(&tunnel->asked.in, fd);
	while (r >= 0 && tunnel->asked.fd == fd) {
		r = stanza_next(&tunnel->asked.in, &text, &len);
		if (r == 0)
			answer_came(tunnel, text, len, now);
	}
	if (tunnel->asked.fd != fd || r == -EAGAIN)
		return;
	if (r == -ERR_MESSAGE)
		tunnel->events.nonsense(tunnel->events.arg, "an answer beyond all bounds", now);
	tunnel_lost(tunnel, error_words(r), now);
}

static int
watch_stanza(struct tunnel *tunnel, const char *text, size_t len, nsec_t now)
{
	struct uapi_event event;
	int error;

	if (!tunnel->watching) {
		tunnel->watching = true;
		return uapi_errno(text, len, &error) < 0 || error < 0 ? -ERR_MESSAGE : 0;
	}
	if (uapi_event_parse(&event, text, len) < 0)
		return -ERR_MESSAGE;
	tunnel->events.event(tunnel->events.arg, &event, now);
	return 0;
}

static void
on_watched(void *arg, int fd, uint32_t events, nsec_t now)
{
	struct tunnel *tunnel = arg;
	const char *text;
	size_t len;
	int r = 0;

	if (events & EPOLLOUT)
		r = stream_flush(&tunnel->watched);
	if (r == 0)
		r = stanza_fill(&tunnel->watched.in, fd);
	while (r >= 0) {
		r = stanza_next(&tunnel->watched.in, &text, &len);
		if (r == 0)
			r = watch_stanza(tunnel, text, len, now);
	}
	if (r == -EAGAIN)
		return;
	if (r == -ERR_MESSAGE)
		tunnel->events.nonsense(tunnel->events.arg, "its watch is not of the form agreed", now);
	stream_close(&tunnel->watched);
}

static void
on_patience(void *arg, nsec_t now)
{
	struct tunnel *tunnel = arg;

	tunnel->late = true;
	tunnel->events.down(tunnel->events.arg, "it has not answered for 10 s", now);
}

int
tunnel_new(struct tunnel **ret, struct loop *loop, const struct tunnel_events *events)
{
	_cleanup_(tunnel_freep) struct tunnel *tunnel = calloc(1, sizeof(*tunnel));
	int r;

	if (!tunnel)
		return -ENOMEM;
	tunnel->loop = loop;
	tunnel->events = *events;
	tunnel->asked.fd = tunnel->watched.fd = -1;
	tunnel->asked.in.max = TUNNEL_ANSWER_MAX;
	tunnel->watched.in.max = TUNNEL_EVENT_MAX;
	r = loop_timer_new(loop, on_patience, tunnel, &tunnel->patience);
	if (r < 0)
		return r;
	*ret = take_ptr(tunnel);
	return 0;
}

void
tunnel_free(struct tunnel *tunnel)
{
	if (!tunnel)
		return;
	stream_close(&tunnel->asked);
	stream_close(&tunnel->watched);
	loop_timer_free(tunnel->patience);
	free(tunnel);
}

void
tunnel_freep(struct tunnel **tunnel)
{
	tunnel_free(*tunnel);
}

void
tunnel_channel(struct tunnel *tunnel, int fd, nsec_t now)
{
	if (tunnel->asked.fd >= 0)
		tunnel_lost(tunnel, "it is started anew", now);
	if (stream_open(&tunnel->asked, tunnel->loop, fd, on_asked, tunnel) < 0) {
		tunnel_lost(tunnel, "its channel is of no use", now);
		return;
	}
	tunnel->events.up(tunnel->events.arg, now);
}

void
tunnel_watch_channel(struct tunnel *tunnel, int fd, nsec_t now)
{
	char *text = strdup("set=1\nwarren_watch=true\n\n");

	stream_close(&tunnel->watched);
	tunnel->watching = false;
	if (stream_open(&tunnel->watched, tunnel->loop, fd, on_watched, tunnel) < 0 || !text) {
		free(text);
		stream_close(&tunnel->watched);
		return;
	}
	if (stream_send(&tunnel->watched, text, strlen(text)) < 0)
		stream_close(&tunnel->watched);
}

bool
tunnel_is_free(const struct tunnel *tunnel)
{
	return tunnel->asked.fd >= 0 && !tunnel->waiting;
}

int
tunnel_ask(struct tunnel *tunnel, char *text, size_t len, nsec_t now)
{
	if (!tunnel_is_free(tunnel)) {
		free(text);
		return tunnel->waiting ? -EBUSY : -ERR_TUNNEL_DOWN;
	}
	tunnel->waiting = true;
	loop_timer_set(tunnel->patience, now + TUNNEL_PATIENCE);
	return stream_send(&tunnel->asked, text, len) < 0 ? -ERR_TUNNEL_DOWN : 0;
}

pid_t
tunnel_pid(const struct tunnel *tunnel)
{
	return tunnel->pid;
}
