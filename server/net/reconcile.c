#include "server/net/reconcile.h"

#include <errno.h>
#include <string.h>

#include "base/errors.h"
#include "base/log.h"
#include "server/net/devices.h"
#include "server/net/switches.h"

#define ROUNDS_MAX                                                                                           \
	4 /* a change may undo another: an address takes its secondaries with it, an MTU all of IPv6 */

int
reconcile_init(struct reconcile *rc, size_t n_queues, keep_tun_fn *keep_tun, void *arg)
{
	memset(rc, 0, sizeof(*rc));
	rc->n_queues = n_queues;
	rc->keep_tun = keep_tun;
	rc->keep_arg = arg;
	return netlink_open(&rc->nl);
}

void
reconcile_done(struct reconcile *rc)
{
	rules_done(&rc->rules);
	netlink_free(rc->nl);
	rc->nl = NULL;
}

/* -- devices ------------------------------------------------------------------------------------ */

static int
device_open(struct reconcile *rc, const char *ifname)
{
	int queues[NET_QUEUES_MAX];
	int r = tun_open_queues(ifname, queues, rc->n_queues);

	if (r < 0)
		return r;
	log_info("%s: new, queues=%zu", ifname, rc->n_queues);
	if (!net_devices_have(&rc->kept, ifname) && rc->kept.n < ARRAY_LEN(rc->kept.v))
		snprintf(rc->kept.v[rc->kept.n++], IFNAMSIZ, "%s", ifname);
	r = rc->keep_tun(rc->keep_arg, ifname, queues, rc->n_queues);
	for (size_t i = 0; i < rc->n_queues; i++)
		closep(&queues[i]);
	return r;
}

/* 0: it is there; 1: it was made.  -EEXIST: another's link has its name. */
static int
device_have(struct reconcile *rc, const char *ifname)
{
	const struct net_link *link = present_link(&rc->present, ifname);
	int r;

	if (link)
		return net_link_is_tun(link) ? 0 : -EEXIST;
	r = device_open(rc, ifname);
	return r < 0 ? r : 1;
}

static void
devices_open(struct reconcile *rc, const struct net_plan *plan)
{
	bool opened = false;

	for (size_t i = 0; i < plan->n_domains; i++) {
		const char *ifname = plan->domains[i].ifname;
		const int r = device_have(rc, ifname);

		opened = opened || r > 0;
		if (r == -EEXIST)
			net_problem_add(&rc->problems, NET_PROBLEM_LINK, "%s: another link has this name",
					ifname);
		else if (r < 0)
			net_problem_add(&rc->problems, NET_PROBLEM_LINK,
					"%s: the TUN device cannot be made: %s", ifname, error_words(r));
	}
	if (opened && present_read(rc->nl, &rc->present) < 0)
		net_problem_add(&rc->problems, NET_PROBLEM_LINK, "what is there cannot be read");
}

/* -- changes ------------------------------------------------------------------------------------ */

static void
change_try(struct reconcile *rc, const struct change *change, bool last)
{
	char text[CHANGE_TEXT_LEN];
	const int r = change_make(rc->nl, change);

	change_text(text, change);
	if (r == 0)
		log_info("%s", text);
	else if (last)
		net_problem_add(&rc->problems, change_problem(change), "%s: %s", text, error_words(r));
}

/* Each round sees what the one before left; only what fails in the last one is a problem. */
static void
changes_make(struct reconcile *rc, const struct net_plan *plan)
{
	for (int round = 1; round <= ROUNDS_MAX; round++) {
		int r = present_read(rc->nl, &rc->present);

		if (r == 0)
			r = changes_find(&rc->changes, plan, &rc->present, &rc->kept);
		if (r < 0) {
			net_problem_add(&rc->problems, NET_PROBLEM_LINK, "links and addresses: %s",
					error_words(r));
			return;
		}
		if (rc->changes.n == 0)
			return;
		for (size_t i = 0; i < rc->changes.n; i++)
			change_try(rc, &rc->changes.v[i], round == ROUNDS_MAX);
	}
	if (present_read(rc->nl, &rc->present) < 0)
		net_problem_add(&rc->problems, NET_PROBLEM_LINK, "what is there cannot be read");
}

/* -- the uplink --------------------------------------------------------------------------------- */

static bool
uplink_has_address(const struct present *present, int index)
{
	for (size_t i = 0; i < present->n_addresses; i++)
		if (present->addresses[i].index == index && present->addresses[i].usable)
			return true;
	return false;
}

static bool
uplink_has_route(const struct present *present, int index)
{
	for (size_t i = 0; i < present->n_routes; i++)
		if (present->routes[i].index == index || present->routes[i].index == 0)
			return true;
	return false;
}

static void
uplink_look(struct reconcile *rc, const struct net_plan *plan)
{
	const struct net_link *link = present_uplink(&rc->present, plan);

	if (!link && !*plan->uplink.ifname)
		net_problem_add(&rc->problems, NET_PROBLEM_UPLINK_MISSING,
				"pasta has made no link yet, or it is gone");
	else if (!link)
		net_problem_add(&rc->problems, NET_PROBLEM_UPLINK_MISSING,
				"the uplink %s is not in the inner network namespace", plan->uplink.ifname);
	else if (!link->up || !link->carrier)
		net_problem_add(&rc->problems, NET_PROBLEM_UPLINK_MISSING,
				"the uplink %s is down, or its other end is", link->ifname);
	else if (!uplink_has_address(&rc->present, link->index))
		net_problem_add(&rc->problems, NET_PROBLEM_UPLINK_NO_ADDRESS, "the uplink %s has no address",
				link->ifname);
	else if (!uplink_has_route(&rc->present, link->index))
		net_problem_add(&rc->problems, NET_PROBLEM_UPLINK_NO_ROUTE,
				"no default route leads over the uplink %s", link->ifname);
}

