#include "server/control/peers.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/errors.h"
#include "base/log.h"
#include "server/control/network.h"
#include "server/control/work.h"
#include "server/store/pool.h"
#include "server/store/tenant.h"

#define KEEPALIVE 25 /* seconds: what keeps usual NATs open; and a client that comes up says so at once */

static time_t
wall(void)
{
	return (time_t)(clock_wall() / SECONDS(1));
}

bool
peer_name_is_valid(const char *name)
{
	static const char alnum[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
	const size_t len = strlen(name);

	if (len == 0 || len > PEER_NAME_MAX || strspn(name, alnum) == 0)
		return false;
	if (strspn(name, "0123456789") == len)
		return false;
	for (size_t i = 0; i < len; i++)
		if (!strchr(alnum, name[i]) && !strchr("._-", name[i]))
			return false;
	return true;
}

static int
find(struct tx *tx, const char *ref, struct peer *ret, struct problem *p)
{
	int r;

	*p = (struct problem){0}; /* of a try before */
	if (ref[strspn(ref, "0123456789")] == '\0') {
		const struct peer_id id = {strlen(ref) < 19 ? strtoll(ref, NULL, 10) : 0};

		r = id.v ? peer_get(tx, id, ret) : -ERR_NOT_FOUND;
	} else {
		r = peer_find_name(tx, ref, ret);
	}
	if (r == -ERR_NOT_FOUND)
		return problem(p, r, "peer", "There is no peer \"%.63s\".", ref);
	return r;
}

/* What the tunnel sees of it.  The lock is held. */
static void
look_at(const struct board *board, struct peer_view *view)
{
	const struct wanted_peer *wanted = wanted_by_key(&board->wanted, &view->peer.key);
	const struct tunnel_peer *present = board->tunnel_up && board->present_valid
						    ? tunnel_state_peer(&board->present, &view->peer.key)
						    : NULL;

	view->endpoint = view->peer.last_endpoint;
	view->last_handshake_at = view->peer.last_handshake_at;
	if (wanted && wanted->last_handshake_at >= view->last_handshake_at) {
		view->last_handshake_at = wanted->last_handshake_at;
		if (wanted->last_endpoint.ip.family)
			view->endpoint = wanted->last_endpoint;
	}
	if (present) {
		view->last_handshake_at = MAX(view->last_handshake_at, present->last_handshake_at);
		if (present->endpoint.ip.family)
			view->endpoint = present->endpoint;
		view->rx_bytes = present->rx_bytes;
		view->tx_bytes = present->tx_bytes;
	}
}

static void
view_of(struct control *control, const struct peer *peer, struct peer_view *ret)
{
	struct board *board = control_board(control);

	*ret = (struct peer_view){.peer = *peer, .now = wall()};
	if (peer->disabled_at)
		ret->state = PEER_DISABLED;
	else if (peer->expires_at && peer->expires_at <= ret->now)
		ret->state = PEER_EXPIRED;
	board_lock(board);
	look_at(board, ret);
	board_unlock(board);
	ret->online = ret->last_handshake_at && ret->now - ret->last_handshake_at < RECENT_SECONDS;
}

/* Reading */

struct reading {
	const char *ref;
	struct peer peer;
	struct problem *p;
};

static int
get_work(struct tx *tx, void *arg)
{
	struct reading *reading = arg;

	return find(tx, reading->ref, &reading->peer, reading->p);
}

int
peers_get(struct control *control, const char *peer, struct peer_view *ret, struct problem *p)
{
	struct reading reading = {.ref = peer, .p = p};
	int r;

	control_look(control);
	r = work_run(control, get_work, &reading, p);
	if (r >= 0)
		view_of(control, &reading.peer, ret);
	return r;
}

static bool
shook_hands(struct board *board, const struct peer *peer)
{
	struct peer_view view = {.peer = *peer};

	look_at(board, &view);
	return view.last_handshake_at != 0;
}

static int
await_handshake(struct control *control, const char *ref, nsec_t limit, struct problem *p)
{
	struct board *board = control_board(control);
	struct reading reading = {.ref = ref, .p = p};
	const nsec_t deadline = board_clock() + limit;
	int r;

	r = work_run(control, get_work, &reading, p);
	if (r < 0)
		return r;
	board_lock(board);
	while (!board->stopping && !shook_hands(board, &reading.peer))
		if (!board_wait(board, deadline))
			break;
	board_unlock(board);
	return 0;
}

int
peers_await_handshake(struct control *control, const char *peer, nsec_t limit, struct peer_view *ret,
		      struct problem *p)
{
	static atomic_int waiters;
	int r;

	if (atomic_fetch_add(&waiters, 1) >= HANDSHAKE_WAITERS_MAX)
		r = problem(p, -EBUSY, NULL, "%d others wait for a handshake already.",
			    HANDSHAKE_WAITERS_MAX);
	else
		r = await_handshake(control, peer, limit, p);
	atomic_fetch_sub(&waiters, 1);
	return r < 0 ? r : peers_get(control, peer, ret, p);
}

struct listing {
	const char *after;
	size_t limit;
	struct peers peers;
};

static int
list_work(struct tx *tx, void *arg)
{
	struct listing *listing = arg;

	peers_done(&listing->peers); /* of a try before */
	listing->peers = (struct peers){0};
	return peer_list(tx, listing->after, listing->limit + 1, &listing->peers);
}

int
peers_list(struct control *control, const char *after, size_t limit, struct peer_views *ret,
	   struct problem *p)
{
	struct listing listing = {after, limit, {0}};
	struct peer_view *v;
	size_t n;
	int r;

	control_look(control);
	r = work_run(control, list_work, &listing, p);
	if (r < 0) {
		peers_done(&listing.peers);
		return r;
	}
	n = MIN(listing.peers.n, limit);
	v = calloc(n + 1, sizeof(*v));
	for (size_t i = 0; v && i < n; i++)
		view_of(control, &listing.peers.v[i], &v[i]);
	if (v)
		*ret = (struct peer_views){n, v, listing.peers.n > limit};
	peers_done(&listing.peers);
	return v ? 0 : problem(p, -ENOMEM, NULL, "There is no memory left.");
}

void
peer_views_done(struct peer_views *views)
{
	free(views->v);
	*views = (struct peer_views){0};
}

/* Adding */

struct adding {
	const struct caller *caller;
	const struct peer_wish *wish;
	struct peer peer;
	struct problem *p;
};

/* A route is a network behind the peer: not of a pool, not the whole world, no host bits. */
static int
check_route(const struct cidr *route, size_t i, const struct pools *pools, struct problem *p)
{
	struct cidr masked = *route;
	char field[32], text[CIDR_TEXT_LEN], other[CIDR_TEXT_LEN];

	snprintf(field, sizeof(field), "routes[%zu]", i);
	cidr_text(text, route);
	cidr_mask(&masked);
	if (!ip_equal(&masked.ip, &route->ip)) {
		cidr_text(other, &masked);
		return problem(p, -ERR_INVALID, field, "%s has host bits; the network is %s.", text, other);
	}
	if (route->len == 0)
		return problem(p, -ERR_INVALID, field, "The default route cannot lead to a peer.");
	for (size_t k = 0; k < pools->n; k++)
		if (cidr_overlaps(route, &pools->v[k].network)) {
			cidr_text(other, &pools->v[k].network);
			return problem(p, -ERR_INVALID, field, "%s overlaps the pool %s.", text, other);
		}
	return 0;
}

/* Two peers cannot have one route: packets would go to whoever was told last. */
static int
check_others(struct tx *tx, const struct peer_wish *wish, struct problem *p)
{
	struct peers peers = {0};
	int r;

	if (wish->n_routes == 0)
		return 0;
	r = peer_list(tx, "", PEER_LIST_MAX, &peers);
	for (size_t i = 0; r >= 0 && i < peers.n; i++)
		for (size_t k = 0; r >= 0 && k < peers.v[i].n_routes * wish->n_routes; k++) {
			const size_t w = k % wish->n_routes;
			const struct cidr *theirs = &peers.v[i].routes[k / wish->n_routes];
			char field[32], text[CIDR_TEXT_LEN];

			if (!cidr_overlaps(theirs, &wish->routes[w]))
				continue;
			snprintf(field, sizeof(field), "routes[%zu]", w);
			cidr_text(text, theirs);
			r = problem(p, -ERR_CONFLICT, field, "%s leads to peer \"%s\" already.", text,
				    peers.v[i].name);
		}
	peers_done(&peers);
	return r;
}

static int
check_routes(struct tx *tx, const struct peer_wish *wish, struct problem *p)
{
	struct pools pools = {0};
	int r = 0;

	if (wish->n_routes) {
		r = pool_list(tx, &pools);
		for (size_t i = 0; r >= 0 && i < wish->n_routes; i++)
			r = check_route(&wish->routes[i], i, &pools, p);
		pools_done(&pools);
	}
	return r < 0 ? r : check_others(tx, wish, p);
}

static int
add_work(struct tx *tx, void *arg)
{
	struct adding *adding = arg;
	struct user user;
	int r;

	*adding->p = (struct problem){0};
	r = work_actor(tx, adding->caller, &user);
	if (r < 0)
		return r;
	r = check_routes(tx, adding->wish, adding->p);
	if (r < 0)
		return r;
	return peer_insert(tx,
			   &(struct peer_new){
				   .user = user.id,
				   .name = adding->wish->name,
				   .key = adding->wish->key,
				   .expires_at = adding->wish->expires_at,
				   .n_routes = adding->wish->n_routes,
				   .routes = adding->wish->routes,
			   },
			   &adding->peer);
}

static int
exists_work(struct tx *tx, void *arg)
{
	const struct adding *adding = arg;
	struct peer peer;

	return peer_find_name(tx, adding->wish->name, &peer);
}

/* Which of the two that must be unique is taken. */
static int
explain_conflict(struct control *control, struct adding *adding)
{
	struct problem *p = adding->p, ignored;
	int r;

	if (p->detail[0])
		return p->error;
	if (work_run(control, exists_work, adding, &ignored) >= 0) {
		r = problem(p, -ERR_CONFLICT, "name", "There is a peer \"%s\" already.", adding->wish->name);
		snprintf(p->remedy, sizeof(p->remedy),
			 "Take another name, or `rekey` that peer if its configuration was lost.");
		return r;
	}
	return problem(p, -ERR_CONFLICT, "public_key", "This key cannot be used: make a new key pair.");
}

static int
check_key(const struct public_key *key, struct control *control, struct problem *p)
{
	struct board *board = control_board(control);
	bool own;

	board_lock(board);
	own = board->has_gateway_key && memcmp(key->b, board->gateway_key.b, KEY_LEN) == 0;
	board_unlock(board);
	if (own || key_is_zero(key->b))
		return problem(p, -ERR_INVALID, "public_key", "%s",
			       own ? "This is the gateway's own key." : "A key of zeroes is no key.");
	return 0;
}

static int
check_end(time_t end, struct problem *p)
{
	if (end && end <= wall())
		return problem(p, -ERR_INVALID, "expires_at", "This time has passed.");
	return 0;
}

int
peers_add(struct control *control, const struct caller *caller, const struct peer_wish *wish,
	  struct peer_view *ret, struct applied *applied, struct problem *p)
{
	struct adding adding = {.caller = caller, .wish = wish, .p = p};
	int r;

	if (!peer_name_is_valid(wish->name))
		return problem(p, -ERR_INVALID, "name",
			       "A name is 1 to 63 of A-Z a-z 0-9 . _ - with a letter or digit first, and not "
			       "digits alone.");
	r = check_key(&wish->key, control, p);
	if (r == 0)
		r = check_end(wish->expires_at, p);
	if (r == 0)
		r = work_run(control, add_work, &adding, p);
	if (r == -ERR_CONFLICT)
		return explain_conflict(control, &adding);
	if (r < 0)
		return r;
	log_info("peer=%lld name=%s added by=uid:%u", (long long)adding.peer.id.v, adding.peer.name,
		 (unsigned)caller->uid);
	work_applied(control, &adding.peer.key, applied);
	view_of(control, &adding.peer, ret);
	return 0;
}

/* Changing */

struct changing {
	const struct caller *caller;
	const char *ref;
	const struct peer_change *change; /* NULL: the key */
	const struct public_key *key;
	struct peer peer;
	struct problem *p;
};

static int
change_work(struct tx *tx, void *arg)
{
	struct changing *changing = arg;
	const struct peer_change *change = changing->change;
	struct peer *peer = &changing->peer;
	int r;

	r = work_actor(tx, changing->caller, NULL);
	if (r >= 0)
		r = find(tx, changing->ref, peer, changing->p);
	if (r >= 0 && changing->key)
		r = peer_rekey(tx, peer->id, changing->key, peer);
	if (r >= 0 && change && change->has_expiry)
		r = peer_set_expiry(tx, peer->id, change->expires_at, peer);
	if (r >= 0 && change && change->has_disabled)
		r = peer_set_disabled(tx, peer->id, change->disabled, peer);
	return r;
}

static int
change(struct control *control, struct changing *changing, struct peer_view *ret, struct applied *applied)
{
	int r;

	r = work_run(control, change_work, changing, changing->p);
	if (r < 0)
		return r;
	log_info("peer=%lld name=%s changed by=uid:%u", (long long)changing->peer.id.v, changing->peer.name,
		 (unsigned)changing->caller->uid);
	work_applied(control, &changing->peer.key, applied);
	view_of(control, &changing->peer, ret);
	return 0;
}

int
peers_change(struct control *control, const struct caller *caller, const char *peer,
	     const struct peer_change *wish, struct peer_view *ret, struct applied *applied,
	     struct problem *p)
{
	struct changing changing = {.caller = caller, .ref = peer, .change = wish, .p = p};
	int r = 0;

	if (wish->has_expiry && wish->in_future)
		r = check_end(wish->expires_at, p);
	return r < 0 ? r : change(control, &changing, ret, applied);
}

int
peers_rekey(struct control *control, const struct caller *caller, const char *peer,
	    const struct public_key *key, struct peer_view *ret, struct applied *applied, struct problem *p)
{
	struct changing changing = {.caller = caller, .ref = peer, .key = key, .p = p};
	int r;

	r = check_key(key, control, p);
	if (r == 0)
		r = change(control, &changing, ret, applied);
	if (r == -ERR_CONFLICT)
		return problem(p, r, "public_key", "This key cannot be used: make a new key pair.");
	return r;
}

static int
remove_work(struct tx *tx, void *arg)
{
	struct changing *changing = arg;
	int r;

	r = work_actor(tx, changing->caller, NULL);
	if (r >= 0)
		r = find(tx, changing->ref, &changing->peer, changing->p);
	return r < 0 ? r : peer_remove(tx, changing->peer.id);
}

int
peers_remove(struct control *control, const struct caller *caller, const char *peer, struct peer *ret,
	     struct applied *applied, struct problem *p)
{
	struct changing changing = {.caller = caller, .ref = peer, .p = p};
	int r;

	r = work_run(control, remove_work, &changing, p);
	if (r < 0)
		return r;
	log_info("peer=%lld name=%s removed by=uid:%u", (long long)changing.peer.id.v, changing.peer.name,
		 (unsigned)caller->uid);
	work_applied(control, NULL, applied);
	*ret = changing.peer;
	return 0;
}

/* What else there is */

void
peers_client_config(struct control *control, const struct peer *peer, struct client_config *ret)
{
	struct board *board = control_board(control);

	*ret = (struct client_config){
		.mtu = NETWORK_MTU,
		.keepalive = KEEPALIVE,
		.ip4 = peer->address4.family != 0,
		.ip6 = peer->address6.family != 0,
	};
	board_lock(board);
	ret->has_key = board->has_gateway_key;
	ret->key = board->gateway_key;
	board_unlock(board);
	reach_find(control_config(control), &ret->reach);
	resolvers_find(control_config(control), &ret->dns);
}
