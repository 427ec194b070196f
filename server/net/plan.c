/*
 * From JSON to a value, one function an object, one check a field.  A reader knows where it is ("path")
 * so that a refusal names the place: `domains[1].mtu: 100 is not 576 to 65455`.
 */
#include "server/net/plan.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <string.h>

#include "base/errors.h"

#define MTU_MIN      576
#define MTU_MIN_IPV6 1280
#define MTU_MAX      65455 /* WireGuard's 80 bytes below the largest datagram */
#define PATH_LEN     96
#define QUOTE_MAX    48 /* of a refused value, in words */

struct reader {
	char *error; /* NET_ERROR_LEN */
	char path[PATH_LEN];
};

struct kind {
	const char *word;
	bool lent;
};

static const struct kind kinds[NET_UPLINK_COUNT] = {
#define X(name, word, lent) [NET_UPLINK_##name] = {word, lent},
	NET_UPLINKS(X)
#undef X
};

const char *
net_uplink_word(enum net_uplink_kind kind)
{
	return kinds[kind].word;
}

bool
net_uplink_lends(enum net_uplink_kind kind)
{
	return kinds[kind].lent;
}

bool
net_addresses_have(const struct net_addresses *addresses, uint8_t family)
{
	for (size_t i = 0; i < addresses->n; i++)
		if (addresses->v[i].ip.family == family)
			return true;
	return false;
}

static int refuse(struct reader *in, const char *key, const char *format, ...) _printf_(3, 4);

static int
refuse(struct reader *in, const char *key, const char *format, ...)
{
	char words[NET_ERROR_LEN - PATH_LEN - 80];
	va_list ap;

	va_start(ap, format);
	vsnprintf(words, sizeof(words), format, ap);
	va_end(ap);
	snprintf(in->error, NET_ERROR_LEN, "%s%s%.64s: %s", in->path, *in->path && *key ? "." : "", key,
		 words);
	return -ERR_INVALID;
}

