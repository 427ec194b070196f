#include "server/proc/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "server/proc/isolation.h"

#define REPORT_FD 4

static void
signals_reset(void)
{
	sigset_t none;

	for (int s = 1; s < _NSIG; s++)
		signal(s, SIG_DFL); /* fails for those that cannot be set */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* 3 is the parent channel, 4 the report, which exec closes; nothing above.  @report follows. */
static int
descriptors_arrange(const struct spawn *spawn, int *report)
{
	const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	const int high = fcntl(*report, F_DUPFD_CLOEXEC, 10);
	const int parent = spawn->parent_fd < 0 ? -1 : fcntl(spawn->parent_fd, F_DUPFD_CLOEXEC, 10);

	if (null < 0 || high < 0 || (spawn->parent_fd >= 0 && parent < 0))
		return -errno;
	*report = high;
	if (dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
		return -errno;
	if (parent >= 0 ? dup2(parent, SPAWN_PARENT_FD) < 0
			: close_range(SPAWN_PARENT_FD, SPAWN_PARENT_FD, 0) < 0)
		return -errno;
	if (dup3(high, REPORT_FD, O_CLOEXEC) < 0)
		return -errno;
	*report = REPORT_FD;
	return close_range(REPORT_FD + 1, ~0U, 0) < 0 ? -errno : 0;
}

/*
 * In the child, until exec.  The namespaces' descriptors are used before the others are closed; the
 * death signal comes last, because a change of credentials clears it.
 */
static int
become(const struct spawn *spawn, pid_t parent, int *report)
{
	int r;

	signals_reset();
	if (!spawn->same_session && setsid() < 0)
		return -errno;
	if (spawn->inside) {
		r = namespaces_enter(spawn->inside, spawn->caps);
		if (r < 0)
			return r;
	}
	r = descriptors_arrange(spawn, report);
	if (r < 0)
		return r;
	if (prctl(PR_SET_PDEATHSIG, spawn->death_signal) < 0)
		return -errno;
	if (getppid() != parent)
		return -ESRCH;
	execve(spawn->path, (char *const *)(uintptr_t)spawn->argv, (char *const *)(uintptr_t)spawn->env);
	return -errno;
}

int
spawn_program(const struct spawn *spawn, pid_t *ret)
{
	_cleanup_(closep) int in = -1;
	_cleanup_(closep) int out = -1;
	const pid_t parent = getpid();
	int fds[2], r = 0;
	ssize_t n;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	in = fds[0];
	out = fds[1];
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		r = become(spawn, parent, &out);
		_exit(write(out, &r, sizeof(r)) < 0 ? 126 : 127);
	}
	closep(&out);
	do
		n = read(in, &r, sizeof(r));
	while (n < 0 && errno == EINTR);
	if (n == (ssize_t)sizeof(r)) { /* it did not come to exec */
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
		return r;
	}
	*ret = pid;
	return 0;
}
