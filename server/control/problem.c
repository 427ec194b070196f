#include "server/control/problem.h"

#include <stdarg.h>
#include <stdio.h>

int
problem(struct problem *p, int error, const char *field, const char *format, ...)
{
	va_list ap;

	*p = (struct problem){.error = error};
	snprintf(p->field, sizeof(p->field), "%s", field ? field : "");
	va_start(ap, format);
	vsnprintf(p->detail, sizeof(p->detail), format, ap);
	va_end(ap);
	return error;
}
