/*
 * The tenant's own: its settings, pools and audit log.  From any thread but the loop's.  On failure @p says
 * why; results are written on success only.
 */
#ifndef SERVER_CONTROL_TENANTS_H
#define SERVER_CONTROL_TENANTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/control/work.h"
#include "server/store/audit.h"
#include "server/store/pool.h"
#include "server/store/tenant.h"

struct tenant_change {
	bool has_meet, meet; /* peers_may_meet */
	bool has_rest;
	int64_t rest_seconds; /* 0 to TENANT_REST_MAX */
};

#define TENANT_REST_MAX (10 * 365 * (int64_t)86400)

int tenants_get(struct control *control, struct tenant *ret, struct problem *p) _must_check_;

/* @applied: whether the filters say so already. */
int tenants_change(struct control *control, const struct caller *caller, const struct tenant_change *change,
		   struct tenant *ret, struct applied *applied, struct problem *p) _must_check_;

/* To be given to pools_done() and audit_rows_done(). */
int tenants_pools(struct control *control, struct pools *ret, struct problem *p) _must_check_;
int tenants_audit(struct control *control, int64_t before_seq, size_t limit, struct audit_rows *ret,
		  struct problem *p) _must_check_;

#endif