/* A value from outside, fit to be shown: cut, and nothing but printable ASCII. */
static const char *
quote(char out[QUOTE_MAX], const char *text)
{
	size_t i;

	for (i = 0; i < QUOTE_MAX - 1 && text[i]; i++)
		out[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
	out[i] = '\0';
	return out;
}

/* Every key of @object must be one of the @n @keys. */
static int
keys_known(struct reader *in, json_t *object, const char *const *keys, size_t n)
{
	const char *key;
	json_t *value;
	char shown[QUOTE_MAX];

	json_object_foreach(object, key, value)
	{
		bool known = false;

		for (size_t i = 0; i < n; i++)
			known = known || strcmp(key, keys[i]) == 0;
		if (!known)
			return refuse(in, "", "key '%s' is unknown", quote(shown, key));
	}
	return 0;
}

static bool
all_of(const char *text, const char *allowed)
{
	return text[strspn(text, allowed)] == '\0';
}

/* @len is that of @out with its NUL; what is longer, empty or holds other characters is refused. */
static int
read_word(struct reader *in, json_t *object, const char *key, const char *allowed, char *out, size_t len)
{
	const char *text = json_string_value(json_object_get(object, key));
	char shown[QUOTE_MAX];

	if (!text)
		return refuse(in, key, "a string is required");
	if (!*text || strlen(text) >= len || !all_of(text, allowed))
		return refuse(in, key, "'%s' is not 1 to %zu of [%s]", quote(shown, text), len - 1, allowed);
	memcpy(out, text, strlen(text) + 1);
	return 0;
}

#define LOWER  "abcdefghijklmnopqrstuvwxyz"
#define UPPER  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

/* Whether hosts could have the addresses of @cidr, all of them. */
static bool
hosts_may_have(const struct cidr *cidr)
{
	static const char *const never[] = {"0.0.0.0/8",     "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3",
					    "::ffff:0:0/96", "::/8",        "fe80::/10",      "ff00::/8"};

	for (size_t i = 0; i < ARRAY_LEN(never); i++) {
		struct cidr nobodys;

		if (cidr_parse(&nobodys, never[i]) < 0 || cidr_overlaps(&nobodys, cidr))
			return false;
	}
	return true;
}

/* Whether a host could have such an address and peers could be around it. */
static bool
address_usable(const struct cidr *address)
{
	const struct cidr host = {.ip = address->ip, .len = (uint8_t)ip_bits(&address->ip)};

	return hosts_may_have(&host);
}

/* Bounds of a prefix: a domain needs room for peers, an uplink may be a single address. */
struct prefix_bounds {
	uint8_t min4, max4, min6, max6;
};

static const struct prefix_bounds domain_bounds = {8, 30, 32, 126};
static const struct prefix_bounds uplink_bounds = {8, 32, 16, 128};

static int
read_address(struct reader *in, const char *key, const char *text, const struct prefix_bounds *bounds,
	     struct cidr *ret)
{
	char shown[QUOTE_MAX];
	struct cidr network;
	uint8_t min, max;

	if (!text || !strchr(text, '/') || cidr_parse(ret, text) < 0)
		return refuse(in, key, "'%s' is not an address with a prefix length, such as 10.82.0.1/16",
			      quote(shown, text ? text : ""));
	min = ret->ip.family == AF_INET ? bounds->min4 : bounds->min6;
	max = ret->ip.family == AF_INET ? bounds->max4 : bounds->max6;
	if (ret->len < min || ret->len > max)
		return refuse(in, key, "%s: the prefix length is not %u to %u", quote(shown, text), min, max);
	if (!address_usable(ret))
		return refuse(in, key, "%s is not an address that a host can have", quote(shown, text));
	network = *ret;
	cidr_mask(&network);
	if (ret->len < (ret->ip.family == AF_INET ? 31 : 127) && ip_equal(&network.ip, &ret->ip))
		return refuse(in, key, "%s is the network, not an address in it", quote(shown, text));
	return 0;
}

static int
read_addresses(struct reader *in, json_t *object, const struct prefix_bounds *bounds,
	       struct net_addresses *ret)
{
	json_t *array = json_object_get(object, "addresses");
	const size_t n = json_array_size(array);
	int r;

	if (!json_is_array(array) || n > NET_ADDRESSES_MAX)
		return refuse(in, "addresses", "an array of at most %d is required", NET_ADDRESSES_MAX);
	for (size_t i = 0; i < n; i++) {
		r = read_address(in, "addresses", json_string_value(json_array_get(array, i)), bounds,
				 &ret->v[i]);
		if (r < 0)
			return r;
		for (size_t k = 0; k < i; k++)
			if (ip_equal(&ret->v[i].ip, &ret->v[k].ip))
				return refuse(in, "addresses", "one address comes twice");
	}
	ret->n = n;
	return 0;
}

static int
read_mtu(struct reader *in, json_t *object, const struct net_addresses *addresses, uint32_t *ret)
{
	const json_t *value = json_object_get(object, "mtu");
	const json_int_t mtu = json_integer_value(value);
	const json_int_t min = net_addresses_have(addresses, AF_INET6) ? MTU_MIN_IPV6 : MTU_MIN;

	if (!json_is_integer(value) || mtu < min || mtu > MTU_MAX)
		return refuse(in, "mtu", "an integer of %" JSON_INTEGER_FORMAT " to %d is required", min,
			      MTU_MAX);
	*ret = (uint32_t)mtu;
	return 0;
}

static int
read_route(struct reader *in, const char *text, const struct net_domain *domain, struct cidr *ret)
{
	char shown[QUOTE_MAX];
	struct cidr network;

	if (!text || !strchr(text, '/') || cidr_parse(ret, text) < 0)
		return refuse(in, "routes", "'%s' is not a network, such as 192.168.7.0/24",
			      quote(shown, text ? text : ""));
	quote(shown, text);
	network = *ret;
	cidr_mask(&network);
	if (!ip_equal(&network.ip, &ret->ip))
		return refuse(in, "routes", "%s has host bits", shown);
	if (!hosts_may_have(ret))
		return refuse(in, "routes", "%s holds addresses that no host can have", shown);
	if (!net_addresses_have(&domain->addresses, ret->ip.family))
		return refuse(in, "routes", "%s is of a family that the domain has no address of", shown);
	for (size_t i = 0; i < domain->routes.n; i++)
		if (cidr_overlaps(&domain->routes.v[i], ret))
			return refuse(in, "routes", "%s overlaps another one", shown);
	return 0;
}

static int
read_routes(struct reader *in, json_t *array, struct net_domain *ret)
{
	const size_t n = json_array_size(array);
	int r;

	if (!json_is_array(array) || n > NET_ROUTES_MAX)
		return refuse(in, "routes", "an array of at most %d is required", NET_ROUTES_MAX);
	for (size_t i = 0; i < n; i++) {
		r = read_route(in, json_string_value(json_array_get(array, i)), ret, &ret->routes.v[i]);
		if (r < 0)
			return r;
		ret->routes.n = i + 1;
	}
	return 0;
}

static int
read_domain(struct reader *in, json_t *object, struct net_domain *ret)
{
	static const char *const keys[] = {"name", "ifname", "mtu", "addresses", "peers_may_meet", "routes"};
	const json_t *meet;
	int r;

	if (!json_is_object(object))
		return refuse(in, "", "an object is required");
	r = keys_known(in, object, keys, ARRAY_LEN(keys));
	if (r < 0)
		return r;
	r = read_word(in, object, "name", LOWER DIGITS "_-", ret->name, sizeof(ret->name));
	if (r < 0)
		return r;
	r = read_word(in, object, "ifname", LOWER DIGITS, ret->ifname, sizeof(ret->ifname));
	if (r < 0)
		return r;
	if (!strchr(LOWER, ret->ifname[0]) || strcmp(ret->ifname, "lo") == 0 ||
	    strcmp(ret->ifname, "all") == 0 || strcmp(ret->ifname, "default") == 0 ||
	    strcmp(ret->ifname, "uplink") == 0)
		return refuse(in, "ifname", "'%s' cannot be a TUN's name", ret->ifname);
	r = read_addresses(in, object, &domain_bounds, &ret->addresses);
	if (r < 0)
		return r;
	if (ret->addresses.n == 0)
		return refuse(in, "addresses", "at least one is required");
	r = read_mtu(in, object, &ret->addresses, &ret->mtu);
	if (r < 0)
		return r;
	meet = json_object_get(object, "peers_may_meet");
	if (!json_is_boolean(meet))
		return refuse(in, "peers_may_meet", "true or false is required");
	ret->peers_may_meet = json_is_true(meet);
	return json_object_get(object, "routes") ? read_routes(in, json_object_get(object, "routes"), ret)
						 : 0;
}

/* The first of @n @a that overlaps any of @m @b; NULL: none does. */
static const struct cidr *
overlapping(const struct cidr *a, size_t n, const struct cidr *b, size_t m)
{
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < m; k++)
			if (cidr_overlaps(&a[i], &b[k]))
				return &a[i];
	return NULL;
}

