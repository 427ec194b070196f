#include "server/control/tenants.h"

#include <stdio.h>

#include "base/log.h"

static int
get_work(struct tx *tx, void *arg)
{
	return tenant_get(tx, arg);
}

int
tenants_get(struct control *control, struct tenant *ret, struct problem *p)
{
	return work_run(control, get_work, ret, p);
}

struct changing {
	const struct caller *caller;
	const struct tenant_change *change;
	struct tenant tenant;
};

static int
change_work(struct tx *tx, void *arg)
{
	struct changing *changing = arg;
	const struct tenant_change *change = changing->change;
	int r;

	r = work_actor(tx, changing->caller, NULL);
	if (r >= 0 && change->has_meet)
		r = tenant_set_peers_may_meet(tx, change->meet);
	if (r >= 0 && change->has_rest)
		r = tenant_set_rest(tx, change->rest_seconds);
	return r < 0 ? r : tenant_get(tx, &changing->tenant);
}

/* Who meets whom is net's to enforce: waits until its state says so. */
static void
meet_applied(struct control *control, bool meet, struct applied *ret)
{
	struct board *board = control_board(control);
	const nsec_t deadline = board_clock() + APPLY_LIMIT;

	board_lock(board);
	while (!(board->net.known && board->net.peers_may_meet == meet) && !board->stopping)
		if (!board_wait(board, deadline))
			break;
	*ret = (struct applied){.applied = board->net.known && board->net.peers_may_meet == meet};
	if (!ret->applied)
		snprintf(ret->note, sizeof(ret->note), "%s",
			 board->net_up
				 ? "The filters have not been changed within 2 s; `warren status` says why."
				 : "The net process is not there: it is told as soon as it is back.");
	board_unlock(board);
}

int
tenants_change(struct control *control, const struct caller *caller, const struct tenant_change *change,
	       struct tenant *ret, struct applied *applied, struct problem *p)
{
	struct changing changing = {.caller = caller, .change = change};
	int r;

	r = work_run(control, change_work, &changing, p);
	if (r < 0)
		return r;
	log_info("tenant=%s changed by=uid:%u peers_may_meet=%s", changing.tenant.name, (unsigned)caller->uid,
		 changing.tenant.peers_may_meet ? "yes" : "no");
	(void)control_changed(control);
	meet_applied(control, changing.tenant.peers_may_meet, applied);
	*ret = changing.tenant;
	return 0;
}

static int
pools_work(struct tx *tx, void *arg)
{
	struct pools *pools = arg;

	pools_done(pools); /* of a try before */
	*pools = (struct pools){0};
	return pool_list(tx, pools);
}

int
tenants_pools(struct control *control, struct pools *ret, struct problem *p)
{
	*ret = (struct pools){0};
	return work_run(control, pools_work, ret, p);
}

struct auditing {
	int64_t before_seq;
	size_t limit;
	struct audit_rows *rows;
};

static int
audit_work(struct tx *tx, void *arg)
{
	struct auditing *auditing = arg;

	audit_rows_done(auditing->rows); /* of a try before */
	*auditing->rows = (struct audit_rows){0};
	return audit_list(tx, auditing->before_seq, auditing->limit, auditing->rows);
}

int
tenants_audit(struct control *control, int64_t before_seq, size_t limit, struct audit_rows *ret,
	      struct problem *p)
{
	struct auditing auditing = {before_seq, limit, ret};

	*ret = (struct audit_rows){0};
	return work_run(control, audit_work, &auditing, p);
}
