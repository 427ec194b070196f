#include "server/proc/trouble.h"

#include <stdarg.h>

int
trouble(struct trouble *t, int r, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(t->text, sizeof(t->text), format, ap);
	va_end(ap);
	return r;
}
