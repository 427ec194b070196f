#include "web/routes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/errors.h"
#include "server/control/metrics.h"
#include "web/page.h"
#include "web/shapes.h"

#define PAGE_MAX 500

#define X(name, method, path, right) static route_fn name##_route;
/* One handler may stand at several paths: declared again is declared once. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wredundant-decls"
ROUTES(X)
#pragma GCC diagnostic pop
#undef X

static const struct route routes[] = {
#define X(name, method, path, right) {#name, method, path, right, name##_route},
	ROUTES(X)
#undef X
};

/* Finding */

static bool
path_matches(const char *pattern, const char *path, char peer[64])
{
	for (; *pattern; pattern++, path++) {
		if (*pattern == '{') {
			const size_t len = strcspn(path, "/");

			if (len == 0 || len > PEER_NAME_MAX)
				return false;
			memcpy(peer, path, len);
			peer[len] = '\0';
			path += len - 1;
			pattern = strchr(pattern, '}');
		} else if (*pattern != *path) {
			return false;
		}
	}
	return *path == '\0';
}

static bool
may(const struct visitor *who, enum access_right right)
{
	return right == RIGHT_OPEN || who->admin || (right == RIGHT_METRICS && who->metrics);
}

const struct route *
route_find(struct request *request, enum refusal *refusal)
{
	const char *method = strcmp(request->method, "HEAD") == 0 ? "GET" : request->method;
	const struct route *found = NULL;

	*refusal = REFUSAL_NOT_FOUND;
	for (size_t i = 0; i < ARRAY_LEN(routes) && !found; i++) {
		if (!path_matches(routes[i].path, request->path, request->peer))
			continue;
		*refusal = REFUSAL_METHOD;
		if (strcmp(routes[i].method, method) == 0)
			found = &routes[i];
	}
	if (!found ? !request->who.admin : !may(&request->who, found->right)) {
		*refusal = REFUSAL_UNAUTHORIZED;
		return NULL;
	}
	return found;
}

static bool
is_json(const char *type)
{
	static const char json[] = "application/json";
	const size_t len = sizeof(json) - 1;

	if (!type || strncasecmp(type, json, len) != 0)
		return false;
	type += len;
	type += strspn(type, " ");
	return !*type || strcasecmp(type, ";charset=utf-8") == 0 || strcasecmp(type, "; charset=utf-8") == 0;
}

void
route_answer(struct control *control, struct request *request, struct answer *answer)
{
	enum refusal refusal;
	const struct route *route = route_find(request, &refusal);
	struct problem p;

	if (!route) {
		answer_refusal(answer, refusal);
		return;
	}
	if (request->body_len && !is_json(request->content_type)) {
		answer_refusal(answer, REFUSAL_MEDIA_TYPE);
		return;
	}
	if (request->body_len && strcmp(route->method, "GET") == 0) {
		answer_words(answer, REFUSAL_MALFORMED, NULL, "This request takes no body.", NULL);
		return;
	}
	route->fn(control, request, answer);
	if (answer->status < 300 && query_end(request, &p) < 0) {
		/* Only handlers that read take a query, so nothing was changed. */
		answer_done(answer);
		answer_problem(answer, &p);
	}
}

/* Open ones */

static void
page_route(struct control *control, struct request *request, struct answer *answer)
{
	struct control_health health;
	struct reach reach;
	size_t len = 0;
	char *body;

	control_health(control, &health);
	reach_find(control_config(control), &reach);
	body = page_make(&health, &reach, &len);
	answer_text(answer, "text/html; charset=utf-8", body, body ? len : 0);
}

static void
health_route(struct control *control, struct request *request, struct answer *answer)
{
	struct control_health health;

	control_health(control, &health);
	answer_json(answer, health.database && health.tunnel ? 200 : 503, shape_health(&health));
}

static void
version_route(struct control *control, struct request *request, struct answer *answer)
{
	answer_json(answer, 200, json_pack("{s:s}", "version", WARREN_VERSION));
}

/* Reading */

static void
status_route(struct control *control, struct request *request, struct answer *answer)
{
	_cleanup_(freep) struct status *status = malloc(sizeof(*status));

	if (!status) {
		answer_refusal(answer, REFUSAL_INTERNAL);
		return;
	}
	control_status(control, status);
	answer_json(answer, 200, shape_status(status));
}

