#include "server/net/nft.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "base/errors.h"

#ifndef NFT_PATH
#error "NFT_PATH comes from the build"
#endif

#define NFT_PATIENCE_MS 20000 /* without any progress; then it is killed */
#define NFT_OUTPUT_MAX  (16U * 1024 * 1024)
#define NFT_ERRORS_MAX  4096 /* of its words */

/* What a pipe gave so far. */
struct heap {
	char *p;
	size_t len, room, max;
	bool cut; /* what is beyond @max is read and dropped, instead of an error */
};

static void
heap_done(struct heap *heap)
{
	free(heap->p);
}

struct run {
	pid_t pid;
	int in, out, err;
	const char *input;
	size_t input_len;
	struct heap output, words;
};

int
nft_check(char error[NET_ERROR_LEN])
{
	if (access(NFT_PATH, X_OK) == 0)
		return 0;
	snprintf(error, NET_ERROR_LEN, "%s cannot be executed: %s", NFT_PATH, strerror(errno));
	return -ERR_NFT;
}

/* Between fork and exec: async-signal-safe calls only. */
static _noreturn_ void
become(const char *const *argv, const int fds[3])
{
	char *const environment[] = {NULL};
	sigset_t none;

	for (int i = 0; i < 3; i++)
		if (dup2(fds[i], i) < 0)
			_exit(126);
	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (close_range(3, ~0U, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ||
	    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_ADMIN, 0, 0) < 0)
		_exit(126);
	execve(NFT_PATH, (char *const *)(uintptr_t)argv, environment);
	_exit(127);
}

static int
pipe_pair(int *near_end, int *far_end, bool near_reads)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	*near_end = fds[near_reads ? 0 : 1];
	*far_end = fds[near_reads ? 1 : 0];
	return fcntl(*near_end, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

static int
run_start(struct run *run, const char *const *argv)
{
	int far_ends[3] = {-1, -1, -1};
	int r;

	r = pipe_pair(&run->in, &far_ends[0], false);
	if (r == 0)
		r = pipe_pair(&run->out, &far_ends[1], true);
	if (r == 0)
		r = pipe_pair(&run->err, &far_ends[2], true);
	if (r == 0) {
		run->pid = fork();
		if (run->pid == 0)
			become(argv, far_ends);
		if (run->pid < 0)
			r = -errno;
	}
	for (int i = 0; i < 3; i++)
		closep(&far_ends[i]);
	return r;
}

static void
run_done(struct run *run)
{
	closep(&run->in);
	closep(&run->out);
	closep(&run->err);
	if (run->pid > 0) { /* not yet waited for */
		kill(run->pid, SIGKILL);
		while (waitpid(run->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	heap_done(&run->output);
	heap_done(&run->words);
}

static int
heap_grow(struct heap *heap)
{
	const size_t room = heap->room ? heap->room * 2 : 16 * 1024;
	char *p = realloc(heap->p, room);

	if (!p)
		return -ENOMEM;
	heap->p = p;
	heap->room = room;
	return 0;
}

/* Reads what is there; the descriptor is closed at its end. */
static int
take_in(int *fd, struct heap *heap)
{
	ssize_t n;

	if (heap->len + 1 >= heap->room && heap_grow(heap) < 0)
		return -ENOMEM;
	n = read(*fd, heap->p + heap->len, heap->room - heap->len - 1);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n == 0)
		closep(fd);
	heap->len += (size_t)n;
	if (heap->cut)
		heap->len = MIN(heap->len, heap->max);
	heap->p[heap->len] = '\0';
	return heap->len <= heap->max ? 0 : -E2BIG;
}

static int
feed(struct run *run)
{
	const ssize_t n = write(run->in, run->input, run->input_len);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n < 0 || (size_t)n == run->input_len) { /* EPIPE: its words will say why */
		closep(&run->in);
		return 0;
	}
	run->input += n;
	run->input_len -= (size_t)n;
	return 0;
}

static int
run_exchange(struct run *run)
{
	int r = 0;

	while (r == 0 && (run->out >= 0 || run->err >= 0)) {
		struct pollfd fds[3] = {{run->in, POLLOUT, 0}, {run->out, POLLIN, 0}, {run->err, POLLIN, 0}};
		const int n = poll(fds, 3, NFT_PATIENCE_MS);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return -ETIMEDOUT;
		if (n < 0)
			continue;
		if (fds[0].revents)
			r = feed(run);
		if (r == 0 && fds[1].revents)
			r = take_in(&run->out, &run->output);
		if (r == 0 && fds[2].revents)
			r = take_in(&run->err, &run->words);
	}
	return r;
}

/* nft's first complaint, in one line: what stands behind "Error: ", up to the line's end. */
static void
words_of(const struct run *run, int status, char error[NET_ERROR_LEN])
{
	const char *words = run->words.p ? run->words.p : "";
	const char *from = strstr(words, "Error: ");

	if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
		snprintf(error, NET_ERROR_LEN, "%s cannot be executed", NFT_PATH);
		return;
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == 126) {
		snprintf(error, NET_ERROR_LEN, "CAP_NET_ADMIN cannot be handed on to nft");
		return;
	}
	from = from ? from + strlen("Error: ") : words;
	snprintf(error, NET_ERROR_LEN, "nft: %.*s", (int)strcspn(from, "\n"),
		 *from ? from : "it failed without a word");
}

static int
run_wait(struct run *run, char error[NET_ERROR_LEN])
{
	int status;

	while (waitpid(run->pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	run->pid = 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	words_of(run, status, error);
	return -ERR_NFT;
}

/* @input NULL: nothing on its standard input.  @ret NULL: its output does not matter. */
static int
nft_run(const char *const *argv, const char *input, json_t **ret, char error[NET_ERROR_LEN])
{
	_cleanup_(run_done) struct run run = {
		.in = -1,
		.out = -1,
		.err = -1,
		.input = input ? input : "",
		.input_len = input ? strlen(input) : 0,
		.output.max = NFT_OUTPUT_MAX,
		.words.max = NFT_ERRORS_MAX,
		.words.cut = true,
	};
	int r;

	snprintf(error, NET_ERROR_LEN, "nft could not be run");
	r = run_start(&run, argv);
	if (r == 0)
		r = run_exchange(&run);
	if (r < 0) {
		snprintf(error, NET_ERROR_LEN, "nft could not be run: %s", error_words(r));
		return r == -ENOMEM ? r : -ERR_NFT;
	}
	r = run_wait(&run, error);
	if (r < 0 || !ret)
		return r;
	*ret = json_loadb(run.output.p ? run.output.p : "", run.output.len, 0, NULL);
	if (*ret)
		return 0;
	snprintf(error, NET_ERROR_LEN, "nft printed what is not JSON");
	return -ERR_NFT;
}

int
nft_apply(const json_t *commands, char error[NET_ERROR_LEN])
{
	static const char *const argv[] = {"nft", "-j", "-f", "-", NULL};
	_cleanup_(freep) char *input = json_dumps(commands, JSON_COMPACT);

	if (!input)
		return -ENOMEM;
	return nft_run(argv, input, NULL, error);
}

int
nft_list(json_t **ret, char error[NET_ERROR_LEN])
{
	static const char *const argv[] = {"nft", "-j", "list", "ruleset", "inet", NULL};

	return nft_run(argv, NULL, ret, error);
}
