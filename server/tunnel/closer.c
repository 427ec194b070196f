#include "server/tunnel/closer.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"

struct job {
	size_t n;
	int fds[];
};

static void
close_all(const int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

static void *
run(void *arg)
{
	struct job *job = arg;

	close_all(job->fds, job->n);
	free(job);
	return NULL;
}

/* Nobody waits for the thread: at the end of the process the kernel closes what it left. */
static int
start(struct job *job)
{
	sigset_t all, old;
	pthread_attr_t attr;
	pthread_t thread;
	int r;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&thread, &attr, run, job);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return -r;
}

void
closer_take(const int *fds, size_t n)
{
	struct job *job = malloc(sizeof(*job) + n * sizeof(int));

	if (job) {
		job->n = n;
		memcpy(job->fds, fds, n * sizeof(int));
	}
	if (!job || start(job) < 0) {
		close_all(fds, n);
		free(job);
	}
}