/* The routes of @a are apart from all of @b, which may be the same domain. */
static int
routes_apart(struct reader *in, const struct net_domain *a, const struct net_domain *b)
{
	const struct cidr *route = overlapping(a->routes.v, a->routes.n, b->addresses.v, b->addresses.n);
	char text[CIDR_TEXT_LEN];

	if (!route && a != b)
		route = overlapping(a->routes.v, a->routes.n, b->routes.v, b->routes.n);
	if (!route)
		return 0;
	cidr_text(text, route);
	return refuse(in, "routes", "%s overlaps what '%s' has", text, b->name);
}

static int
domains_apart(struct reader *in, const struct net_domain *a, const struct net_domain *b)
{
	if (strcmp(a->name, b->name) == 0)
		return refuse(in, "name", "'%s' comes twice", a->name);
	if (strcmp(a->ifname, b->ifname) == 0)
		return refuse(in, "ifname", "'%s' comes twice", a->ifname);
	if (overlapping(a->addresses.v, a->addresses.n, b->addresses.v, b->addresses.n))
		return refuse(in, "addresses", "they overlap those of '%s'", b->name);
	if (overlapping(a->addresses.v, a->addresses.n, b->routes.v, b->routes.n))
		return refuse(in, "addresses", "they overlap a route of '%s'", b->name);
	return routes_apart(in, a, b);
}