static void
peers_route(struct control *control, struct request *request, struct answer *answer)
{
	const char *after = query_text(request, "after");
	struct peer_views views = {0};
	struct problem p = {0};
	int64_t limit;
	int r;

	r = query_number(request, "limit", 1, PAGE_MAX, PAGE_MAX, &limit, &p);
	if (r == 0 && after && !peer_name_is_valid(after))
		r = problem(&p, -ERR_INVALID, "after", "It must be the `next` of the page before.");
	if (r == 0)
		r = query_end(request, &p);
	if (r == 0)
		r = peers_list(control, after ? after : "", (size_t)limit, &views, &p);
	if (r < 0)
		answer_problem(answer, &p);
	else
		answer_json(answer, 200, shape_peers(&views));
	peer_views_done(&views);
}

static void
peer_route(struct control *control, struct request *request, struct answer *answer)
{
	const char *wait = query_text(request, "wait");
	struct peer_view view;
	struct problem p = {0};
	int64_t timeout = 25;
	int r = 0;

	if (wait)
		r = query_number(request, "timeout", 1, 50, 25, &timeout, &p);
	if (wait && strcmp(wait, "handshake") != 0)
		r = problem(&p, -ERR_INVALID, "wait", "It can only be \"handshake\".");
	if (r == 0)
		r = query_end(request, &p);
	if (r == 0)
		r = wait ? peers_await_handshake(control, request->peer, SECONDS(timeout), &view, &p)
			 : peers_get(control, request->peer, &view, &p);
	if (r < 0)
		answer_problem(answer, &p);
	else
		answer_json(answer, 200, shape_peer(&view));
}

static void
pools_route(struct control *control, struct request *request, struct answer *answer)
{
	struct pools pools = {0};
	struct problem p = {0};

	if (tenants_pools(control, &pools, &p) < 0)
		answer_problem(answer, &p);
	else
		answer_json(answer, 200, shape_pools(&pools));
	pools_done(&pools);
}

static void
audit_route(struct control *control, struct request *request, struct answer *answer)
{
	struct audit_rows rows = {0};
	struct problem p = {0};
	int64_t limit, after;
	int r;

	r = query_number(request, "limit", 1, PAGE_MAX, 50, &limit, &p);
	if (r == 0)
		r = query_number(request, "after", 1, INT64_MAX, INT64_MAX, &after, &p);
	if (r == 0)
		r = query_end(request, &p);
	if (r == 0)
		r = tenants_audit(control, after, (size_t)limit + 1, &rows, &p);
	if (r < 0)
		answer_problem(answer, &p);
	else
		answer_json(answer, 200,
			    shape_audit(&rows, MIN(rows.n, (size_t)limit), rows.n > (size_t)limit));
	audit_rows_done(&rows);
}

static void
wg_route(struct control *control, struct request *request, struct answer *answer)
{
	struct problem p = {0};
	char *text;
	size_t len;
	int r;

	r = control_wg(control, &text, &len);
	if (r < 0) {
		problem(&p, r, NULL, "%s", "The tunnel process is not there.");
		answer_problem(answer, &p);
		return;
	}
	answer_text(answer, "text/plain; charset=utf-8", text, len);
}

static void
metrics_route(struct control *control, struct request *request, struct answer *answer)
{
	size_t len = 0;
	char *text = control_metrics(control, &len);

	answer_text(answer, METRICS_TYPE, text, text ? len : 0);
}

/* Changing: no query, a body, a transaction, an answer that says whether the tunnel has it. */

static struct caller
caller_of(const struct request *request)
{
	return (struct caller){request->who.uid, "unix", request->id};
}

static int
body_of(struct request *request, bool optional, json_t **ret, struct problem *p)
{
	int r;

	r = query_end(request, p);
	return r < 0 ? r : body_object(request, optional, ret, p);
}

static void
answer_changed(struct control *control, struct answer *answer, int status, const struct peer_view *view,
	       const struct applied *applied, bool with_config)
{
	struct client_config config;

	if (with_config)
		peers_client_config(control, &view->peer, &config);
	answer_json(answer, status, shape_changed(view, applied, with_config ? &config : NULL));
}

static void
peer_add_route(struct control *control, struct request *request, struct answer *answer)
{
	const struct caller caller = caller_of(request);
	struct applied applied;
	struct peer_view view;
	struct problem p = {0};
	struct body_add body;
	json_t *object = NULL;
	int r;

	r = body_of(request, false, &object, &p);
	if (r == 0)
		r = body_add_read(object, &body, &p);
	json_decref(object);
	if (r == 0)
		r = peers_add(
			control, &caller,
			&(struct peer_wish){body.name, body.key, body.expires_at, body.n_routes, body.routes},
			&view, &applied, &p);
	if (r < 0)
		answer_problem(answer, &p);
	else
		answer_changed(control, answer, 201, &view, &applied, true);
}

