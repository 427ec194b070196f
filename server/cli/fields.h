/*
 * What a JSON answer says, taken with care: a member that is not there or of another type is
 * a fallback, never a crash.
 */
#ifndef SERVER_CLI_FIELDS_H
#define SERVER_CLI_FIELDS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* The text of member @name; "" if there is none.  Lent. */
const char *field_text(const json_t *object, const char *name);

/* The number, or @fallback. */
int64_t field_number(const json_t *object, const char *name, int64_t fallback);
bool field_true(const json_t *object, const char *name);

/* The texts of the list @name, parted by ", ", without a full prefix length (/32 of IPv4, /128 of IPv6) if
 * @bare;
 * "" if none.  The caller's to free; NULL: no memory. */
char *field_list(const json_t *object, const char *name, bool bare);

#endif
