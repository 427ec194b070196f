/* The UAPI on a real device, as each kind of client, in pieces. */
#include <stdint.h>
#include <stdlib.h>

#include "server/tunnel/uapi.h"
#include "tests/unit/tunnel/domains.h"

static void
fill(void *ctx, void *buf, size_t len)
{
	for (size_t i = 0; i < len; i++)
		((uint8_t *)buf)[i] = (uint8_t)(i * 37 + 11);
}

static void
on_send(void *ctx, const struct wg_datagram *datagram)
{
}

static void
on_order(void *ctx, unsigned worker, struct wg_order *order)
{
}

static struct wg_now
now_get(void *ctx)
{
	return (struct wg_now){.boot = SECONDS(1000), .wall = SECONDS(1796000000)};
}

static uint16_t
port_get(void *ctx)
{
	return 51820;
}

static int
port_set(void *ctx, uint16_t port)
{
	return 0;
}

static uint32_t
mark_get(void *ctx)
{
	return 1;
}

static int
mark_set(void *ctx, uint32_t mark)
{
	return 0;
}

static void
more(void *ctx, struct text *out)
{
}

/* A reader that takes some of it at a time. */
static void
output_take(struct uapi *uapi, size_t piece)
{
	const char *bytes;
	size_t len;

	while (uapi_output(uapi, &bytes, &len) == 0 && len > 0)
		uapi_written(uapi, len > piece ? piece : len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct wg_effects effects = {.send = on_send, .order = on_order};
	const struct wg_device_config config = {.random.fill = fill, .workers = 1, .peers_max = 64};
	struct domains domains = {.effects = &effects};
	struct uapi_host host = {.effects = &effects,
				 .ctx = &domains,
				 .now = now_get,
				 .port_get = port_get,
				 .port_set = port_set,
				 .mark_get = mark_get,
				 .mark_set = mark_set,
				 .more = more,
				 .domain_find = domain_find,
				 .domain_get = domain_get,
				 .domain_remove = domain_remove,
				 .domain_at = domain_at,
				 .domain_name = domain_name};
	struct wg_device *device;
	struct uapi *uapi;
	char *bytes;
	size_t piece, at = 1;
	int closed = 0;

	if (size < 1)
		return 0;
	piece = 1 + data[0] / 4;
	bytes = malloc(size);
	if (!bytes || wg_device_new(&config, &device) < 0)
		abort();
	host.device = domains.device = device;
	memcpy(bytes, data, size);
	if (uapi_new(&host, (enum uapi_rights)(data[0] % 3), data[0] % 8 == 7 ? NULL : "wg0", &uapi) < 0)
		abort();
	while (at < size && !closed) {
		const size_t n = size - at > piece ? piece : size - at;
		const ssize_t taken = uapi_input(uapi, bytes + at, n);

		closed = taken < 0;
		at += closed ? 0 : (size_t)taken;
		output_take(uapi, piece);
	}
	uapi_free(uapi);
	wg_device_free(device);
	free(bytes);
	return 0;
}
