/*
 * Messages between processes: a closed set over SOCK_SEQPACKET sockets, one message a packet.  The
 * table says who may send each, how long its body may be and how many descriptors come with it;
 * both ends check every message against it.  Whoever sends something else is not answered: the
 * connection ends (-ERR_MESSAGE), and warrend restarts the process behind it.
 */
#ifndef SERVER_PROC_MESSAGE_H
#define SERVER_PROC_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

#define MESSAGE_BODY_MAX (60U * 1024)
#define MESSAGE_NAME_MAX 63 /* of a role, a socket, a channel, an interface */
#define MESSAGE_FDS_MAX  16

/* Who may send it: the bit is the sender's. */
#define MESSAGE_FROM_CHILD   1U /* child → warrend */
#define MESSAGE_FROM_PARENT  2U /* warrend → child */
#define MESSAGE_FROM_CONTROL 4U /* control → net */
#define MESSAGE_FROM_NET     8U /* net → control */

/* TEXT has no NUL and is UTF-8 by convention of its reader; NAME is TEXT of graphic ASCII. */
enum message_kind { MESSAGE_TEXT, MESSAGE_NAME, MESSAGE_BYTES };

/* type, sender, kind of body, shortest and longest body, fewest and most descriptors */
#define MESSAGES(X)                                                                                          \
	X(HELLO, MESSAGE_FROM_CHILD, MESSAGE_NAME, 1, MESSAGE_NAME_MAX, 0, 0)                                \
	X(CONFIG, MESSAGE_FROM_PARENT, MESSAGE_TEXT, 0, MESSAGE_BODY_MAX, 0, 0)                              \
	X(SOCKET, MESSAGE_FROM_PARENT, MESSAGE_NAME, 1, MESSAGE_NAME_MAX, 1, 1)                              \
	X(IDENTITY, MESSAGE_FROM_PARENT, MESSAGE_BYTES, 32, 32, 0, 0)                                        \
	X(CHANNEL, MESSAGE_FROM_PARENT, MESSAGE_NAME, 1, MESSAGE_NAME_MAX, 1, 1)                             \
	X(GO, MESSAGE_FROM_PARENT, MESSAGE_BYTES, 0, 0, 0, 0)                                                \
	X(READY, MESSAGE_FROM_CHILD, MESSAGE_BYTES, 0, 0, 0, 0)                                              \
	X(TUN, MESSAGE_FROM_CHILD, MESSAGE_NAME, 1, 15, 1, MESSAGE_FDS_MAX)                                  \
	X(STOP, MESSAGE_FROM_PARENT, MESSAGE_BYTES, 0, 0, 0, 0)                                              \
	X(NET_PLAN, MESSAGE_FROM_CONTROL, MESSAGE_TEXT, 2, MESSAGE_BODY_MAX, 0, 0)                           \
	X(NET_STATE, MESSAGE_FROM_NET, MESSAGE_TEXT, 2, MESSAGE_BODY_MAX, 0, 0)                              \
	X(TUN_GONE, MESSAGE_FROM_CHILD, MESSAGE_NAME, 1, 15, 0, 0)

enum message_type {
	MESSAGE_NONE,
#define X(name, ...) MESSAGE_##name,
	MESSAGES(X)
#undef X
		MESSAGE_END
};

/*
 * A message received.  @body always has a NUL behind its @len bytes.  @fds are the receiver's, all
 * close-on-exec; message_done() closes those not taken (set to -1, or by take_fd()) and wipes the
 * body.  60 KiB: not for the stack of a deep call.
 */
struct message {
	enum message_type type;
	size_t len;
	size_t n_fds;
	int fds[MESSAGE_FDS_MAX];
	char body[MESSAGE_BODY_MAX + 1];
};

/* On the wire: both fields little-endian, then the body. */
#define MESSAGE_HEAD_LEN 8 /* type, length of the body */

/*
 * Sends one message; @fds stay the caller's.  -EAGAIN: the socket is non-blocking and full.
 * -ERR_CLOSED: nobody is there any more.  -ERR_MESSAGE: it does not fit the table.
 */
int channel_send(int fd, enum message_type type, const void *body, size_t len, const int *fds,
		 size_t n_fds) _must_check_;

/*
 * Receives one message sent by one of @senders (MESSAGE_FROM_ bits).  @ret is written in any case, and empty
 * but on success; give it to message_done().  -EAGAIN: nothing there (non-blocking socket).
 * -ERR_CLOSED: end of the connection.  -ERR_MESSAGE: unknown, out of bounds, cut short, from the
 * wrong sender, or with descriptors too many or too few (which are closed).
 */
int channel_recv(int fd, unsigned senders, struct message *ret) _must_check_;
void message_done(struct message *message);

/* A pair of connected, close-on-exec sockets.  @type: SOCK_SEQPACKET for messages, SOCK_STREAM. */
int channel_pair(int type, int ret[2]) _must_check_;

/*
 * The check by itself: the head, @len bytes of body and @n_fds descriptors that came with it.
 * @type is written on success.
 */
int message_check(const uint8_t head[MESSAGE_HEAD_LEN], const char *body, size_t len, size_t n_fds,
		  unsigned senders, enum message_type *type) _must_check_;

/* "HELLO"; static, "?" for what is none. */
const char *message_name(enum message_type type);

#endif
