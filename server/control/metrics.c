#include "server/control/metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Before the lines of each metric, once. */
static void
about(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP warren_%s %s\n# TYPE warren_%s %s\n", name, help, name, type);
}

static void
line(FILE *out, const char *name, uint64_t value)
{
	fprintf(out, "warren_%s %" PRIu64 "\n", name, value);
}

/* Values of labels are words of ours, or were checked to be such (uapi.c): nothing to escape. */
static void
labelled(FILE *out, const char *name, const char *label, const char *word, uint64_t value)
{
	fprintf(out, "warren_%s{%s=\"%s\"} %" PRIu64 "\n", name, label, word, value);
}

static void
gauge(FILE *out, const char *name, const char *help, uint64_t value)
{
	about(out, name, "gauge", help);
	line(out, name, value);
}

static void
counter(FILE *out, const char *name, const char *help, uint64_t value)
{
	about(out, name, "counter", help);
	line(out, name, value);
}

static void
control_figures(FILE *out, const struct board *board, time_t started_at)
{
	about(out, "build_info", "gauge", "Always 1; the version is the label.");
	labelled(out, "build_info", "version", WARREN_VERSION, 1);
	gauge(out, "start_time_seconds", "When control was started, since the epoch.", (uint64_t)started_at);
	gauge(out, "database_up", "Whether the database answers.", board->database == 0);
	gauge(out, "tunnel_up", "Whether the tunnel process answers.", board->tunnel_up);
	gauge(out, "net_up", "Whether the net process is there.", board->net_up);
	gauge(out, "net_problems", "What of the inner network is not as it should be.",
	      board->net_up ? board->net.n_problems : 0);
	counter(out, "changes_total", "Changes committed through this process.", board->change_asked);
	counter(out, "changes_applied_total", "Of these, how many the tunnel has.", board->change_applied);
	gauge(out, "tunnel_refuses", "Whether the tunnel refused what it was told last.",
	      board->tunnel_error != 0);
}

static void
peer_figures(FILE *out, const struct wanted *wanted, time_t now)
{
	struct wanted_counts n;

	if (!wanted->known)
		return;
	wanted_count(wanted, now, &n);
	about(out, "peers", "gauge", "Peers by state of access.");
	labelled(out, "peers", "state", "active", n.active);
	labelled(out, "peers", "state", "disabled", n.disabled);
	labelled(out, "peers", "state", "expired", n.expired);
	gauge(out, "peers_online", "Peers that shook hands within 180 s.", n.online);
	gauge(out, "peers_without_end", "Peers whose access has no end.", n.without_end);
	gauge(out, "peers_refused", "Peers that the tunnel did not take.", n.refused);
}

static void
calls(FILE *out, const struct tunnel_state *tunnel)
{
	about(out, "calls_total", "counter", "Superframes through the kernel's borders.");
	for (size_t i = 0; i < tunnel->n_calls; i++)
		labelled(out, "calls_total", "call", tunnel->calls[i].name, tunnel->calls[i].calls);
	about(out, "packets_total", "counter", "Packets in these superframes.");
	for (size_t i = 0; i < tunnel->n_calls; i++)
		labelled(out, "packets_total", "call", tunnel->calls[i].name, tunnel->calls[i].segments);
}

static void
ladder(FILE *out, const struct tunnel_state *tunnel)
{
	static const char *const states[] = {"on", "off", "down"};

	about(out, "rung", "gauge", "Rungs of the fast path: 1 at the state that each is in.");
	for (size_t i = 0; i < tunnel->n_rungs; i++)
		for (size_t k = 0; k < ARRAY_LEN(states); k++)
			fprintf(out, "warren_rung{rung=\"%s\",state=\"%s\"} %d\n", tunnel->rungs[i].name,
				states[k], strcmp(tunnel->rungs[i].state, states[k]) == 0);
	about(out, "rung_downs_total", "counter", "How often a rung was stepped down.");
	for (size_t i = 0; i < tunnel->n_rungs; i++)
		labelled(out, "rung_downs_total", "rung", tunnel->rungs[i].name, tunnel->rungs[i].downs);
	about(out, "rung_ups_total", "counter", "How often a rung that was down came back.");
	for (size_t i = 0; i < tunnel->n_rungs; i++)
		labelled(out, "rung_ups_total", "rung", tunnel->rungs[i].name, tunnel->rungs[i].ups);
	about(out, "rung_figure", "gauge", "How much or how many of a rung, where it has such a thing.");
	for (size_t i = 0; i < tunnel->n_rungs; i++)
		labelled(out, "rung_figure", "rung", tunnel->rungs[i].name, tunnel->rungs[i].figure);
}

static void
tunnel_figures(FILE *out, const struct board *board)
{
	const struct tunnel_state *tunnel = &board->present;

	counter(out, "handshakes_total", "Handshakes completed, as control saw them.", board->handshakes);
	counter(out, "received_bytes_total", "From peers, as they count them: encrypted, without UDP and IP.",
		board->rx_bytes);
	counter(out, "sent_bytes_total", "To peers.", board->tx_bytes);
	if (!board->tunnel_up || !board->present_valid)
		return;
	about(out, "aead_info", "gauge", "Always 1; the cipher's back end is the label.");
	labelled(out, "aead_info", "aead", tunnel->aead, 1);
	if (tunnel->workers)
		gauge(out, "workers", "Threads that carry packets.", tunnel->workers);
	gauge(out, "domains", "Tenants with a device of their own.", tunnel->n_domains);
	gauge(out, "tunnel_peers", "Peers that the tunnel has.", tunnel->n_peers);
	counter(out, "datagrams_total", "Datagrams received, junk included.", tunnel->datagrams);
	about(out, "handoffs_total", "counter", "Superframes that a worker gave to their peer's own.");
	labelled(out, "handoffs_total", "direction", "in", tunnel->handoff_in);
	labelled(out, "handoffs_total", "direction", "out", tunnel->handoff_out);
	calls(out, tunnel);
	about(out, "dropped_packets_total", "counter",
	      "Packets dropped, by reason; reasons that never were are left out.");
	for (size_t i = 0; i < tunnel->n_drops; i++)
		labelled(out, "dropped_packets_total", "reason", tunnel->drops[i].name, tunnel->drops[i].n);
	ladder(out, tunnel);
}

char *
metrics_make(const struct board *board, time_t started_at, time_t now, size_t *ret_len)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, ret_len);

	if (!out)
		return NULL;
	control_figures(out, board, started_at);
	peer_figures(out, &board->wanted, now);
	tunnel_figures(out, board);
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}
