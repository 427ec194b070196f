#include "server/proc/kept.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int
room(struct kept *kept)
{
	const size_t cap = kept->cap ? kept->cap * 2 : 16;
	struct kept_fd *v;

	if (kept->n == KEPT_MAX)
		return -ENOSPC;
	if (kept->n < kept->cap)
		return 0;
	v = reallocarray(kept->v, cap, sizeof(*v));
	if (!v)
		return -ENOMEM;
	kept->v = v;
	kept->cap = cap;
	return 0;
}

int
kept_add(struct kept *kept, const char *name, int fd)
{
	const size_t len = strlen(name);
	const int r = len > MESSAGE_NAME_MAX ? -EINVAL : room(kept);

	if (r < 0) {
		closep(&fd);
		return r;
	}
	memcpy(kept->v[kept->n].name, name, len + 1);
	kept->v[kept->n++].fd = fd;
	return 0;
}

size_t
kept_count(const struct kept *kept, const char *name)
{
	size_t n = 0;

	for (size_t i = 0; i < kept->n; i++)
		n += strcmp(kept->v[i].name, name) == 0;
	return n;
}

bool
kept_has(const struct kept *kept, const char *name)
{
	return kept_count(kept, name) > 0;
}

void
kept_drop(struct kept *kept, const char *name)
{
	size_t n = 0;

	for (size_t i = 0; i < kept->n; i++)
		if (strcmp(kept->v[i].name, name) == 0)
			closep(&kept->v[i].fd);
		else
			kept->v[n++] = kept->v[i];
	kept->n = n;
}

bool
kept_matches(const char *name, const char *patterns)
{
	const size_t name_len = strlen(name);

	if (!patterns)
		return false;
	for (const char *p = patterns; *p; p += *p == ' ') {
		const size_t len = strcspn(p, " ");

		if (len && p[len - 1] == '*' ? strncmp(name, p, len - 1) == 0
					     : len == name_len && strncmp(name, p, len) == 0)
			return true;
		p += len;
	}
	return false;
}

void
kept_done(struct kept *kept)
{
	for (size_t i = 0; i < kept->n; i++)
		closep(&kept->v[i].fd);
	free(kept->v);
	*kept = (struct kept){0};
}
