#include "server/control/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/errors.h"

static void _printf_(4, 5)
	add(struct status *status, const char *code, const char *remedy, const char *format, ...)
{
	struct status_trouble *trouble = &status->troubles[status->n_troubles];
	va_list ap;

	if (status->n_troubles == STATUS_TROUBLES_MAX)
		return;
	snprintf(trouble->code, sizeof(trouble->code), "%s", code);
	snprintf(trouble->remedy, sizeof(trouble->remedy), "%s", remedy);
	va_start(ap, format);
	vsnprintf(trouble->words, sizeof(trouble->words), format, ap);
	va_end(ap);
	status->n_troubles++;
}

static bool
is_pasta(const struct config *config)
{
	return strcmp(config->uplink, "pasta") == 0;
}

/* Processes */

static void
process(struct status *status, size_t i, const char *name, bool up, const char *words)
{
	status->processes[i].name = name;
	status->processes[i].up = up;
	snprintf(status->processes[i].words, sizeof(status->processes[i].words), "%s", up ? "" : words);
}

static void
processes(const struct board *board, struct status *status)
{
	process(status, 0, "control", true, "");
	process(status, 1, "database", board->database == 0, board->database_words);
	process(status, 2, "tunnel", board->tunnel_up,
		board->tunnel_words[0] ? board->tunnel_words : "it was not reached yet");
	process(status, 3, "net", board->net_up, "it is not running; it is started again by itself");
}

static void
database_trouble(const struct board *board, struct status *status)
{
	const char *remedy =
		"Peers that are in stay in and their ends of access hold; changes have to wait.  It is tried "
		"again all the time; if it stays away look into its log, and at WARREN_DATABASE_URL.";

	if (board->database == -ERR_DATABASE_NEWER)
		remedy = "Start the version of Warren that this database was used with last, or a newer one.";
	else if (board->database == -ERR_DATABASE_ROLE || board->database == -ERR_MIGRATION_CHANGED)
		remedy = "Have the owner of the database do what is said here; it is tried again all the "
			 "time.";
	add(status, board->database == -ERR_DATABASE ? "database_down" : error_code(board->database), remedy,
	    "The database cannot be used: %s.", board->database_words);
}

static void
process_troubles(const struct board *board, struct status *status)
{
	if (board->database < 0)
		database_trouble(board, status);
	if (!board->tunnel_up)
		add(status, "tunnel_down",
		    "It is started again by itself; if it stays away, warrend's log says why.",
		    "The tunnel process does not answer (%s): no peer gets through.",
		    board->tunnel_words[0] ? board->tunnel_words : "it was not reached yet");
	if (board->tunnel_error)
		add(status, "tunnel_refuses", "The log of control names what was refused; please report it.",
		    "The tunnel refused a change (%s): what is shown here is not yet what holds.",
		    error_words(board->tunnel_error));
	if (!board->net_up)
		add(status, "net_down",
		    "It is started again by itself; if it stays away, warrend's log says why.",
		    "The net process is not running: the rules that are there stay, changes have to wait.");
}

/* Uplink */

static void
uplink(const struct board *board, const struct status_facts *facts, struct status *status)
{
	const struct network_state *net = &board->net;
	const bool pasta = is_pasta(facts->config);

	status->uplink_kind = pasta ? "pasta" : "interface";
	if (board->net_up && net->known) {
		memcpy(status->uplink_ifname, net->ifname, sizeof(status->uplink_ifname));
		status->uplink_up = net->uplink_up;
		memcpy(status->world_sees, net->world_sees, sizeof(status->world_sees));
		snprintf(status->uplink_words, sizeof(status->uplink_words), "%s; the world sees %s",
			 net->uplink_up ? "up" : "down", net->world_sees_words);
	} else {
		snprintf(status->uplink_words, sizeof(status->uplink_words),
			 "net has not said yet how it stands");
	}
	for (size_t i = 0; board->net_up && i < net->n_problems; i++) {
		char code[56];

		snprintf(code, sizeof(code), "net_%s", net->problems[i].code);
		add(status, code, net->problems[i].remedy, "%s", net->problems[i].words);
	}
	if (pasta)
		add(status, "world_sees_host",
		    "Give the gateway an uplink of its own (WARREN_UPLINK) if Pi-hole, logs or firewalls are "
		    "to tell peers "
		    "apart.",
		    "The uplink is pasta: servers, and Pi-hole, see this host's address and not the peers' "
		    "own.");
}

/* Silence: somebody should have come by now, and nobody has. */

static void _printf_(2, 3) cause(struct status *status, const char *format, ...)
{
	va_list ap;

	if (status->n_causes == STATUS_CAUSES_MAX)
		return;
	va_start(ap, format);
	vsnprintf(status->causes[status->n_causes++], sizeof(status->causes[0]), format, ap);
	va_end(ap);
}

