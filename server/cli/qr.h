/*
 * A QR code for a terminal: two modules a character by half blocks, four light modules around.
 */
#ifndef SERVER_CLI_QR_H
#define SERVER_CLI_QR_H

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"

#define QR_QUIET 4 /* light modules around, ISO/IEC 18004 */

/*
 * Draws @text to @fd: the smallest version that holds it, low error correction.  Returns the columns it
 * takes.  With @colour it is black on white whatever the terminal's theme; without, light modules are
 * drawn in the terminal's foreground.  -EMSGSIZE: too long for a code.
 *
 * The library keeps copies of the text that it does not wipe, so it works in a process of its own, and
 * the copies end with it.
 */
int qr_draw(int fd, const char *text, bool colour) _must_check_;

/*
 * The drawing of a matrix of @width × @width bytes whose lowest bit is set for a dark module, into a
 * new string; NULL: no memory.
 */
char *qr_render(const unsigned char *modules, int width, bool colour);

#endif