static int
read_domains(struct reader *in, json_t *array, struct net_plan *plan)
{
	const size_t n = json_array_size(array);
	size_t n_routes = 0;
	int r;

	if (!json_is_array(array) || n < 1 || n > NET_DOMAINS_MAX)
		return refuse(in, "domains", "an array of 1 to %d is required", NET_DOMAINS_MAX);
	for (size_t i = 0; i < n; i++) {
		snprintf(in->path, sizeof(in->path), "domains[%zu]", i);
		r = read_domain(in, json_array_get(array, i), &plan->domains[i]);
		if (r < 0)
			return r;
		r = routes_apart(in, &plan->domains[i], &plan->domains[i]);
		if (r < 0)
			return r;
		for (size_t k = 0; k < i; k++) {
			r = domains_apart(in, &plan->domains[i], &plan->domains[k]);
			if (r < 0)
				return r;
		}
		n_routes += plan->domains[i].routes.n;
		if (n_routes > NET_ROUTES_MAX)
			return refuse(in, "routes", "more than %d in all domains together", NET_ROUTES_MAX);
	}
	plan->n_domains = n;
	return 0;
}

static int
read_gateways(struct reader *in, json_t *object, struct net_uplink *ret)
{
	json_t *array = json_object_get(object, "gateways");
	const size_t n = json_array_size(array);
	char shown[QUOTE_MAX];

	if (!json_is_array(array) || n > NET_GATEWAYS_MAX)
		return refuse(in, "gateways", "an array of at most %d is required", NET_GATEWAYS_MAX);
	for (size_t i = 0; i < n; i++) {
		const char *text = json_string_value(json_array_get(array, i));

		if (!text || ip_parse(&ret->gateways[i], text) < 0)
			return refuse(in, "gateways", "'%s' is not an address",
				      quote(shown, text ? text : ""));
		if (i > 0 && ret->gateways[i].family == ret->gateways[0].family)
			return refuse(in, "gateways", "more than one of a family");
	}
	ret->n_gateways = n;
	return 0;
}

static int
read_kind(struct reader *in, json_t *object, enum net_uplink_kind *ret)
{
	const char *text = json_string_value(json_object_get(object, "kind"));

	for (size_t i = 0; text && i < NET_UPLINK_COUNT; i++)
		if (strcmp(text, kinds[i].word) == 0) {
			*ret = (enum net_uplink_kind)i;
			return 0;
		}
	return refuse(in, "kind", "'pasta' or 'interface' is required");
}

/* What is on the uplink's link cannot be behind a peer as well. */
static int
uplink_apart_from_routes(struct reader *in, const struct net_uplink *uplink, const struct net_domain *domain)
{
	const struct net_routes *routes = &domain->routes;

	if (overlapping(routes->v, routes->n, uplink->addresses.v, uplink->addresses.n))
		return refuse(in, "addresses", "their network overlaps a route of '%s'", domain->name);
	for (size_t i = 0; i < routes->n; i++)
		for (size_t k = 0; k < uplink->n_gateways; k++)
			if (cidr_contains(&routes->v[i], &uplink->gateways[k]))
				return refuse(in, "gateways", "one lies within a route of '%s'",
					      domain->name);
	return 0;
}

