#include "server/proc/kept.h"

#include <errno.h>
#include <string.h>

int
kept_add(struct kept *kept, const char *name, int fd)
{
	const size_t len = strlen(name);
	int r = len > MESSAGE_NAME_MAX ? -EINVAL : kept->n == KEPT_MAX ? -ENOSPC : 0;

	if (r < 0) {
		closep(&fd);
		return r;
	}
	memcpy(kept->v[kept->n].name, name, len + 1);
	kept->v[kept->n++].fd = fd;
	return 0;
}

bool
kept_has(const struct kept *kept, const char *name)
{
	for (size_t i = 0; i < kept->n; i++)
		if (strcmp(kept->v[i].name, name) == 0)
			return true;
	return false;
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
	kept->n = 0;
}
