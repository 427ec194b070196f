#include "server/cli/body.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/ip.h"
#include "server/cli/call.h"
#include "server/cli/units.h"

#define ROUTES_MAX 32

int
body_end(const struct cli *cli, json_t *body)
{
	const char *text = cli->value[OPTION_EXPIRES];
	char when[CLOCK_TEXT_LEN];
	time_t end;
	int r;

	if (!text)
		return STATUS_OK;
	r = end_parse(&end, text, cli->now);
	if (r == -ERANGE) {
		note(cli, STYLE_BAD, "--expires \"%s\" is not in the future, or more than %d years away",
		     text, END_YEARS_MAX);
		return STATUS_USAGE;
	}
	if (r < 0) {
		note(cli, STYLE_BAD,
		     "--expires \"%s\" is not understood; it takes 30d, 12h, 90m, 1d12h, 2027-01-31, "
		     "2027-01-31T18:00:00Z or never",
		     text);
		return STATUS_USAGE;
	}
	clock_text(when, end);
	if (json_object_set_new(body, "expires_at", end == END_NEVER ? json_null() : json_string(when)) < 0)
		return no_memory();
	return STATUS_OK;
}

static int
route_take(const struct cli *cli, json_t *routes, const char *text)
{
	struct cidr cidr, masked;
	char spelled[CIDR_TEXT_LEN];

	if (cidr_parse(&cidr, text) < 0) {
		note(cli, STYLE_BAD, "--routes \"%s\" is not a prefix as 192.168.7.0/24 or fd00:7::/64",
		     text);
		return STATUS_USAGE;
	}
	masked = cidr;
	cidr_mask(&masked);
	cidr_text(spelled, &masked);
	if (!ip_equal(&masked.ip, &cidr.ip)) {
		note(cli, STYLE_BAD, "--routes \"%s\" has bits behind its length; the network is %s", text,
		     spelled);
		return STATUS_USAGE;
	}
	if (json_array_size(routes) >= ROUTES_MAX) {
		note(cli, STYLE_BAD, "--routes takes at most %d prefixes", ROUTES_MAX);
		return STATUS_USAGE;
	}
	return json_array_append_new(routes, json_string(spelled)) < 0 ? no_memory() : STATUS_OK;
}

int
body_routes(const struct cli *cli, json_t *body)
{
	_cleanup_(freep) char *text = NULL;
	json_t *routes;
	char *at, *one;
	int r;

	if (!cli_has(cli, OPTION_ROUTES))
		return STATUS_OK;
	at = text = strdup(cli->value[OPTION_ROUTES]);
	routes = json_array();
	if (json_object_set_new(body, "routes", routes) < 0 || !text)
		return no_memory();
	while ((one = strsep(&at, ","))) {
		one += strspn(one, " ");
		one[strcspn(one, " ")] = '\0';
		r = route_take(cli, routes, one);
		if (r != STATUS_OK)
			return r;
	}
	return STATUS_OK;
}
