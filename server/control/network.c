#include "server/control/network.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/errors.h"
#include "base/log.h"
#include "server/control/networks.h"
#include "server/proc/message.h"
#include "server/store/pool.h"

/* The plan */

static json_t *
cidrs_json(const struct cidr_list *list)
{
	json_t *array = json_array();
	char text[CIDR_TEXT_LEN];

	for (size_t i = 0; i < list->n; i++) {
		cidr_text(text, &list->v[i]);
		json_array_append_new(array, json_string(text));
	}
	return array;
}

static json_t *
ips_json(const struct ip_list *list)
{
	json_t *array = json_array();
	char text[IP_TEXT_LEN];

	for (size_t i = 0; i < list->n; i++) {
		ip_text(text, &list->v[i]);
		json_array_append_new(array, json_string(text));
	}
	return array;
}

/* The gateway's own address in each pool, with the pool's length. */
static json_t *
addresses_json(const struct wanted_domain *domain)
{
	json_t *array = json_array();
	char text[CIDR_TEXT_LEN];

	for (size_t i = 0; i < domain->n_pools; i++) {
		struct cidr own = domain->pools[i];

		if (cidr_nth(&own.ip, &domain->pools[i], POOL_GATEWAY) < 0)
			continue;
		cidr_text(text, &own);
		json_array_append_new(array, json_string(text));
	}
	return array;
}

static json_t *
uplink_json(const struct config *config)
{
	json_t *uplink;

	if (strcmp(config->uplink, "pasta") == 0)
		return json_pack("{s:s}", "kind", "pasta");
	uplink = json_pack("{s:s, s:s}", "kind", "interface", "ifname", config->uplink);
	if (config->uplink_address.n)
		json_object_set_new(uplink, "addresses", cidrs_json(&config->uplink_address));
	if (config->uplink_gateway.n)
		json_object_set_new(uplink, "gateways", ips_json(&config->uplink_gateway));
	return uplink;
}

/* Networks behind peers */

/* Those of one domain; of all together NETWORK_ROUTES_MAX. */
static json_t *
networks_json(const struct networks *networks, size_t domain)
{
	json_t *array = json_array();
	char text[CIDR_TEXT_LEN];

	for (size_t i = 0; i < networks->n && i < NETWORK_ROUTES_MAX; i++) {
		if (networks->v[i].domain != domain)
			continue;
		cidr_text(text, &networks->v[i].cidr);
		json_array_append_new(array, json_string(text));
	}
	return array;
}

static void
networks_problems(struct network_wish *wish, const struct networks *networks)
{
	char text[CIDR_TEXT_LEN];

	if (networks->n_unfit) {
		struct network_problem *problem = &wish->problems[wish->n_problems++];

		cidr_text(text, &networks->unfit);
		snprintf(problem->code, sizeof(problem->code), "routes_unfit");
		snprintf(problem->words, sizeof(problem->words),
			 "Of the networks behind peers %zu cannot be reached: %s %s.", networks->n_unfit,
			 text, networks->why);
		snprintf(problem->remedy, sizeof(problem->remedy),
			 "Find the peer by `warren peer list` and `warren peer show NAME`, and add it again "
			 "with "
			 "other --routes.");
	}
	if (networks->n > NETWORK_ROUTES_MAX) {
		struct network_problem *problem = &wish->problems[wish->n_problems++];

		cidr_text(text, &networks->v[NETWORK_ROUTES_MAX].cidr);
		snprintf(problem->code, sizeof(problem->code), "routes_too_many");
		snprintf(problem->words, sizeof(problem->words),
			 "Of %zu networks behind peers the first %d can be reached: %s and those after it "
			 "cannot.",
			 networks->n, NETWORK_ROUTES_MAX, text);
		snprintf(problem->remedy, sizeof(problem->remedy),
			 "Give peers fewer --routes: one wider network in place of neighbouring ones counts "
			 "once.");
	}
}

static json_t *
domain_json(const struct wanted *wanted, size_t i, const struct networks *networks)
{
	const struct wanted_domain *domain = &wanted->domains[i];

	return json_pack("{s:s, s:s, s:i, s:o, s:b, s:o}", "name", *domain->name ? domain->name : "default",
			 "ifname", domain->domain.text, "mtu", NETWORK_MTU, "addresses",
			 addresses_json(domain), "peers_may_meet", (int)domain->peers_may_meet, "routes",
			 networks_json(networks, i));
}

