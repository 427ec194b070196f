/*
 * What the environment may say of the tunnel, alone or as a child.
 */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "server/tunnel/tunnel.h"
#include "server/wg/constants.h"

/* The CPUs that we may run on. */
static unsigned
cpus(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
}

/* 0: not given. */
static int
count(const char *variable, struct trouble *t, unsigned *ret)
{
	const char *text = getenv(variable);
	char *end;
	long n;

	*ret = 0;
	if (!text || !*text)
		return 0;
	errno = 0;
	n = strtol(text, &end, 10);
	if (errno || *end || n < 0 || n > WG_WORKERS_MAX)
		return trouble(t, -EINVAL, "%s=%s is not a number from 0 to %d", variable, text,
			       WG_WORKERS_MAX);
	*ret = (unsigned)n;
	return 0;
}

int
tunnel_environment(struct tunnel_config *config, unsigned *queues, struct trouble *t)
{
	const char *steering = getenv("WARREN_STEERING");
	int r;

	r = count("WARREN_WORKERS", t, &config->workers);
	if (r == 0)
		r = count("WARREN_QUEUES", t, queues);
	if (r < 0)
		return r;
	if (config->workers == 0)
		config->workers = MAX(MIN(cpus(), (unsigned)WG_WORKERS_MAX), 1U);
	if (*queues == 0)
		*queues = config->workers;
	config->aead = getenv("WARREN_AEAD");
	config->unsteered = steering && strcmp(steering, "off") == 0;
	return 0;
}
