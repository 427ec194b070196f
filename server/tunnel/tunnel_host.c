/*
 * What the UAPI asks of the control thread: port, mark, and what a full answer says of the device.
 */
#include <errno.h>
#include <string.h>

#include "base/errors.h"
#include "base/log.h"
#include "server/tunnel/tunnel_state.h"

static uint16_t
host_port_get(void *ctx)
{
	const struct tunnel *tunnel = ctx;

	return tunnel->udp.port ? tunnel->udp.port : tunnel->port;
}

static int
host_port_set(void *ctx, uint16_t port)
{
	struct tunnel *tunnel = ctx;
	int r;

	if (port != 0 && port == tunnel->udp.port)
		return 0;
	if (!tunnel->up) {
		tunnel->port = port;
		tunnel_link_look(tunnel); /* it may be up without sockets */
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
	r = udp_mark(&tunnel->udp, mark);
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

static void
write_calls(const struct stats *stats, struct text *out)
{
	text_add(out, "warren_datagrams=%llu\n", counted(&stats->datagrams));
#define X(name, low)                                                                                         \
	text_add(out, "warren_calls_" #low "=%llu\nwarren_segments_" #low "=%llu\n",                         \
		 counted(&stats->calls[STATS_##name]), counted(&stats->segments[STATS_##name]));
	STATS_CALLS(X)
#undef X
}

static void
host_more(void *ctx, struct text *out)
{
	struct tunnel *tunnel = ctx;
	const struct stats *stats = worker_stats(tunnel->worker);
	const struct wg_counters *of_path = worker_path_counters(tunnel->worker);
	const struct wg_counters *of_device = wg_device_counters(tunnel->device);

	text_add(out, "warren_aead=%s\n", tunnel->aead_name);
	write_ladder(&tunnel->ladder, out);
	write_calls(stats, out);
	for (int i = WG_DROP_NONE + 1; i < WG_DROP_COUNT; i++) {
		const enum wg_drop drop = (enum wg_drop)i;
		const unsigned long long n = wg_counted(&stats->drops, drop) + wg_counted(of_path, drop) +
					     wg_counted(of_device, drop);

		if (n > 0)
			text_add(out, "warren_drop_%s=%llu\n", wg_drop_name(drop), n);
	}
}

static struct wg_domain *
host_domain_find(void *ctx, const char *name)
{
	const struct tunnel *tunnel = ctx;

	return strcmp(tunnel->domain_name, name) == 0 ? tunnel->domain : NULL;
}

static int
host_domain_get(void *ctx, const char *name, struct wg_domain **ret)
{
	struct tunnel *tunnel = ctx;

	if (strlen(name) == 0 || strlen(name) > UAPI_DOMAIN_MAX)
		return -EINVAL;
	if (tunnel->domain_name[0] == '\0')
		memcpy(tunnel->domain_name, name, strlen(name));
	*ret = host_domain_find(ctx, name);
	return *ret ? 0 : -ENOSPC;
}

static int
host_domain_remove(void *ctx, const char *name)
{
	return host_domain_find(ctx, name) ? -EBUSY : -ENOENT;
}

static struct wg_domain *
host_domain_at(void *ctx, unsigned number)
{
	const struct tunnel *tunnel = ctx;

	return number == wg_domain_number(tunnel->domain) ? tunnel->domain : NULL;
}

static const char *
host_domain_name(void *ctx, const struct wg_domain *domain)
{
	return ((const struct tunnel *)ctx)->domain_name;
}

void
tunnel_host_init(struct tunnel *tunnel)
{
	tunnel->host = (struct uapi_host){
		.device = tunnel->device,
		.domain = tunnel->domain,
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
