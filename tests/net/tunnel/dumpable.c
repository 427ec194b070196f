/*
 * A library to be preloaded: a program stays dumpable whatever it says.  The search for leaks at its end
 * attaches to its threads, which nobody may do to a process with secrets.
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int
prctl(int operation, ...)
{
	unsigned long a[4];
	va_list args;

	va_start(args, operation);
	for (int i = 0; i < 4; i++)
		a[i] = va_arg(args, unsigned long);
	va_end(args);
	if (operation == PR_SET_DUMPABLE)
		return 0;
	return (int)syscall(SYS_prctl, operation, a[0], a[1], a[2], a[3]);
}
