/*
 * A function an object; json_pack() gives NULL for lack of memory, and with it the whole is none.
 */
#include "server/net/state.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "server/net/ruleset.h"

static const struct {
	const char *code, *remedy;
	bool unapplied;
} lines[NET_PROBLEM_COUNT] = {
#define X(name, code, unapplied, remedy) [NET_PROBLEM_##name] = {code, remedy, unapplied},
	NET_PROBLEMS(X)
#undef X
};

const char *
net_problem_code(enum net_problem problem)
{
	return lines[problem].code;
}

/* Whatever the words were composed of, they are printable ASCII, so that they fit a JSON string. */
void
net_problem_add(struct net_problems *problems, enum net_problem problem, const char *format, ...)
{
	char *words;
	va_list ap;

	if (problems->n == NET_PROBLEMS_MAX)
		return;
	words = problems->v[problems->n].words;
	problems->v[problems->n++].problem = problem;
	va_start(ap, format);
	vsnprintf(words, NET_ERROR_LEN, format, ap);
	va_end(ap);
	for (; *words; words++)
		if (*words < ' ' || *words > '~')
			*words = '?';
}

static json_t *
domain_addresses(const struct present *present, int index)
{
	json_t *array = json_array();
	char text[CIDR_TEXT_LEN];

	for (size_t i = 0; i < present->n_addresses; i++)
		if (present->addresses[i].index == index) {
			cidr_text(text, &present->addresses[i].cidr);
			json_array_append_new(array, json_string(text));
		}
	return array;
}

/* Those that packets can come from. */
static json_t *
uplink_addresses(const struct present *present, int index)
{
	json_t *array = json_array();
	char text[CIDR_TEXT_LEN];

	for (size_t i = 0; i < present->n_addresses; i++)
		if (present->addresses[i].index == index && present->addresses[i].usable) {
			cidr_text(text, &present->addresses[i].cidr);
			json_array_append_new(array, json_string(text));
		}
	return array;
}

static json_t *
uplink_gateways(const struct present *present, int index)
{
	json_t *array = json_array();
	char text[IP_TEXT_LEN];

	for (size_t i = 0; i < present->n_routes; i++)
		if (present->routes[i].index == index && present->routes[i].gateway.family) {
			ip_text(text, &present->routes[i].gateway);
			json_array_append_new(array, json_string(text));
		}
	return array;
}

static bool
peers_may_meet(const struct net_view *view, const char *ifname)
{
	for (size_t i = 0; view->ruled && i < view->ruled->n_domains; i++)
		if (strcmp(view->ruled->domains[i].ifname, ifname) == 0)
			return view->ruled->domains[i].peers_may_meet;
	return false;
}

static json_t *
domain_state(const struct net_view *view, const struct net_domain *domain)
{
	static const struct net_link absent;
	const struct net_link *there = present_link(view->present, domain->ifname);
	const struct net_link *link = there ? there : &absent;

	return json_pack("{s:s,s:s,s:b,s:b,s:I,s:o,s:b}", "name", domain->name, "ifname", domain->ifname,
			 "present", there != NULL, "up", link->up && link->carrier, "mtu",
			 (json_int_t)link->mtu, "addresses",
			 domain_addresses(view->present, there ? link->index : -1), "peers_may_meet",
			 peers_may_meet(view, domain->ifname));
}

static json_t *
domains_state(const struct net_view *view)
{
	json_t *array = json_array();

	for (size_t i = 0; view->plan && i < view->plan->n_domains; i++)
		if (json_array_append_new(array, domain_state(view, &view->plan->domains[i])) < 0) {
			json_decref(array);
			return NULL;
		}
	return array;
}

static json_t *
uplink_state(const struct net_view *view)
{
	const struct net_link *link = view->plan ? present_uplink(view->present, view->plan) : NULL;
	const char *ifname = link ? link->ifname : view->plan ? view->plan->uplink.ifname : "";
	const int index = link ? link->index : -1;

	return json_pack("{s:s,s:s,s:b,s:b,s:o,s:o}", "kind",
			 view->plan ? net_uplink_word(view->plan->uplink.kind) : "", "ifname", ifname,
			 "present", link != NULL, "up", link && link->up && link->carrier, "addresses",
			 uplink_addresses(view->present, index), "gateways",
			 uplink_gateways(view->present, index));
}

static const char *
remedy_of(const struct net_view *view, enum net_problem problem, char out[NET_ERROR_LEN])
{
	if (problem != NET_PROBLEM_UPLINK_MISSING || !view->plan)
		return lines[problem].remedy;
	if (net_uplink_lends(view->plan->uplink.kind))
		return "look for pasta's own complaint in the log; it needs a default route on this host and "
		       "/dev/net/tun";
	snprintf(out, NET_ERROR_LEN, "as root on this host: ip link set %s netns %d",
		 view->plan->uplink.ifname, (int)getpid());
	return out;
}

static json_t *
problems_state(const struct net_view *view)
{
	json_t *array = json_array();
	char remedy[NET_ERROR_LEN];

	for (size_t i = 0; i < view->problems->n; i++) {
		const enum net_problem problem = view->problems->v[i].problem;

		if (json_array_append_new(array, json_pack("{s:s,s:s,s:s}", "code", lines[problem].code,
							   "words", view->problems->v[i].words, "remedy",
							   remedy_of(view, problem, remedy))) < 0) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

static void
refusal_append(json_t *array, const struct net_view *view, enum refusal refusal,
	       const struct net_domain *domain)
{
	char name[REFUSAL_NAME_LEN];
	const json_t *counter;

	refusal_name(name, refusal, domain ? domain->ifname : NULL);
	counter = json_object_get(view->counters, name);
	json_array_append_new(array,
			      json_pack("{s:s,s:s,s:s,s:I,s:I}", "domain", domain ? domain->name : "", "rule",
					refusal_rule(refusal), "words", refusal_words(refusal), "packets",
					json_integer_value(json_object_get(counter, "packets")), "bytes",
					json_integer_value(json_object_get(counter, "bytes"))));
}

static json_t *
refusals_state(const struct net_view *view, bool counted)
{
	json_t *array = json_array();

	if (!view->plan || !counted)
		return array;
	for (size_t i = 0; i < view->plan->n_domains; i++)
		for (int k = 0; k < REFUSAL_DOMAIN_COUNT; k++)
			refusal_append(array, view, (enum refusal)k, &view->plan->domains[i]);
	for (int k = REFUSAL_DOMAIN_COUNT; k < REFUSAL_COUNT; k++)
		refusal_append(array, view, (enum refusal)k, NULL);
	return array;
}

static bool
applied(const struct net_view *view)
{
	for (size_t i = 0; i < view->problems->n; i++)
		if (lines[view->problems->v[i].problem].unapplied)
			return false;
	return view->plan != NULL;
}

int
state_make(const struct net_view *view, bool counted, char **ret)
{
	const bool lent = view->plan && net_uplink_lends(view->plan->uplink.kind);
	const char *sees = !view->plan ? "" : lent ? "host" : "peer";
	const char *words = !view->plan ? "nothing yet"
			    : lent      ? "the host's address"
					: "each peer's own address";
	_cleanup_(json_decrefp) json_t *state = json_pack(
		"{s:b,s:o,s:o,s:s,s:s,s:o,s:o}", "applied", applied(view), "domains", domains_state(view),
		"uplink", uplink_state(view), "outside_sees", sees, "outside_sees_words", words, "refusals",
		refusals_state(view, counted), "problems", problems_state(view));

	*ret = state ? json_dumps(state, JSON_COMPACT) : NULL;
	return *ret ? 0 : -ENOMEM;
}
