/*
 * A new peer is made at its public_key line, but cut off until all its lines are there: no packet
 * passes before its end and state are known.  Whatever has to be seen together (access) or acts at once
 * (keepalive, initiate) waits for the end of the peer's lines too.
 */
#include "server/tunnel/uapi_set.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"

void
uapi_set_begin(struct uapi_set *set, const struct uapi_host *host, enum uapi_rights rights, const char *own)
{
	*set = (struct uapi_set){.host = host, .rights = rights, .own = own};
	snprintf(set->domain, sizeof(set->domain), "%s", own);
}

/* Domains come and go between two lines: the number is a hint, the name decides.  NULL: there is none. */
static struct wg_domain *
domain_of(struct uapi_set *set)
{
	const struct uapi_host *host = set->host;
	struct wg_domain *domain = host->domain_at(host->ctx, set->domain_number);

	if (set->domain[0] == '\0')
		return set->domain_removed ? NULL : host->domain;
	if (domain && strcmp(host->domain_name(host->ctx, domain), set->domain) == 0)
		return domain;
	domain = host->domain_find(host->ctx, set->domain);
	if (domain)
		set->domain_number = wg_domain_number(domain);
	return domain;
}

static int
domain_need(struct uapi_set *set, struct wg_domain **ret)
{
	struct wg_domain *domain = domain_of(set);
	int r;

	if (!domain && set->domain[0] == '\0') {
		snprintf(set->trouble, sizeof(set->trouble), "no domain was named");
		return -ENODEV;
	}
	if (!domain) {
		r = set->host->domain_get(set->host->ctx, set->domain, &domain);
		if (r < 0)
			return r;
	}
	set->domain_number = wg_domain_number(domain);
	set->domain_mentioned = false;
	*ret = domain;
	return 0;
}

static struct wg_peer *
peer_of(const struct uapi_set *set)
{
	return set->peer.serial ? wg_peer_by_id(set->host->device, set->peer) : NULL;
}

static struct wg_now
now_of(const struct uapi_set *set)
{
	return set->host->now(set->host->ctx);
}

/* Digits alone, up to @max. */
static int
parse_number(const char *value, uint64_t max, uint64_t *ret)
{
	uint64_t n = 0;

	if (*value == '\0')
		return -EINVAL;
	for (; *value; value++) {
		if (*value < '0' || *value > '9' || n > (max - (uint64_t)(*value - '0')) / 10)
			return -EINVAL;
		n = n * 10 + (uint64_t)(*value - '0');
	}
	*ret = n;
	return 0;
}

static int
parse_true(const char *value)
{
	return strcmp(value, "true") == 0 ? 0 : -EINVAL;
}

/* The device's own lines. */

static int
private_key_line(struct uapi_set *set, const char *value)
{
	struct private_key key;
	int r = hex_decode(key.b, KEY_LEN, value);

	if (r == 0)
		wg_private_key_set(set->host->device, &key, now_of(set), set->host->effects);
	bytes_wipe(&key, sizeof(key));
	return r;
}

static int
listen_port_line(struct uapi_set *set, const char *value)
{
	uint64_t port;
	int r = parse_number(value, UINT16_MAX, &port);

	return r < 0 ? r : set->host->port_set(set->host->ctx, (uint16_t)port);
}

static int
fwmark_line(struct uapi_set *set, const char *value)
{
	uint64_t mark;
	int r = parse_number(value, UINT32_MAX, &mark);

	return r < 0 ? r : set->host->mark_set(set->host->ctx, (uint32_t)mark);
}

static int
replace_peers_line(struct uapi_set *set, const char *value)
{
	const struct uapi_host *host = set->host;
	struct wg_domain *domain = domain_of(set);
	struct wg_peer *peer;
	int r = parse_true(value);

	if (r < 0)
		return r;
	while (domain && (peer = wg_peer_next(domain, NULL)))
		wg_peer_remove(host->device, peer, host->effects);
	return 0;
}

static int
watch_line(struct uapi_set *set, const char *value)
{
	set->watch = true;
	return parse_true(value);
}

static int peer_end(struct uapi_set *set, int error);

