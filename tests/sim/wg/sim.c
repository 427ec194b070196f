#include "tests/sim/wg/sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>
#include <string.h>

#include "server/wg/owner.h"
#include "server/wg/path_state.h"

#define START SECONDS(1) /* boot time when the world begins */

/* A datagram on its way. */
struct sim_flight {
	struct sim_flight *next;
	nsec_t at;
	uint64_t order;
	unsigned to;
	struct wg_arrival arrival;
	size_t len;
	uint8_t data[];
};

static const char *const names[SIM_NODES] = {"alice", "bob", "carol", "dave", "erin", "frank"};

uint64_t
sim_random(struct sim *sim, uint64_t below)
{
	sim->random ^= sim->random >> 12;
	sim->random ^= sim->random << 25;
	sim->random ^= sim->random >> 27;
	return (sim->random * 0x2545f4914f6cdd1dULL >> 16) % below;
}

static void _printf_(3, 4) trace(struct sim *sim, const struct sim_node *node, const char *format, ...)
{
	va_list ap;

	if (sim->trace_max - sim->trace_len < 256) {
		sim->trace_max = 2 * sim->trace_max + 4096;
		sim->trace = realloc(sim->trace, sim->trace_max);
		assert_non_null(sim->trace);
	}
	sim->trace_len +=
		(size_t)snprintf(sim->trace + sim->trace_len, 128, "%" PRId64 ".%03" PRId64 " %s ",
				 sim->now / SECONDS(1), sim->now % SECONDS(1) / MILLISECONDS(1), node->name);
	va_start(ap, format);
	sim->trace_len += (size_t)vsnprintf(sim->trace + sim->trace_len, 128, format, ap);
	va_end(ap);
}

struct wg_now
sim_now(const struct sim *sim)
{
	return (struct wg_now){.boot = sim->now + START, .wall = RIG_WALL + START + sim->now};
}

struct wg_now
sim_now_at(const struct sim *sim, unsigned node)
{
	struct wg_now now = sim_now(sim);

	now.wall += sim->node[node].wall_off;
	return now;
}

static struct wg_now
node_now(const struct sim *sim, const struct sim_node *node)
{
	return sim_now_at(sim, (unsigned)(node - sim->node));
}

static bool
asleep(const struct sim *sim, unsigned node)
{
	return sim->node[node].asleep > sim->now;
}

static void
node_start(struct sim *sim, struct sim_node *node)
{
	char name[32];

	snprintf(name, sizeof(name), "%s %" PRIu64, node->name, sim->seed);
	rig_init(&node->rig, name, sim->workers);
	node->rig.random ^= sim_random(sim, UINT32_MAX); /* a restarted device draws other numbers */
	node->rig.now = node_now(sim, node);
	rig_event(&node->rig, WG_EVENT_TICK); /* it sees the clock that it starts with */
	node->domain[0] = node->rig.domain;
	for (unsigned i = 1; i < sim->domains; i++)
		node->domain[i] = rig_domain(&node->rig);
}

struct sim *
sim_new_wide(unsigned nodes, uint64_t seed, unsigned workers, unsigned domains)
{
	struct sim *sim = calloc(1, sizeof(*sim));

	assert_non_null(sim);
	assert_in_range(nodes, 1, SIM_NODES);
	sim->packets = calloc(SIM_PACKETS, sizeof(*sim->packets));
	assert_non_null(sim->packets);
	sim->seed = seed;
	sim->random = seed * 0x9e3779b97f4a7c15ULL + 0x1234567;
	sim->workers = workers;
	sim->domains = domains;
	assert_in_range(domains, 1, SIM_DOMAINS);
	sim->n_nodes = nodes;
	for (unsigned i = 0; i < nodes; i++) {
		struct sim_node *node = &sim->node[i];

		node->name = names[i];
		node->at = (struct endpoint){.ip = {.family = AF_INET, .addr = {192, 0, 2, (uint8_t)(i + 1)}},
					     .port = 51820};
		node_start(sim, node);
	}
	sim_link_all(sim, &(struct sim_link){.delay = SIM_DELAY});
	return sim;
}

struct sim *
sim_new(unsigned nodes, uint64_t seed, bool meshed)
{
	struct sim *sim = sim_new_wide(nodes, seed, 1, 1);

	for (unsigned a = 0; meshed && a < nodes; a++)
		for (unsigned b = 0; b < nodes; b++)
			if (a != b)
				sim_peer(sim, a, b, true);
	return sim;
}

