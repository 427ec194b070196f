/*
 * A packet as anybody could send it, with descriptors: the check and the receiver agree, and none of the
 * descriptors stays behind.  The first byte is who may send, the second how many descriptors come with it.
 */
#include "server/proc/message.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "base/errors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define FDS_MOST 20 /* more than a message may have */

static int
packet_send(int fd, const uint8_t *data, size_t len, size_t n_fds)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(FDS_MOST * sizeof(int))];
	} control = {0};
	struct iovec iov = {(void *)(uintptr_t)data, len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (n_fds) {
		struct cmsghdr *cmsg;

		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		for (size_t i = 0; i < n_fds; i++)
			memcpy(CMSG_DATA(cmsg) + i * sizeof(int), &fd, sizeof(int));
	}
	return sendmsg(fd, &msg, 0) < 0 ? -errno : 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct message message;
	static int pair[2] = {-1, -1};
	enum message_type type = MESSAGE_NONE;
	unsigned senders;
	size_t n_fds;
	int expected = -ERR_MESSAGE, next, r;

	if (len < 3)
		return 0;
	if (pair[0] < 0)
		assert(channel_pair(SOCK_SEQPACKET, pair) == 0);
	senders = data[0] % 16;
	n_fds = data[1] % (FDS_MOST + 1);
	data += 2;
	len -= 2;
	next = dup(0);
	close(next);
	if (packet_send(pair[0], data, len, n_fds) < 0)
		return 0;
	if (len >= MESSAGE_HEAD_LEN && n_fds <= MESSAGE_FDS_MAX)
		expected = message_check(data, (const char *)data + MESSAGE_HEAD_LEN, len - MESSAGE_HEAD_LEN,
					 n_fds, senders, &type);
	r = channel_recv(pair[1], senders, &message);
	assert(r == expected);
	assert(message.type == type && (r == 0 || !message.n_fds));
	assert(r < 0 || (message.len == len - MESSAGE_HEAD_LEN && !message.body[message.len]));
	message_done(&message);
	r = dup(0);
	assert(r == next);
	close(r);
	return 0;
}