/* What was mentioned is there, even if nothing was said of it. */
static int
mention_keep(struct uapi_set *set)
{
	struct wg_domain *domain;

	return set->domain_mentioned ? domain_need(set, &domain) : 0;
}

/* Also between peers: then those that follow are of another domain. */
static int
domain_line(struct uapi_set *set, const char *value)
{
	int r;

	if (!uapi_domain_is_name(value))
		return -EINVAL;
	r = peer_end(set, 0);
	if (r == 0)
		r = mention_keep(set);
	if (r < 0)
		return r;
	snprintf(set->domain, sizeof(set->domain), "%s", value);
	set->domain_mentioned = true;
	return 0;
}

/* Only what was named: nobody removes his own by an oversight. */
static int
remove_domain_line(struct uapi_set *set, const char *value)
{
	int r = parse_true(value);

	if (r < 0)
		return r;
	if (strcmp(set->domain, set->own) == 0 && !set->domain_mentioned) {
		snprintf(set->trouble, sizeof(set->trouble), "the domain to be removed is to be named");
		return -EINVAL;
	}
	r = set->host->domain_remove(set->host->ctx, set->domain);
	set->domain[0] = '\0';
	set->domain_mentioned = false;
	set->domain_removed = true;
	return r == -ENOENT ? 0 : r;
}

/* A peer's lines; without a peer they are only checked. */

static int
remove_line(struct uapi_set *set, const char *value)
{
	struct wg_peer *peer = peer_of(set);
	int r = parse_true(value);

	if (r < 0)
		return r;
	if (peer)
		wg_peer_remove(set->host->device, peer, set->host->effects);
	set->peer = (struct wg_peer_id){0};
	set->elsewhere = false;
	return 0;
}

static int
update_only_line(struct uapi_set *set, const char *value)
{
	return set->created || set->elsewhere ? remove_line(set, value) : parse_true(value);
}

static int
preshared_key_line(struct uapi_set *set, const char *value)
{
	struct wg_peer *peer = peer_of(set);
	struct preshared_key psk;
	int r = hex_decode(psk.b, KEY_LEN, value);

	if (r == 0 && peer)
		wg_peer_psk_set(set->host->device, peer, &psk);
	bytes_wipe(&psk, sizeof(psk));
	return r;
}

static int
endpoint_line(struct uapi_set *set, const char *value)
{
	struct wg_peer *peer = peer_of(set);
	struct endpoint endpoint;
	int r = endpoint_parse(&endpoint, value);

	if (r == 0 && peer)
		wg_peer_endpoint_set(set->host->device, peer, &endpoint, now_of(set), set->host->effects);
	return r;
}

static int
keepalive_line(struct uapi_set *set, const char *value)
{
	uint64_t seconds;
	int r = parse_number(value, UINT16_MAX, &seconds);

	if (r < 0)
		return r;
	set->keepalive = (uint16_t)seconds;
	set->has_keepalive = true;
	return 0;
}

static int
replace_allowed_ips_line(struct uapi_set *set, const char *value)
{
	struct wg_peer *peer = peer_of(set);
	int r = parse_true(value);

	if (r == 0 && peer)
		wg_peer_disallow_all(set->host->device, peer);
	return r;
}

static int
allowed_ip_line(struct uapi_set *set, const char *value)
{
	const bool away = *value == '-';
	struct wg_peer *peer = peer_of(set);
	struct cidr cidr;
	int r = cidr_parse(&cidr, value + away);

	if (r < 0 || !peer)
		return r;
	if (!away)
		return wg_peer_allow(set->host->device, peer, &cidr);
	r = wg_peer_disallow(set->host->device, peer, &cidr);
	return r == -ENOENT ? 0 : r;
}

static int
protocol_version_line(struct uapi_set *set, const char *value)
{
	return strcmp(value, "1") == 0 ? 0 : -EINVAL;
}

static int
state_line(struct uapi_set *set, const char *value)
{
	static const enum wg_access all[] = {WG_ACTIVE, WG_QUARANTINED, WG_CUT};

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (strcmp(value, wg_access_words(all[i])) == 0) {
			set->access = all[i];
			set->has_access = true;
			return 0;
		}
	set->refused = true;
	return -EINVAL;
}