void
sim_free(struct sim *sim)
{
	for (unsigned i = 0; i < sim->n_nodes; i++)
		rig_done(&sim->node[i].rig);
	for (struct sim_flight *next, *flight = sim->flights; flight; flight = next) {
		next = flight->next;
		free(flight);
	}
	free(sim->packets);
	free(sim->trace);
	free(sim);
}

void
sim_peer(struct sim *sim, unsigned a, unsigned b, bool endpoint)
{
	char allowed[32], to[ENDPOINT_TEXT_LEN];

	snprintf(allowed, sizeof(allowed), "10.0.0.%u/32", b + 1);
	endpoint_text(to, &sim->node[b].at);
	sim->node[a].rig.now = sim_now_at(sim, a);
	sim->node[a].peer[b] = rig_peer_in(
		&sim->node[a].rig, sim->node[a].domain[sim->domains > 1 ? sim_random(sim, sim->domains) : 0],
		&sim->node[b].rig.public, allowed, endpoint ? to : NULL);
	sim_settle(sim, a);
}

void
sim_restart(struct sim *sim, unsigned node)
{
	bool knows[SIM_NODES];

	for (unsigned i = 0; i < sim->n_nodes; i++)
		knows[i] = sim->node[node].peer[i] != NULL;
	rig_done(&sim->node[node].rig);
	memset(sim->node[node].access, 0, sizeof(sim->node[node].access));
	/* Somebody set the clock right: a new device stamps with no other. */
	sim->node[node].wall_off = MAX(sim->node[node].wall_off, sim->node[node].wall_most);
	node_start(sim, &sim->node[node]);
	for (unsigned i = 0; i < sim->n_nodes; i++)
		if (knows[i])
			sim_peer(sim, node, i, true);
}

void
sim_link_all(struct sim *sim, const struct sim_link *link)
{
	for (unsigned a = 0; a < SIM_NODES; a++)
		for (unsigned b = 0; b < SIM_NODES; b++)
			sim->link[a][b] = *link;
}

void
sim_lose(struct sim *sim, unsigned node, uint32_t type, unsigned n)
{
	sim->node[node].lose[type] = n;
}

void
sim_wall_set(struct sim *sim, unsigned node, nsec_t off)
{
	sim->node[node].wall_off = off;
	sim->node[node].wall_most = MAX(sim->node[node].wall_most, off);
}

void
sim_suspend(struct sim *sim, unsigned node, nsec_t duration)
{
	sim->node[node].asleep = sim->now + duration;
}

void
sim_access(struct sim *sim, unsigned a, unsigned b, enum wg_access state, nsec_t end)
{
	struct sim_node *node = &sim->node[a];
	struct sim_access *access = &node->access[b];
	const struct wg_now now = sim_now_at(sim, a);
	const time_t at = end ? (now.wall + end) / SECONDS(1) : 0;

	wg_peer_access_set(node->rig.device, node->peer[b], state, at, now, rig_effects(&node->rig));
	access->state = state;
	if (at != access->at)
		access->end = wg_end_at(at, now);
	access->at = at;
	sim_settle(sim, a);
}

static bool
shut(const struct sim *sim, unsigned a, unsigned b)
{
	const struct sim_access *access = &sim->node[a].access[b];

	return access->state == WG_CUT || wg_ended(&access->end, sim_now_at(sim, a));
}

static const struct sessions *
sessions_of(const struct sim *sim, unsigned a, unsigned b)
{
	const struct rig *rig = &sim->node[a].rig;
	struct wg_peer_view view;

	wg_peer_view(sim->node[a].peer[b], &view);
	return &path_peer_by_id(rig->path[wg_owner(view.id.number, rig->workers)], view.id)->sessions;
}

void
sim_sessions_agree(struct sim *sim)
{
	for (unsigned a = 0; a < sim->n_nodes; a++)
		for (unsigned b = 0; b < sim->n_nodes; b++) {
			const struct session *here = a == b ? NULL : sessions_of(sim, a, b)->current, *there;

			if (!here)
				continue;
			there = sessions_find(sessions_of(sim, b, a), here->remote);
			if (!there || there->remote != here->local ||
			    memcmp(here->send_key, there->receive_key, AEAD_KEY_LEN) != 0 ||
			    memcmp(here->receive_key, there->send_key, AEAD_KEY_LEN) != 0 ||
			    here->initiator == there->initiator)
				fail_msg("seed %" PRIu64 ": %s and %s have no session together", sim->seed,
					 sim->node[a].name, sim->node[b].name);
		}
}

