#include "server/cli/qr.h"

#include <errno.h>
#include <fcntl.h>
#include <qrencode.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Black and white of the 256 colours, which no theme changes. */
#define BLACK_ON_WHITE "\033[38;5;16;48;5;231m"
#define RESET          "\033[0m"

struct matrix {
	const unsigned char *modules;
	int width;
};

static bool
is_dark(const struct matrix *m, int y, int x)
{
	return y >= 0 && y < m->width && x >= 0 && x < m->width && (m->modules[y * m->width + x] & 1);
}

char *
qr_render(const unsigned char *modules, int width, bool colour)
{
	/* By upper and lower module.  A block is the foreground: dark with colours, light without. */
	static const char *const dark[2][2] = {{" ", "▄"}, {"▀", "█"}};
	static const char *const light[2][2] = {{"█", "▀"}, {"▄", " "}};
	const struct matrix m = {modules, width};
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return NULL;
	for (int y = -QR_QUIET; y < width + QR_QUIET; y += 2) {
		fputs(colour ? BLACK_ON_WHITE : "", out);
		for (int x = -QR_QUIET; x < width + QR_QUIET; x++)
			fputs((colour ? dark : light)[is_dark(&m, y, x)][is_dark(&m, y + 1, x)], out);
		fputs(colour ? RESET "\n" : "\n", out);
	}
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

static int
write_all(int fd, const char *text, size_t len)
{
	while (len > 0) {
		const ssize_t n = write(fd, text, len);

		if (n < 0 && errno != EINTR)
			return -errno;
		text += MAX(n, 0);
		len -= (size_t)MAX(n, 0);
	}
	return 0;
}

static int
draw(int fd, const char *text, bool colour)
{
	QRcode *code = QRcode_encodeString(text, 0, QR_ECLEVEL_L, QR_MODE_8, 1);
	char *drawing;
	int r;

	if (!code)
		return errno == ERANGE ? -EMSGSIZE : -ENOMEM;
	drawing = qr_render(code->data, code->width, colour);
	r = drawing ? write_all(fd, drawing, strlen(drawing)) : -ENOMEM;
	if (r == 0)
		r = code->width + 2 * QR_QUIET;
	free(drawing);
	QRcode_free(code);
	return r;
}

int
qr_draw(int fd, const char *text, bool colour)
{
	int result[2], r = -EIO;
	pid_t pid;

	if (pipe2(result, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid == 0) {
		r = draw(fd, text, colour);
		_exit(write(result[1], &r, sizeof(r)) == sizeof(r) ? 0 : 1);
	}
	close(result[1]);
	if (pid < 0)
		r = -errno;
	else if (read(result[0], &r, sizeof(r)) != sizeof(r))
		r = -EIO;
	close(result[0]);
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return r;
}
