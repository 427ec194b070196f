/*
 * Values as the JSON of docs/api/openapi.yaml.  New references; NULL: no memory.
 */
#ifndef WEB_SHAPES_H
#define WEB_SHAPES_H

#include <jansson.h>

#include "server/control/peers.h"
#include "server/control/status.h"
#include "server/control/tenants.h"

json_t *shape_status(const struct status *status);
json_t *shape_health(const struct control_health *health);
json_t *shape_peer(const struct peer_view *view);
json_t *shape_peers(const struct peer_views *views);

/* @view as one that was changed; @config may be NULL. */
json_t *shape_changed(const struct peer_view *view, const struct applied *applied,
		      const struct client_config *config);
json_t *shape_removed(const struct peer *peer, const struct applied *applied);

/* @applied: it was changed; or NULL. */
json_t *shape_tenant(const struct tenant *tenant, const struct applied *applied);
json_t *shape_pools(const struct pools *pools);

/* The first @n of @rows; @more: there are older ones. */
json_t *shape_audit(const struct audit_rows *rows, size_t n, bool more);

#endif