static int
end_line(struct uapi_set *set, const char *value)
{
	uint64_t end;
	int r = parse_number(value, INT64_MAX, &end);

	if (r < 0) {
		set->refused = true;
		return r;
	}
	set->end = (time_t)end;
	set->has_end = true;
	return 0;
}

static int
rate_rx_line(struct uapi_set *set, const char *value)
{
	int r = parse_number(value, UAPI_RATE_MAX, &set->rate_rx);

	set->has_rate_rx = r == 0;
	return r;
}

static int
rate_tx_line(struct uapi_set *set, const char *value)
{
	int r = parse_number(value, UAPI_RATE_MAX, &set->rate_tx);

	set->has_rate_tx = r == 0;
	return r;
}

static int
mtu_line(struct uapi_set *set, const char *value)
{
	struct wg_peer *peer = peer_of(set);
	uint64_t mtu;
	int r = parse_number(value, UINT16_MAX, &mtu);

	if (r == 0 && mtu != 0 && mtu < UAPI_MTU_MIN)
		r = -EINVAL;
	if (r < 0) {
		snprintf(set->trouble, sizeof(set->trouble), "an MTU is 0 for none, or %d to %d",
			 UAPI_MTU_MIN, UINT16_MAX);
		return r;
	}
	if (peer)
		wg_peer_mtu_set(set->host->device, peer, (uint16_t)mtu, set->host->effects);
	return 0;
}

static int
initiate_line(struct uapi_set *set, const char *value)
{
	set->initiate = true;
	return parse_true(value);
}

static void
access_apply(struct uapi_set *set, struct wg_peer *peer)
{
	const struct uapi_host *host = set->host;
	struct wg_peer_view view;
	enum wg_access access;

	if (!set->created && !set->has_access && !set->has_end)
		return;
	wg_peer_view(peer, &view);
	access = set->has_access ? set->access : set->created ? WG_ACTIVE : view.access;
	wg_peer_access_set(host->device, peer, access, set->has_end ? set->end : view.end, now_of(set),
			   host->effects);
	bytes_wipe(&view, sizeof(view));
}

/* The next peer's lines begin with nothing. */
static void
peer_forget(struct uapi_set *set)
{
	set->in_peer = set->created = set->refused = set->elsewhere = false;
	set->peer = (struct wg_peer_id){0};
	set->has_access = set->has_end = set->has_keepalive = false;
	set->has_rate_rx = set->has_rate_tx = set->initiate = false;
}

static void
rate_apply(struct uapi_set *set, struct wg_peer *peer)
{
	const struct uapi_host *host = set->host;
	struct wg_peer_view view;

	if (!set->has_rate_rx && !set->has_rate_tx)
		return;
	wg_peer_view(peer, &view);
	wg_peer_rate_set(host->device, peer, set->has_rate_rx ? set->rate_rx : view.limits.rate_rx,
			 set->has_rate_tx ? set->rate_tx : view.limits.rate_tx, host->effects);
	bytes_wipe(&view, sizeof(view));
}

/*
 * The lines of a peer are all there, or were until @error.  A new one of which not all is known, its end for
 * example, stays cut off; the reference would let it be.
 */
static int
peer_end(struct uapi_set *set, int error)
{
	const bool unsure = set->refused || (error < 0 && set->rights != UAPI_ALL);
	const struct uapi_host *host = set->host;
	struct wg_peer *peer = peer_of(set);
	const int r = set->elsewhere ? -EEXIST : 0;

	if (peer && !unsure) {
		rate_apply(set, peer);
		access_apply(set, peer);
		if (set->has_keepalive)
			wg_peer_keepalive_set(host->device, peer, set->keepalive, now_of(set), host->effects);
		if (set->initiate)
			wg_peer_initiate(host->device, peer, now_of(set), host->effects);
	}
	peer_forget(set);
	return r;
}

/*
 * A key is one peer's, for the port that all domains share finds it by that.  That it is not to be here
 * (remove, update_only) may be said nevertheless; all else is refused.
 */
static void
elsewhere(struct uapi_set *set, const struct wg_domain *domain)
{
	const struct uapi_host *host = set->host;

	set->elsewhere = true;
	snprintf(set->trouble, sizeof(set->trouble), "the public key is a peer of domain %s",
		 host->domain_name(host->ctx, domain));
}

