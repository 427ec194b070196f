#include "server/control/work.h"

#include <stdio.h>

#include "base/errors.h"

int
work_run(struct control *control, store_work_fn *work, void *arg, struct problem *p)
{
	struct board *board = control_board(control);
	struct tenant_id tenant;
	struct store *store;
	int r;

	*p = (struct problem){0};
	board_lock(board);
	store = board->store;
	tenant = board->tenant;
	board_unlock(board);
	r = store ? store_run(store, tenant, work, arg) : -ERR_DATABASE;
	if (r >= 0 || p->error)
		return r;
	problem(p, r, NULL, "%s", error_words(r));
	p->detail[0] = '\0';
	if (r == -ERR_DATABASE)
		snprintf(p->remedy, sizeof(p->remedy),
			 "Nothing was changed.  Try again in a moment; `warren status` says what is wrong.");
	else if (r == -ERR_POOL_FULL)
		snprintf(p->remedy, sizeof(p->remedy),
			 "Remove peers that are not used any more; freed addresses rest a while.");
	return r;
}

int
work_actor(struct tx *tx, const struct caller *caller, struct user *user)
{
	char name[32];
	struct actor actor = {name, caller->source, caller->request};
	int r;

	snprintf(name, sizeof(name), "uid:%u", (unsigned)caller->uid);
	r = tx_actor(tx, &actor);
	if (r < 0 || !user)
		return r;
	return user_ensure(tx, name, user);
}

void
work_applied(struct control *control, const struct public_key *key, struct applied *ret)
{
	struct board *board = control_board(control);
	const struct wanted_peer *wanted;
	const uint64_t ticket = control_changed(control);

	*ret = (struct applied){.applied = control_applied(control, ticket)};
	board_lock(board);
	wanted = key ? wanted_by_key(&board->wanted, key) : NULL;
	if (wanted && wanted->refused)
		ret->applied = false;
	if (!ret->applied)
		snprintf(ret->note, sizeof(ret->note), "%s",
			 !board->tunnel_up
				 ? "The tunnel process is not there: it is told as soon as it is back."
			 : board->database < 0
				 ? "The database went away meanwhile: the tunnel is told when it is back."
			 : wanted && wanted->refused ? "The tunnel refused it; the log of control says why."
						     : "The tunnel has not confirmed it within 2 s; it is "
						       "told as soon as possible.");
	board_unlock(board);
}
