#include "server/proc/message.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "base/errors.h"

struct rule {
	const char *name;
	unsigned senders;
	enum message_kind kind;
	size_t len_min, len_max, fds_min, fds_max;
};

static const struct rule rules[MESSAGE_END] = {
#define X(name, senders, kind, len_min, len_max, fds_min, fds_max)                                           \
	[MESSAGE_##name] = {#name, senders, kind, len_min, len_max, fds_min, fds_max},
	MESSAGES(X)
#undef X
};

const char *
message_name(enum message_type type)
{
	return type > MESSAGE_NONE && type < MESSAGE_END ? rules[type].name : "?";
}

static bool
body_is(enum message_kind kind, const char *body, size_t len)
{
	if (kind == MESSAGE_BYTES)
		return true;
	for (size_t i = 0; i < len; i++)
		if (!body[i] || (kind == MESSAGE_NAME && (body[i] <= ' ' || body[i] > '~')))
			return false;
	return true;
}

static bool
rule_holds(const struct rule *rule, const char *body, size_t len, size_t n_fds, unsigned senders)
{
	return (rule->senders & senders) && len >= rule->len_min && len <= rule->len_max &&
	       n_fds >= rule->fds_min && n_fds <= rule->fds_max && body_is(rule->kind, body, len);
}

int
message_check(const uint8_t head[MESSAGE_HEAD_LEN], const char *body, size_t len, size_t n_fds,
	      unsigned senders, enum message_type *type)
{
	const uint32_t code = le32_load(head);

	if (code <= MESSAGE_NONE || code >= MESSAGE_END || le32_load(head + 4) != len ||
	    !rule_holds(&rules[code], body, len, n_fds, senders))
		return -ERR_MESSAGE;
	*type = (enum message_type)code;
	return 0;
}

union control_buffer {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(MESSAGE_FDS_MAX * sizeof(int))];
};

static int
closed_or(int err)
{
	return err == EPIPE || err == ECONNRESET || err == ENOTCONN ? -ERR_CLOSED : -err;
}

int
channel_send(int fd, enum message_type type, const void *body, size_t len, const int *fds, size_t n_fds)
{
	uint8_t head[MESSAGE_HEAD_LEN];
	union control_buffer control = {0};
	struct iovec iov[2] = {{head, sizeof(head)}, {(void *)(uintptr_t)body, len}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
	struct cmsghdr *cmsg;

	if (type <= MESSAGE_NONE || type >= MESSAGE_END ||
	    !rule_holds(&rules[type], body, len, n_fds, rules[type].senders))
		return -ERR_MESSAGE;
	le32_store(head, (uint32_t)type);
	le32_store(head + 4, (uint32_t)len);
	if (n_fds) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(cmsg), fds, n_fds * sizeof(int));
	}
	while (sendmsg(fd, &msg, MSG_NOSIGNAL) < 0)
		if (errno != EINTR)
			return closed_or(errno);
	return 0;
}

/* Every descriptor that arrived is ours from here, whatever becomes of the message. */
static void
fds_collect(struct msghdr *msg, struct message *ret)
{
	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
		size_t n;

		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n && ret->n_fds < MESSAGE_FDS_MAX; i++)
			memcpy(&ret->fds[ret->n_fds++], CMSG_DATA(cmsg) + i * sizeof(int), sizeof(int));
	}
}

int
channel_recv(int fd, unsigned senders, struct message *ret)
{
	uint8_t head[MESSAGE_HEAD_LEN] = {0};
	union control_buffer control = {0};
	struct iovec iov[2] = {{head, sizeof(head)}, {ret->body, MESSAGE_BODY_MAX}};
	struct msghdr msg = {
		.msg_iov = iov,
		.msg_iovlen = 2,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	ssize_t n;

	ret->type = MESSAGE_NONE;
	ret->len = ret->n_fds = 0;
	ret->body[0] = '\0';
	do
		n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return closed_or(errno);
	fds_collect(&msg, ret);
	if (n == 0 && !ret->n_fds)
		return -ERR_CLOSED;
	if (n < MESSAGE_HEAD_LEN || (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) ||
	    message_check(head, ret->body, (size_t)n - MESSAGE_HEAD_LEN, ret->n_fds, senders, &ret->type) <
		    0) {
		ret->len = n < MESSAGE_HEAD_LEN ? 0 : (size_t)n - MESSAGE_HEAD_LEN;
		message_done(ret);
		return -ERR_MESSAGE;
	}
	ret->len = (size_t)n - MESSAGE_HEAD_LEN;
	ret->body[ret->len] = '\0';
	return 0;
}

void
message_done(struct message *message)
{
	for (size_t i = 0; i < message->n_fds; i++)
		closep(&message->fds[i]);
	bytes_wipe(message->body, message->len);
	message->type = MESSAGE_NONE;
	message->len = message->n_fds = 0;
}

int
channel_pair(int type, int ret[2])
{
	return socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ret) < 0 ? -errno : 0;
}
