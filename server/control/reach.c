#include "server/control/reach.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *const origin_words[] = {
#define X(name, word) [REACH_##name] = word,
	REACH_ORIGINS(X)
#undef X
};

const char *
reach_origin_word(enum reach_origin origin)
{
	return origin_words[origin];
}

static bool
is_within(const struct ip *ip, const char *const *cidrs, size_t n)
{
	struct cidr cidr;

	for (size_t i = 0; i < n; i++)
		if (cidr_parse(&cidr, cidrs[i]) == 0 && cidr_contains(&cidr, ip))
			return true;
	return false;
}

bool
ip_is_private(const struct ip *ip)
{
	static const char *const cidrs[] = {
		"10.0.0.0/8",  "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16",
		"127.0.0.0/8", "0.0.0.0/8",     "fc00::/7",       "fe80::/10",     "::/127", /* :: and ::1 */
	};

	return is_within(ip, cidrs, ARRAY_LEN(cidrs));
}

/* Nobody elsewhere can use it: loopback, and link-local, which is another's on each link. */
static bool
is_of_this_host_alone(const struct ip *ip)
{
	static const char *const cidrs[] = {"127.0.0.0/8", "0.0.0.0/8", "169.254.0.0/16", "::/127",
					    "fe80::/10"};

	return is_within(ip, cidrs, ARRAY_LEN(cidrs));
}

/*
 * The route to a documentation address (RFC 5737, RFC 3849) is the default one; connecting a datagram
 * socket chooses the source and sends nothing.
 */
static struct ip
source_towards(const char *text)
{
	_cleanup_(closep) int fd = -1;
	struct endpoint to, from = {0};
	struct sockaddr_storage sa;
	socklen_t len;

	if (endpoint_parse(&to, text) < 0)
		return from.ip;
	fd = socket(to.ip.family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	len = endpoint_to_sockaddr(&sa, &to);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, len) < 0)
		return from.ip;
	len = sizeof(sa);
	if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0 ||
	    endpoint_from_sockaddr(&from, (struct sockaddr *)&sa) < 0)
		return (struct ip){0};
	return from.ip;
}

struct ip
reach_source(void)
{
	const struct ip source4 = source_towards("192.0.2.1:9");

	return source4.family && !is_of_this_host_alone(&source4) ? source4
								  : source_towards("[2001:db8::1]:9");
}

static void
note_closed(struct reach *reach, uint16_t port, const char *host)
{
	snprintf(reach->note, sizeof(reach->note),
		 "%s is a private address: only clients in the same network reach it.  For clients elsewhere "
		 "set "
		 "WARREN_ENDPOINT to this server's public name or address with its port, and have the router "
		 "forward "
		 "UDP port %u to this host.",
		 host, port);
}

static void
describe_configured(const struct config *config, struct reach *reach)
{
	struct endpoint literal;
	char host[IP_TEXT_LEN];

	reach->origin = REACH_CONFIGURED;
	memcpy(reach->address, config->endpoint, sizeof(reach->address));
	if (endpoint_parse(&literal, config->endpoint) < 0 || !ip_is_private(&literal.ip))
		return;
	reach->closed = true;
	ip_text(host, &literal.ip);
	note_closed(reach, config->listen_port, host);
}

void
reach_describe(const struct config *config, const struct ip *source, struct reach *ret)
{
	struct endpoint endpoint = {.ip = *source, .port = config->listen_port};
	char host[IP_TEXT_LEN], text[ENDPOINT_TEXT_LEN];

	*ret = (struct reach){.origin = REACH_NONE};
	if (config->endpoint[0]) {
		describe_configured(config, ret);
		return;
	}
	if (!source->family) {
		snprintf(ret->note, sizeof(ret->note),
			 "This host has no default route, so clients cannot be told an address.  Set "
			 "WARREN_ENDPOINT "
			 "to the name or address and port under which they reach it.");
		return;
	}
	ret->origin = REACH_ROUTE;
	endpoint_text(text, &endpoint);
	snprintf(ret->address, sizeof(ret->address), "%s", text);
	ret->closed = ip_is_private(source);
	if (ret->closed) {
		ip_text(host, source);
		note_closed(ret, config->listen_port, host);
	}
}

void
reach_find(const struct config *config, struct reach *ret)
{
	const struct ip source = config->endpoint[0] ? (struct ip){0} : reach_source();

	reach_describe(config, &source, ret);
}

void
resolvers_parse(const char *text, struct ip_list *ret)
{
	*ret = (struct ip_list){0};
	for (const char *line = text; line && *line && ret->n < RESOLVERS_MAX;) {
		char address[IP_TEXT_LEN];
		struct ip ip;

		if (sscanf(line, "nameserver%*[ \t]%45[0-9a-fA-F.:]", address) == 1 &&
		    ip_parse(&ip, address) == 0 && !is_of_this_host_alone(&ip))
			ret->v[ret->n++] = ip;
		line = strchr(line, '\n');
		line += line != NULL;
	}
}

void
resolvers_find(const struct config *config, struct ip_list *ret)
{
	_cleanup_(fclosep) FILE *file = NULL;
	char text[8192];
	size_t len;

	*ret = config->dns;
	if (ret->n)
		return;
	file = fopen("/etc/resolv.conf", "re");
	if (!file)
		return;
	len = fread(text, 1, sizeof(text) - 1, file);
	text[len] = '\0';
	resolvers_parse(text, ret);
}
