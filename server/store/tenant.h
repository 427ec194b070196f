/*
 * Tenants and their users.
 */
#ifndef SERVER_STORE_TENANT_H
#define SERVER_STORE_TENANT_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "base/ids.h"
#include "base/ip.h"
#include "server/store/audit.h"
#include "server/store/store.h"

#define TENANT_NAME_MAX 63 /* a DNS label: a-z, 0-9, '-', neither first nor last */
#define USER_NAME_MAX 255
#define TENANT_REST_DEFAULT (24 * 3600)

struct tenant {
	struct tenant_id id;
	char name[TENANT_NAME_MAX + 1];
	bool peers_may_meet;  /* whether its peers reach each other; default: not */
	int64_t rest_seconds; /* how long a freed address rests before another peer gets it */
	time_t created_at;
};

struct tenants {
	size_t n;
	struct tenant *v;
};

/*
 * The tenant @name, made with an IPv4 pool @pool and a /64 of the server's own ULA prefix (drawn once
 * a server) if it is not there; an existing one stays as it is, whatever @pool says.  Idempotent, also in a
 * race.  1: it was made, 0: it was there.  -EINVAL: the name; -ERR_INVALID: the pool;
 * -ERR_POOL_OVERLAP.
 */
int tenant_ensure(struct store *store, const char *name, const struct cidr *pool, const struct actor *actor,
		  struct tenant *ret) _must_check_;

/* Of all; by a gateway transaction. */
int tenant_list(struct tx *tx, struct tenants *ret) _must_check_;
void tenants_done(struct tenants *tenants);

/* By a gateway transaction.  -ERR_NOT_FOUND. */
int tenant_find(struct tx *tx, const char *name, struct tenant *ret) _must_check_;

/* The transaction's own tenant. */
int tenant_get(struct tx *tx, struct tenant *ret) _must_check_;
int tenant_set_peers_may_meet(struct tx *tx, bool peers_may_meet) _must_check_;
int tenant_set_rest(struct tx *tx, int64_t seconds) _must_check_; /* 0 … 10 years; -EINVAL */

struct user {
	struct user_id id;
	char name[USER_NAME_MAX + 1]; /* unique in the tenant: "uid:1000", a sign-in name */
	time_t created_at;
	time_t disabled_at; /* 0: enabled */
};

/* The user of that name, made if it is not there.  -EINVAL: empty, too long, control characters. */
int user_ensure(struct tx *tx, const char *name, struct user *ret) _must_check_;

/* -ERR_NOT_FOUND. */
int user_get(struct tx *tx, struct user_id id, struct user *ret) _must_check_;

#endif