void
sim_move(struct sim *sim, unsigned node, const char *endpoint)
{
	assert_int_equal(endpoint_parse(&sim->node[node].at, endpoint), 0);
}

static void
fly(struct sim *sim, unsigned from, unsigned to, const struct rig_datagram *datagram)
{
	const struct sim_link *link = &sim->link[from][to];
	struct sim_flight *flight = malloc(sizeof(*flight) + datagram->len), **at;

	assert_non_null(flight);
	*flight = (struct sim_flight){
		.at = sim->now + link->delay +
		      (link->jitter ? (nsec_t)sim_random(sim, (uint64_t)link->jitter) : 0),
		.order = sim->n_flights++,
		.to = to,
		.arrival = {.from = sim->node[from].at, .to = sim->node[to].at.ip, .tos = datagram->tos},
		.len = datagram->len,
	};
	memcpy(flight->data, datagram->data, datagram->len);
	for (at = &sim->flights; *at && (*at)->at <= flight->at; at = &(*at)->next)
		;
	flight->next = *at;
	*at = flight;
}

static void
leave(struct sim *sim, unsigned from, const struct rig_datagram *datagram)
{
	static const char *const types[] = {"?", "initiation", "response", "cookie", "data"};
	struct sim_node *node = &sim->node[from];
	const bool keepalive = datagram->type == WG_MSG_DATA && datagram->len == WG_DATA_MIN;
	unsigned to = 0;

	trace(sim, node, "> %s\n", keepalive ? "keepalive" : types[datagram->type]);
	node->sent[datagram->type]++;
	while (to < sim->n_nodes && !endpoint_equal(&sim->node[to].at, &datagram->route.to))
		to++;
	if (node->lose[0] && node->lose[0]--)
		return;
	if (node->lose[datagram->type] && node->lose[datagram->type]--)
		return;
	if (to < sim->n_nodes && datagram->type != WG_MSG_COOKIE && shut(sim, from, to))
		fail_msg("seed %" PRIu64 ": %s sent to %s, who is shut out", sim->seed, node->name,
			 names[to]);
	if (to == sim->n_nodes || sim->link[from][to].cut || sim_random(sim, 1000) < sim->link[from][to].drop)
		return;
	fly(sim, from, to, datagram);
	if (sim_random(sim, 1000) < sim->link[from][to].twice)
		fly(sim, from, to, datagram);
}

static void
deliver(struct sim *sim, unsigned at, const struct rig_packet *packet)
{
	const uint64_t number = packet_id(packet->data);
	struct sim_packet *sent = &sim->packets[number];

	assert_in_range(number, 1, sim->n_packets);
	assert_int_equal(sent->to, at);
	assert_int_equal(packet->len, 60);
	if (sent->delivered++)
		fail_msg("seed %" PRIu64 ": packet %" PRIu64 " was accepted twice", sim->seed, number);
	if (shut(sim, at, sent->from))
		fail_msg("seed %" PRIu64 ": a packet of %s, who is shut out, was delivered at %s", sim->seed,
			 names[sent->from], names[at]);
	sent->arrived = sim->now;
	trace(sim, &sim->node[at], "= %" PRIu64 "\n", number);
}

void
sim_settle(struct sim *sim, unsigned at)
{
	struct rig *rig = &sim->node[at].rig;

	rig->now = sim_now_at(sim, at);
	rig_pump(rig);
	for (size_t i = 0; i < rig->n_in; i++)
		deliver(sim, at, &rig->in[i]);
	for (size_t i = 0; i < rig->n_out; i++)
		leave(sim, at, &rig->out[i]);
	rig_empty(rig);
}

uint64_t
sim_send(struct sim *sim, unsigned from, unsigned to)
{
	struct sim_packet *packet;
	struct wg_peer_view view = {0};
	struct wg_peer *peer;
	char a[16], b[16];
	uint8_t bytes[60];

	snprintf(a, sizeof(a), "10.0.0.%u", from + 1);
	snprintf(b, sizeof(b), "10.0.0.%u", to + 1);
	sim->n_packets++;
	assert_true(sim->n_packets < SIM_PACKETS);
	packet = &sim->packets[sim->n_packets];
	packet->from = (uint8_t)from;
	packet->to = (uint8_t)to;
	packet->sent = sim->now;
	packet4(bytes, a, b, sizeof(bytes), sim->n_packets);
	sim->node[from].rig.now = sim_now_at(sim, from);
	peer = wg_peer_find(sim->node[from].rig.device, &sim->node[to].rig.public);
	if (peer)
		wg_peer_view(peer, &view);
	packet->taken = rig_packet_in(&sim->node[from].rig, peer ? view.domain : sim->node[from].domain[0],
				      bytes, sizeof(bytes), peer && view.access == WG_QUARANTINED) >= 0;
	sim_settle(sim, from);
	return sim->n_packets;
}

