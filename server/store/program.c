#include "server/store/program.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/errors.h"

const char *const program_env[] = {"LC_ALL=C", "TZ=UTC", "PATH=/usr/local/bin:/usr/bin:/bin", NULL};

/* @input in memory alone, since a password may be in it. */
static int
input_open(const char *input)
{
	_cleanup_(closep) int fd = -1;
	const size_t len = input ? strlen(input) : 0;

	if (!input) {
		fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		return fd < 0 ? -errno : take_fd(&fd);
	}
	fd = memfd_create("input", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, input, len) != (ssize_t)len || lseek(fd, 0, SEEK_SET) < 0)
		return errno ? -errno : -EIO;
	return take_fd(&fd);
}

/* Between fork and exec: async-signal-safe calls only. */
static _noreturn_ void
become(const char *path, const char *const *argv, int in, int out, pid_t parent)
{
	struct sigaction standard = {.sa_handler = SIG_DFL};
	sigset_t none;

	if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
		_exit(126);
	for (int i = 1; i < NSIG; i++)
		sigaction(i, &standard, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	umask(077);
	if (close_range(3, ~0U, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(126);
	execve(path, (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)program_env);
	_exit(127);
}

/* The last of what comes, until nobody is left who could write. */
static void
output_read(int fd, char words[PROGRAM_WORDS])
{
	char part[512];
	size_t len = 0;
	ssize_t n;

	while ((n = read(fd, part, sizeof(part))) != 0) {
		if (n < 0) {
			if (errno == EINTR)
				continue;
			break;
		}
		if (len + (size_t)n >= PROGRAM_WORDS) {
			const size_t drop = len + (size_t)n - (PROGRAM_WORDS - 1);

			memmove(words, words + drop, len - drop);
			len -= drop;
		}
		memcpy(words + len, part, (size_t)n);
		len += (size_t)n;
	}
	while (len && (words[len - 1] == '\n' || words[len - 1] == ' '))
		len--;
	words[len] = '\0';
	for (char *p = words; *p; p++)
		if ((unsigned char)*p < 0x20)
			*p = ' ';
}

int
program_run(const char *path, const char *const *argv, const char *input, char words[PROGRAM_WORDS])
{
	_cleanup_(closep) int in = input_open(input);
	_cleanup_(closep) int out = -1;
	const pid_t self = getpid();
	int fds[2], status;
	pid_t pid;

	words[0] = '\0';
	if (in < 0)
		return in;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	out = fds[0];
	pid = fork();
	if (pid == 0)
		become(path, argv, in, fds[1], self);
	close(fds[1]);
	if (pid < 0)
		return -EAGAIN;
	output_read(out, words);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127 && !*words)
		return -ENOENT;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -ERR_DATABASE;
}