/* A tenant without a pool has no peers either; beyond NETWORK_DOMAINS_MAX one has no device. */
static json_t *
domains_json(struct network_wish *wish, const struct wanted *wanted, const struct networks *networks)
{
	json_t *array = json_array();
	size_t beyond = 0;

	for (size_t i = 0; i < wanted->n_domains; i++) {
		if (!wanted->domains[i].n_pools)
			continue;
		if (json_array_size(array) == NETWORK_DOMAINS_MAX)
			beyond++;
		else
			json_array_append_new(array, domain_json(wanted, i, networks));
	}
	if (beyond) {
		struct network_problem *problem = &wish->problems[wish->n_problems++];

		snprintf(problem->code, sizeof(problem->code), "domains_too_many");
		snprintf(problem->words, sizeof(problem->words),
			 "The first %d tenants have a device; %zu more have none, and no packet of theirs "
			 "passes.",
			 NETWORK_DOMAINS_MAX, beyond);
		snprintf(problem->remedy, sizeof(problem->remedy),
			 "Serve them by another gateway: one set of rules holds no more tenants.");
	}
	return array;
}

void
network_plan(struct network_wish *ret, const struct wanted *wanted, const struct config *config)
{
	_cleanup_(networks_done) struct networks networks = {0};
	json_t *plan;

	*ret = (struct network_wish){0};
	if (!wanted->known || !wanted->n_domains || !wanted->domains[0].n_pools ||
	    networks_of(&networks, wanted, config) < 0)
		return;
	plan = json_pack("{s:o, s:o}", "domains", domains_json(ret, wanted, &networks), "uplink",
			 uplink_json(config));
	ret->plan = plan ? json_dumps(plan, JSON_COMPACT) : NULL;
	json_decref(plan);
	networks_problems(ret, &networks);
}

/* The state */

static void
copy(char *out, size_t len, const char *text)
{
	snprintf(out, len, "%s", text ? text : "");
}

static int
problems_read(struct network_state *state, const json_t *problems)
{
	size_t i;
	json_t *problem;

	json_array_foreach(problems, i, problem)
	{
		struct network_problem *to = &state->problems[state->n_problems];
		const char *code, *words, *remedy;

		if (json_unpack(problem, "{s:s, s:s, s:s}", "code", &code, "words", &words, "remedy",
				&remedy) < 0 ||
		    code[strspn(code, "abcdefghijklmnopqrstuvwxyz0123456789_")] || !*code)
			return -ERR_MESSAGE;
		if (state->n_problems == NETWORK_PROBLEMS_MAX)
			continue;
		copy(to->code, sizeof(to->code), code);
		copy(to->words, sizeof(to->words), words);
		copy(to->remedy, sizeof(to->remedy), remedy);
		state->n_problems++;
	}
	return 0;
}

static int
state_read(struct network_state *state, json_t *root)
{
	const char *ifname, *sees, *words;
	json_t *problems, *domains;
	int applied, up;

	if (!root ||
	    json_unpack(root, "{s:b, s:{s:s, s:b}, s:s, s:s, s:o, s:o}", "applied", &applied, "uplink",
			"ifname", &ifname, "up", &up, "outside_sees", &sees, "outside_sees_words", &words,
			"problems", &problems, "domains", &domains) < 0)
		return -ERR_MESSAGE;
	if ((strcmp(sees, "peer") != 0 && strcmp(sees, "host") != 0 && *sees) || strlen(ifname) >= IFNAMSIZ ||
	    !json_is_array(problems) || !json_is_array(domains))
		return -ERR_MESSAGE;
	state->known = true;
	state->applied = applied;
	state->uplink_up = up;
	state->peers_may_meet = json_is_true(json_object_get(json_array_get(domains, 0), "peers_may_meet"));
	copy(state->ifname, sizeof(state->ifname), ifname);
	copy(state->world_sees, sizeof(state->world_sees), sees);
	copy(state->world_sees_words, sizeof(state->world_sees_words), words);
	return problems_read(state, problems);
}

int
network_state_parse(struct network_state *ret, const char *text, size_t len)
{
	_cleanup_(freep) struct network_state *state = calloc(1, sizeof(*state));
	json_t *root;
	int r;

	if (!state)
		return -ENOMEM;
	root = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	r = state_read(state, root);
	json_decref(root);
	if (r == 0)
		*ret = *state;
	return r;
}