static void
change_answer(struct control *control, struct request *request, const struct peer_change *change,
	      struct answer *answer)
{
	const struct caller caller = caller_of(request);
	struct applied applied;
	struct peer_view view;
	struct problem p = {0};

	if (peers_change(control, &caller, request->peer, change, &view, &applied, &p) < 0)
		answer_problem(answer, &p);
	else
		answer_changed(control, answer, 200, &view, &applied, false);
}

static void
peer_change_route(struct control *control, struct request *request, struct answer *answer)
{
	struct peer_change change;
	struct problem p = {0};
	json_t *object = NULL;
	int r;

	r = body_of(request, false, &object, &p);
	if (r == 0)
		r = body_change_read(object, &change, &p);
	json_decref(object);
	if (r < 0)
		answer_problem(answer, &p);
	else
		change_answer(control, request, &change, answer);
}

static void
peer_renew_route(struct control *control, struct request *request, struct answer *answer)
{
	struct peer_change change = {.has_expiry = true, .in_future = true};
	struct problem p = {0};
	json_t *object = NULL;
	int r;

	r = body_of(request, false, &object, &p);
	if (r == 0)
		r = body_renew_read(object, &change.expires_at, &p);
	json_decref(object);
	if (r < 0)
		answer_problem(answer, &p);
	else
		change_answer(control, request, &change, answer);
}

static void
switch_answer(struct control *control, struct request *request, bool disabled, struct answer *answer)
{
	const struct peer_change change = {.has_disabled = true, .disabled = disabled};
	struct problem p = {0};
	json_t *object = NULL;
	int r;

	r = body_of(request, true, &object, &p);
	if (r == 0)
		r = body_empty_read(object, &p);
	json_decref(object);
	if (r < 0)
		answer_problem(answer, &p);
	else
		change_answer(control, request, &change, answer);
}

static void
peer_enable_route(struct control *control, struct request *request, struct answer *answer)
{
	switch_answer(control, request, false, answer);
}

static void
peer_disable_route(struct control *control, struct request *request, struct answer *answer)
{
	switch_answer(control, request, true, answer);
}

static void
peer_rekey_route(struct control *control, struct request *request, struct answer *answer)
{
	const struct caller caller = caller_of(request);
	struct public_key key;
	struct applied applied;
	struct peer_view view;
	struct problem p = {0};
	json_t *object = NULL;
	int r;

	r = body_of(request, false, &object, &p);
	if (r == 0)
		r = body_rekey_read(object, &key, &p);
	json_decref(object);
	if (r == 0)
		r = peers_rekey(control, &caller, request->peer, &key, &view, &applied, &p);
	if (r < 0)
		answer_problem(answer, &p);
	else
		answer_changed(control, answer, 200, &view, &applied, true);
}

static void
peer_remove_route(struct control *control, struct request *request, struct answer *answer)
{
	const struct caller caller = caller_of(request);
	struct applied applied;
	struct problem p = {0};
	struct peer peer;
	int r;

	r = query_end(request, &p);
	if (r == 0 && request->body_len)
		r = problem(&p, -ERR_INVALID, NULL, "This request takes no body.");
	if (r == 0)
		r = peers_remove(control, &caller, request->peer, &peer, &applied, &p);
	if (r < 0)
		answer_problem(answer, &p);
	else
		answer_json(answer, 200, shape_removed(&peer, &applied));
}

/* The tenant */

static void
tenant_route(struct control *control, struct request *request, struct answer *answer)
{
	struct problem p = {0};
	struct tenant tenant;

	if (tenants_get(control, &tenant, &p) < 0)
		answer_problem(answer, &p);
	else
		answer_json(answer, 200, shape_tenant(&tenant, NULL));
}

static void
tenant_change_route(struct control *control, struct request *request, struct answer *answer)
{
	const struct caller caller = caller_of(request);
	struct tenant_change change;
	struct applied applied;
	struct tenant tenant;
	struct problem p = {0};
	json_t *object = NULL;
	int r;

	r = body_of(request, false, &object, &p);
	if (r == 0)
		r = body_tenant_read(object, &change, &p);
	json_decref(object);
	if (r == 0)
		r = tenants_change(control, &caller, &change, &tenant, &applied, &p);
	if (r < 0)
		answer_problem(answer, &p);
	else
		answer_json(answer, 200, shape_tenant(&tenant, &applied));
}
