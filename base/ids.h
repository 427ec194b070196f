/*
 * Ids of the rows that people and processes speak of, a type each, so that the compiler keeps them
 * apart.  Positive; 0 is none.
 */
#ifndef BASE_IDS_H
#define BASE_IDS_H

#include <stdint.h>

struct tenant_id { int64_t v; };
struct user_id { int64_t v; };
struct peer_id { int64_t v; };
struct pool_id { int64_t v; };
struct lease_id { int64_t v; };

#endif
