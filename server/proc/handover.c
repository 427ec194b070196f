/*
 * A link between two siblings has at most one end in our hands: the one whose owner has not said
 * HELLO yet.  Who says HELLO gets the end that waits for it, if its sibling got the other one in
 * this life, else an end of a new pair, whose other end goes to the sibling (or waits for it).
 */
#include "server/proc/handover.h"

#include <string.h>

#include "base/bytes.h"
#include "base/errors.h"

/* A channel for @end of @line, named as @end knows its sibling. */
static int
line_give(const struct line *line, int end, int fd)
{
	const char *name = end ? line->link->name_at_b : line->link->name_at_a;

	return instance_send(line->end[end], MESSAGE_CHANNEL, name, strlen(name), fd);
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
	if (!instance_has_begun(sibling)) {
		line->waiting[!end] = take_fd(&theirs);
		return 0;
	}
	r = line_give(line, !end, theirs);
	if (r < 0) /* the sibling's fault: not ours to report as @end's */
		instance_kill(sibling, r, "it does not take its channel");
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
void
handover_cut(struct instance *child)
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
	r = instance_send(child, MESSAGE_CONFIG, text, (size_t)len, -1);
	bytes_wipe(text, (size_t)len);
	return r;
}

int
handover_kept(struct instance *child, const char *name)
{
	const struct kept *kept = &child->s->kept;

	for (size_t i = 0; i < kept->n; i++) {
		const struct kept_fd *k = &kept->v[i];
		int r;

		if (name ? strcmp(k->name, name) != 0 : !kept_matches(k->name, child->role->sockets))
			continue;
		r = instance_send(child, MESSAGE_SOCKET, k->name, strlen(k->name), k->fd);
		if (r < 0)
			return r;
	}
	return 0;
}

int
handover(struct instance *child)
{
	const struct private_key *identity = child->s->identity;
	int r;

	r = config_send(child);
	if (r < 0)
		return r;
	r = handover_kept(child, NULL);
	if (r < 0)
		return r;
	if (child->role->identity && identity) {
		r = instance_send(child, MESSAGE_IDENTITY, identity->b, sizeof(identity->b), -1);
		if (r < 0)
			return r;
	}
	r = lines_connect(child);
	if (r < 0)
		return r;
	return instance_send(child, MESSAGE_GO, NULL, 0, -1);
}

static void
offer(struct supervisor *s, const struct instance *from, const char *name, nsec_t now)
{
	for (size_t i = 0; i < s->n_instances; i++) {
		struct instance *other = &s->instances[i];

		if (other == from || !kept_matches(name, other->role->sockets))
			continue;
		if (instance_has_begun(other)) {
			const int r = handover_kept(other, name);

			if (r < 0)
				instance_kill(other, r, "it does not take its device");
		} else if (other->state == CHILD_DOWN && other->role->needs) {
			instance_start(other, now);
		}
	}
}

void
supervisor_offer(struct supervisor *s, const char *name)
{
	offer(s, NULL, name, loop_now(s->loop));
}

/* A device comes anew: what was kept under its name is replaced, and those who use it are told. */
int
handover_tun(struct instance *child, nsec_t now)
{
	struct supervisor *s = child->s;
	char name[MESSAGE_NAME_MAX + 1];

	if (!child->role->sends_tun || !instance_has_begun(child))
		return -ERR_MESSAGE;
	snprintf(name, sizeof(name), "tun:%.15s", s->message.body);
	kept_drop(&s->kept, name);
	for (size_t i = 0; i < s->message.n_fds; i++) {
		const int r = kept_add(&s->kept, name, take_fd(&s->message.fds[i]));

		if (r < 0)
			return r;
	}
	if (s->events.device)
		s->events.device(s->events.arg, s->message.body, true);
	offer(s, child, name, now);
	return 0;
}

/* It is deleted already, or closing it would take long. */
int
handover_tun_gone(struct instance *child)
{
	struct supervisor *s = child->s;
	char name[MESSAGE_NAME_MAX + 1];

	if (!child->role->sends_tun || !instance_has_begun(child))
		return -ERR_MESSAGE;
	snprintf(name, sizeof(name), "tun:%.15s", s->message.body);
	kept_drop(&s->kept, name);
	if (s->events.device)
		s->events.device(s->events.arg, s->message.body, false);
	return 0;
}
