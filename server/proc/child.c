#include "server/proc/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/bytes.h"
#include "base/errors.h"
#include "base/secrets.h"

static void
hand(struct handed *handed, struct message *message)
{
	memcpy(handed->name, message->body, message->len + 1);
	handed->fd = take_fd(&message->fds[0]);
}

/* One more, in steps of a power of two. */
static int
hand_to(struct handed **list, size_t *n, struct message *message)
{
	if (*n == CHILD_HANDED_MAX)
		return -ERR_MESSAGE;
	if ((*n & (*n - 1)) == 0) {
		struct handed *more = reallocarray(*list, *n ? *n * 2 : 1, sizeof(**list));

		if (!more)
			return -ENOMEM;
		*list = more;
	}
	hand(&(*list)[(*n)++], message);
	return 0;
}

static int
take_config(struct child *child, const struct message *message)
{
	char error[CONFIG_ERROR_LEN];

	return config_parse(&child->config, message->body, error) < 0 ? -ERR_MESSAGE : 0;
}

static int
take_identity(struct child *child, const struct message *message)
{
	if (!child->identity)
		child->identity = secret_alloc(sizeof(*child->identity));
	if (!child->identity)
		return -ENOMEM;
	memcpy(child->identity->b, message->body, KEY_LEN);
	return 0;
}

/* 1: GO came. */
static int
take(struct child *child, struct message *message)
{
	switch (message->type) {
	case MESSAGE_CONFIG:
		return take_config(child, message);
	case MESSAGE_SOCKET:
		return hand_to(&child->sockets, &child->n_sockets, message);
	case MESSAGE_CHANNEL:
		return hand_to(&child->channels, &child->n_channels, message);
	case MESSAGE_IDENTITY:
		return take_identity(child, message);
	case MESSAGE_GO:
		return 1;
	case MESSAGE_STOP: /* before it began */
		return -ERR_CLOSED;
	default:
		return -ERR_MESSAGE;
	}
}

static void
message_freep(struct message **message)
{
	if (*message)
		message_done(*message);
	free(*message);
}

int
child_start(struct child *ret, const char *role)
{
	_cleanup_(message_freep) struct message *message = calloc(1, sizeof(*message));
	int r;

	memset(ret, 0, sizeof(*ret));
	config_init(&ret->config);
	ret->parent = CHILD_PARENT_FD;
	if (!message)
		return -ENOMEM;
	if (fcntl(ret->parent, F_SETFD, FD_CLOEXEC) < 0)
		return -errno;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return -errno;
	r = channel_send(ret->parent, MESSAGE_HELLO, role, strlen(role), NULL, 0);
	while (r == 0) {
		r = channel_recv(ret->parent, MESSAGE_FROM_PARENT, message);
		if (r < 0)
			return r;
		r = take(ret, message);
		message_done(message);
	}
	if (r < 0)
		return r;
	return fcntl(ret->parent, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

int
child_ready(struct child *child)
{
	return channel_send(child->parent, MESSAGE_READY, NULL, 0, NULL, 0);
}

int
child_send_tun(struct child *child, const char *ifname, const int *fds, size_t n_fds)
{
	return channel_send(child->parent, MESSAGE_TUN, ifname, strlen(ifname), fds, n_fds);
}

int
child_send_tun_gone(struct child *child, const char *ifname)
{
	return channel_send(child->parent, MESSAGE_TUN_GONE, ifname, strlen(ifname), NULL, 0);
}

static int
handed_take(struct handed *list, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (list[i].fd >= 0 && strcmp(list[i].name, name) == 0)
			return take_fd(&list[i].fd);
	return -ENOENT;
}

int
child_take_socket(struct child *child, const char *name)
{
	return handed_take(child->sockets, child->n_sockets, name);
}

int
child_take_channel(struct child *child, const char *name)
{
	return handed_take(child->channels, child->n_channels, name);
}

void
child_forget_identity(struct child *child)
{
	secret_free(child->identity);
	child->identity = NULL;
}

int
child_next(struct child *child, struct child_event *ret)
{
	_cleanup_(message_freep) struct message *message = calloc(1, sizeof(*message));
	int r;

	if (!message)
		return -ENOMEM;
	r = channel_recv(child->parent, MESSAGE_FROM_PARENT, message);
	if (r < 0)
		return r;
	ret->type = message->type;
	ret->handed = (struct handed){.fd = -1};
	switch (message->type) {
	case MESSAGE_CHANNEL:
	case MESSAGE_SOCKET:
		hand(&ret->handed, message);
		return 0;
	case MESSAGE_STOP:
		return 0;
	default:
		return -ERR_MESSAGE;
	}
}

void
child_done(struct child *child)
{
	for (size_t i = 0; i < child->n_sockets; i++)
		closep(&child->sockets[i].fd);
	for (size_t i = 0; i < child->n_channels; i++)
		closep(&child->channels[i].fd);
	free(child->sockets);
	free(child->channels);
	child->sockets = child->channels = NULL;
	child->n_sockets = child->n_channels = 0;
	child_forget_identity(child);
	config_done(&child->config);
}
