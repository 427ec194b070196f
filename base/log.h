/*
 * A log line is one event on standard error: level, who, what, then key=value fields.  Libraries
 * return errors; the edge (loop, handler, main) logs once.  Never a key, a token or traffic.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/cleanup.h"

enum log_level { LOG_LEVEL_SILENT, LOG_LEVEL_ERROR, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* @who names the process ("tunnel") and must outlive it.  Default: "warren", info. */
void log_init(const char *who, enum log_level level);

void log_error(const char *format, ...) _printf_(1, 2);
void log_info(const char *format, ...) _printf_(1, 2);
void log_debug(const char *format, ...) _printf_(1, 2);

#endif