/* The channel */

struct network {
	struct loop *loop;
	struct network_events events;
	int fd;
	struct loop_io *io;
	struct loop_timer *again;
	struct network_wish wish;
	bool told; /* on this channel */
	struct message message;
};

static void
network_close(struct network *network)
{
	loop_io_free(network->io);
	network->io = NULL;
	closep(&network->fd);
	network->told = false;
	loop_timer_set(network->again, NSEC_NEVER);
}

static void
network_lost(struct network *network, nsec_t now)
{
	network_close(network);
	network->events.down(network->events.arg, now);
}

static void
tell(struct network *network, nsec_t now)
{
	int r;

	if (network->fd < 0 || !network->wish.plan || network->told)
		return;
	r = channel_send(network->fd, MESSAGE_NET_PLAN, network->wish.plan, strlen(network->wish.plan), NULL,
			 0);
	if (r == -EAGAIN) {
		loop_timer_set(network->again, now + SECONDS(1));
		return;
	}
	if (r < 0) {
		network_lost(network, now);
		return;
	}
	network->told = true;
	loop_timer_set(network->again, NSEC_NEVER);
}

static void
on_again(void *arg, nsec_t now)
{
	struct network *network = arg;

	network->told = false;
	tell(network, now);
}

/* What was not asked for is no less a problem than what net could not do. */
static void
problems_add(struct network_state *state, const struct network_wish *wish)
{
	for (size_t i = 0; i < wish->n_problems && state->n_problems < NETWORK_PROBLEMS_MAX; i++)
		state->problems[state->n_problems++] = wish->problems[i];
}

static void
on_state(struct network *network, nsec_t now)
{
	_cleanup_(freep) struct network_state *state = calloc(1, sizeof(*state));

	if (!state)
		return;
	if (network_state_parse(state, network->message.body, network->message.len) < 0) {
		log_error("net=state refused: not of the form agreed");
		return;
	}
	problems_add(state, &network->wish);
	loop_timer_set(network->again, state->applied ? NSEC_NEVER : now + NETWORK_AGAIN);
	network->events.state(network->events.arg, state, now);
}

static void
on_readable(void *arg, int fd, uint32_t events, nsec_t now)
{
	struct network *network = arg;
	int r;

	r = channel_recv(fd, MESSAGE_FROM_NET, &network->message);
	if (r == 0)
		on_state(network, now);
	message_done(&network->message);
	if (r < 0 && r != -EAGAIN)
		network_lost(network, now);
}

int
network_new(struct network **ret, struct loop *loop, const struct network_events *events)
{
	_cleanup_(network_freep) struct network *network = calloc(1, sizeof(*network));
	int r;

	if (!network)
		return -ENOMEM;
	network->loop = loop;
	network->events = *events;
	network->fd = -1;
	r = loop_timer_new(loop, on_again, network, &network->again);
	if (r < 0)
		return r;
	*ret = take_ptr(network);
	return 0;
}

void
network_free(struct network *network)
{
	if (!network)
		return;
	loop_io_free(network->io);
	closep(&network->fd);
	loop_timer_free(network->again);
	free(network->wish.plan);
	free(network);
}

void
network_freep(struct network **network)
{
	network_free(*network);
}

void
network_channel(struct network *network, int fd, nsec_t now)
{
	network_close(network);
	network->fd = fd;
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0 ||
	    loop_io_add(network->loop, fd, EPOLLIN, on_readable, network, &network->io) < 0) {
		network_lost(network, now);
		return;
	}
	network->events.up(network->events.arg, now);
	tell(network, now);
}

static bool
wish_equal(const struct network_wish *a, const struct network_wish *b)
{
	return a->plan && strcmp(a->plan, b->plan) == 0 && a->n_problems == b->n_problems &&
	       memcmp(a->problems, b->problems, sizeof(a->problems)) == 0;
}

void
network_want(struct network *network, struct network_wish *wish, nsec_t now)
{
	if (!wish->plan || wish_equal(&network->wish, wish)) {
		free(take_ptr(wish->plan));
		return;
	}
	free(network->wish.plan);
	network->wish = *wish;
	wish->plan = NULL;
	network->told = false;
	tell(network, now);
}
