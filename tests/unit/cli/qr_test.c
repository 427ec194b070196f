/* The drawing of a code, module by module against the library's own matrix. */
#include "server/cli/qr.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <qrencode.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT                                                                                                 \
	"[Interface]\nPrivateKey = QAECAwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\nAddress = 10.82.0.2/32\n"
#define BEGIN "\033[38;5;16;48;5;231m"
#define END   "\033[0m"

/* Whether the half of the next character is drawn in the foreground; moves *@at. */
static void
halves(const char **at, bool drawn[2])
{
	static const struct {
		const char *text;
		bool upper, lower;
	} glyphs[] = {{"█", true, true}, {"▀", true, false}, {"▄", false, true}, {" ", false, false}};

	for (size_t i = 0; i < ARRAY_LEN(glyphs); i++)
		if (strncmp(*at, glyphs[i].text, strlen(glyphs[i].text)) == 0) {
			*at += strlen(glyphs[i].text);
			drawn[0] = glyphs[i].upper;
			drawn[1] = glyphs[i].lower;
			return;
		}
	fail_msg("not a half block: %.8s", *at);
}

static void
step_over(const char **at, const char *text)
{
	assert_memory_equal(*at, text, strlen(text));
	*at += strlen(text);
}

static bool
is_dark(const QRcode *code, int y, int x)
{
	return y >= 0 && y < code->width && x >= 0 && x < code->width &&
	       (code->data[y * code->width + x] & 1);
}

static void
assert_drawing(const QRcode *code, const char *drawing, bool colour)
{
	const char *at = drawing;

	for (int y = -QR_QUIET; y < code->width + QR_QUIET; y += 2) {
		step_over(&at, colour ? BEGIN : "");
		for (int x = -QR_QUIET; x < code->width + QR_QUIET; x++) {
			bool drawn[2] = {false, false};

			halves(&at, drawn);
			/* With colours the foreground is dark, without it is light. */
			assert_int_equal(drawn[0] == colour, is_dark(code, y, x));
			assert_int_equal(drawn[1] == colour, is_dark(code, y + 1, x));
		}
		step_over(&at, colour ? END "\n" : "\n");
	}
	assert_string_equal(at, "");
}

static void
every_module_is_drawn_with_and_without_colours(void **state)
{
	QRcode *code = QRcode_encodeString(TEXT, 0, QR_ECLEVEL_L, QR_MODE_8, 1);

	assert_non_null(code);
	for (int colour = 0; colour < 2; colour++) {
		char *drawing = qr_render(code->data, code->width, colour);

		assert_non_null(drawing);
		assert_drawing(code, drawing, colour);
		free(drawing);
	}
	QRcode_free(code);
}

static void
what_is_drawn_to_a_descriptor_is_the_smallest_code_of_the_text(void **state)
{
	QRcode *code = QRcode_encodeString(TEXT, 0, QR_ECLEVEL_L, QR_MODE_8, 1);
	char drawing[65536];
	ssize_t n;
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	assert_true(fcntl(fds[1], F_SETPIPE_SZ, (int)sizeof(drawing)) > 0);
	assert_int_equal(qr_draw(fds[1], TEXT, false), code->width + 2 * QR_QUIET);
	close(fds[1]);
	n = read(fds[0], drawing, sizeof(drawing) - 1);
	assert_true(n > 0);
	drawing[n] = '\0';
	close(fds[0]);
	assert_drawing(code, drawing, false);
	QRcode_free(code);
}

static void
a_text_too_long_for_any_code_is_refused(void **state)
{
	char text[4096];

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(qr_draw(STDERR_FILENO, text, false), -EMSGSIZE);
}

static void
a_descriptor_that_takes_nothing_is_an_error(void **state)
{
	const int full = open("/dev/full", O_WRONLY);

	assert_int_equal(qr_draw(full, TEXT, false), -ENOSPC);
	close(full);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_module_is_drawn_with_and_without_colours),
		cmocka_unit_test(what_is_drawn_to_a_descriptor_is_the_smallest_code_of_the_text),
		cmocka_unit_test(a_text_too_long_for_any_code_is_refused),
		cmocka_unit_test(a_descriptor_that_takes_nothing_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
