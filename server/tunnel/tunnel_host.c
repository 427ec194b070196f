/*
 * What the UAPI asks of the control thread: port, mark, and what a full answer says of the device.
 */
#include "base/errors.h"
#include "base/log.h"
#include "server/tunnel/tunnel_state.h"

static uint16_t
host_port_get(void *ctx)
{
	const struct tunnel *tunnel = ctx;

	return tunnel->port.number ? tunnel->port.number : tunnel->port_wanted;
}

static int
host_port_set(void *ctx, uint16_t port)
{
	struct tunnel *tunnel = ctx;
	int r;

	if (port != 0 && port == tunnel->port.number)
		return 0;
	if (!tunnel_up(tunnel)) {
		tunnel->port_wanted = port;
		tunnel_links_look(tunnel); /* it may be up without sockets */
		return 0;
	}
	r = tunnel_sockets_open(tunnel, port);
	if (r < 0)
		log_error("UDP port %u cannot be opened: %s", port, error_words(r));
	return r;
}

static uint32_t
host_mark_get(void *ctx)
{
	return ((struct tunnel *)ctx)->mark;
}

static int
host_mark_set(void *ctx, uint32_t mark)
{
	struct tunnel *tunnel = ctx;
	int r;

	if (mark == tunnel->mark)
		return 0;
	r = port_mark(&tunnel->port, mark);
	if (r == 0)
		tunnel->mark = mark;
	return r;
}

static void
write_ladder(const struct ladder *ladder, struct text *out)
{
	for (int i = 0; i < RUNG_COUNT; i++) {
		const struct ladder_rung *rung = &ladder->rungs[i];
		const enum rung_state state = ladder_get(ladder, (enum rung)i);

		if (state != RUNG_UNKNOWN)
			text_add(out, "warren_rung_%s=%s %u %u %u\n", rung_words((enum rung)i)->name,
				 rung_state_name(state), atomic_load(&rung->downs), atomic_load(&rung->ups),
				 ladder_figure(ladder, (enum rung)i));
	}
}

static unsigned long long
counted(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

/* Of all workers together. */
static void
write_calls(const struct tunnel *tunnel, struct text *out)
{
	unsigned long long calls[STATS_CALL_COUNT] = {0}, segments[STATS_CALL_COUNT] = {0}, datagrams = 0;

	for (unsigned i = 0; i < tunnel->config.workers; i++) {
		const struct stats *stats = worker_stats(tunnel->workers[i]);

		datagrams += counted(&stats->datagrams);
		for (unsigned c = 0; c < STATS_CALL_COUNT; c++) {
			calls[c] += counted(&stats->calls[c]);
			segments[c] += counted(&stats->segments[c]);
		}
	}
	text_add(out, "warren_datagrams=%llu\n", datagrams);
#define X(name, low)                                                                                         \
	text_add(out, "warren_calls_" #low "=%llu\nwarren_segments_" #low "=%llu\n", calls[STATS_##name],    \
		 segments[STATS_##name]);
	STATS_CALLS(X)
#undef X
}

static void
write_workers(const struct tunnel *tunnel, struct text *out)
{
	unsigned long long handed_in = 0, handed_out = 0;

	for (unsigned i = 0; i < tunnel->config.workers; i++) {
		uint64_t in, to;

		worker_handoffs(tunnel->workers[i], &in, &to);
		handed_in += in;
		handed_out += to;
	}
	text_add(out, "warren_workers=%u\nwarren_handoff_in=%llu\nwarren_handoff_out=%llu\n",
		 tunnel->config.workers, handed_in, handed_out);
}

static unsigned long long
dropped(const struct tunnel *tunnel, enum wg_drop drop)
{
	unsigned long long n = wg_counted(wg_device_counters(tunnel->device), drop);

	for (unsigned i = 0; i < tunnel->config.workers; i++)
		n += wg_counted(&worker_stats(tunnel->workers[i])->drops, drop) +
		     wg_counted(worker_path_counters(tunnel->workers[i]), drop);
	return n;
}

static void
host_more(void *ctx, struct text *out)
{
	struct tunnel *tunnel = ctx;

	text_add(out, "warren_aead=%s\n", tunnel->aead_name);
	write_ladder(&tunnel->ladder, out);
	write_workers(tunnel, out);
	write_calls(tunnel, out);
	for (int i = WG_DROP_NONE + 1; i < WG_DROP_COUNT; i++) {
		const unsigned long long n = dropped(tunnel, (enum wg_drop)i);

		if (n > 0)
			text_add(out, "warren_drop_%s=%llu\n", wg_drop_name((enum wg_drop)i), n);
	}
}

static struct wg_domain *
host_domain_find(void *ctx, const char *name)
{
	const struct tunnel_domain *domain = tunnel_domain_find(ctx, name);

	return domain ? domain->wg : NULL;
}

static int
host_domain_get(void *ctx, const char *name, struct wg_domain **ret)
{
	struct tunnel_domain *domain;
	const int r = tunnel_domain_get(ctx, name, &domain);

	if (r == 0)
		*ret = domain->wg;
	return r;
}

static int
host_domain_remove(void *ctx, const char *name)
{
	return tunnel_domain_remove(ctx, name);
}

static struct wg_domain *
host_domain_at(void *ctx, unsigned number)
{
	const struct tunnel *tunnel = ctx;

	return number < WG_DOMAINS_MAX && tunnel->domains[number] ? tunnel->domains[number]->wg : NULL;
}

static const char *
host_domain_name(void *ctx, const struct wg_domain *domain)
{
	return ((const struct tunnel *)ctx)->domains[wg_domain_number(domain)]->name;
}

void
tunnel_host_init(struct tunnel *tunnel)
{
	tunnel->host = (struct uapi_host){
		.device = tunnel->device,
		.domain = tunnel->domains[0]->wg,
		.effects = &tunnel->effects,
		.ctx = tunnel,
		.now = tunnel_now,
		.port_get = host_port_get,
		.port_set = host_port_set,
		.mark_get = host_mark_get,
		.mark_set = host_mark_set,
		.more = host_more,
		.domain_find = host_domain_find,
		.domain_get = host_domain_get,
		.domain_remove = host_domain_remove,
		.domain_at = host_domain_at,
		.domain_name = host_domain_name,
	};
}
