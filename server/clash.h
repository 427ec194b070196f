/*
 * Whether a pool gets in the way of the networks that the host has already.
 */
#ifndef SERVER_CLASH_H
#define SERVER_CLASH_H

#include <stdbool.h>

#include "base/cleanup.h"
#include "base/ip.h"

#define CLASH_LEN 320

/*
 * True: @pool overlaps one of them; @words then says which, and names a pool that does not.  Where the kernel
 * does not say what there is, that is logged, and no clash is known.
 */
bool clash_find(const struct cidr *pool, char words[CLASH_LEN]) _must_check_;

#endif
