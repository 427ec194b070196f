/*
 * The routes: a closed table of method, path, who may and what to do.  `{peer}` stands for one segment.
 */
#ifndef WEB_ROUTES_H
#define WEB_ROUTES_H

#include <stdbool.h>
#include <stddef.h>

#include "server/control/control.h"
#include "web/answer.h"
#include "web/request.h"

/* Whom it is for: everybody; also whoever came in where figures are served; only those at the admin socket.
 */
enum access_right { RIGHT_OPEN, RIGHT_METRICS, RIGHT_ADMIN };

/* handler, method, path, right */
#define ROUTES(X)                                                                                            \
	X(page, "GET", "/", RIGHT_OPEN)                                                                      \
	X(health, "GET", "/health", RIGHT_OPEN)                                                              \
	X(version, "GET", "/version", RIGHT_OPEN)                                                            \
	X(metrics, "GET", "/metrics", RIGHT_METRICS)                                                         \
	X(metrics, "GET", "/api/v1/metrics", RIGHT_ADMIN)                                                    \
	X(health, "GET", "/api/v1/health", RIGHT_OPEN)                                                       \
	X(status, "GET", "/api/v1/status", RIGHT_ADMIN)                                                      \
	X(peers, "GET", "/api/v1/peers", RIGHT_ADMIN)                                                        \
	X(peer_add, "POST", "/api/v1/peers", RIGHT_ADMIN)                                                    \
	X(peer, "GET", "/api/v1/peers/{peer}", RIGHT_ADMIN)                                                  \
	X(peer_change, "PATCH", "/api/v1/peers/{peer}", RIGHT_ADMIN)                                         \
	X(peer_remove, "DELETE", "/api/v1/peers/{peer}", RIGHT_ADMIN)                                        \
	X(peer_enable, "POST", "/api/v1/peers/{peer}/enable", RIGHT_ADMIN)                                   \
	X(peer_disable, "POST", "/api/v1/peers/{peer}/disable", RIGHT_ADMIN)                                 \
	X(peer_renew, "POST", "/api/v1/peers/{peer}/renew", RIGHT_ADMIN)                                     \
	X(peer_rekey, "POST", "/api/v1/peers/{peer}/rekey", RIGHT_ADMIN)                                     \
	X(tenant, "GET", "/api/v1/tenant", RIGHT_ADMIN)                                                      \
	X(tenant_change, "PATCH", "/api/v1/tenant", RIGHT_ADMIN)                                             \
	X(pools, "GET", "/api/v1/pools", RIGHT_ADMIN)                                                        \
	X(audit, "GET", "/api/v1/audit", RIGHT_ADMIN)                                                        \
	X(wg, "GET", "/api/v1/wg", RIGHT_ADMIN)

typedef void route_fn(struct control *control, struct request *request, struct answer *answer);

struct route {
	const char *name, *method, *path;
	enum access_right right;
	route_fn *fn;
};

/*
 * The route of @request, whose peer it fills in; or why there is none.  What a stranger may not use looks
 * alike to him whether it exists or not.  HEAD is GET.
 */
const struct route *route_find(struct request *request, enum refusal *refusal);

/* Answers @request in full; never fails.  @answer is to be given to answer_done(). */
void route_answer(struct control *control, struct request *request, struct answer *answer);

#endif
