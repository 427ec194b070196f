/*
 * A postgres that a killed warrend left behind, for the files of this folder.
 */
#ifndef SERVER_STORE_LEFTOVER_H
#define SERVER_STORE_LEFTOVER_H

#include "base/cleanup.h"

/*
 * Stops every postgres of our uid that runs in @cluster (it holds the directory as its working directory):
 * orderly, then at once, then by force.  0 when there is none any more, and its lock file is gone; -EBUSY: it
 * does not go away; errno.
 */
#define LEFTOVER_PATIENCE_MS 10000
int leftover_stop(const char *cluster, long patience_ms) _must_check_;

#endif
