/*
 * What every change that somebody asks for is made of: a transaction of the one tenant in his name, then
 * the wait until the tunnel has it.  From any thread but the loop's.
 */
#ifndef SERVER_CONTROL_WORK_H
#define SERVER_CONTROL_WORK_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/key.h"
#include "server/control/control.h"
#include "server/control/problem.h"
#include "server/store/store.h"
#include "server/store/tenant.h"

/* Who asks. */
struct caller {
	uid_t uid;
	const char *source;  /* "unix" */
	const char *request; /* id of the request */
};

/* Whether the data plane has a change; if not, why. */
struct applied {
	bool applied;
	char note[256];
};

/* store_run() for the one tenant; on failure @p says why: as @work said, else in the error's words. */
int work_run(struct control *control, store_work_fn *work, void *arg, struct problem *p) _must_check_;

/* Within @work: names the caller for the audit log, and his user if @user is not NULL. */
int work_actor(struct tx *tx, const struct caller *caller, struct user *user) _must_check_;

/* A change is committed: whether the tunnel has it.  @key: of the peer it is about, or NULL. */
void work_applied(struct control *control, const struct public_key *key, struct applied *ret);

#endif