static void
causes(const struct status_facts *facts, struct status *status)
{
	const struct reach *reach = facts->reach;
	const unsigned port = facts->config->listen_port;

	if (!reach->address[0])
		cause(status, "The clients' configuration has no endpoint: set WARREN_ENDPOINT and add the "
			      "peer again.");
	else if (reach->closed)
		cause(status,
		      "The endpoint %s is private and the client is in another network: set WARREN_ENDPOINT.",
		      reach->address);
	cause(status,
	      "UDP port %u is closed: open it in this host's firewall and in the provider's or the router's.",
	      port);
	if (reach->address[0] && !reach->closed)
		cause(status,
		      "The endpoint %s is not this host, or its port does not lead to UDP port %u here.",
		      reach->address, port);
	cause(status, "The client is not switched on, or its configuration was not taken over yet.");
}

static void
silence(const struct board *board, const struct status_facts *facts, struct status *status)
{
	nsec_t since;

	status->has_received = board->tunnel_up && board->present_valid && board->present.has_datagrams;
	status->received = status->has_received ? board->present.datagrams : 0;
	if (!status->has_received || status->received || board->peers_since == NSEC_NEVER ||
	    board->tunnel_since == NSEC_NEVER)
		return;
	since = MAX(board->peers_since, board->tunnel_since);
	status->has_waited = true;
	status->waited = facts->now > since ? (facts->now - since) / SECONDS(1) : 0;
	status->silent = status->waited > SILENCE_SECONDS && !status->peers.ever_shook_hands;
	if (!status->silent)
		return;
	causes(facts, status);
	add(status, "silent", status->causes[0],
	    "There are peers, but not a single datagram has come to UDP port %u for %lld s.",
	    (unsigned)facts->config->listen_port, (long long)status->waited);
}

/* The tunnel's own figures */

static void
rungs(const struct tunnel_state *state, const struct status_words *words, struct status *status)
{
	status->n_rungs = state->n_rungs;
	for (size_t i = 0; i < state->n_rungs; i++) {
		struct status_rung *rung = &status->rungs[i];

		rung->said = state->rungs[i];
		words->rung(rung->said.name, &rung->cost, &rung->remedy);
		if (strcmp(rung->said.state, "down") == 0)
			add(status, "rung_down", rung->remedy,
			    "The fast path has lost %s, which had worked: %s.", rung->said.name, rung->cost);
	}
}

static void
tunnel_figures(const struct board *board, const struct status_facts *facts, struct status *status)
{
	const struct tunnel_state *state = &board->present;

	status->has_tunnel = board->tunnel_up && board->present_valid;
	if (!status->has_tunnel)
		return;
	memcpy(status->aead, state->aead, sizeof(status->aead));
	status->workers = state->workers;
	status->handoff_in = state->handoff_in;
	status->handoff_out = state->handoff_out;
	status->n_calls = state->n_calls;
	memcpy(status->calls, state->calls, sizeof(status->calls));
	status->n_drops = state->n_drops;
	for (size_t i = 0; i < state->n_drops; i++) {
		memcpy(status->drops[i].name, state->drops[i].name, sizeof(status->drops[i].name));
		status->drops[i].count = state->drops[i].n;
		status->drops[i].words = facts->words->drop(state->drops[i].name);
	}
	rungs(state, facts->words, status);
}

static void
setup_troubles(const struct board *board, const struct status_facts *facts, struct status *status)
{
	const struct reach *reach = facts->reach;
	const struct cidr *pool = &facts->config->pool;
	const struct wanted_domain *own = board->wanted.n_domains ? board->wanted.domains : NULL;
	bool there = !own || own->n_pools == 0;
	char text[CIDR_TEXT_LEN];

	if (reach->origin == REACH_NONE)
		add(status, "endpoint_none", "Set WARREN_ENDPOINT.", "%s", reach->note);
	else if (reach->closed)
		add(status, "endpoint_private", "Set WARREN_ENDPOINT, and forward the UDP port.", "%s",
		    reach->note);
	if (facts->n_resolvers == 0)
		add(status, "dns_none", "Set WARREN_DNS to resolvers that peers can reach.",
		    "This host has no resolver that peers could use, so their configurations name none: "
		    "names do not resolve "
		    "on clients that send everything through the gateway.");
	for (size_t i = 0; own && i < own->n_pools; i++)
		there |= ip_equal(&own->pools[i].ip, &pool->ip) && own->pools[i].len == pool->len;
	if (!there) {
		cidr_text(text, pool);
		add(status, "pool_differs", "Take WARREN_POOL back to what `warren pool list` shows.",
		    "WARREN_POOL says %s, but the pool was made otherwise at the first start and stays as it "
		    "is.",
		    text);
	}
}

void
status_compose(const struct board *board, const struct status_facts *facts, struct status *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->started_at = facts->started_at;
	ret->uptime = (facts->now - facts->started) / SECONDS(1);
	memcpy(ret->data_dir, facts->config->data_dir, sizeof(ret->data_dir));
	ret->reach = *facts->reach;
	ret->listen_port = facts->config->listen_port;
	ret->has_key = board->has_gateway_key;
	ret->key = board->gateway_key;
	ret->namespace_pid = board->tunnel_up ? board->tunnel_pid : 0;
	wanted_count(&board->wanted, facts->wall, &ret->peers);
	ret->has_peers = board->database == 0 && board->wanted.known;
	processes(board, ret);
	process_troubles(board, ret);
	silence(board, facts, ret);
	setup_troubles(board, facts, ret);
	uplink(board, facts, ret);
	tunnel_figures(board, facts, ret);
}