bool
sim_arrived(const struct sim *sim, uint64_t packet)
{
	return sim->packets[packet].delivered == 1;
}

static void
arrive(struct sim *sim)
{
	struct sim_flight *flight = sim->flights;
	struct sim_node *node = &sim->node[flight->to];
	enum wg_drop drop;

	sim->flights = flight->next;
	if (asleep(sim, flight->to)) {
		free(flight);
		return;
	}
	node->rig.now = node_now(sim, node);
	drop = rig_arrive(&node->rig, flight->data, flight->len, &flight->arrival);
	if (drop != WG_DROP_NONE)
		trace(sim, node, "! %s\n", wg_drop_name(drop));
	sim_settle(sim, flight->to);
	free(flight);
}

void
sim_run_until(struct sim *sim, nsec_t until)
{
	unsigned stuck = 0;

	assert_true(until >= sim->now);
	for (;;) {
		nsec_t next = sim->flights ? sim->flights->at : NSEC_NEVER;
		unsigned due = SIM_NODES;

		for (unsigned i = 0; i < sim->n_nodes; i++) {
			const nsec_t deadline = asleep(sim, i) ? sim->node[i].asleep + START
							       : rig_deadline(&sim->node[i].rig);

			if (deadline != NSEC_NEVER && deadline - START < next) {
				next = deadline - START;
				due = i;
			}
		}
		if (next > until)
			break;
		stuck = next <= sim->now ? stuck + 1 : 0;
		if (stuck > 10000)
			fail_msg("seed %" PRIu64 ": time stands still at %" PRId64, sim->seed, sim->now);
		sim->now = MAX(sim->now, next);
		if (due == SIM_NODES) {
			arrive(sim);
			continue;
		}
		sim->node[due].rig.now = sim_now_at(sim, due);
		rig_event(&sim->node[due].rig, WG_EVENT_TICK);
		sim_settle(sim, due);
	}
	sim->now = until;
	for (unsigned i = 0; i < sim->n_nodes; i++)
		sim->node[i].rig.now = sim_now_at(sim, i);
}

void
sim_run(struct sim *sim, nsec_t duration)
{
	sim_run_until(sim, sim->now + duration);
}

void
sim_forget(struct sim *sim)
{
	sim->trace_len = 0;
	if (sim->trace)
		sim->trace[0] = '\0';
}

/* "SECONDS.MILLI" in milliseconds; moves *@text on. */
static int64_t
time_read(const char **text)
{
	char *end;
	const int64_t whole = strtoll(*text, &end, 10);
	int64_t milli;

	assert_int_equal(*end, '.');
	milli = strtoll(end + 1, &end, 10);
	*text = end;
	return whole * 1000 + milli;
}

static bool
line_right(const char *expected, const char *got)
{
	const int64_t from = time_read(&expected), at = time_read(&got);
	int64_t to = from;

	if (*expected == '-') {
		expected++;
		to = time_read(&expected);
	}
	if (at < from || at > to)
		return false;
	for (; *expected == *got; expected++, got++)
		if (*expected == '\n' || *expected == '\0')
			return true;
	return false;
}

void
sim_expect(struct sim *sim, const char *expected, const char *file, int line)
{
	const char *want = expected, *got = sim->trace_len ? sim->trace : "";

	while (*want && *got && line_right(want, got)) {
		want = strchr(want, '\n') + 1;
		got = strchr(got, '\n') + 1;
	}
	if (*want || *got) {
		print_error("%s:%d: seed %" PRIu64
			    "\nexpected:\n%s\nhappened:\n%s\nthey part at:\n%.*s\n%.*s\n",
			    file, line, sim->seed, expected, sim->trace_len ? sim->trace : "",
			    (int)strcspn(want, "\n"), want, (int)strcspn(got, "\n"), got);
		fail();
	}
	sim_forget(sim);
}
