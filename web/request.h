/*
 * A request as a value, after the guard: what the routes see.  And the readers of its parts, strict:
 * what is not known, comes twice or is out of bounds refuses the whole.  Pure.
 */
#ifndef WEB_REQUEST_H
#define WEB_REQUEST_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/ip.h"
#include "base/key.h"
#include "server/control/peers.h"
#include "server/control/problem.h"
#include "server/control/tenants.h"
#include "web/relay.h"

#define QUERY_MAX      8 /* parameters */
#define BODY_DEPTH_MAX 8 /* lists and objects in each other */

struct parameter {
	char name[16], value[80];
	bool taken;
};

struct request {
	char method[METHOD_MAX];
	char path[TARGET_MAX + 1];
	size_t n_query;
	struct parameter query[QUERY_MAX];
	char peer[64]; /* of the path's pattern */
	const char *content_type;
	const char *body; /* lent, NUL-terminated */
	size_t body_len;
	struct visitor who;
	char id[17]; /* hexadecimal, for log and audit */
};

/* The target into path and query.  -ERR_INVALID and @p. */
int request_target(struct request *request, const char *target, struct problem *p) _must_check_;

/* The value of a parameter, or NULL; counts it as taken. */
const char *query_text(struct request *request, const char *name);
int query_number(struct request *request, const char *name, int64_t min, int64_t max, int64_t otherwise,
		 int64_t *ret, struct problem *p) _must_check_;

/* To be called when all were taken: -ERR_INVALID if there are others. */
int query_end(const struct request *request, struct problem *p) _must_check_;

/* The body as an object; @optional: none is {}.  A new reference in @ret. */
int body_object(const struct request *request, bool optional, json_t **ret, struct problem *p) _must_check_;

/* All the bodies of the API. */
struct body_add {
	char name[PEER_NAME_MAX + 1];
	struct public_key key;
	time_t expires_at;
	size_t n_routes;
	struct cidr routes[PEER_ROUTES_MAX];
};
int body_add_read(const json_t *object, struct body_add *ret, struct problem *p) _must_check_;
int body_change_read(const json_t *object, struct peer_change *ret, struct problem *p) _must_check_;
int body_renew_read(const json_t *object, time_t *ret, struct problem *p) _must_check_;
int body_rekey_read(const json_t *object, struct public_key *ret, struct problem *p) _must_check_;
int body_tenant_read(const json_t *object, struct tenant_change *ret, struct problem *p) _must_check_;
int body_empty_read(const json_t *object, struct problem *p) _must_check_;

/* "2027-01-31T18:00:00Z", a real time of 1970 to 9999.  -EINVAL. */
int time_parse(time_t *ret, const char *text) _must_check_;

#endif