static const char *
uplink_name(const struct reconcile *rc, const struct net_plan *plan)
{
	const struct net_link *link = present_uplink(&rc->present, plan);

	return *plan->uplink.ifname || !link ? plan->uplink.ifname : link->ifname;
}

/* -- routes that cannot be ---------------------------------------------------------------------- */

static bool
on_uplink(const struct present *present, int index, const struct cidr *cidr)
{
	for (size_t i = 0; i < present->n_addresses; i++)
		if (present->addresses[i].index == index && cidr_overlaps(&present->addresses[i].cidr, cidr))
			return true;
	for (size_t i = 0; i < present->n_routes; i++)
		if (present->routes[i].index == index && cidr_contains(cidr, &present->routes[i].gateway))
			return true;
	return false;
}

static void
routes_fit(struct reconcile *rc, struct net_domain *domain, const struct net_link *uplink)
{
	struct net_routes *routes = &domain->routes;
	char text[CIDR_TEXT_LEN];
	size_t kept = 0;

	for (size_t i = 0; i < routes->n; i++) {
		if (!on_uplink(&rc->present, uplink->index, &routes->v[i])) {
			routes->v[kept++] = routes->v[i];
			continue;
		}
		cidr_text(text, &routes->v[i]);
		net_problem_add(&rc->problems, NET_PROBLEM_NETWORK_CLASH,
				"the network %s is that of the uplink %s: it cannot be behind a peer too",
				text, uplink->ifname);
	}
	routes->n = kept;
}

static const struct net_plan *
plan_fit(struct reconcile *rc, const struct net_plan *plan)
{
	const struct net_link *uplink = present_uplink(&rc->present, plan);

	rc->fits = *plan;
	for (size_t i = 0; uplink && i < plan->n_domains; i++)
		routes_fit(rc, &rc->fits.domains[i], uplink);
	return &rc->fits;
}

/* -- the whole ---------------------------------------------------------------------------------- */

static int
rules_bring(struct reconcile *rc, const struct net_plan *plan, bool afresh)
{
	char error[NET_ERROR_LEN];
	int r = 0;

	if (afresh)
		r = rules_read(&rc->rules, error);
	if (r == 0)
		r = rules_hold(&rc->rules, plan, uplink_name(rc, plan), error);
	if (r < 0)
		net_problem_add(&rc->problems, NET_PROBLEM_RULES, "%s", error);
	if (r >= 0)
		rc->ruled = *plan;
	if (r > 0)
		log_info("rules: %s", rc->rules.digest);
	return r;
}

void
reconcile_run(struct reconcile *rc, const struct net_plan *plan, bool afresh)
{
	int r;

	rc->problems.n = 0;
	r = present_read(rc->nl, &rc->present);
	if (r < 0) {
		net_problem_add(&rc->problems, NET_PROBLEM_LINK, "what is there cannot be read: %s",
				error_words(r));
		return;
	}
	plan = plan_fit(rc, plan);
	if (rules_bring(rc, plan, afresh) >= 0) {
		devices_open(rc, plan);
		switches_links(plan, &rc->present, &rc->problems);
		changes_make(rc, plan);
		switches_forwarding(plan, &rc->problems);
	}
	uplink_look(rc, plan);
}

void
reconcile_look(struct reconcile *rc)
{
	char error[NET_ERROR_LEN];

	rc->problems.n = 0;
	if (present_read(rc->nl, &rc->present) < 0)
		net_problem_add(&rc->problems, NET_PROBLEM_LINK, "what is there cannot be read");
	if (rules_read(&rc->rules, error) < 0)
		net_problem_add(&rc->problems, NET_PROBLEM_RULES, "%s", error);
}

bool
reconcile_unfinished(const struct reconcile *rc)
{
	for (size_t i = 0; i < rc->problems.n; i++)
		switch (rc->problems.v[i].problem) {
		case NET_PROBLEM_LINK:
		case NET_PROBLEM_ADDRESS:
		case NET_PROBLEM_ROUTE:
		case NET_PROBLEM_NETWORK:
		case NET_PROBLEM_SYSCTL:
		case NET_PROBLEM_RULES:
			return true;
		default:
			break;
		}
	return false;
}

static void
loopback_up(struct reconcile *rc)
{
	const struct net_link *lo = present_link(&rc->present, "lo");
	const struct change change = {.kind = CHANGE_LINK_UP, .index = lo ? lo->index : 0, .ifname = "lo"};

	if (lo && !lo->up)
		change_try(rc, &change, true);
}

int
reconcile_begin(struct reconcile *rc)
{
	char error[NET_ERROR_LEN];
	int r;

	r = rules_read(&rc->rules, error);
	if (r == 0)
		r = rules_close(&rc->rules, error);
	if (r < 0)
		log_error("no rules: %s; no peer's packet passes until there are some", error);
	r = present_read(rc->nl, &rc->present);
	if (r < 0)
		return r;
	loopback_up(rc);
	r = device_have(rc, NET_FIRST_IFNAME);
	if (r < 0)
		log_error("%s: %s", NET_FIRST_IFNAME,
			  r == -EEXIST ? "another link has this name" : error_words(r));
	return r < 0 ? r : 0;
}
