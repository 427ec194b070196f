#include "server/control/wanted.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

int
key_list_add(struct key_list *list, const struct public_key *key)
{
	const size_t cap = list->cap ? list->cap * 2 : 16;
	struct public_key *v;

	if (list->n == list->cap) {
		v = reallocarray(list->v, cap, sizeof(*v));
		if (!v)
			return -ENOMEM;
		list->v = v;
		list->cap = cap;
	}
	list->v[list->n++] = *key;
	return 0;
}

void
key_list_done(struct key_list *list)
{
	free(list->v);
	*list = (struct key_list){0};
}

static void
touch(struct wanted *wanted, const struct public_key *key)
{
	if (!wanted->touched_all && key_list_add(&wanted->touched, key) < 0)
		wanted->touched_all = true;
}

static size_t
place(const struct wanted *wanted, struct peer_id id)
{
	size_t low = 0, high = wanted->n;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;

		if (wanted->v[middle].id.v < id.v)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct wanted_peer *
wanted_by_id(const struct wanted *wanted, struct peer_id id)
{
	const size_t i = place(wanted, id);

	return i < wanted->n && wanted->v[i].id.v == id.v ? &wanted->v[i] : NULL;
}

struct wanted_peer *
wanted_by_key(const struct wanted *wanted, const struct public_key *key)
{
	size_t low = 0, high = wanted->n;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;
		const int order = memcmp(wanted->by_key[middle]->key.b, key->b, KEY_LEN);

		if (order == 0)
			return wanted->by_key[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

static int
grow(struct wanted *wanted)
{
	const size_t cap = wanted->cap ? wanted->cap * 2 : 16;
	struct wanted_peer **by_key;
	struct wanted_peer *v;

	if (wanted->n < wanted->cap)
		return 0;
	by_key = reallocarray(wanted->by_key, cap, sizeof(*by_key));
	if (!by_key)
		return -ENOMEM;
	wanted->by_key = by_key;
	v = reallocarray(wanted->v, cap, sizeof(*v));
	if (!v)
		return -ENOMEM;
	wanted->v = v;
	wanted->cap = cap;
	return 0;
}

static int
ensure(struct wanted *wanted, struct peer_id id, struct wanted_peer **ret)
{
	const size_t i = place(wanted, id);

	if (i == wanted->n || wanted->v[i].id.v != id.v) {
		const int r = grow(wanted);

		if (r < 0)
			return r;
		memmove(&wanted->v[i + 1], &wanted->v[i], (wanted->n - i) * sizeof(*wanted->v));
		wanted->v[i] = (struct wanted_peer){.id = id};
		wanted->n++;
		wanted->unsorted = true;
	}
	*ret = &wanted->v[i];
	return 0;
}

static void
drop(struct wanted *wanted, struct peer_id id)
{
	const size_t i = place(wanted, id);

	if (i == wanted->n || wanted->v[i].id.v != id.v)
		return;
	touch(wanted, &wanted->v[i].key);
	allowed_ips_done(&wanted->v[i].access.allowed);
	memmove(&wanted->v[i], &wanted->v[i + 1], (wanted->n - i - 1) * sizeof(*wanted->v));
	wanted->n--;
	wanted->unsorted = true;
}

static size_t
allowed_of(const struct gateway_peer *from, struct cidr out[PEER_ROUTES_MAX + 2])
{
	size_t n = 0;

	if (from->address4.family)
		out[n++] = (struct cidr){from->address4, 32};
	if (from->address6.family)
		out[n++] = (struct cidr){from->address6, 128};
	for (size_t i = 0; i < from->n_routes && i < PEER_ROUTES_MAX; i++)
		out[n++] = from->routes[i];
	return n;
}

/* A preshared key is sealed and nothing here opens it: such a peer stays outside rather than without its key.
 */
static enum access_state
state_of(const struct gateway_peer *from)
{
	return from->disabled || from->psk.len ? ACCESS_CUT : ACCESS_ACTIVE;
}

static int
take(struct wanted *wanted, const struct gateway_peer *from)
{
	struct cidr allowed[PEER_ROUTES_MAX + 2];
	struct wanted_peer *peer;
	int r;

	r = ensure(wanted, from->id, &peer);
	if (r < 0)
		return r;
	touch(wanted, &from->key);
	if (memcmp(peer->key.b, from->key.b, KEY_LEN) != 0) {
		touch(wanted, &peer->key);
		wanted->unsorted = true;
		peer->key = from->key;
		peer->last_endpoint = (struct endpoint){0};
		peer->last_handshake_at = 0;
		peer->noted = peer->awaits_initiation = false;
	}
	peer->tenant = from->tenant;
	peer->refused = false;
	peer->access.state = state_of(from);
	peer->access.end = from->expires_at;
	if (!peer->noted && from->last_handshake_at >= peer->last_handshake_at) {
		peer->last_handshake_at = from->last_handshake_at;
		peer->last_endpoint = from->last_endpoint;
	}
	return allowed_ips_set(&peer->access.allowed, allowed, allowed_of(from, allowed));
}

static int
id_compare(const void *a, const void *b)
{
	const int64_t x = ((const struct peer_id *)a)->v, y = ((const struct peer_id *)b)->v;

	return (x > y) - (x < y);
}

/* Those that a whole feed does not name. */
static int
sweep(struct wanted *wanted, const struct gateway_feed *feed)
{
	_cleanup_(freep) struct peer_id *ids = calloc(feed->n_peers + 1, sizeof(*ids));

	if (!ids)
		return -ENOMEM;
	for (size_t i = 0; i < feed->n_peers; i++)
		ids[i] = feed->peers[i].id;
	qsort(ids, feed->n_peers, sizeof(*ids), id_compare);
	for (size_t i = wanted->n; i-- > 0;)
		if (!bsearch(&wanted->v[i].id, ids, feed->n_peers, sizeof(*ids), id_compare))
			drop(wanted, wanted->v[i].id);
	return 0;
}

static int
key_compare(const void *a, const void *b)
{
	return memcmp((*(struct wanted_peer *const *)a)->key.b, (*(struct wanted_peer *const *)b)->key.b,
		      KEY_LEN);
}

static void
index_keys(struct wanted *wanted)
{
	for (size_t i = 0; i < wanted->n; i++)
		wanted->by_key[i] = &wanted->v[i];
	if (wanted->n)
		qsort(wanted->by_key, wanted->n, sizeof(*wanted->by_key), key_compare);
	wanted->unsorted = false;
}

static int
domain_compare(const void *a, const void *b)
{
	const int64_t x = ((const struct wanted_domain *)a)->tenant.v,
		      y = ((const struct wanted_domain *)b)->tenant.v;

	return (x > y) - (x < y);
}

const struct wanted_domain *
wanted_domain(const struct wanted *wanted, struct tenant_id tenant)
{
	const struct wanted_domain key = {.tenant = tenant};

	if (wanted->n_domains == 0)
		return NULL;
	if (wanted->domains[0].tenant.v == tenant.v)
		return &wanted->domains[0];
	return bsearch(&key, wanted->domains + 1, wanted->n_domains - 1, sizeof(key), domain_compare);
}

static void
domain_pools(struct wanted_domain *domain, const struct gateway_feed *feed)
{
	for (size_t i = 0; i < feed->n_pools && domain->n_pools < WANTED_POOLS_MAX; i++)
		if (feed->pools[i].tenant.v == domain->tenant.v)
			domain->pools[domain->n_pools++] = feed->pools[i].network;
}

static bool
domains_equal(const struct wanted *wanted, const struct wanted_domain *domains, size_t n)
{
	if (n != wanted->n_domains)
		return false;
	for (size_t i = 0; i < n; i++)
		if (domains[i].tenant.v != wanted->domains[i].tenant.v)
			return false;
	return true;
}

/* All of them each time: the feed always names them all. */
static int
take_domains(struct wanted *wanted, const struct gateway_feed *feed, struct tenant_id first)
{
	struct wanted_domain *domains = calloc(feed->n_tenants + 1, sizeof(*domains));
	size_t n = 1;
	bool changed;

	if (!domains)
		return -ENOMEM;
	domains[0].tenant = first;
	snprintf(domains[0].domain.text, sizeof(domains->domain.text), WANTED_FIRST_DOMAIN);
	for (size_t i = 0; i < feed->n_tenants; i++) {
		const struct gateway_tenant *tenant = &feed->tenants[i];
		struct wanted_domain *domain = &domains[tenant->id.v == first.v ? 0 : n++];

		domain->tenant = tenant->id;
		domain->peers_may_meet = tenant->peers_may_meet;
		text_copy(domain->name, sizeof(domain->name), tenant->name);
		if (domain != domains)
			snprintf(domain->domain.text, sizeof(domain->domain.text), "wg%lld",
				 (long long)tenant->id.v);
	}
	qsort(domains + 1, n - 1, sizeof(*domains), domain_compare);
	for (size_t i = 0; i < n; i++)
		domain_pools(&domains[i], feed);
	changed = !domains_equal(wanted, domains, n);
	wanted->touched_all |= changed;
	free(wanted->domains);
	wanted->domains = domains;
	wanted->n_domains = n;
	for (size_t i = wanted->n;
	     changed && i-- > 0;) /* a key is one peer's: none of a tenant that is gone */
		if (!wanted_domain(wanted, wanted->v[i].tenant))
			drop(wanted, wanted->v[i].id);
	return 0;
}

int
wanted_apply(struct wanted *wanted, const struct gateway_feed *feed, struct tenant_id tenant, bool whole)
{
	int r;

	assert(tenant.v); /* or nobody would be wanted */
	wanted->touched_all |= whole;
	r = take_domains(wanted, feed, tenant);
	if (r == 0 && whole)
		r = sweep(wanted, feed);
	for (size_t i = 0; r == 0 && i < feed->n_peers; i++) {
		const struct gateway_peer *peer = &feed->peers[i];

		if (peer->gone)
			drop(wanted, peer->id);
		else if (wanted_domain(wanted, peer->tenant))
			r = take(wanted, peer);
	}
	if (wanted->unsorted)
		index_keys(wanted);
	wanted->known = r == 0 && (whole || wanted->known);
	return r;
}

void
wanted_done(struct wanted *wanted)
{
	for (size_t i = 0; i < wanted->n; i++)
		allowed_ips_done(&wanted->v[i].access.allowed);
	free(wanted->v);
	free(wanted->by_key);
	free(wanted->domains);
	key_list_done(&wanted->touched);
	*wanted = (struct wanted){0};
}

bool
wanted_note(struct wanted *wanted, const struct public_key *key, const struct endpoint *endpoint,
	    time_t handshake_at)
{
	struct wanted_peer *peer = wanted_by_key(wanted, key);
	bool news = false;

	if (!peer)
		return false;
	if (endpoint->ip.family && !endpoint_equal(endpoint, &peer->last_endpoint)) {
		peer->last_endpoint = *endpoint;
		news = true;
	}
	if (handshake_at > peer->last_handshake_at) {
		peer->last_handshake_at = handshake_at;
		peer->awaits_initiation = false;
		news = true;
	}
	peer->noted |= news;
	return news;
}

size_t
wanted_take_notes(struct wanted *wanted, struct gateway_note *notes, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < wanted->n && n < max; i++) {
		struct wanted_peer *peer = &wanted->v[i];

		if (!peer->noted)
			continue;
		notes[n++] = (struct gateway_note){peer->id, peer->last_endpoint, peer->last_handshake_at};
		peer->noted = false;
	}
	return n;
}

void
wanted_unwritten(struct wanted *wanted, const struct gateway_note *notes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct wanted_peer *peer = wanted_by_id(wanted, notes[i].peer);

		if (peer)
			peer->noted = true;
	}
}

void
wanted_count(const struct wanted *wanted, time_t now, struct wanted_counts *ret)
{
	*ret = (struct wanted_counts){.total = wanted->n};
	for (size_t i = 0; i < wanted->n; i++) {
		const struct wanted_peer *peer = &wanted->v[i];

		if (peer->access.state == ACCESS_CUT)
			ret->disabled++;
		else if (peer->access.end && peer->access.end <= now)
			ret->expired++;
		else
			ret->active++;
		ret->online += peer->last_handshake_at > 0 && now - peer->last_handshake_at < RECENT_SECONDS;
		ret->refused += peer->refused;
		ret->without_end += peer->access.end == 0;
		ret->ever_shook_hands |= peer->last_handshake_at > 0;
	}
}
