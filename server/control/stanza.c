#include "server/control/stanza.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/errors.h"

#define FILL_MAX (1024U * 1024)
#define ROOM_MIN 4096U

/* What was handed out goes, the rest moves to the front. */
static void
settle(struct stanza *stanza)
{
	if (!stanza->taken)
		return;
	memmove(stanza->text, stanza->text + stanza->taken, stanza->len - stanza->taken);
	stanza->len -= stanza->taken;
	stanza->taken = stanza->seen = 0;
}

static int
room(struct stanza *stanza)
{
	const size_t cap = stanza->cap ? stanza->cap * 2 : 4 * ROOM_MIN;
	char *text;

	if (stanza->cap - stanza->len >= ROOM_MIN)
		return 0;
	text = realloc(stanza->text, cap);
	if (!text)
		return -ENOMEM;
	stanza->text = text;
	stanza->cap = cap;
	return 0;
}

int
stanza_fill(struct stanza *stanza, int fd)
{
	size_t got = 0;

	settle(stanza);
	while (got < FILL_MAX && stanza->len <= stanza->max) {
		ssize_t n;
		int r;

		r = room(stanza);
		if (r < 0)
			return r;
		n = read(fd, stanza->text + stanza->len, stanza->cap - stanza->len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0)
			return errno == ECONNRESET ? -ERR_CLOSED : -errno;
		if (n == 0)
			return got ? (int)got : -ERR_CLOSED;
		stanza->len += (size_t)n;
		got += (size_t)n;
	}
	return (int)got;
}

int
stanza_next(struct stanza *stanza, const char **ret, size_t *ret_len)
{
	const char *end;

	settle(stanza);
	end = stanza->len > stanza->seen
		      ? memmem(stanza->text + stanza->seen, stanza->len - stanza->seen, "\n\n", 2)
		      : NULL;
	if (!end) {
		stanza->seen = stanza->len ? stanza->len - 1 : 0;
		return stanza->len > stanza->max ? -ERR_MESSAGE : -EAGAIN;
	}
	stanza->taken = (size_t)(end - stanza->text) + 2;
	if (stanza->taken > stanza->max)
		return -ERR_MESSAGE;
	*ret = stanza->text;
	*ret_len = stanza->taken;
	return 0;
}

void
stanza_clear(struct stanza *stanza)
{
	free(stanza->text);
	*stanza = (struct stanza){.max = stanza->max};
}
