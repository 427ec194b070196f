/*
 * Ownership in signatures and scopes: a local frees itself, success hands on.
 */
#ifndef BASE_CLEANUP_H
#define BASE_CLEANUP_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))
#define _must_check_ __attribute__((warn_unused_result))
#define _printf_(a, b) __attribute__((format(printf, a, b)))
#define _noreturn_ __attribute__((noreturn))

#define BIT(n) (1U << (n))
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

/* Gives up ownership of a pointer: the variable becomes NULL, the value goes on. */
#define take_ptr(p)                             \
	({                                      \
		__typeof__(p) *_take_p = &(p);  \
		__typeof__(p) _taken = *_take_p; \
		*_take_p = NULL;                \
		_taken;                         \
	})

/* The same for a file descriptor: the variable becomes -1. */
static inline int
take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

static inline void
freep(void *p)
{
	free(*(void **)p);
}

static inline void
closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static inline void
fclosep(FILE **f)
{
	if (*f)
		fclose(*f);
}

#endif