/* A gateway that lies among its own peers would be taken for one of them. */
static int
uplink_apart(struct reader *in, const struct net_plan *plan)
{
	const struct net_uplink *uplink = &plan->uplink;
	int r;

	for (size_t i = 0; i < plan->n_domains; i++) {
		const struct net_domain *domain = &plan->domains[i];

		for (size_t k = 0; k < domain->addresses.n; k++) {
			const struct cidr *prefix = &domain->addresses.v[k];

			for (size_t m = 0; m < uplink->addresses.n; m++)
				if (cidr_contains(prefix, &uplink->addresses.v[m].ip))
					return refuse(in, "addresses", "one lies within those of '%s'",
						      domain->name);
			for (size_t m = 0; m < uplink->n_gateways; m++)
				if (cidr_contains(prefix, &uplink->gateways[m]))
					return refuse(in, "gateways", "one lies within the addresses of '%s'",
						      domain->name);
		}
		r = uplink_apart_from_routes(in, uplink, domain);
		if (r < 0)
			return r;
	}
	return 0;
}

static int
uplink_check(struct reader *in, const struct net_plan *plan)
{
	const struct net_uplink *uplink = &plan->uplink;

	if (uplink->kind == NET_UPLINK_INTERFACE && !*uplink->ifname)
		return refuse(in, "ifname", "an interface is required");
	if (uplink->kind == NET_UPLINK_PASTA && (uplink->addresses.n || uplink->n_gateways))
		return refuse(in, "", "pasta brings its own addresses and gateways");
	if (strcmp(uplink->ifname, "lo") == 0)
		return refuse(in, "ifname", "'lo' leads nowhere");
	for (size_t i = 0; i < plan->n_domains; i++)
		if (strcmp(uplink->ifname, plan->domains[i].ifname) == 0)
			return refuse(in, "ifname", "'%s' is the TUN of domain '%s'", uplink->ifname,
				      plan->domains[i].name);
	return uplink_apart(in, plan);
}

static int
read_uplink(struct reader *in, json_t *object, struct net_plan *plan)
{
	static const char *const keys[] = {"kind", "ifname", "addresses", "gateways"};
	struct net_uplink *ret = &plan->uplink;
	int r;

	snprintf(in->path, sizeof(in->path), "uplink");
	if (!json_is_object(object))
		return refuse(in, "", "an object is required");
	r = keys_known(in, object, keys, ARRAY_LEN(keys));
	if (r < 0)
		return r;
	r = read_kind(in, object, &ret->kind);
	if (r < 0)
		return r;
	/* What the kernel takes and a path below /proc/sys and a word to a shell are safe with. */
	if (json_object_get(object, "ifname")) {
		r = read_word(in, object, "ifname", LOWER UPPER DIGITS "._-", ret->ifname,
			      sizeof(ret->ifname));
		if (r < 0)
			return r;
		if (strchr("._-", ret->ifname[0]) || strcmp(ret->ifname, "all") == 0 ||
		    strcmp(ret->ifname, "default") == 0)
			return refuse(in, "ifname", "'%s' cannot be an interface", ret->ifname);
	}
	if (json_object_get(object, "addresses")) {
		r = read_addresses(in, object, &uplink_bounds, &ret->addresses);
		if (r < 0)
			return r;
	}
	if (json_object_get(object, "gateways")) {
		r = read_gateways(in, object, ret);
		if (r < 0)
			return r;
	}
	return uplink_check(in, plan);
}

int
net_plan_parse(struct net_plan *ret, const char *text, size_t len, char error[NET_ERROR_LEN])
{
	static const char *const keys[] = {"domains", "uplink"};
	struct reader in = {.error = error};
	_cleanup_(freep) struct net_plan *plan = calloc(1, sizeof(*plan));
	_cleanup_(json_decrefp) json_t *root = NULL;
	json_error_t syntax;
	int r;

	error[0] = '\0';
	if (!plan)
		return -ENOMEM;
	root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &syntax);
	if (!root)
		return refuse(&in, "", "not JSON: line %d: %s", syntax.line, syntax.text);
	if (!json_is_object(root))
		return refuse(&in, "", "an object is required");
	r = keys_known(&in, root, keys, ARRAY_LEN(keys));
	if (r < 0)
		return r;
	r = read_domains(&in, json_object_get(root, "domains"), plan);
	if (r < 0)
		return r;
	r = read_uplink(&in, json_object_get(root, "uplink"), plan);
	if (r < 0)
		return r;
	*ret = *plan;
	return 0;
}