/* Our own key is nobody's peer: its lines are checked and dropped. */
static int
public_key_line(struct uapi_set *set, const char *value)
{
	const struct uapi_host *host = set->host;
	struct wg_domain *domain = NULL;
	struct wg_peer_view view;
	struct public_key key;
	struct wg_peer *peer;
	int r;

	r = peer_end(set, 0);
	set->in_peer = true;
	if (r == 0)
		r = hex_decode(key.b, KEY_LEN, value);
	if (r == 0)
		r = domain_need(set, &domain);
	if (r < 0)
		return r;
	peer = wg_peer_find(host->device, &key);
	if (!peer) {
		r = wg_peer_add(host->device, domain, &key, host->effects, &peer);
		if (r < 0)
			return r == -EKEYREJECTED ? 0 : r;
		set->created = true;
		wg_peer_access_set(host->device, peer, WG_CUT, 0, now_of(set), host->effects);
	}
	wg_peer_view(peer, &view);
	if (view.domain == domain)
		set->peer = view.id;
	else
		elsewhere(set, view.domain);
	bytes_wipe(&view, sizeof(view));
	return 0;
}

#define OF_DEVICE    BIT(0)
#define OF_PEER      BIT(1)
#define OF_ALL       BIT(2) /* stand-alone only */
#define OF_ELSEWHERE BIT(3) /* also of a peer of another domain */

/* The common ones first. */
static const struct {
	const char *key;
	unsigned of;
	int (*take)(struct uapi_set *set, const char *value);
} lines[] = {
	{"allowed_ip", OF_PEER, allowed_ip_line},
	{"public_key", OF_DEVICE | OF_PEER | OF_ELSEWHERE, public_key_line},
	{"endpoint", OF_PEER, endpoint_line},
	{"preshared_key", OF_PEER, preshared_key_line},
	{"persistent_keepalive_interval", OF_PEER, keepalive_line},
	{"replace_allowed_ips", OF_PEER, replace_allowed_ips_line},
	{"protocol_version", OF_PEER, protocol_version_line},
	{"remove", OF_PEER | OF_ELSEWHERE, remove_line},
	{"update_only", OF_PEER | OF_ELSEWHERE, update_only_line},
	{"warren_end", OF_PEER, end_line},
	{"warren_state", OF_PEER, state_line},
	{"warren_rate_rx", OF_PEER, rate_rx_line},
	{"warren_rate_tx", OF_PEER, rate_tx_line},
	{"warren_mtu", OF_PEER, mtu_line},
	{"warren_initiate", OF_PEER, initiate_line},
	{"private_key", OF_DEVICE | OF_ALL, private_key_line},
	{"listen_port", OF_DEVICE | OF_ALL, listen_port_line},
	{"fwmark", OF_DEVICE | OF_ALL, fwmark_line},
	{"replace_peers", OF_DEVICE, replace_peers_line},
	{"warren_watch", OF_DEVICE, watch_line},
	{"warren_domain", OF_DEVICE | OF_PEER | OF_ELSEWHERE, domain_line},
	{"warren_remove_domain", OF_DEVICE, remove_domain_line},
};

int
uapi_set_line(struct uapi_set *set, const char *key, const char *value)
{
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		if (strcmp(key, lines[i].key) != 0 || !(lines[i].of & (set->in_peer ? OF_PEER : OF_DEVICE)))
			continue;
		if (set->rights == UAPI_READ || (set->rights == UAPI_CONTROL && lines[i].of & OF_ALL))
			return -EACCES;
		if (set->elsewhere && !(lines[i].of & OF_ELSEWHERE))
			return -EEXIST;
		return lines[i].take(set, value);
	}
	return set->rights == UAPI_READ ? -EACCES : -EINVAL;
}

int
uapi_set_end(struct uapi_set *set, int error, bool *watching)
{
	const int r = peer_end(set, error);

	if (error == 0)
		error = r < 0 ? r : mention_keep(set);
	*watching = error == 0 && set->watch;
	return error;
}

void
uapi_set_abandon(struct uapi_set *set)
{
	struct wg_peer *peer = set->created ? peer_of(set) : NULL;

	if (peer)
		wg_peer_remove(set->host->device, peer, set->host->effects);
}
